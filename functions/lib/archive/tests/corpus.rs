//! Archives of real makers and damaged copies of them, against verdicts that people wrote beside each.
#![cfg(test)]

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use archive::{Entry, Format, Limits, MemberWriter, Options, Sink, Source, detect, unpack};
use domain::{ErrorClass, Failure};
use serde::Deserialize;
use sha2::{Digest, Sha256};

#[derive(Deserialize)]
struct Row {
    file: String,
    password: Option<String>,
    charset: String,
    verdict: String,
    code: Option<String>,
    names_entry: Option<String>,
    members: Vec<Member>,
    #[serde(default)]
    before: Vec<Member>,
    #[serde(default)]
    limits: BTreeMap<String, u64>,
    why: String,
}

#[derive(Deserialize)]
struct Member {
    name: String,
    bytes: u64,
    sha256: String,
}

/// What was committed: length and hash by name.
type Shelf = BTreeMap<String, (u64, String)>;

struct Corpus {
    folder: PathBuf,
    rows: Vec<Row>,
    // Kept so that the folder lives as long as the corpus.
    _own: Option<tempfile::TempDir>,
}

/// Made here, or taken from `ARCHIVE_CORPUS` where somebody made it before.
fn corpus() -> Corpus {
    let (folder, own) = match std::env::var_os("ARCHIVE_CORPUS") {
        Some(folder) => (PathBuf::from(folder), None),
        None => {
            let folder = tempfile::tempdir().unwrap();
            make(folder.path());
            (folder.path().to_owned(), Some(folder))
        }
    };
    let verdicts = std::fs::read(folder.join("verdicts.json")).unwrap();
    Corpus { rows: serde_json::from_slice(&verdicts).unwrap(), folder, _own: own }
}

fn make(folder: &Path) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = here.join("../../../.venv/bin/python");
    let output = Command::new(&python)
        .arg(here.join("tests/corpus/make.py"))
        .arg(folder)
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}; run `make tools`", python.display()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A source that gives at most so many bytes at a time.
struct Pieces {
    bytes: Arc<[u8]>,
    piece: usize,
}

struct Tail(Arc<[u8]>, usize, usize);

impl Read for Tail {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let rest = self.0.get(self.1..).unwrap_or_default();
        let count = rest.len().min(buf.len()).min(self.2);
        buf[..count].copy_from_slice(&rest[..count]);
        self.1 += count;
        Ok(count)
    }
}

impl Source for Pieces {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        Tail(self.bytes.clone(), offset as usize, self.piece).read(buf)
    }

    fn stream(&self, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(Tail(self.bytes.clone(), offset as usize, self.piece)))
    }
}

#[derive(Default)]
struct Hashes(Arc<Mutex<Shelf>>);

struct Place {
    shelf: Arc<Mutex<Shelf>>,
    path: String,
    bytes: u64,
    hash: Sha256,
}

