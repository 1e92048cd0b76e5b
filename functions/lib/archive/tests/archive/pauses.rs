//! Members that take longer than one call: left in the middle, again and again, and whole at the end.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use archive::{Entry, Error, Kept, Limits, MemberWriter, Options, Outcome, Restart, Sink, unpack};
use domain::Failure;
use zip::write::SimpleFileOptions;
use zip::{AesMode, CompressionMethod};

use crate::world::{Members, Memory, expected, gzip, installed, run, sample, tar_of, zip_of};

/// What calls leave behind: whole members, and pieces with the place behind them, as text.
#[derive(Default)]
struct State {
    members: Members,
    pieces: BTreeMap<String, (Vec<u8>, String)>,
}

/// A sink whose calls have time for `budget` bytes each.
#[derive(Clone)]
struct Hurried {
    state: Arc<Mutex<State>>,
    budget: u64,
    left: Arc<AtomicU64>,
    /// Whether members are said to take longer.
    longer: bool,
    moved: Arc<AtomicBool>,
    exhausted: bool,
}

impl Hurried {
    fn new(budget: u64, longer: bool) -> Self {
        Self {
            state: Arc::default(),
            budget,
            left: Arc::default(),
            longer,
            moved: Arc::default(),
            exhausted: false,
        }
    }

    /// One call.
    fn call(&self, bytes: &[u8], name: &str, options: &Options<'_>) -> Result<Outcome, Error> {
        self.left.store(self.budget, Ordering::Relaxed);
        self.moved.store(false, Ordering::Relaxed);
        unpack(&Memory::new(bytes), name, &Limits::default(), options, self)
    }

    /// Calls until nothing is left; gives how often.
    fn to_the_end(&self, bytes: &[u8], name: &str, options: &Options<'_>) -> usize {
        for call in 1.. {
            let outcome = self.call(bytes, name, options);
            let outcome =
                outcome.unwrap_or_else(|error| panic!("{name}: {}", Failure::from(error)));
            assert!(self.moved.load(Ordering::Relaxed), "{name}: call {call} came no further");
            if !outcome.more {
                return call;
            }
        }
        unreachable!()
    }

    fn pieces(&self) -> Vec<Kept> {
        let state = self.state.lock().unwrap();
        state.pieces.values().map(|(_, kept)| serde_json::from_str(kept).unwrap()).collect()
    }
}

impl Sink for Hurried {
    fn wanted(&self, entry: &Entry) -> io::Result<bool> {
        Ok(!self.state.lock().unwrap().members.contains_key(&entry.path))
    }

    fn begin(&self, entry: &Entry) -> io::Result<Box<dyn MemberWriter>> {
        let state = self.state.lock().unwrap();
        let (bytes, kept) = match state.pieces.get(&entry.path) {
            Some((bytes, kept)) => (bytes.clone(), serde_json::from_str(kept).unwrap()),
            None => (Vec::new(), Kept::default()),
        };
        assert_eq!(kept.bytes, bytes.len() as u64);
        Ok(Box::new(Piece { sink: self.clone(), path: entry.path.clone(), bytes, kept }))
    }

    fn stop(&self) -> bool {
        self.pause()
    }

    fn pause(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }

    fn takes_longer(&self, _: u64) -> bool {
        self.longer
    }

    fn exhausted(&self) -> bool {
        self.exhausted
    }
}

struct Piece {
    sink: Hurried,
    path: String,
    bytes: Vec<u8>,
    kept: Kept,
}

