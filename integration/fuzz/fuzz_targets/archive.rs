//! Any bytes as an archive: what comes out keeps the limits, is safe, whole, and always the same.

#![no_main]

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex};

use archive::{
    Entry, Error, Format, Kept, Limits, MemberWriter, NameCharset, Options, Outcome, Restart, Sink,
    Source,
};
use fuzz::random::Random;
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

/// Bytes in front of the archive that choose limits, options and the sink's behaviour.
const CONTROL_BYTES: usize = 2;
/// What the library lets any archive yield, whatever its ratio.
const FLOOR_BYTES: u64 = 1 << 20;
/// File names, which decide how the member of a single stream is called.
const NAMES: [&str; 8] =
    ["a.csv.gz", "a.tgz", "a.bz2", "a.TXZ", "a.zst", ".gz", "..", "in/a\u{7}.xz"];
/// Members after which a second worker may start.
const BATCH_MEMBERS: usize = 256;
/// How often an unpacking is stopped within members.
const PAUSES: usize = 16;

fuzz_target!(init: fuzz::start(fuzz::archives::seeds, |_, bytes| [&[0, 3], bytes].concat()), |data: &[u8]| {
    fuzz::run(|| judge(data));
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let made = mutate(data.get(..size).unwrap_or_default(), max_size, seed);
    made.and_then(|made| fuzz::place(data, size, max_size, &made))
        .unwrap_or_else(|| fuzzer_mutate(data, size, max_size))
});

/// Changes the archive below its compression and makes its checksums right again.
fn mutate(data: &[u8], max_size: usize, seed: u32) -> Option<Vec<u8>> {
    let mut random = Random::new(seed.into());
    let (control, body) = data.split_at_checked(CONTROL_BYTES)?;
    if random.once_in(4) {
        return None;
    }
    let room = max_size.checked_sub(CONTROL_BYTES)?;
    let made = if body.starts_with(b"PK") {
        let mut made = if random.once_in(3) { raw(body, room) } else { body.to_vec() };
        for _ in 0..random.below(3) {
            fuzz::zip::tweak(&mut made, &mut random);
        }
        if !random.once_in(4) {
            fuzz::zip::repair(&mut made);
        }
        made
    } else if fuzz::tar::is_tar(body) {
        tar(body, room)
    } else {
        let (codec, inner) = decompressed(body)?;
        let inner = if fuzz::tar::is_tar(&inner) { tar(&inner, room) } else { raw(&inner, room) };
        fuzz::archives::compressed(&inner).swap_remove(codec)
    };
    Some([control, &made].concat())
}

fn raw(bytes: &[u8], room: usize) -> Vec<u8> {
    let room = room.max(bytes.len());
    let mut made = bytes.to_vec();
    made.resize(room, 0);
    let size = fuzzer_mutate(&mut made, bytes.len(), room);
    made.truncate(size);
    made
}

fn tar(bytes: &[u8], room: usize) -> Vec<u8> {
    let mut made = raw(bytes, room);
    fuzz::tar::repair(&mut made);
    made
}

fn decompressed(body: &[u8]) -> Option<(usize, Vec<u8>)> {
    let (codec, reader): (usize, Box<dyn Read + '_>) = match body {
        [0x1f, 0x8b, ..] => (0, Box::new(flate2::read::GzDecoder::new(body))),
        [b'B', b'Z', b'h', ..] => (1, Box::new(bzip2::read::BzDecoder::new(body))),
        [0xfd, b'7', ..] => (2, Box::new(liblzma::read::XzDecoder::new(body))),
        [0x28, 0xb5, ..] => (3, Box::new(zstd::Decoder::new(body).ok()?)),
        _ => return None,
    };
    let mut inner = Vec::new();
    reader.take(256 << 10).read_to_end(&mut inner).ok()?;
    Some((codec, inner))
}

/// The archive in memory, handed out in pieces of at most `piece` bytes.
#[derive(Clone)]
struct Bytes {
    bytes: Arc<[u8]>,
    at: usize,
    piece: usize,
}

impl Source for Bytes {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.stream(offset)?.read(buf)
    }

    fn stream(&self, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        let at = usize::try_from(offset).unwrap_or(usize::MAX);
        Ok(Box::new(Self { at, ..self.clone() }))
    }
}

impl Read for Bytes {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let length = buf.len().min(self.piece);
        let mut rest = self.bytes.get(self.at..).unwrap_or_default();
        let read = rest.read(&mut buf[..length])?;
        self.at += read;
        Ok(read)
    }
}

type Members = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// Takes members and holds each against what it was announced as.
struct Shelf {
    limits: Limits,
    members: Members,
    begun: Mutex<BTreeMap<String, u32>>,
    every_other: bool,
    stop_after: Option<usize>,
    pauses: Option<Pauses>,
}

/// Stops within members, once so many bytes of one came out.
#[derive(Clone)]
struct Pauses {
    every: usize,
    left: usize,
    /// Bytes since the last one.
    new: Arc<Mutex<usize>>,
    /// What the calls before this one had of members that they did not end.
    kept: Arc<Mutex<BTreeMap<String, (Kept, Vec<u8>)>>>,
}