impl Write for Place {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.hash.update(buf);
        self.bytes += buf.len() as u64;
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn hex(hash: impl AsRef<[u8]>) -> String {
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl MemberWriter for Place {
    fn commit(self: Box<Self>) -> io::Result<()> {
        let sum = (self.bytes, hex(self.hash.finalize()));
        let twice = self.shelf.lock().unwrap().insert(self.path, sum);
        if twice.is_some() { Err(io::ErrorKind::AlreadyExists.into()) } else { Ok(()) }
    }
}

impl Sink for Hashes {
    fn wanted(&self, _: &Entry) -> io::Result<bool> {
        Ok(true)
    }

    fn begin(&self, entry: &Entry) -> io::Result<Box<dyn MemberWriter>> {
        let (shelf, path) = (self.0.clone(), entry.path.clone());
        Ok(Box::new(Place { shelf, path, bytes: 0, hash: Sha256::new() }))
    }
}

/// What the unpack stage does: opens an archive, carries anything else on as it is.
fn open(
    row: &Row,
    bytes: &Arc<[u8]>,
    piece: usize,
    workers: usize,
) -> (Result<(), Failure>, Shelf) {
    let source = Pieces { bytes: bytes.clone(), piece };
    let sink = Hashes::default();
    if detect(&source).unwrap() == Format::Plain {
        let whole = (bytes.len() as u64, hex(Sha256::digest(bytes)));
        return (Ok(()), [(row.file.clone(), whole)].into());
    }
    let defaults = Limits::default();
    let limit = |name: &str, default: u64| row.limits.get(name).copied().unwrap_or(default);
    let limits = Limits {
        max_ratio: limit("max_ratio", defaults.max_ratio),
        max_entries: limit("max_entries", defaults.max_entries),
        max_bytes: limit("max_bytes", defaults.max_bytes),
        max_name_bytes: limit("max_name_bytes", defaults.max_name_bytes as u64) as usize,
        max_nesting: limit("max_nesting", defaults.max_nesting as u64) as usize,
    };
    let options = Options {
        password: row.password.as_deref(),
        name_charset: row.charset.parse().unwrap(),
        parallelism: workers,
    };
    let outcome = unpack(&source, &row.file, &limits, &options, &sink);
    let shelf = sink.0.lock().unwrap().clone();
    if let Ok(outcome) = &outcome {
        assert_eq!(outcome.members, shelf.len() as u64, "{}", row.file);
        assert_eq!(outcome.bytes, shelf.values().map(|(bytes, _)| bytes).sum::<u64>());
        assert!(!outcome.more && outcome.skipped == 0, "{}", row.file);
    }
    (outcome.map(drop).map_err(Failure::from), shelf)
}

/// What is wrong about an answer, if anything.
fn complaint(row: &Row, answer: &Result<(), Failure>) -> Option<String> {
    match answer {
        Ok(()) if row.verdict == "good" => None,
        Ok(()) => Some(format!("accepted, not rejected as {:?}", row.code)),
        Err(failure) if row.verdict == "good" => Some(format!("refused: {failure:?}")),
        Err(failure) => {
            let named = row.names_entry.iter().all(|name| failure.message.contains(name));
            let right = failure.class == ErrorClass::Rejected
                && Some(failure.code.as_ref()) == row.code.as_deref()
                && failure.message.contains(&row.file)
                && named;
            let wanted = (&row.code, &row.names_entry);
            (!right).then(|| format!("wanted {wanted:?}, got {failure:?}"))
        }
    }
}

fn described(members: &[Member]) -> Shelf {
    let sum = |member: &Member| (member.bytes, member.sha256.clone());
    members.iter().map(|member| (member.name.clone(), sum(member))).collect()
}

/// Large enough to mean something, small enough for every run.
fn check_size(corpus: &Corpus) {
    let count = |verdict: &str| corpus.rows.iter().filter(|row| row.verdict == verdict).count();
    let (good, rejected) = (count("good"), count("rejected"));
    assert!(good >= 120 && rejected >= 160, "{good} good, {rejected} rejected");
    assert_eq!(good + rejected, corpus.rows.len());
    let sizes = std::fs::read_dir(&corpus.folder).unwrap();
    let bytes: u64 = sizes.map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes < 100 << 20, "{bytes} bytes");
    println!("{good} good and {rejected} rejected archives of {bytes} bytes");
}

#[test]
fn every_archive_gets_its_verdict() {
    let corpus = corpus();
    check_size(&corpus);
    let mut wrong = Vec::new();
    for row in &corpus.rows {
        let bytes: Arc<[u8]> = std::fs::read(corpus.folder.join(&row.file)).unwrap().into();
        for (piece, workers) in [(1 << 20, 1), (61, 1), (4096, 4)] {
            let (answer, shelf) = open(row, &bytes, piece, workers);
            let mut complain = |words: String| {
                let row = format!("{} ({})", row.file, row.why);
                wrong.push(format!("{row}, {workers} workers, {piece} bytes at a time: {words}"));
            };
            if let Some(words) = complaint(row, &answer) {
                complain(words);
            }
            if answer.is_ok() && shelf != described(&row.members) {
                complain(format!("committed {:?}", shelf.keys()));
            }
            let before = described(&row.before);
            let passed: Vec<_> =
                shelf.iter().filter(|(name, sum)| before.get(*name) != Some(sum)).collect();
            if answer.is_err() && !passed.is_empty() {
                complain(format!("committed {passed:?} of a bad archive"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
