//! The container byte by byte, at sizes around every border, and streams that misbehave.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use domain::Failure;
use pgp::Packet;
use pgp::packet::Tag;
use pgp::parse::{PacketParserBuilder, PacketParserResult, Parse};
use pgp::types::DataFormat;
use sha2::{Digest, Sha256};

use super::*;
use crate::seal::CIPHER;

/// The smallest that a chunk can be.
const SMALL: usize = 512;

fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..bytes).map(|_| next()).collect()
}

fn key() -> SessionKey {
    noise(32).into()
}

/// A container without wrapped keys.
fn written(
    plaintext: &mut dyn Read,
    ciphertext: &mut (dyn Write + Send),
    chunk_bytes: usize,
) -> Result<[u8; 32], Error> {
    let mut sink = Sink::new(ciphertext);
    let outlet = Outlet::Binary(&mut sink);
    let tally = write(&[], &key(), plaintext, outlet, chunk_bytes);
    match sink.failure() {
        Some(source) => Err(Error::Write { what: "the ciphertext", source }),
        None => Ok(tally?.finish().0),
    }
}

fn message(mut plaintext: &[u8], chunk_bytes: usize) -> Vec<u8> {
    let expected: [u8; 32] = Sha256::digest(plaintext).into();
    let mut ciphertext = Vec::new();
    assert_eq!(written(&mut plaintext, &mut ciphertext, chunk_bytes).unwrap(), expected);
    ciphertext
}

/// Opens a message by the library alone: the packets as promised, each in its place.
#[expect(deprecated, reason = "the packet at the end of version 1 can only be looked into so")]
fn opened(message: &[u8]) -> Vec<u8> {
    let builder = PacketParserBuilder::from_bytes(message).unwrap().buffer_unread_content();
    let mut result = builder.build().unwrap();
    let (mut seen, mut plaintext) = (Vec::new(), Vec::new());
    while let PacketParserResult::Some(mut parser) = result {
        if parser.packet.tag() == Tag::SEIP {
            parser.decrypt(CIPHER, &key()).unwrap();
        }
        let (packet, next) = parser.recurse().unwrap();
        seen.push((packet.tag(), packet.version()));
        match packet {
            Packet::Literal(literal) => {
                assert_eq!(literal.format(), DataFormat::Binary);
                assert_eq!((literal.filename(), literal.date()), (None, None));
                plaintext = literal.body().to_vec();
            }
            Packet::MDC(mdc) => assert_eq!(mdc.digest(), mdc.computed_digest()),
            _ => {}
        }
        result = next;
    }
    assert_eq!(seen, [(Tag::SEIP, Some(1)), (Tag::Literal, None), (Tag::MDC, None)]);
    plaintext
}

/// The lengths of the parts of the only packet; each but the last is a power of two.
fn parts(packet: &[u8]) -> Vec<usize> {
    let (mut at, mut parts) = (1, Vec::new());
    loop {
        let first = usize::from(packet[at]);
        let (length_bytes, part_bytes) = match first {
            0..192 => (1, first),
            192..224 => (2, (first - 192) * 256 + usize::from(packet[at + 1]) + 192),
            224..255 => (1, 1 << (first - 224)),
            _ => (5, u32::from_be_bytes(packet[at + 1..at + 5].try_into().unwrap()) as usize),
        };
        at += length_bytes + part_bytes;
        parts.push(part_bytes);
        if !(224..255).contains(&first) {
            assert_eq!(at, packet.len(), "the last part is the end");
            return parts;
        }
    }
}

#[test]
fn every_size_opens_and_is_cut_as_the_standard_wants() {
    let plaintext = noise(4 * SMALL * 600);
    let borders = [500 * SMALL, 600 * SMALL].into_iter();
    let around = borders.flat_map(|border| border - 60..border + 60);
    for bytes in (0..6 * SMALL).chain(around).chain([plaintext.len()]) {
        let plaintext = &plaintext[..bytes];
        let message = message(plaintext, SMALL);
        assert_eq!(message[0], CONTAINER_TAG);
        assert!(opened(&message) == plaintext, "{bytes} bytes");
        let mut parts = parts(&message);
        parts.pop();
        assert!(parts.iter().all(|part| *part == SMALL), "{bytes} bytes: {parts:?}");
    }
}

#[test]
fn the_real_chunks_open_at_their_borders() {
    let plaintext = noise(6 * CHUNK_BYTES);
    let chunks = (1..6).map(|chunks| chunks * CHUNK_BYTES);
    let lengths = (130..200).chain(8384 - 60..8384 + 10);
    for bytes in chunks.flat_map(|border| border - 8..border + 3).chain(lengths) {
        let message = message(&plaintext[..bytes], CHUNK_BYTES);
        assert!(opened(&message) == plaintext[..bytes], "{bytes} bytes");
        parts(&message);
    }
}

#[test]
fn the_rest_that_is_carried_over_stays_small() {
    let plaintext = noise(2 * SMALL * 1200);
    for chunk_bytes in [2 * SMALL, 4 * SMALL] {
        let message = message(&plaintext, chunk_bytes);
        assert!(opened(&message) == plaintext);
        let mut parts = parts(&message);
        let last = parts.pop().unwrap();
        assert!(last < chunk_bytes + 2 * SMALL, "{last} in the last part");
        assert!(parts.iter().all(|part| [SMALL, chunk_bytes].contains(part)), "{parts:?}");
        assert!(parts.contains(&SMALL), "{} parts", parts.len());
    }
}

