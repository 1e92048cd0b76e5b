//! Damage by accident: every prefix and every flipped bit of small archives, failing sources and
//! sinks. What is committed is right, or nothing is.

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

use archive::{Entry, Error, Format, Limits, MemberWriter, Options, Sink, Source, detect, unpack};
use domain::Failure;
use zip::write::SimpleFileOptions;
use zip::{AesMode, CompressionMethod};

use crate::world::*;

const BODY: &[u8] = b"id,name\n1,a\n2,b\n3,c\n3,c\n3,c\n3,c\n";

fn small_archives() -> Vec<(&'static str, Vec<u8>)> {
    let members: [(&str, &[u8]); 2] = [("a.csv", BODY), ("b.csv", b"second")];
    let zip = |method| zip_of(&members, SimpleFileOptions::default().compression_method(method));
    let tar = tar_of(&members);
    let squeeze = |mut encoder: liblzma::write::XzEncoder<Vec<u8>>| {
        encoder.write_all(BODY).unwrap();
        encoder.finish().unwrap()
    };
    let mut zstd = zstd::Encoder::new(Vec::new(), 3).unwrap();
    zstd.include_checksum(true).unwrap();
    zstd.write_all(BODY).unwrap();
    let mut bzip = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip.write_all(BODY).unwrap();
    let aes = SimpleFileOptions::default().with_aes_encryption(AesMode::Aes256, "pw");
    vec![
        ("x.stored.zip", zip(CompressionMethod::Stored)),
        ("x.deflated.zip", zip(CompressionMethod::Deflated)),
        ("x.bzip2.zip", zip(CompressionMethod::Bzip2)),
        ("x.zstd.zip", zip(CompressionMethod::Zstd)),
        ("x.xz.zip", zip(CompressionMethod::Xz)),
        ("x.aes.zip", zip_of(&members, aes)),
        ("x.csv.gz", gzip(BODY)),
        ("x.csv.xz", squeeze(liblzma::write::XzEncoder::new(Vec::new(), 6))),
        ("x.csv.zst", zstd.finish().unwrap()),
        ("x.csv.bz2", bzip.finish().unwrap()),
        ("x.tar.gz", gzip(&tar)),
        ("x.tar", tar),
    ]
}

fn options() -> Options<'static> {
    Options { password: Some("pw"), ..Options::default() }
}

#[test]
fn no_prefix_of_an_archive_passes_for_a_whole_one() {
    for (name, whole) in small_archives() {
        let (outcome, good) = open(&whole, name, &Limits::default(), &options());
        outcome.unwrap();
        for length in 0..whole.len() {
            let prefix = &whole[..length];
            if detect(&Memory::new(prefix)).unwrap() == Format::Plain {
                continue;
            }
            let (outcome, members) = open(prefix, name, &Limits::default(), &options());
            for (path, bytes) in &members {
                assert_eq!(Some(bytes), good.get(path), "{name} cut at {length}");
            }
            // A tar is whole once its end mark has begun: what is cut off then is padding.
            if name == "x.tar" && length >= whole.len() - 512 {
                assert_eq!(members, good);
            } else {
                let failure = Failure::from(outcome.expect_err(name));
                assert_eq!(failure.class, domain::ErrorClass::Rejected, "{failure}");
            }
        }
    }
}

#[test]
fn no_flipped_bit_changes_a_member_silently() {
    for (name, whole) in small_archives() {
        let (_, good) = open(&whole, name, &Limits::default(), &options());
        let mut refused = 0;
        for at in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[at / 8] ^= 1 << (at % 8);
            if detect(&Memory::new(&bytes)).unwrap() == Format::Plain {
                refused += 1;
                continue;
            }
            let (outcome, members) = open(&bytes, name, &Limits::default(), &options());
            match outcome {
                Err(error) => {
                    assert!(matches!(error, Error::Refused { .. }), "{name} bit {at}: {error:?}");
                    refused += 1;
                }
                // A tar has no checksum over contents: only its headers are covered.
                Ok(_) if name == "x.tar" => {}
                Ok(_) => {
                    let same = members.values().eq(good.values());
                    assert!(same, "{name} bit {at}: {members:?}");
                }
            }
        }
        assert!(refused > whole.len(), "{name}: only {refused} of {} bits matter", whole.len() * 8);
    }
}

/// Random bytes behind each magic, and random edits of good archives: answers, never a panic.
#[test]
fn noise_is_answered() {
    let mut state: u64 = 88_172_645_463_325_252;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let archives = small_archives();
    for round in 0..6000 {
        let (name, whole) = &archives[round % archives.len()];
        let mut bytes = whole.clone();
        for _ in 0..=random() % 6 {
            let at = random() as usize % bytes.len();
            match random() % 4 {
                0 => bytes[at] = random() as u8,
                1 => bytes.truncate(at.max(8)),
                2 => bytes.insert(at, random() as u8),
                _ => {
                    let last = bytes.len() - 8;
                    let to = random() as usize % bytes.len();
                    bytes.copy_within(at.min(last)..at.min(last) + 8, to.min(last));
                }
            }
        }
        if detect(&Memory::new(&bytes)).unwrap() != Format::Plain {
            let _ = open(&bytes, name, &Limits::default(), &options());
        }
    }
}

