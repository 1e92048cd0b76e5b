//! Reads an unsigned message of version 1 of exactly the shape that is written here: PKESK packets
//! and one container, with one literal packet and the MDC inside, and not a byte more.
//!
//! The library reads the same, and looks out for prepared SHA-1 collisions all the while. There
//! are none to find behind a random prefix, and whoever could still exchange bytes would need a
//! SHA-256 collision of the plaintext as well. In a long message one thread decrypts and another
//! one hashes.
//!
//! Every byte of the container counts: its lengths say what is encrypted, the cipher gives each
//! encrypted byte one meaning, the MDC covers all of that and the SHA-256 all of the file.

use std::io::Read;
use std::sync::mpsc::{self, Receiver, Sender};
use std::{mem, thread};

use sequoia_openpgp as pgp;

use pgp::Packet;
use pgp::crypto::SessionKey;
use pgp::parse::Parse;
use sha1::Sha1;

use super::failed;
use crate::cfb::Decryption;
use crate::container::{
    CONTAINER_TAG, CONTAINER_VERSION, LITERAL_HEADER, LITERAL_TAG, MDC_HEADER, PREFIX_BYTES,
};
use crate::error::{Error, words};
use crate::streams::{Tally, fill};

/// New format, tag 1.
const WRAPPED_KEY_TAG: u8 = 0xc1;
/// Several times what the longest key needs, and more than the library takes: this bounds the memory
/// alone.
const WRAPPED_KEY_MAX_BYTES: u64 = 64 * 1024;
/// How much is decrypted at once; any other amount gives the same answer.
const PIECE_BYTES: usize = 256 * 1024;
/// How many pieces there are: one on each side, and two under way.
const PIECES: usize = 4;
/// Shorter messages are not worth a thread, with or without which the answer is the same.
const ALONE_MAX_BYTES: u64 = 1024 * 1024;

/// Opens the message and tells what is inside, and the key ids that it names.
pub(super) fn open(
    session_key: &SessionKey,
    bytes: u64,
    message: &mut dyn Read,
) -> Result<(Tally, Vec<String>), Error> {
    let recipients = recipients(message)?;
    let mut body = Body { message, left: 0, last: false };
    let mut version = [0];
    if body.fill(&mut version)? != 1 || version != [CONTAINER_VERSION] {
        return Err(failed("its container has another version"));
    }
    let mut body = Decrypted { body, decryption: Decryption::new(session_key)? };
    let tally = if bytes > ALONE_MAX_BYTES {
        beside(body)?
    } else {
        let tally = Inside::new(&mut |used| body.next(used)).read()?;
        body.end()?;
        tally
    };
    Ok((tally, recipients))
}

/// Decrypts on this thread and hashes on a second one.
fn beside(body: Decrypted<'_>) -> Result<Tally, Error> {
    thread::scope(|scope| {
        // Each side owns its ends: whoever stops first drops them, and the other one stops as well.
        // The number of pieces bounds the channels.
        let (to_reader, pieces) = mpsc::channel::<Vec<u8>>();
        let (to_cipher, used) = mpsc::channel::<Vec<u8>>();
        let reader = move || {
            let mut next = |used: Vec<u8>| {
                // Nobody takes it back when everything was decrypted.
                let _ = used.is_empty() || to_cipher.send(used).is_ok();
                Ok(pieces.recv().ok())
            };
            Inside::new(&mut next).read()
        };
        let reader = thread::Builder::new()
            .spawn_scoped(scope, reader)
            .map_err(|error| failed(format!("no thread could be started ({error})")))?;
        let fed = feed(body, to_reader, used);
        let read = reader.join().unwrap_or_else(|_| Err(failed("it is damaged beyond reading")));
        fed.and(read)
    })
}

