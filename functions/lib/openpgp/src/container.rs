//! The SEIPD version 1 container, written for speed.
//!
//! The OpenPGP library computes the modification detection code with a SHA-1 that looks out for
//! prepared collisions, which costs more than everything else together and gains nothing here:
//! random bytes come first, so nobody can have prepared any. Here the caller's thread reads,
//! hashes the plaintext and writes, and a second one encrypts.
//!
//! The plaintext goes through in chunks. Each becomes one partial length of the literal packet,
//! and most of it one partial length of the container; what is too much for that is carried over
//! to the next, and the last chunk takes the rest.

use std::io::{Read, Write};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use sequoia_openpgp as pgp;

use pgp::crypto::SessionKey;

use crate::armor::Armor;
use crate::cfb::Encryption;
use crate::error::{Error, words};
use crate::streams::{Sink, Tally, fill};

/// How much plaintext one chunk takes; a power of two, for it is a partial length.
pub(crate) const CHUNK_BYTES: usize = 256 * 1024;
/// The least that the first partial length of a packet may be.
const PARTIAL_MIN_BYTES: usize = 512;
/// Chunks that are sealed before a thread is worth its start.
const CHUNKS_ALONE: usize = 4;
/// Chunks that the thread has at once: one at work, one to go on with, one for a hiccup.
const CHUNKS_AHEAD: usize = 3;

/// New format, tag 18.
pub(crate) const CONTAINER_TAG: u8 = 0xd2;
/// New format, tag 11.
pub(crate) const LITERAL_TAG: u8 = 0xcb;
/// What follows the container's length.
pub(crate) const CONTAINER_VERSION: u8 = 1;
/// Binary, no name, no date.
pub(crate) const LITERAL_HEADER: [u8; 6] = [b'b', 0, 0, 0, 0, 0];
/// New format, tag 19, the length of a SHA-1.
pub(crate) const MDC_HEADER: [u8; 2] = [0xd3, 0x14];
pub(crate) const MDC_BYTES: usize = 20;
/// A random block and its last two bytes again.
pub(crate) const PREFIX_BYTES: usize = 18;
/// Place for all that may stand before the plaintext of a chunk.
const FRONT_BYTES: usize = PREFIX_BYTES + 1 + 5 + LITERAL_HEADER.len();

/// Where the message goes.
pub(crate) enum Outlet<'a, 'b> {
    /// Straight into the stream.
    Binary(&'a mut Sink<'b>),
    /// As text.
    Armored(Armor<'a, 'b>),
}

impl Outlet<'_, '_> {
    pub(crate) fn write(&mut self, data: &[u8]) -> Result<(), Error> {
        match self {
            Self::Binary(sink) => sink.write_all(data),
            Self::Armored(armor) => armor.write(data),
        }
        .map_err(|error| failed(error.to_string()))
    }

    /// Writes, and hashes what is read meanwhile.
    pub(crate) fn write_beside(
        &mut self,
        data: &[u8],
        plaintext: &[u8],
        tally: &mut Tally,
    ) -> Result<(), Error> {
        let Self::Binary(sink) = self else {
            tally.add(plaintext);
            return self.write(data);
        };
        sink.write_beside(data, plaintext, tally).map_err(|error| failed(error.to_string()))
    }

    /// What follows is not hashed where it lies open in storage: all of it is encrypted, and the
    /// proof recognises it by what is inside.
    fn end_of_head(&mut self) {
        if let Self::Binary(sink) = self {
            sink.end_of_head();
        }
    }

    pub(crate) fn finish(self) -> Result<(), Error> {
        match self {
            Self::Binary(_) => Ok(()),
            Self::Armored(armor) => armor.finish().map_err(|error| failed(error.to_string())),
        }
    }
}

/// Writes the packets that wrap the session key, and the container with all of `plaintext`.
pub(crate) fn write(
    wrapped_keys: &[u8],
    session_key: &SessionKey,
    plaintext: &mut dyn Read,
    mut outlet: Outlet<'_, '_>,
    chunk_bytes: usize,
) -> Result<Tally, Error> {
    outlet.write(wrapped_keys)?;
    outlet.write(&[CONTAINER_TAG])?;
    outlet.end_of_head();
    let mut encryption = Encryption::new(session_key)?;
    let mut line = Line::new(plaintext, outlet, chunk_bytes);
    for _ in 0..CHUNKS_ALONE {
        let ended = line.step(&mut |mut chunk| {
            chunk.encrypt(&mut encryption);
            Ok(Some(chunk))
        })?;
        if ended {
            return line.finish();
        }
    }
    beside(line, move |chunk| chunk.encrypt(&mut encryption))
}

