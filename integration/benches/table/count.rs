//! Counting the records of a CSV whose fields hold line breaks.

use std::process::Command;

use crate::measure::{Contender, alternate};
use crate::rows::{Row, Scale, compare, join};
use crate::text::csv;
use crate::world::{hop, python, text};

const SHARE: u64 = 8;

/// All rows of counting.
pub fn rows(bytes: u64) -> Vec<Row> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file.csv");
    let records = csv(&file, bytes);
    let bytes = std::fs::metadata(&file).expect("its length").len();
    let right = move |printed: &str| assert_eq!(printed.trim(), records.to_string());
    let cores = std::thread::available_parallelism().map_or(1, usize::from).to_string();
    let shell = |line: String| {
        let mut command = Command::new("sh");
        command.args(["-c", &line]);
        command
    };
    let mut quick = [
        Contender::new("ours", || hop(&["count", &cores, text(&file)])).checked(right),
        Contender::new("wc -l", || {
            let mut command = Command::new("wc");
            command.arg("-l").arg(&file);
            command
        }),
        Contender::new("ours on one core", || hop(&["count", "1", text(&file)])).checked(right),
        Contender::new("cat", || shell(format!("cat {} > /dev/null", file.display()))),
    ];
    alternate(&mut quick, 11, true);
    let scale = Scale::mib(bytes);
    let what = "count CSV";
    let mut rows =
        compare(what, scale, &quick, Some("cat"), &[("wc -l", 1.0), ("ours on one core", 0.0)]);
    // A share of it for those that take minutes.
    let records = csv(&file, bytes / SHARE);
    let bytes = std::fs::metadata(&file).expect("its length").len();
    let right = move |printed: &str| assert_eq!(printed.trim(), records.to_string());
    let mut slow = [
        Contender::new("ours", || hop(&["count", &cores, text(&file)])).checked(right),
        Contender::new("DuckDB count(*)", || with(python("duckdb_count.py"), &[text(&file)]))
            .checked(right),
        Contender::new("PySpark local[2]", || {
            with(python("pyspark_count.py"), &["--master", "local[2]", text(&file)])
        })
        .checked(right),
    ];
    alternate(&mut slow, 3, false);
    let bars = [("DuckDB count(*)", 5.0), ("PySpark local[2]", 10.0)];
    let scale = Scale::mib(bytes);
    join(&mut rows, compare(what, scale, &slow, None, &bars));
    rows
}

fn with(mut command: Command, arguments: &[&str]) -> Command {
    command.args(arguments);
    command
}