#[test]
fn deflate64_noise_is_answered() {
    // Method 9 over noise and over a plain deflate stream, whose stored and fixed blocks it shares.
    let members: [(&str, &[u8]); 1] = [("a.csv", BODY)];
    let whole = zip_of(&members, SimpleFileOptions::default());
    let renumber = |bytes: &mut Vec<u8>| {
        for at in 0..bytes.len() - 12 {
            if bytes[at..].starts_with(b"PK\x03\x04") {
                bytes[at + 8] = 9;
            } else if bytes[at..].starts_with(b"PK\x01\x02") {
                bytes[at + 10] = 9;
            }
        }
    };
    let mut plain = whole.clone();
    renumber(&mut plain);
    assert_eq!(good(&plain, "d64.zip", None), expected(&members));
    let data = 30 + 5;
    for at in data..data + 20 {
        for value in 0..=255 {
            let mut bytes = plain.clone();
            bytes[at] = value;
            let (_, members) = open(&bytes, "d64.zip", &Limits::default(), &Options::default());
            assert!(members.values().all(|bytes| bytes == BODY));
        }
    }
}

/// A source that fails with a failure of ours at some byte.
struct Failing(Memory, u64, bool);

impl Failing {
    fn error(&self) -> io::Error {
        if self.2 {
            io::Error::other(Failure::throttled("storage.slow", "S3 asked to slow down."))
        } else {
            io::Error::from(io::ErrorKind::ConnectionReset)
        }
    }
}

struct Cut(Box<dyn Read + Send>, u64, Option<io::Error>);

impl Read for Cut {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.1 == 0 {
            // `None` ends the stream early, as a broken connection may.
            return self.2.take().map_or(Ok(0), Err);
        }
        let count = (self.1 as usize).min(buf.len());
        let read = self.0.read(&mut buf[..count])?;
        self.1 -= read as u64;
        Ok(read)
    }
}

impl Source for Failing {
    fn len(&self) -> u64 {
        self.0.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(offset, buf)
    }

    fn stream(&self, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        let left = self.1.saturating_sub(offset);
        Ok(Box::new(Cut(self.0.stream(offset)?, left, Some(self.error()))))
    }
}

/// A source whose streams end before their time.
struct Hanging(Memory, u64);

impl Source for Hanging {
    fn len(&self) -> u64 {
        self.0.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(offset, buf)
    }

    fn stream(&self, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(Cut(self.0.stream(offset)?, self.1.saturating_sub(offset), None)))
    }
}

#[test]
fn a_failing_source_is_never_blamed_on_the_archive() {
    for (name, whole) in small_archives() {
        for at in (0..whole.len() as u64 - 600.min(whole.len() as u64 / 2)).step_by(7) {
            for ours in [true, false] {
                let source = Failing(Memory::new(&whole), at, ours);
                let shelf = Shelf::default();
                let answer = unpack(&source, name, &Limits::default(), &options(), &shelf);
                let Err(error) = answer else { continue };
                let failure = Failure::from(error);
                let code = if ours { "storage.slow" } else { "archive.read" };
                assert_eq!(failure.code, code, "{name} at {at}: {failure}");
            }
            let source = Hanging(Memory::new(&whole), at);
            let answer = unpack(&source, name, &Limits::default(), &options(), &Shelf::default());
            if let Err(error) = answer {
                assert_eq!(Failure::from(error).code, "archive.read", "{name} at {at}");
            }
        }
    }
}

/// A source of which every other read is interrupted, and the rest are short.
struct Nervous(Memory, AtomicUsize);

struct Interrupted(Box<dyn Read + Send>, usize);

impl Read for Interrupted {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.1 += 1;
        if self.1 % 2 == 1 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let count = buf.len().min(1 + self.1 % 5);
        self.0.read(&mut buf[..count])
    }
}

impl Source for Nervous {
    fn len(&self) -> u64 {
        self.0.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        if self.1.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let count = buf.len().min(700);
        self.0.read_at(offset, &mut buf[..count])
    }

    fn stream(&self, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(Interrupted(self.0.stream(offset)?, 0)))
    }
}

#[test]
fn interruptions_change_nothing() {
    for (name, whole) in small_archives() {
        let (_, good) = open(&whole, name, &Limits::default(), &options());
        let twice = name.ends_with(".gz") || name.ends_with(".bz2");
        let streams = if twice && !name.contains("tar") { 2 } else { 1 };
        let source = Nervous(Memory::new(&whole.repeat(streams)), AtomicUsize::new(0));
        let shelf = Shelf::default();
        unpack(&source, name, &Limits::default(), &options(), &shelf).unwrap();
        let wanted: Members =
            good.into_iter().map(|(path, bytes)| (path, bytes.repeat(streams))).collect();
        assert!(shelf.contents() == wanted, "{name}");
    }
}

/// A sink that fails when opening, writing or committing.
struct Full(u8);

struct FullPlace(u8);

impl Write for FullPlace {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if self.0 == 1 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(buf.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MemberWriter for FullPlace {
    fn commit(self: Box<Self>) -> io::Result<()> {
        if self.0 == 2 {
            return Err(io::Error::other(Failure::source_changed("x.moved", "It moved.")));
        }
        Ok(())
    }
}

impl Sink for Full {
    fn wanted(&self, _: &Entry) -> io::Result<bool> {
        Ok(true)
    }

    fn begin(&self, _: &Entry) -> io::Result<Box<dyn MemberWriter>> {
        if self.0 == 0 {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Ok(Box::new(FullPlace(self.0)))
    }
}

#[test]
fn a_failing_sink_keeps_its_own_words() {
    for (name, whole) in small_archives() {
        for (step, code) in [(0, "archive.write"), (1, "archive.write"), (2, "x.moved")] {
            let source = Memory::new(&whole);
            let error = unpack(&source, name, &Limits::default(), &options(), &Full(step));
            assert_eq!(Failure::from(error.unwrap_err()).code, code, "{name}");
        }
    }
}