/// Goes on with a second thread that encrypts.
fn beside(
    line: Line<'_, '_, '_>,
    mut encrypt: impl FnMut(&mut Chunk) + Send,
) -> Result<Tally, Error> {
    thread::scope(|scope| {
        // Each side owns its ends: whoever stops first drops them, and the other one stops as well.
        // The number of chunks bounds the channels.
        let (to_cipher, plain) = mpsc::channel::<Chunk>();
        let (to_line, encrypted) = mpsc::channel();
        let cipher = move || {
            for mut chunk in plain {
                encrypt(&mut chunk);
                if to_line.send(chunk).is_err() {
                    break;
                }
            }
        };
        let cipher = thread::Builder::new()
            .spawn_scoped(scope, cipher)
            .map_err(|error| failed(format!("no thread could be started ({error})")))?;
        let written = feed(line, to_cipher, encrypted);
        cipher.join().map_err(|_| cipher_is_gone())?;
        written
    })
}

fn feed(
    mut line: Line<'_, '_, '_>,
    to_cipher: Sender<Chunk>,
    encrypted: Receiver<Chunk>,
) -> Result<Tally, Error> {
    let mut away = 0;
    let mut exchange = |chunk| {
        to_cipher.send(chunk).map_err(|_| cipher_is_gone())?;
        away += 1;
        if away < CHUNKS_AHEAD {
            return Ok(None);
        }
        away -= 1;
        encrypted.recv().map(Some).map_err(|_| cipher_is_gone())
    };
    while !line.step(&mut exchange)? {}
    drop(to_cipher);
    line.settle()?;
    for chunk in encrypted {
        line.done = Some(chunk);
        line.settle()?;
    }
    line.finish()
}

/// The caller's thread: what is read becomes chunks, and encrypted chunks are written.
struct Line<'p, 'a, 'b> {
    plaintext: &'p mut dyn Read,
    outlet: Outlet<'a, 'b>,
    tally: Tally,
    chunk_bytes: usize,
    started: bool,
    /// Encrypted and not yet written.
    done: Option<Chunk>,
    /// Ciphertext that the next length of the container covers, and its version at first.
    carry: Vec<u8>,
    unused: Vec<Chunk>,
}

impl<'p, 'a, 'b> Line<'p, 'a, 'b> {
    fn new(plaintext: &'p mut dyn Read, outlet: Outlet<'a, 'b>, chunk_bytes: usize) -> Self {
        Self {
            plaintext,
            outlet,
            tally: Tally::new(),
            chunk_bytes,
            started: false,
            done: None,
            carry: vec![CONTAINER_VERSION],
            unused: Vec::new(),
        }
    }

    /// Reads one chunk, gives it away, and writes one that came back. Tells whether it was the
    /// last one.
    fn step(
        &mut self,
        exchange: &mut dyn FnMut(Chunk) -> Result<Option<Chunk>, Error>,
    ) -> Result<bool, Error> {
        let mut chunk = self.unused.pop().unwrap_or_else(|| Chunk::new(self.chunk_bytes));
        chunk.load(self.plaintext, self.chunk_bytes, !self.started)?;
        self.started = true;
        self.tally.add(chunk.plaintext());
        self.settle()?;
        let last = chunk.last;
        self.done = exchange(chunk)?;
        Ok(last)
    }

    /// Writes what is done.
    fn settle(&mut self) -> Result<(), Error> {
        let Some(done) = self.done.take() else { return Ok(()) };
        let ciphertext = done.ciphertext();
        let now = if done.last {
            let whole = self.carry.len() + ciphertext.len();
            let head = [&length(whole), &*self.carry].concat();
            self.carry.clear();
            self.outlet.write(&head)?;
            ciphertext.len()
        } else {
            let head = [&[partial(self.chunk_bytes)], &*self.carry].concat();
            self.outlet.write(&head)?;
            self.chunk_bytes.saturating_sub(self.carry.drain(..).len())
        };
        let (body, rest) = ciphertext.split_at_checked(now).unwrap_or((ciphertext, &[]));
        self.outlet.write(body)?;
        self.carry.extend_from_slice(rest);
        if let Some((small, rest)) = self.carry.split_at_checked(PARTIAL_MIN_BYTES) {
            let small = [&[partial(PARTIAL_MIN_BYTES)], small].concat();
            self.outlet.write(&small)?;
            self.carry = rest.to_vec();
        }
        self.unused.push(done);
        Ok(())
    }

