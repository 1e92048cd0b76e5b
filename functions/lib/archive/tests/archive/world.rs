//! A source in memory or on disk, a sink that remembers, and the tools that make archives.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use archive::{Entry, Error, Limits, MemberWriter, Options, Outcome, Sink, Source, unpack};
use domain::Failure;

/// Bytes in memory; counts requests.
pub struct Memory {
    bytes: Arc<[u8]>,
    pub requests: AtomicUsize,
}

impl Memory {
    pub fn new(bytes: &[u8]) -> Self {
        Self { bytes: bytes.into(), requests: AtomicUsize::new(0) }
    }
}

struct Tail(Arc<[u8]>, usize);

impl Read for Tail {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let rest = &self.0[self.1.min(self.0.len())..];
        // Short reads, as a network gives them.
        let count = rest.len().min(buf.len()).min(4093);
        buf[..count].copy_from_slice(&rest[..count]);
        self.1 += count;
        Ok(count)
    }
}

impl Source for Memory {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        Tail(self.bytes.clone(), offset as usize).read(buf)
    }

    fn stream(&self, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(Tail(self.bytes.clone(), offset as usize)))
    }
}

/// A file on disk.
pub struct OnDisk(pub std::fs::File);

impl Source for OnDisk {
    fn len(&self) -> u64 {
        self.0.metadata().unwrap().len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(&self.0, buf, offset)
    }

    fn stream(&self, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        let mut file = self.0.try_clone()?;
        // A clone shares its position, so each stream reads at its own.
        io::Seek::seek(&mut file, io::SeekFrom::Start(offset))?;
        Ok(Box::new(file))
    }
}

/// What was committed, by path; counts what was begun and aborted.
#[derive(Default)]
pub struct Shelf {
    pub members: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    pub begun: AtomicUsize,
    /// Members after which to stop.
    pub stop_after: Option<usize>,
    /// Keep only lengths.
    pub discard: bool,
}

struct Place {
    members: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    path: String,
    bytes: Vec<u8>,
    discard: bool,
}

impl Write for Place {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if !self.discard {
            self.bytes.extend_from_slice(buf);
        }
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MemberWriter for Place {
    fn commit(self: Box<Self>) -> io::Result<()> {
        let twice = self.members.lock().unwrap().insert(self.path, self.bytes);
        assert!(twice.is_none(), "a member was committed twice");
        Ok(())
    }
}

impl Sink for Shelf {
    fn wanted(&self, entry: &Entry) -> io::Result<bool> {
        Ok(!self.members.lock().unwrap().contains_key(&entry.path))
    }

    fn begin(&self, entry: &Entry) -> io::Result<Box<dyn MemberWriter>> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        let (members, path) = (self.members.clone(), entry.path.clone());
        Ok(Box::new(Place { members, path, bytes: Vec::new(), discard: self.discard }))
    }

    fn stop(&self) -> bool {
        self.stop_after.is_some_and(|after| self.begun.load(Ordering::Relaxed) >= after)
    }
}

impl Shelf {
    pub fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        self.members.lock().unwrap().clone()
    }
}

pub type Members = BTreeMap<String, Vec<u8>>;

/// Unpacks bytes; gives the outcome and all that was committed, also after an error.
pub fn open(
    bytes: &[u8],
    name: &str,
    limits: &Limits,
    options: &Options<'_>,
) -> (Result<Outcome, Error>, Members) {
    let shelf = Shelf::default();
    let outcome = unpack(&Memory::new(bytes), name, limits, options, &shelf);
    let members = shelf.contents();
    if let Ok(outcome) = &outcome {
        assert_eq!(outcome.members, members.len() as u64);
        assert_eq!(outcome.bytes, members.values().map(|bytes| bytes.len() as u64).sum::<u64>());
    }
    (outcome, members)
}

/// Unpacks bytes that must be good, with one and with three workers.
pub fn good(bytes: &[u8], name: &str, password: Option<&str>) -> Members {
    let options = Options { password, ..Options::default() };
    let (outcome, members) = open(bytes, name, &Limits::default(), &options);
    outcome.unwrap_or_else(|error| panic!("{name}: {}", Failure::from(error)));
    let options = Options { parallelism: 3, ..options };
    let (outcome, again) = open(bytes, name, &Limits::default(), &options);
    outcome.unwrap();
    assert!(members == again, "{name}: parallel differs");
    members
}

/// The code with which bytes are refused; panics when they are not.
pub fn refusal(bytes: &[u8], name: &str, limits: &Limits, options: &Options<'_>) -> Failure {
    let (outcome, members) = open(bytes, name, limits, options);
    match outcome {
        Ok(_) => panic!("{name} was accepted: {:?}", members.keys()),
        Err(error) => {
            assert!(matches!(error, Error::Refused { .. }), "{error:?}");
            let failure = Failure::from(error);
            assert_eq!(failure.class, domain::ErrorClass::Rejected);
            assert!(failure.message.contains(name), "{failure}");
            failure
        }
    }
}

/// Whether a command is installed; a missing one skips its rows, never `required` ones.
pub fn installed(tool: &str) -> bool {
    Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// Runs a tool in a folder and gives its standard output.
pub fn run(folder: &Path, tool: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(tool).args(arguments).current_dir(folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{tool} {arguments:?}: {said}");
    output.stdout
}

/// Some content: text that compresses, and noise that does not.
pub fn sample(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed | 1;
    (0..length)
        .map(|at| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            if (at / 997) % 2 == 0 { b"id,name,amount\n"[at % 15] } else { state as u8 }
        })
        .collect()
}

/// A zip made by the zip crate with one method.
pub fn zip_of(members: &[(&str, &[u8])], options: zip::write::SimpleFileOptions) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        writer.start_file(*name, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// A tar made by the tar crate.
pub fn tar_of(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

/// Gzip of bytes.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// What `good` gives for these members.
pub fn expected(members: &[(&str, &[u8])]) -> Members {
    members.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect()
}