/// Ends well when the other side stopped, for that one tells why.
fn feed(
    mut body: Decrypted<'_>,
    to_reader: Sender<Vec<u8>>,
    used: Receiver<Vec<u8>>,
) -> Result<(), Error> {
    let fresh = (0..PIECES).map(|_| vec![0; PIECE_BYTES]);
    for piece in fresh.chain(used) {
        let Some(piece) = body.next(piece)? else { return body.end() };
        if to_reader.send(piece).is_err() {
            break;
        }
    }
    Ok(())
}

/// Whom the packets before the container name.
fn recipients(message: &mut dyn Read) -> Result<Vec<String>, Error> {
    let mut named = Vec::new();
    loop {
        match array(message)? {
            [WRAPPED_KEY_TAG] => named.push(recipient(message)?),
            [CONTAINER_TAG] if !named.is_empty() => return Ok(named),
            [tag] => {
                return Err(failed(format!("a packet {tag:#04x} was found where none belongs")));
            }
        }
    }
}

fn recipient(message: &mut dyn Read) -> Result<String, Error> {
    let Length { bytes, last: true } = Length::read(|| array(message))? else {
        return Err(failed("a wrapped key comes in parts"));
    };
    if bytes > WRAPPED_KEY_MAX_BYTES {
        return Err(failed(format!("a wrapped key has {bytes} bytes")));
    }
    let mut packet = vec![WRAPPED_KEY_TAG, 0xff];
    packet.extend((bytes as u32).to_be_bytes());
    let header_bytes = packet.len();
    packet.resize(header_bytes + bytes as usize, 0);
    let place = packet.get_mut(header_bytes..).unwrap_or_default();
    if fill(message, place).map_err(|error| failed(error.to_string()))? != place.len() {
        return Err(ends_early());
    }
    match Packet::from_bytes(&packet).map_err(|error| failed(words(&error)))? {
        Packet::PKESK(wrapped) if wrapped.version() == 3 => {
            Ok(wrapped.recipient().map_or_else(|| "nobody".to_owned(), |id| id.to_hex()))
        }
        other => Err(failed(format!("a {} was found where none belongs", other.tag()))),
    }
}

/// The length of a packet, or of a part of one.
struct Length {
    bytes: u64,
    last: bool,
}

impl Length {
    fn read(mut next: impl FnMut() -> Result<[u8; 1], Error>) -> Result<Self, Error> {
        let [first] = next()?;
        let mut rest = |count| -> Result<u64, Error> {
            let mut number = 0;
            for _ in 0..count {
                let [byte] = next()?;
                number = (number << 8) + u64::from(byte);
            }
            Ok(number)
        };
        let (bytes, last) = match first {
            0..192 => (u64::from(first), true),
            192..224 => (((u64::from(first) - 192) << 8) + rest(1)? + 192, true),
            224..255 => (1 << (first & 0x1f), false),
            255 => (rest(4)?, true),
        };
        Ok(Self { bytes, last })
    }
}

/// The container without its lengths.
struct Body<'a> {
    message: &'a mut dyn Read,
    /// Of the part that is being read.
    left: u64,
    last: bool,
}

impl Body<'_> {
    /// Fills the buffer as far as there is something.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        let mut filled = 0;
        while filled < buffer.len() {
            if self.left == 0 {
                if self.last {
                    break;
                }
                let message = &mut *self.message;
                let Length { bytes, last } = Length::read(|| array(message))?;
                (self.left, self.last) = (bytes, last);
                continue;
            }
            let rest = buffer.get_mut(filled..).unwrap_or_default();
            let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(rest.len());
            let place = rest.get_mut(..wanted).unwrap_or_default();
            let count = fill(self.message, place).map_err(|error| failed(error.to_string()))?;
            if count < wanted {
                return Err(ends_early());
            }
            self.left -= count as u64;
            filled += count;
        }
        Ok(filled)
    }
}

/// What is in the container.
struct Decrypted<'a> {
    body: Body<'a>,
    decryption: Decryption,
}