    fn finish(mut self) -> Result<Tally, Error> {
        self.settle()?;
        self.outlet.finish()?;
        Ok(self.tally)
    }
}

/// A piece of what is encrypted: packet headers, plaintext, and the hash in the last one.
struct Chunk {
    /// The plaintext starts behind [`FRONT_BYTES`]; headers stand close before it.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    last: bool,
}

impl Chunk {
    fn new(chunk_bytes: usize) -> Self {
        let buffer = vec![0; FRONT_BYTES + chunk_bytes + MDC_HEADER.len() + MDC_BYTES];
        Self { buffer, start: 0, end: 0, last: false }
    }

    /// Reads the next plaintext, and writes before it what the packets want there.
    fn load(
        &mut self,
        plaintext: &mut dyn Read,
        chunk_bytes: usize,
        first: bool,
    ) -> Result<(), Error> {
        let header: &[u8] = if first { &LITERAL_HEADER } else { &[] };
        let room = chunk_bytes - header.len();
        let place = self.buffer.get_mut(FRONT_BYTES..FRONT_BYTES + room).unwrap_or_default();
        let count = fill(plaintext, place)
            .map_err(|source| Error::Read { what: "the plaintext", source })?;
        self.last = count < room;
        self.end = FRONT_BYTES + count;
        let mut front = Vec::with_capacity(FRONT_BYTES);
        if first {
            front.extend(random_prefix()?);
            front.push(LITERAL_TAG);
        }
        if self.last {
            front.extend(length(header.len() + count));
        } else {
            front.push(partial(chunk_bytes));
        }
        front.extend_from_slice(header);
        self.start = FRONT_BYTES - front.len();
        if let Some(place) = self.buffer.get_mut(self.start..FRONT_BYTES) {
            place.copy_from_slice(&front);
        }
        Ok(())
    }

    fn plaintext(&self) -> &[u8] {
        self.buffer.get(FRONT_BYTES..self.end).unwrap_or_default()
    }

    fn ciphertext(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    fn encrypt(&mut self, encryption: &mut Encryption) {
        let (before, behind) = self.buffer.split_at_mut(self.end);
        encryption.apply(before.get_mut(self.start..).unwrap_or_default());
        if !self.last {
            return;
        }
        let (header, digest) = behind.split_at_mut(MDC_HEADER.len());
        header.copy_from_slice(&MDC_HEADER);
        if let Some(digest) = digest.first_chunk_mut() {
            encryption.finish(header, digest);
        }
        self.end += MDC_HEADER.len() + MDC_BYTES;
    }
}

/// What makes every container another, and lets a reader see at once that its key is wrong.
fn random_prefix() -> Result<[u8; PREFIX_BYTES], Error> {
    let mut prefix = [0; PREFIX_BYTES];
    if let Some((random, _)) = prefix.split_last_chunk_mut::<2>() {
        pgp::crypto::random(&mut *random).map_err(|error| failed(words(&error)))?;
    }
    prefix.copy_within(PREFIX_BYTES - 4..PREFIX_BYTES - 2, PREFIX_BYTES - 2);
    Ok(prefix)
}

/// The length of a whole packet body, or of its last part.
fn length(bytes: usize) -> Vec<u8> {
    match bytes {
        0..192 => vec![bytes as u8],
        192..8384 => {
            let [high, low] = ((bytes - 192) as u16).to_be_bytes();
            vec![high + 192, low]
        }
        _ => [&[0xff], &(bytes as u32).to_be_bytes()[..]].concat(),
    }
}

/// The length of a part that is not the last one; a power of two.
const fn partial(bytes: usize) -> u8 {
    0xe0 | bytes.trailing_zeros() as u8
}

fn cipher_is_gone() -> Error {
    failed("the thread that encrypts ended by itself")
}

fn failed(reason: impl Into<String>) -> Error {
    Error::Seal { reason: reason.into() }
}

#[cfg(test)]
mod tests;