impl Write for Piece {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(buf);
        let less = |left: u64| Some(left.saturating_sub(buf.len() as u64));
        let _ = self.sink.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        self.sink.moved.store(true, Ordering::Relaxed);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MemberWriter for Piece {
    fn kept(&self) -> Option<&Kept> {
        Some(&self.kept)
    }

    fn keep(self: Box<Self>, restart: Option<Restart>) -> io::Result<()> {
        let kept = Kept { bytes: self.bytes.len() as u64, restart };
        let kept = serde_json::to_string(&kept).unwrap();
        self.sink.state.lock().unwrap().pieces.insert(self.path, (self.bytes, kept));
        Ok(())
    }

    fn commit(self: Box<Self>) -> io::Result<()> {
        self.sink.moved.store(true, Ordering::Relaxed);
        let mut state = self.sink.state.lock().unwrap();
        state.pieces.remove(&self.path);
        assert!(state.members.insert(self.path, self.bytes).is_none(), "committed twice");
        Ok(())
    }
}

/// Archives of every kind, each with its name, what is in it, and whether its decoder enters again.
fn archives() -> Vec<(&'static str, Vec<u8>, Members, bool)> {
    let (large, small) = (sample(7, 3_000_000), sample(8, 20_000));
    let members = [("large.csv", large.as_slice()), ("d/small.csv", small.as_slice())];
    let both = || expected(&members);
    let options = SimpleFileOptions::default();
    let deflated = options.compression_method(CompressionMethod::Deflated);
    let mut rows = Vec::new();
    for (method, enters) in [
        (CompressionMethod::Stored, true),
        (CompressionMethod::Deflated, true),
        (CompressionMethod::Bzip2, false),
        (CompressionMethod::Zstd, false),
    ] {
        let bytes = zip_of(&members, options.compression_method(method));
        rows.push(("of-a-method.zip", bytes, both(), enters));
    }
    let sealed = zip_of(&members, deflated.with_aes_encryption(AesMode::Aes256, "secret"));
    rows.push(("sealed.zip", sealed, both(), false));
    let tar = tar_of(&members);
    rows.push(("plain.tar", tar.clone(), both(), false));
    rows.push(("packed.tar.gz", gzip(&tar), both(), false));
    let one = |name| expected(&[(name, large.as_slice())]);
    rows.push(("one.csv.gz", gzip(&large), one("one.csv"), true));
    let frames: Vec<u8> = large.chunks(50_000).flat_map(gzip).collect();
    rows.push(("frames.csv.gz", [frames.clone(), vec![0; 700]].concat(), one("frames.csv"), true));
    rows
}

#[test]
fn a_member_is_left_and_entered_again_until_it_is_whole() {
    for (name, bytes, members, enters) in archives() {
        for longer in [false, true] {
            for parallelism in [1, 3] {
                let options =
                    Options { password: Some("secret"), parallelism, ..Options::default() };
                let sink = Hurried::new(300_000, longer);
                let first = sink.call(&bytes, name, &options).unwrap();
                assert!(first.more, "{name}");
                let entered = sink.pieces().iter().any(|kept| kept.restart.is_some());
                let expected = enters && (longer || is_stored(&bytes));
                assert_eq!(entered, expected, "{name}, longer: {longer}");
                let calls = 1 + sink.to_the_end(&bytes, name, &options);
                assert!((5..=40).contains(&calls), "{name}: {calls} calls");
                assert!(sink.state.lock().unwrap().members == members, "{name}, longer: {longer}");
                assert!(sink.pieces().is_empty());
            }
        }
    }
}

/// Whether the first entry of a zip is stored.
fn is_stored(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04") && bytes[8..10] == [0, 0]
}

#[test]
fn each_piece_of_a_stream_of_small_frames_is_near_its_budget() {
    // As bgzip writes them: mostly it is between two frames that the stream can be entered.
    let content = sample(3, 2_000_000);
    let frames: Vec<u8> = content.chunks(60_000).flat_map(gzip).collect();
    let sink = Hurried::new(1, true);
    let calls = sink.to_the_end(&frames, "x.gz", &Options::default());
    // A frame is one block or two.
    let frames = content.len().div_ceil(60_000);
    assert!((frames..=2 * frames + 1).contains(&calls), "{calls} calls for {frames} frames");
    assert!(sink.state.lock().unwrap().members["x"] == content);
}

#[test]
fn a_checksum_covers_what_was_kept() {
    let content = sample(5, 3_000_000);
    let deflated = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, bytes) in [
        ("a.zip", zip_of(&[("a", &content)], deflated)),
        ("b.zip", zip_of(&[("a", &content)], stored)),
        ("a.gz", gzip(&content)),
    ] {
        let sink = Hurried::new(300_000, true);
        sink.call(&bytes, name, &Options::default()).unwrap();
        // Another checksum of what is kept, as if another archive had been entered.
        for (_, kept) in sink.state.lock().unwrap().pieces.values_mut() {
            let mut value: serde_json::Value = serde_json::from_str(kept).unwrap();
            let crc = value["restart"]["crc"].as_u64().unwrap();
            value["restart"]["crc"] = (crc ^ 1).into();
            *kept = value.to_string();
        }
        let error = loop {
            match sink.call(&bytes, name, &Options::default()) {
                Ok(outcome) => assert!(outcome.more, "{name} was accepted"),
                Err(error) => break error,
            }
        };
        assert_eq!(Failure::from(error).code, "archive.crc", "{name}");
    }
}