#[test]
fn no_two_containers_are_alike() {
    let [one, two] = [(), ()].map(|()| message(b"the same", SMALL));
    assert_eq!(one.len(), two.len());
    // Tag, length, version, and then the cipher's first block.
    assert_eq!(one[..3], two[..3]);
    assert_ne!(one[3..19], two[3..19]);
}

/// Reads and writes a few bytes at a time, is disturbed by signals, and fails or panics at last.
struct Bad<'a> {
    good: &'a [u8],
    calls: usize,
    at_last: fn() -> io::Result<usize>,
}

impl<'a> Bad<'a> {
    fn new(good: &'a [u8], at_last: fn() -> io::Result<usize>) -> Self {
        Self { good, calls: 0, at_last }
    }

    fn some(&mut self, most: usize) -> io::Result<&'a [u8]> {
        self.calls += 1;
        if self.calls.is_multiple_of(3) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let count = (self.calls % 97 + 1).min(most).min(self.good.len());
        let (some, rest) = self.good.split_at(count);
        self.good = rest;
        Ok(some)
    }
}

impl Read for Bad<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let some = self.some(buffer.len())?;
        buffer[..some.len()].copy_from_slice(some);
        if some.is_empty() { (self.at_last)() } else { Ok(some.len()) }
    }
}

impl Write for Bad<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let count = self.some(data.len())?.len();
        if count == 0 { (self.at_last)() } else { Ok(count) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn storage_is_down() -> Failure {
    Failure::throttled("storage.slow_down", "S3 asked to slow down.")
}

fn fails() -> io::Result<usize> {
    Err(io::Error::other(storage_is_down()))
}

fn panics() -> io::Result<usize> {
    panic!("on purpose")
}

/// Before the second thread starts, while it works, and near the end.
const STOPS: [usize; 8] =
    [0, 1, SMALL, 3 * SMALL + 1, 4 * SMALL, 5 * SMALL + 7, 30 * SMALL, 40 * SMALL - 1];

#[test]
fn short_and_disturbed_reads_and_writes_change_nothing() {
    let plaintext = noise(40 * SMALL + 5);
    let mut ciphertext = Vec::new();
    written(&mut Bad::new(&plaintext, || Ok(0)), &mut ciphertext, SMALL).unwrap();
    assert!(opened(&ciphertext) == plaintext);
    let room = noise(2 * plaintext.len());
    let mut short = Bad::new(&room, fails);
    written(&mut &*plaintext, &mut short, SMALL).unwrap();
    assert_eq!(room.len() - short.good.len(), ciphertext.len());
}

#[test]
fn a_read_that_fails_ends_it_wherever_it_stands() {
    let plaintext = noise(40 * SMALL);
    for good in STOPS {
        let mut broken = Bad::new(&plaintext[..good], fails);
        let error = written(&mut broken, &mut Vec::new(), SMALL).unwrap_err();
        assert!(matches!(error, Error::Read { what: "the plaintext", .. }), "{good}: {error:?}");
        assert_eq!(Failure::from(error), storage_is_down(), "after {good}");
    }
}

#[test]
fn a_write_that_fails_ends_it_wherever_it_stands() {
    let plaintext = noise(40 * SMALL);
    for good in STOPS {
        let mut broken = Bad::new(&plaintext[..good], fails);
        let error = written(&mut &*plaintext, &mut broken, SMALL).unwrap_err();
        assert!(matches!(error, Error::Write { what: "the ciphertext", .. }), "{good}: {error:?}");
        assert_eq!(Failure::from(error), storage_is_down(), "after {good}");
    }
}

#[test]
fn a_panic_of_a_stream_comes_through_and_leaves_no_thread_behind() {
    let plaintext = noise(40 * SMALL);
    for good in STOPS {
        let mut reader = Bad::new(&plaintext[..good], panics);
        let read = || written(&mut reader, &mut Vec::new(), SMALL);
        assert!(catch_unwind(AssertUnwindSafe(read)).is_err(), "read {good}");
        let mut writer = Bad::new(&plaintext[..good], panics);
        let write = || written(&mut &*plaintext, &mut writer, SMALL);
        assert!(catch_unwind(AssertUnwindSafe(write)).is_err(), "write {good}");
    }
}

#[test]
fn a_panic_of_the_cipher_is_an_error() {
    let plaintext = noise(40 * SMALL);
    for good_chunks in [0, 1, 2, 3, 20, 40] {
        let mut left = good_chunks;
        let mut ciphertext = Vec::new();
        let mut sink = Sink::new(&mut ciphertext);
        let mut reader = &*plaintext;
        let line = Line::new(&mut reader, Outlet::Binary(&mut sink), SMALL);
        let written = beside(line, move |_| {
            assert!(left > 0, "on purpose");
            left -= 1;
        });
        assert!(matches!(written, Err(Error::Seal { .. })), "after {good_chunks}");
    }
}
