//! A machine clock that can be set while a process runs: libfaketime, loaded into the child.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

/// Where Debian has it, below the folder of each architecture.
const LIBRARY: &str = "faketime/libfaketimeMT.so.1";
/// Smaller differences of two readings are no jump.
const SLACK: Duration = Duration::from_secs(30);

/// How the clock may jump: hours, days and more than a year, back and ahead.
const JUMPS: [i64; 6] = [-7200, 7200, -86_400, 86_400 * 2, -86_400 * 400, 86_400 * 400];

/// The jump of that number, in seconds.
pub(super) const fn jump(kind: u32) -> i64 {
    JUMPS[kind as usize % JUMPS.len()]
}

/// Loads the library into a program that is about to start, with the right time.
pub(super) fn load(program: &mut Command, file: &Path) {
    std::fs::write(file, "+0\n").expect("the time");
    program
        .env("LD_PRELOAD", library())
        .env("FAKETIME_TIMESTAMP_FILE", file)
        .env("FAKETIME_NO_CACHE", "1")
        // Only the wall clock jumps, as in life; times of files are the file system's.
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("DONT_FAKE_MONOTONIC", "1")
        .env("NO_FAKE_STAT", "1")
        .env("FAKETIME_DISABLE_SHM", "1");
}

fn library() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let found = folders.map(|folder| folder.path().join(LIBRARY)).find(|path| path.is_file());
    found.expect("libfaketime is missing: install faketime, the tests set a process's clock by it")
}

/// Sets this process's clock and says by how much it saw it jump.
///
/// # Panics
/// When it did not.
pub(super) fn set(file: &Path, seconds: i64) -> i64 {
    let before: i64 = std::fs::read_to_string(file)
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .expect("the time as it was set before");
    // Where it has that time already, it goes as far in the other direction.
    let seconds = if seconds == before { -seconds } else { seconds };
    let jump = seconds - before;
    let (wall, steady) = (SystemTime::now(), Instant::now());
    let next = file.with_extension("next");
    std::fs::write(&next, format!("{seconds:+}\n")).expect("the time");
    std::fs::rename(&next, file).expect("the time");
    let (now, passed) = (SystemTime::now(), steady.elapsed());
    let expected = wall + passed;
    let (seen, ahead) = match now.duration_since(expected) {
        Ok(ahead) => (ahead, 1),
        Err(back) => (back.duration(), -1),
    };
    let wanted = Duration::from_secs(jump.unsigned_abs());
    let close = seen.abs_diff(wanted) < SLACK && ahead == jump.signum();
    assert!(close, "the clock was set by {jump} s and this process saw {ahead} x {seen:?}");
    seen.as_secs() as i64 * ahead
}
