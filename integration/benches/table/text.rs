//! CSV as partners send it, with line breaks inside quotes, of any length.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

const CITIES: [&str; 8] =
    ["Berlin", "São Paulo", "Zürich", "Oslo", "Lyon", "Kraków", "Graz", "Cork"];
const NOTES: [&str; 4] = ["paid", "\"two\nlines\"", "\"said \"\"no\"\"\"", "\"a, b\""];

/// Writes a header and records until about `bytes` are there; returns the number of records.
pub fn csv(path: &Path, bytes: u64) -> u64 {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path).expect("a file"));
    let head = "id,day,city,note,amount,reference\n";
    file.write_all(head.as_bytes()).expect("room");
    let mut state = 88_172_645_463_325_252_u64;
    let (mut written, mut records) = (head.len() as u64, 0);
    let mut line = Vec::new();
    while written < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let pick = |shift: u32, of: u64| usize::try_from((state >> shift) % of).expect("small");
        line.clear();
        writeln!(
            line,
            "{},2026-{:02}-{:02},{},{},{}.{:02},{:012x}",
            1_000_000 + records,
            1 + pick(3, 12),
            1 + pick(9, 28),
            CITIES[pick(17, 8)],
            NOTES[pick(23, 4)],
            pick(29, 100_000),
            pick(41, 100),
            state >> 16,
        )
        .expect("a line");
        file.write_all(&line).expect("room");
        written += line.len() as u64;
        records += 1;
    }
    file.flush().expect("room");
    records
}
