//! Unpacking takes the same memory for any size. A binary of its own, for the peak that the kernel
//! tells is the whole process's.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use archive::{Entry, Limits, MemberWriter, Options, Sink, Source, unpack};

const MIB: u64 = 1024 * 1024;
const GROWTH_MAX_BYTES: u64 = 40 * MIB;
/// Bytes of a piece of content, of which there are many in a member.
const PIECE_BYTES: usize = 1 << 20;
const DEFLATED: zip::CompressionMethod = zip::CompressionMethod::Deflated;
const STORED: zip::CompressionMethod = zip::CompressionMethod::Stored;

/// The archives that are measured.
#[derive(Clone, Copy, Debug)]
enum What {
    OneDeflated,
    ManyDeflated,
    TarGz,
    OneStored,
}

/// The highest resident size so far.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

struct OnDisk(File);

impl Source for OnDisk {
    fn len(&self) -> u64 {
        self.0.metadata().unwrap().len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }

    fn stream(&self, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(At(self.0.try_clone()?, offset)))
    }
}

/// A position of its own in a shared file.
struct At(File, u64);

impl Read for At {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read_at(buf, self.1)?;
        self.1 += read as u64;
        Ok(read)
    }
}

#[derive(Default)]
struct Count(Arc<AtomicU64>);

impl Sink for Count {
    fn wanted(&self, _: &Entry) -> io::Result<bool> {
        Ok(true)
    }

    fn begin(&self, _: &Entry) -> io::Result<Box<dyn MemberWriter>> {
        Ok(Box::new(Count(self.0.clone())))
    }
}

impl Write for Count {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.fetch_add(buf.len() as u64, Ordering::Relaxed);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MemberWriter for Count {
    fn commit(self: Box<Self>) -> io::Result<()> {
        Ok(())
    }
}

/// A little noise and many zeros: about a hundred times as long as it packs.
fn piece() -> Vec<u8> {
    let mut state: u64 = 88_172_645_463_325_252;
    let mut bytes = vec![0; PIECE_BYTES];
    for byte in bytes.iter_mut().take(PIECE_BYTES / 100) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        *byte = state as u8;
    }
    bytes
}

fn pour(mut into: impl Write, pieces: u64) -> io::Result<()> {
    let piece = piece();
    (0..pieces).try_for_each(|_| into.write_all(&piece))
}

fn zip(file: &File, members: u64, pieces: u64, method: zip::CompressionMethod) -> u64 {
    let mut writer = zip::ZipWriter::new(file);
    let level = (method == DEFLATED).then_some(1);
    let options = zip::write::SimpleFileOptions::default()
        .compression_method(method)
        .compression_level(level)
        .large_file(true);
    for member in 0..members {
        writer.start_file(format!("member-{member}"), options).unwrap();
        pour(&mut writer, pieces).unwrap();
    }
    writer.finish().unwrap();
    members * pieces
}

fn tar_gz(file: &File, pieces: u64) -> u64 {
    let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    let mut header = tar::Header::new_gnu();
    header.set_path("member").unwrap();
    header.set_size(pieces * PIECE_BYTES as u64);
    header.set_cksum();
    encoder.write_all(header.as_bytes()).unwrap();
    pour(&mut encoder, pieces).unwrap();
    encoder.write_all(&[0; 1024]).unwrap();
    encoder.finish().unwrap();
    pieces
}

#[test]
fn memory_stays_flat() {
    let folder = tempfile::tempdir().unwrap();
    for what in [What::OneDeflated, What::ManyDeflated, What::TarGz, What::OneStored] {
        let path = folder.path().join("archive");
        let mut file = File::create(&path).unwrap();
        let mib = match what {
            What::OneDeflated => zip(&file, 1, 1024, DEFLATED),
            What::ManyDeflated => zip(&file, 8, 32, DEFLATED),
            What::TarGz => tar_gz(&file, 256),
            What::OneStored => zip(&file, 1, 256, STORED),
        };
        let stored = file.seek(SeekFrom::End(0)).unwrap();
        let file = File::open(&path).unwrap();
        let (before, start) = (peak_bytes(), Instant::now());
        let options = Options { parallelism: 4, ..Options::default() };
        let count = Count::default();
        let outcome =
            unpack(&OnDisk(file), "archive", &Limits::default(), &options, &count).unwrap();
        let growth = peak_bytes() - before;
        println!(
            "{what:?}, {mib} MiB from {}: unpacked in {:.1?}, {} MiB of memory",
            stored / MIB,
            start.elapsed(),
            growth / MIB,
        );
        assert_eq!(count.0.load(Ordering::Relaxed), mib * MIB);
        assert_eq!(outcome.bytes, mib * MIB);
        assert!(growth < GROWTH_MAX_BYTES, "{what:?}: grew by {} MiB", growth / MIB);
    }
}