impl Decrypted<'_> {
    /// The next piece, or nothing at the end. Takes one that is no longer needed.
    fn next(&mut self, mut piece: Vec<u8>) -> Result<Option<Vec<u8>>, Error> {
        piece.resize(PIECE_BYTES, 0);
        let count = self.body.fill(&mut piece)?;
        piece.truncate(count);
        self.decryption.apply(&mut piece);
        Ok(Some(piece).filter(|piece| !piece.is_empty()))
    }

    /// Nothing may follow the container.
    fn end(self) -> Result<(), Error> {
        match fill(self.body.message, &mut [0]).map_err(|error| failed(error.to_string()))? {
            0 => Ok(()),
            _ => Err(failed("something follows its container")),
        }
    }
}

/// The packets in the container.
struct Inside<'a> {
    next: &'a mut dyn FnMut(Vec<u8>) -> Result<Option<Vec<u8>>, Error>,
    piece: Vec<u8>,
    at: usize,
    hash: Tally<Sha1>,
}

impl<'a> Inside<'a> {
    fn new(next: &'a mut dyn FnMut(Vec<u8>) -> Result<Option<Vec<u8>>, Error>) -> Self {
        Self { next, piece: Vec::new(), at: 0, hash: Tally::new() }
    }

    /// Reads everything, and tells what the file was.
    fn read(mut self) -> Result<Tally, Error> {
        let prefix: [u8; PREFIX_BYTES] = self.array()?;
        let (before, repeated) = prefix.split_at(PREFIX_BYTES - 2);
        if !before.ends_with(repeated) {
            return Err(failed("its session key does not open it"));
        }
        if self.array()? != [LITERAL_TAG] {
            return Err(failed("no literal packet is inside"));
        }
        let tally = self.literal()?;
        if self.array()? != MDC_HEADER {
            return Err(failed("no MDC follows its literal packet"));
        }
        let (expected, _) = mem::replace(&mut self.hash, Tally::new()).finish();
        if self.array()? != expected {
            return Err(failed("its MDC does not match"));
        }
        if self.refill()? {
            return Err(failed("something follows its MDC"));
        }
        Ok(tally)
    }

    fn literal(&mut self) -> Result<Tally, Error> {
        let mut tally = Tally::new();
        let mut length = Length::read(|| self.array())?;
        let header_bytes = LITERAL_HEADER.len() as u64;
        if length.bytes < header_bytes || self.array()? != LITERAL_HEADER {
            return Err(failed("its literal packet has a name, a date or another type"));
        }
        length.bytes -= header_bytes;
        loop {
            self.data(length.bytes, &mut tally)?;
            if length.last {
                return Ok(tally);
            }
            length = Length::read(|| self.array())?;
        }
    }

    /// Whether there is anything left.
    fn refill(&mut self) -> Result<bool, Error> {
        if self.at == self.piece.len() {
            let Some(piece) = (self.next)(mem::take(&mut self.piece))? else { return Ok(false) };
            (self.piece, self.at) = (piece, 0);
        }
        Ok(true)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut array = [0; N];
        for slot in &mut array {
            if !self.refill()? {
                return Err(ends_early());
            }
            *slot = self.piece.get(self.at).copied().unwrap_or_default();
            self.at += 1;
        }
        self.hash.add(&array);
        Ok(array)
    }

    fn data(&mut self, mut left: u64, tally: &mut Tally) -> Result<(), Error> {
        while left > 0 {
            if !self.refill()? {
                return Err(ends_early());
            }
            let data = self.piece.get(self.at..).unwrap_or_default();
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(data.len());
            let data = data.get(..wanted).unwrap_or_default();
            self.hash.add_both(data, tally, data);
            self.at += wanted;
            left -= wanted as u64;
        }
        Ok(())
    }
}

fn array(message: &mut dyn Read) -> Result<[u8; 1], Error> {
    let mut byte = [0];
    match fill(message, &mut byte).map_err(|error| failed(error.to_string()))? {
        0 => Err(ends_early()),
        _ => Ok(byte),
    }
}

fn ends_early() -> Error {
    failed("it ends early")
}

#[cfg(test)]
mod tests;
