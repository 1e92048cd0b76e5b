//! The text form of a message: base64 in lines of 64 characters, and for version 1 the CRC-24 that
//! old readers ask for. RFC 9580 does without.

use std::io::{self, Read, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::streams::{Sink, fill};

const HEADER: &[u8] = b"-----BEGIN PGP MESSAGE-----\n\n";
const FOOTER: &[u8] = b"-----END PGP MESSAGE-----\n";
/// What becomes one line of text.
const LINE_BYTES: usize = 48;
const LINE_CHARS: usize = 64;
/// `=`, four digits, and the end of the line.
const CHECKSUM_CHARS: usize = 6;
/// How many lines are made at once.
const LINES: usize = 256;

/// Turns bytes into text.
pub(crate) struct Armor<'a, 'b> {
    sink: &'a mut Sink<'b>,
    crc: Option<Crc24>,
    /// The beginning of a line.
    held: Vec<u8>,
    base64: Vec<u8>,
    text: Vec<u8>,
}

impl<'a, 'b> Armor<'a, 'b> {
    pub(crate) fn new(sink: &'a mut Sink<'b>, checksum: bool) -> io::Result<Self> {
        sink.write_all(HEADER)?;
        let base64 = vec![0; LINES * LINE_CHARS];
        let text = Vec::with_capacity(LINES * (LINE_CHARS + 1));
        let crc = checksum.then(Crc24::new);
        Ok(Self { sink, crc, held: Vec::with_capacity(LINE_BYTES), base64, text })
    }

    pub(crate) fn write(&mut self, mut data: &[u8]) -> io::Result<()> {
        if let Some(crc) = &mut self.crc {
            crc.add(data);
        }
        if !self.held.is_empty() {
            let missing = LINE_BYTES.saturating_sub(self.held.len()).min(data.len());
            let (head, rest) = data.split_at(missing);
            self.held.extend_from_slice(head);
            data = rest;
            if self.held.len() < LINE_BYTES {
                return Ok(());
            }
            let line = std::mem::take(&mut self.held);
            self.write_lines(&line)?;
        }
        let (lines, rest) = data.split_at(data.len() - data.len() % LINE_BYTES);
        for lines in lines.chunks(LINES * LINE_BYTES) {
            self.write_lines(lines)?;
        }
        self.held.extend_from_slice(rest);
        Ok(())
    }

    /// Writes what fills its lines; only the very last one may be short.
    fn write_lines(&mut self, data: &[u8]) -> io::Result<()> {
        let chars = STANDARD.encode_slice(data, &mut self.base64).map_err(io::Error::other)?;
        self.text.clear();
        for line in self.base64.get(..chars).unwrap_or_default().chunks(LINE_CHARS) {
            self.text.extend_from_slice(line);
            self.text.push(b'\n');
        }
        self.sink.write_all(&self.text)
    }

    pub(crate) fn finish(mut self) -> io::Result<()> {
        let line = std::mem::take(&mut self.held);
        self.write_lines(&line)?;
        if let Some(crc) = &self.crc {
            self.sink.write_all(&crc.text())?;
        }
        self.sink.write_all(FOOTER)
    }
}

/// Turns text back into bytes; text that [`Armor`] would not have written is an error.
pub(crate) struct Dearmor<R> {
    text: R,
    crc: Option<Crc24>,
    started: bool,
    ended: bool,
    /// Text of which `held` bytes are there. The end of the message always fits behind the lines.
    buffer: Vec<u8>,
    held: usize,
    base64: Vec<u8>,
    bytes: Vec<u8>,
    at: usize,
}

impl<R: Read> Dearmor<R> {
    pub(crate) fn new(text: R, checksum: bool) -> Self {
        let end_bytes = LINE_CHARS + 1 + CHECKSUM_CHARS + FOOTER.len();
        Self {
            text,
            crc: checksum.then(Crc24::new),
            started: false,
            ended: false,
            buffer: vec![0; LINES * (LINE_CHARS + 1) + end_bytes],
            held: 0,
            base64: Vec::with_capacity(LINES * LINE_CHARS),
            bytes: Vec::new(),
            at: 0,
        }
    }

    fn start(&mut self) -> io::Result<()> {
        let mut header = [0; HEADER.len()];
        let count = fill(&mut self.text, &mut header)?;
        self.started = true;
        if header.get(..count) == Some(HEADER) { Ok(()) } else { Err(damaged()) }
    }

    fn refill(&mut self) -> io::Result<()> {
        let place = self.buffer.get_mut(self.held..).unwrap_or_default();
        let room = place.len();
        let count = fill(&mut self.text, place)?;
        let text = self.buffer.get(..self.held + count).unwrap_or_default();
        if count == room {
            let lines_bytes = LINES * (LINE_CHARS + 1);
            let (lines, rest) = text.split_at_checked(lines_bytes).ok_or_else(damaged)?;
            decode(lines, &mut self.base64, &mut self.bytes)?;
            if self.bytes.len() != LINES * LINE_BYTES {
                return Err(damaged());
            }
            self.held = rest.len();
            self.buffer.copy_within(lines_bytes.., 0);
        } else {
            self.ended = true;
            let mut lines = text.strip_suffix(FOOTER).ok_or_else(damaged)?;
            let mut checksum = None;
            if self.crc.is_some() {
                let (before, last) =
                    lines.split_last_chunk::<CHECKSUM_CHARS>().ok_or_else(damaged)?;
                (lines, checksum) = (before, Some(last));
            }
            decode(lines, &mut self.base64, &mut self.bytes)?;
            let crc = self.crc.as_mut().map(|crc| {
                crc.add(&self.bytes);
                crc.text()
            });
            return if crc.as_ref() == checksum { Ok(()) } else { Err(damaged()) };
        }
        if let Some(crc) = &mut self.crc {
            crc.add(&self.bytes);
        }
        Ok(())
    }
}

impl<R: Read> Read for Dearmor<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.started {
            self.start()?;
        }
        while self.at == self.bytes.len() && !self.ended {
            self.refill()?;
            self.at = 0;
        }
        let ready = self.bytes.get(self.at..).unwrap_or_default();
        let count = ready.len().min(buffer.len());
        let (Some(place), Some(ready)) = (buffer.get_mut(..count), ready.get(..count)) else {
            return Ok(0);
        };
        place.copy_from_slice(ready);
        self.at += count;
        Ok(count)
    }
}

