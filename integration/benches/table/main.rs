//! Every hop of the data plane, and a whole run, beside what people use today: `make bench`.
//!
//! Contenders take turns in every round, so that a machine that gets slower gets slower for all of
//! them; a ratio is the median of the rounds' ratios. Every contender is a whole process, started
//! and waited for. `ROWS=large,seal` chooses groups and `MIB=256` makes the large file smaller,
//! for a quick look. Writes `target/bench.json` and fails when a bar does not hold.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a benchmark stops at the first thing that goes wrong"
)]

mod count;
mod delay;
mod hop;
mod measure;
mod memory;
mod rows;
mod seal;
mod spark;
mod text;
mod transfer;
mod unpack;
mod whole;
mod world;

use std::path::Path;
use std::process::{Command, ExitCode};

use rows::Row;

const MIB_DEFAULT: u64 = 1024;
/// Where the kernel keeps files in memory, so that no disk is measured.
const MEMORY: &str = "/dev/shm";
/// Bars that are missed for a reason that `integration/README.md` shows.
const EXPLAINED: [&str; 1] = ["upload: pysftp"];
const TARGET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target");

/// A group of rows, and where its files lie.
struct Group {
    name: &'static str,
    rows: fn(u64) -> Vec<Row>,
    folder: &'static str,
}

const GROUPS: [Group; 9] = [
    Group { name: "large", rows: transfer::large, folder: MEMORY },
    Group { name: "small", rows: transfer::small, folder: MEMORY },
    Group { name: "far", rows: transfer::far, folder: MEMORY },
    Group { name: "unpack", rows: unpack::rows, folder: MEMORY },
    Group { name: "count", rows: count::rows, folder: MEMORY },
    Group { name: "seal", rows: seal::rows, folder: MEMORY },
    Group { name: "whole", rows: whole::rows, folder: MEMORY },
    Group { name: "spark", rows: spark::rows, folder: env!("CARGO_TARGET_TMPDIR") },
    Group { name: "memory", rows: memory::rows, folder: env!("CARGO_TARGET_TMPDIR") },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    match words[..] {
        ["hop", "stage", file] => memory::stage(file),
        ["hop", ..] => hop::main(&words[1..]),
        ["group", name, file] => {
            let mib = std::env::var("MIB").ok().and_then(|text| text.parse().ok());
            let group = GROUPS.iter().find(|group| group.name == name).expect("a group");
            rows::write(&(group.rows)(mib.unwrap_or(MIB_DEFAULT) << 20), Path::new(file));
        }
        _ => return all(),
    }
    ExitCode::SUCCESS
}

/// Each group in a process of its own, for its servers end with it.
fn all() -> ExitCode {
    let chosen = std::env::var("ROWS").unwrap_or_default();
    let is_chosen = |name| chosen.is_empty() || chosen.split(',').any(|one| one == name);
    let file = Path::new(TARGET).join("bench.json");
    let mut all: Vec<Row> = Vec::new();
    for group in GROUPS.iter().filter(|group| is_chosen(group.name)) {
        eprintln!("{}:", group.name);
        let part = file.with_extension(format!("{}.json", group.name));
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["group", group.name]).arg(&part).env("TMPDIR", group.folder);
        assert!(command.status().expect("this program").success(), "{} failed", group.name);
        all.append(&mut rows::read(&part));
        std::fs::remove_file(&part).expect("the group's rows");
    }
    rows::write(&all, &file);
    println!("{}", rows::table(&all));
    let (known, new): (Vec<&Row>, Vec<&Row>) =
        all.iter().filter(|row| !row.holds).partition(|row| EXPLAINED.contains(&row.name.as_str()));
    for row in known {
        println!("missed, and integration/README.md explains why: {}", row.name);
    }
    for row in &new {
        println!("missed: {}, {:.2} instead of {}", row.name, row.ratio, row.bar);
    }
    if new.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