impl Sink for Shelf {
    fn wanted(&self, entry: &Entry) -> io::Result<bool> {
        let done = self.pauses.is_some() && self.members.lock().unwrap().contains_key(&entry.path);
        Ok(!done && (!self.every_other || entry.index.is_multiple_of(2)))
    }

    fn stop(&self) -> bool {
        self.stop_after.is_some_and(|most| self.members.lock().unwrap().len() >= most)
    }

    fn begin(&self, entry: &Entry) -> io::Result<Box<dyn MemberWriter>> {
        safe(&entry.path, &self.limits);
        // Some servers know no upper and lower case.
        let place = entry.path.to_lowercase();
        let before = self.begun.lock().unwrap().insert(place, entry.index);
        assert!(before.is_none(), "{:?} is begun twice", entry.path);
        let members = Arc::clone(&self.members);
        let pauses = self.pauses.clone();
        let begun = pauses.as_ref().and_then(|pauses| {
            let kept = pauses.kept.lock().unwrap().get(&entry.path).cloned();
            kept.map(|(kept, bytes)| (Some(kept), bytes))
        });
        let (kept, bytes) = begun.unwrap_or_default();
        Ok(Box::new(Tray { entry: entry.clone(), members, bytes, kept, pauses }))
    }

    fn pause(&self) -> bool {
        let due = |pauses: &Pauses| pauses.left > 0 && *pauses.new.lock().unwrap() >= pauses.every;
        self.pauses.as_ref().is_some_and(due)
    }

    fn takes_longer(&self, _: u64) -> bool {
        self.pauses.is_some()
    }
}

/// The path can be made below any folder of any system.
fn safe(path: &str, limits: &Limits) {
    let parts: Vec<&str> = path.split('/').collect();
    let bad = |part: &&str| matches!(part.trim(), "" | "." | "..");
    assert!(!parts.iter().any(bad), "{path:?} has a part that is none");
    assert!(!path.contains('\\') && !path.chars().any(char::is_control), "{path:?} is unclean");
    assert!(parts.len() <= limits.max_nesting + 1, "{path:?} is too deep");
    let drive = path.as_bytes().get(1) == Some(&b':') && path.as_bytes()[0].is_ascii_alphabetic();
    assert!(!drive, "{path:?} names a drive");
}

struct Tray {
    entry: Entry,
    members: Members,
    bytes: Vec<u8>,
    kept: Option<Kept>,
    pauses: Option<Pauses>,
}