/// Full lines, but the last one may be short.
fn decode(lines: &[u8], base64: &mut Vec<u8>, bytes: &mut Vec<u8>) -> io::Result<()> {
    base64.clear();
    for line in lines.chunks(LINE_CHARS + 1) {
        let line = line.strip_suffix(b"\n").ok_or_else(damaged)?;
        base64.extend_from_slice(line);
    }
    bytes.clear();
    STANDARD.decode_vec(&base64, bytes).map_err(|_| damaged())
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "its armor is damaged")
}

/// The checksum of the armor, eight bytes at a time.
struct Crc24(u32);

impl Crc24 {
    /// The register and the polynomial stand in the upper 24 bits.
    const START: u32 = 0x00b7_04ce << 8;
    const POLYNOMIAL: u32 = 0x0086_4cfb << 8;
    /// For each byte value, what it does to the register when so many bytes follow it.
    const TABLES: [[u32; 256]; 8] = Self::tables();

    #[expect(clippy::indexing_slicing, reason = "runs when this is compiled")]
    const fn tables() -> [[u32; 256]; 8] {
        let mut tables = [[0; 256]; 8];
        let mut byte = 0;
        while byte < 256 {
            let mut register = (byte as u32) << 24;
            let mut follow = 0;
            while follow < 8 {
                let mut bit = 0;
                while bit < 8 {
                    let carry = register & 0x8000_0000 != 0;
                    register = (register << 1) ^ if carry { Self::POLYNOMIAL } else { 0 };
                    bit += 1;
                }
                tables[follow][byte] = register;
                follow += 1;
            }
            byte += 1;
        }
        tables
    }

    const fn new() -> Self {
        Self(Self::START)
    }

