//! Throughput of the counters, printed and never judged: `cargo bench -p records`.
//!
//! First in memory, at every level that the processor has. Then over files against `wc -l`, each
//! reading the same file from the cache of the system, turn by turn: one of our threads, and two that
//! take ranges of the file in turn, as `wc` cannot.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark stops at the first thing that goes wrong"
)]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use records::{Csv, Level, Model, Partial, RangeCounter, Terminator};

const FILE_BYTES: usize = 256 << 20;
const RANGE_BYTES: usize = 8 << 20;
const PIECE_BYTES: usize = 256 << 10;
const TURNS: usize = 9;

fn main() {
    let repeat = |line: &[u8]| line.repeat(FILE_BYTES / line.len());
    let plain = repeat(b"1000234,2024-05-17,Berlin,some product name,12.50,EUR\n");
    let quoted =
        repeat(b"\"1000234\",\"2024-05-17\",\"Berlin\",\"some, name\",\"12.50\",\"EUR\"\r\n");
    let sparse = repeat(b"1000234,2024-05-17,Berlin,\"some, product\nname\",12.50,EUR\n");
    let inches = repeat(b"1000234,2024-05-17,19\" rack,\"some, product\nname\",12.50,EUR\n");
    let json = repeat(b"{\"id\":1000234,\"city\":\"Berlin\",\"name\":\"some product name\"}\n");
    let lines = Model::Lines { terminator: Terminator::Auto };
    let csv = Model::Csv(Csv::default());
    let escaped = Model::Csv(Csv { escape: Some(b'\\'), ..Csv::default() });
    let rows: [(&str, &Model, &[u8]); 8] = [
        ("lines", &lines, &plain),
        ("lines CRLF", &lines, &quoted),
        ("csv plain", &csv, &plain),
        ("csv quoted newline", &csv, &sparse),
        ("csv all quoted", &csv, &quoted),
        ("csv quotes as letters", &csv, &inches),
        ("csv with escape", &escaped, &sparse),
        ("jsonl", &Model::Jsonl, &json),
    ];
    for (what, model, bytes) in rows {
        in_memory(what, model, bytes);
    }
    let folder = tempfile::tempdir().expect("a folder for the files");
    for (what, model, bytes) in rows {
        let path = folder.path().join("file");
        std::fs::write(&path, bytes).expect("room for the file");
        against_wc(what, model, &path);
    }
}

fn in_memory(what: &str, model: &Model, bytes: &[u8]) {
    for level in Level::all() {
        let speeds: Vec<String> = [RangeCounter::first(model), RangeCounter::any(model)]
            .into_iter()
            .map(|counter| {
                let mut counter = counter.expect("a model of ranges").at(level);
                let start = Instant::now();
                bytes.chunks(1 << 20).for_each(|piece| counter.update(piece));
                let partial = counter.finish();
                assert_eq!(partial.bytes(), bytes.len() as u64);
                format!("{:6.2}", bytes.len() as f64 / start.elapsed().as_secs_f64() / 1e9)
            })
            .collect();
        println!("{what:22} {level:?}: GB/s first {} any {}", speeds[0], speeds[1]);
    }
}

/// Seconds for each, the median of several turns, and how many times faster than `wc -l` we are.
fn against_wc(what: &str, model: &Model, path: &Path) {
    let mut seconds = [const { Vec::new() }; 3];
    for _ in 0..TURNS {
        for (way, taken) in seconds.iter_mut().enumerate() {
            let start = Instant::now();
            match way {
                0 => {
                    let done = Command::new("wc").arg("-l").arg(path).output().expect("wc");
                    assert!(done.status.success());
                }
                threads => drop(count(model, path, threads)),
            }
            taken.push(start.elapsed().as_secs_f64());
        }
    }
    let [wc, one, two] = seconds.map(|mut taken| {
        taken.sort_by(f64::total_cmp);
        taken[TURNS / 2]
    });
    println!("{what:22} against wc -l: one thread {:5.2}x, two {:5.2}x", wc / one, wc / two);
}

/// Counts a file in ranges, each taken by the first thread that is free.
fn count(model: &Model, path: &Path, threads: usize) -> Partial {
    let file = File::open(path).expect("the file");
    let ranges = FILE_BYTES.div_ceil(RANGE_BYTES);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut buffer = vec![0; PIECE_BYTES];
        let mut counted = Vec::new();
        loop {
            let range = next.fetch_add(1, Ordering::Relaxed);
            if range >= ranges {
                return counted;
            }
            let first = range == 0;
            let counter = if first { RangeCounter::first(model) } else { RangeCounter::any(model) };
            let mut counter = counter.expect("a model of ranges");
            let end = (range + 1) * RANGE_BYTES;
            let mut at = range * RANGE_BYTES;
            while at < end {
                let room = PIECE_BYTES.min(end - at);
                let read = file.read_at(&mut buffer[..room], at as u64).expect("a read");
                if read == 0 {
                    break;
                }
                counter.update(&buffer[..read]);
                at += read;
            }
            counted.push((range, counter.finish()));
        }
    };
    let mut counted: Vec<(usize, Partial)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a worker")).collect()
    });
    counted.sort_by_key(|&(range, _)| range);
    let sum = |sum: Partial, (_, part): &(usize, Partial)| sum.combine(part).expect("parts of one");
    counted.iter().fold(Partial::identity(), sum)
}