impl Write for Tray {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(buf);
        if let Some(pauses) = &self.pauses {
            *pauses.new.lock().unwrap() += buf.len();
        }
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MemberWriter for Tray {
    fn kept(&self) -> Option<&Kept> {
        self.kept.as_ref()
    }

    fn keep(self: Box<Self>, restart: Option<Restart>) -> io::Result<()> {
        let kept = Kept { bytes: self.bytes.len() as u64, restart };
        let text = serde_json::to_string(&kept).expect("it is kept as JSON");
        let kept = serde_json::from_str(&text).expect("its own JSON");
        let pauses = self.pauses.expect("it was asked to pause");
        pauses.kept.lock().unwrap().insert(self.entry.path, (kept, self.bytes));
        Ok(())
    }

    fn commit(self: Box<Self>) -> io::Result<()> {
        let length = self.bytes.len() as u64;
        assert!(self.entry.size_hint.is_none_or(|size| size == length), "{:?}", self.entry);
        let before = self.members.lock().unwrap().insert(self.entry.path, self.bytes);
        assert!(before.is_none(), "committed twice");
        Ok(())
    }
}

type Answer = (Result<Outcome, Error>, BTreeMap<String, Vec<u8>>);

fn judge(data: &[u8]) {
    let Some((&[how, pace], bytes)) = data.split_first_chunk::<CONTROL_BYTES>() else { return };
    let tight = Limits {
        max_ratio: 20,
        max_entries: 3,
        max_bytes: 2 << 20,
        max_name_bytes: 20,
        max_nesting: 2,
    };
    let limits = match (how >> 3) & 3 {
        0 => Limits { max_bytes: 8 << 20, ..Limits::default() },
        1 => Limits { max_ratio: 2, max_bytes: 8 << 20, ..Limits::default() },
        2 => Limits { max_bytes: 100, ..tight },
        _ => tight,
    };
    let charsets = [NameCharset::Utf8, NameCharset::Cp437, NameCharset::Cp932, NameCharset::Cp1252];
    let options = Options {
        password: (how & 4 != 0).then_some("secret"),
        name_charset: charsets[usize::from(how & 3)],
        parallelism: 1,
    };
    let name = NAMES[usize::from(pace) % NAMES.len()];
    let stop_after = (how & 0x40 != 0).then_some(usize::from(pace >> 6));
    let call = |piece, parallelism, members: &Members, pauses| {
        let shelf = Shelf {
            limits: limits.clone(),
            members: Arc::clone(members),
            begun: Mutex::default(),
            every_other: how & 0x20 != 0,
            stop_after,
            pauses,
        };
        let options = Options { parallelism, ..options.clone() };
        let source = Bytes { bytes: Arc::from(bytes), at: 0, piece };
        archive::unpack(&source, name, &limits, &options, &shelf)
    };
    let read = |piece, parallelism| -> Answer {
        let members = Members::default();
        let answer = call(piece, parallelism, &members, None);
        let members = std::mem::take(&mut *members.lock().unwrap());
        (answer, members)
    };
    let memory = Bytes { bytes: Arc::from(bytes), at: 0, piece: usize::MAX };
    let format = archive::detect(&memory).expect("memory is readable");
    assert_eq!(format == Format::Plain, format.to_string() == "plain");
    let first = read(usize::MAX, 1);
    keeps(&first, bytes, &limits);
    // The header of a member that nobody wants is not read.
    if how & 0x20 == 0 && format == Format::Zip && matches!(&first.0, Ok(read) if !read.more) {
        apart(bytes);
    }
    if stop_after.is_none() {
        let second = read(usize::from(pace & 0x3f) * 7 + 1, 3);
        keeps(&second, bytes, &limits);
        same(&first, &second, format);
        let every = (usize::from(pace) + 1) << 8;
        let pieces = in_pieces(every, |members, pauses| call(usize::MAX, 1, members, Some(pauses)));
        keeps(&pieces, bytes, &limits);
        same(&first, &pieces, format);
    }
}

/// Unpacks in many calls, each of which stops within a member and goes on where the last one did.
fn in_pieces(every: usize, call: impl Fn(&Members, Pauses) -> Result<Outcome, Error>) -> Answer {
    let members = Members::default();
    let kept = Arc::default();
    let mut total = Outcome::default();
    for left in (0..=PAUSES).rev() {
        let pauses = Pauses { every, left, new: Arc::default(), kept: Arc::clone(&kept) };
        let answer = call(&members, pauses);
        let taken = members.lock().unwrap().clone();
        match answer {
            Err(error) => return (Err(error), taken),
            Ok(outcome) => {
                total.members += outcome.members;
                total.bytes += outcome.bytes;
                // What the calls before it had is passed over.
                total.skipped = outcome.skipped - (total.members - outcome.members);
                if !outcome.more {
                    return (Ok(total), taken);
                }
            }
        }
    }
    panic!("the last call was not asked to stop")
}

/// What one answer must be true to.
fn keeps((answer, members): &Answer, bytes: &[u8], limits: &Limits) {
    let total: u64 = members.values().map(|member| member.len() as u64).sum();
    assert!(total <= limits.max_bytes, "more bytes than the limit");
    assert!(members.len() as u64 <= limits.max_entries, "more members than the limit");
    let allowance = (bytes.len() as u64).saturating_mul(limits.max_ratio).max(FLOOR_BYTES);
    assert!(total <= allowance, "a higher ratio than the limit");
    match answer {
        Ok(outcome) => {
            assert_eq!(outcome.members as usize, members.len());
            assert_eq!(outcome.bytes, total);
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert!(matches!(error, Error::Refused { .. }), "memory does not fail: {error}");
        }
    }
}

/// No byte of an accepted zip belongs to two members, or to a member and the directory.
fn apart(bytes: &[u8]) {
    let (Some(mut spans), Some(start)) = (fuzz::zip::spans(bytes), fuzz::zip::start(bytes)) else {
        return;
    };
    spans.sort_by_key(|span| span.start);
    spans.push(start..bytes.len());
    for pair in spans.windows(2) {
        assert!(pair[0].end <= pair[1].start, "{:?} and {:?} overlap", pair[0], pair[1]);
    }
}

/// Neither the pieces in which a source is read nor the number of workers change a verdict.
fn same((first, members): &Answer, (second, others): &Answer, format: Format) {
    match (first, second) {
        (Ok(first), Ok(second)) => {
            assert_eq!(first, second);
            assert_eq!(members, others);
        }
        (Err(first), Err(second)) => {
            // Which of two faults is met first may depend on the pieces when one of them is a limit,
            // for a decoder tells of damage sooner or later; so too in a compressed stream that is
            // damaged, for a decoder that is given more at once tells of damage before what it had
            // decoded until there. With several workers it depends on their pace.
            let is_limit = |error| matches!(code(error), "archive.bytes" | "archive.ratio");
            let is_damage = |error| {
                format != Format::Zip
                    && matches!(
                        code(error),
                        "archive.corrupt" | "archive.truncated" | "archive.crc"
                    )
            };
            let many = members.len().max(others.len()) >= BATCH_MEMBERS;
            let either = many
                || [first, second].into_iter().any(|error| is_limit(error) || is_damage(error));
            assert!(either || code(first) == code(second), "{first} or {second}");
        }
        _ => panic!("{first:?} or {second:?}"),
    }
}

fn code(error: &Error) -> &'static str {
    match error {
        Error::Refused { reason, .. } => reason.code(),
        _ => "not refused",
    }
}