    fn add(&mut self, data: &[u8]) {
        let (eights, rest) = data.as_chunks::<8>();
        for eight in eights {
            let register = u64::from_be_bytes(*eight) ^ u64::from(self.0) << 32;
            let effects = Self::TABLES.iter().rev().zip(register.to_be_bytes());
            self.0 = effects.fold(0, |sum, (table, byte)| sum ^ effect(table, byte));
        }
        let [table, ..] = &Self::TABLES;
        for byte in rest {
            let [first, ..] = self.0.to_be_bytes();
            self.0 = self.0 << 8 ^ effect(table, first ^ byte);
        }
    }

    /// The line that tells it.
    fn text(&self) -> [u8; CHECKSUM_CHARS] {
        let [bytes @ .., _] = self.0.to_be_bytes();
        let mut text = *b"=????\n";
        let [_, digits @ .., _] = &mut text;
        // Three bytes are four digits.
        let _ = STANDARD.encode_slice(bytes, digits);
        text
    }
}

fn effect(table: &[u32; 256], byte: u8) -> u32 {
    table.get(usize::from(byte)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use sequoia_openpgp as pgp;

    use pgp::armor::Kind;
    use pgp::serialize::stream::{Armorer, Message};

    use super::*;

    fn by_library(data: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        let message = Message::new(&mut text);
        let mut message = Armorer::new(message).kind(Kind::Message).build().unwrap();
        message.write_all(data).unwrap();
        message.finalize().unwrap();
        text
    }

    fn ours<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
        let mut text = Vec::new();
        let mut sink = Sink::new(&mut text);
        let mut armor = Armor::new(&mut sink, true).unwrap();
        pieces.for_each(|piece| armor.write(piece).unwrap());
        armor.finish().unwrap();
        text
    }

    #[test]
    fn the_library_writes_the_same_text() {
        let data: Vec<u8> = (0..60_000_u32).map(|number| ((number * number) >> 7) as u8).collect();
        let line = LINE_BYTES * LINES;
        for bytes in (1..300).chain(line - 50..line + 50).chain([3 * line + 1, data.len()]) {
            let data = &data[..bytes];
            assert!(ours([data].into_iter()) == by_library(data), "{bytes} bytes");
        }
        for piece_bytes in (1..100).chain([line - 1, line, line + 1]) {
            assert!(ours(data.chunks(piece_bytes)) == by_library(&data), "by {piece_bytes}");
        }
    }

    fn bytes_of(text: &[u8], checksum: bool) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        Dearmor::new(text, checksum).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    #[test]
    fn text_becomes_the_same_bytes_again() {
        let data: Vec<u8> = (0..60_000_u32).map(|number| ((number * number) >> 7) as u8).collect();
        let line = LINE_BYTES * LINES;
        for bytes in (1..300).chain(line - 150..line + 150).chain(3 * line - 50..3 * line + 50) {
            let text = ours([&data[..bytes]].into_iter());
            assert!(bytes_of(&text, true).unwrap() == data[..bytes], "{bytes} bytes");
        }
    }

    #[test]
    fn damaged_text_is_refused() {
        let data: Vec<u8> = (0..13_000_u32).map(|number| ((number * number) >> 7) as u8).collect();
        for bytes in [1, 100, data.len()] {
            let text = ours([&data[..bytes]].into_iter());
            let step = text.len() / 400 + 1;
            for at in
                (0..text.len()).step_by(step).chain(text.len().saturating_sub(110)..text.len())
            {
                let mut flipped = text.clone();
                flipped[at] ^= 1;
                assert!(bytes_of(&flipped, true).is_err(), "{bytes} bytes, flipped at {at}");
                assert!(bytes_of(&text[..at], true).is_err(), "{bytes} bytes, cut to {at}");
            }
            for more in [&b"\n"[..], b"x", &text] {
                assert!(bytes_of(&[&*text, more].concat(), true).is_err(), "{bytes} bytes");
            }
            assert!(bytes_of(&text, false).is_err(), "a checksum that none asked for");
        }
        let padded = [HEADER, b"YQ==\n", b"YQ==\n", FOOTER].concat();
        assert!(bytes_of(&padded, false).is_err(), "padding inside");
    }
}