#[test]
fn a_damaged_place_is_refused_and_nothing_is_passed_on() {
    let content = sample(6, 3_000_000);
    let bytes = gzip(&content);
    let sink = Hurried::new(300_000, true);
    sink.call(&bytes, "a.gz", &Options::default()).unwrap();
    for (_, kept) in sink.state.lock().unwrap().pieces.values_mut() {
        let mut value: serde_json::Value = serde_json::from_str(kept).unwrap();
        value["restart"]["boundary"]["bits"] = 9.into();
        *kept = value.to_string();
    }
    let error = sink.call(&bytes, "a.gz", &Options::default()).unwrap_err();
    assert!(matches!(error, Error::Write { .. }), "{error:?}");
    assert!(sink.state.lock().unwrap().members.is_empty());
}

#[test]
fn limits_count_what_earlier_calls_unpacked() {
    let content = sample(9, 3_000_000);
    for (name, bytes) in [("a.gz", gzip(&content)), ("b.tar.gz", gzip(&tar_of(&[("b", &content)])))]
    {
        for longer in [false, true] {
            let sink = Hurried::new(300_000, longer);
            let limits = Limits { max_bytes: 2_999_999, ..Limits::default() };
            let error = loop {
                sink.left.store(sink.budget, Ordering::Relaxed);
                let memory = Memory::new(&bytes);
                match unpack(&memory, name, &limits, &Options::default(), &sink) {
                    Ok(outcome) => assert!(outcome.more, "{name} was accepted"),
                    Err(error) => break error,
                }
            };
            assert_eq!(Failure::from(error).code, "archive.bytes", "{name}");
        }
    }
}

#[test]
fn time_that_goes_into_passing_over_alone_is_a_refusal() {
    let content = sample(9, 3_000_000);
    let zstd = SimpleFileOptions::default().compression_method(CompressionMethod::Zstd);
    for (name, bytes) in [
        ("a.zip", zip_of(&[("a", &content)], zstd)),
        ("a.gz", gzip(&content)),
        ("a.tar.gz", gzip(&tar_of(&[("a", &content)]))),
    ] {
        let mut sink = Hurried::new(2_000_000, false);
        assert!(sink.call(&bytes, name, &Options::default()).unwrap().more);
        // No boundary is known, so the next call has to pass over what the sink has.
        sink.exhausted = true;
        let error = sink.call(&bytes, name, &Options::default()).unwrap_err();
        let failure = Failure::from(error);
        assert_eq!(failure.code, "archive.too_long", "{failure}");
        assert_eq!(failure.class, domain::ErrorClass::Rejected);
    }
}

#[test]
fn streams_of_the_real_tools_are_entered() {
    let content = sample(4, 3_000_000);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.csv"), &content).unwrap();
    for (tool, arguments) in
        [("gzip", &["-1c", "a.csv"][..]), ("gzip", &["-9c", "a.csv"]), ("pigz", &["-c", "a.csv"])]
    {
        if !installed(tool) {
            assert_ne!(tool, "gzip", "gzip is needed");
            continue;
        }
        let bytes = run(folder.path(), tool, arguments);
        let sink = Hurried::new(100_000, true);
        let calls = sink.to_the_end(&bytes, "a.csv.gz", &Options::default());
        assert!(calls > 10, "{tool} {arguments:?}: {calls}");
        assert!(sink.state.lock().unwrap().members["a.csv"] == content, "{tool} {arguments:?}");
    }
}
