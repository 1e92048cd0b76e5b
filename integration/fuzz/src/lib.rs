//! What the fuzz targets share: how a panic is judged, how seeds are written, and mutators that know
//! the shape of what they change.

pub mod archives;
pub mod json;
pub mod random;
pub mod tar;
pub mod zip;

use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Names the folder that receives a target's first inputs.
const SEEDS: &str = "FUZZ_SEEDS";
/// Names a folder of files that somebody else made and that become inputs as well.
const FILES: &str = "FUZZ_FILES";
/// Longer files slow a target down and show nothing new.
const FILE_BYTES: usize = 32 << 10;

/// The last panic outside our own code, told only if nobody catches it.
static FOREIGN: Mutex<String> = Mutex::new(String::new());

/// Prepares a target. With `FUZZ_SEEDS` in the environment it only writes its seeds there: those
/// that it makes, and the files below `FUZZ_FILES` as `frame` turns them into inputs.
///
/// A panic in our own code is a finding wherever it is caught. Other people's decoders and parsers
/// may panic on damaged bytes as long as the library that called them turns that into an answer.
pub fn start(seeds: fn() -> Vec<Vec<u8>>, frame: fn(&str, &[u8]) -> Vec<u8>) {
    if let Some(folder) = std::env::var_os(SEEDS) {
        let mut seeds = seeds();
        if let Some(files) = std::env::var_os(FILES) {
            collect(Path::new(&files), frame, &mut seeds);
        }
        if let Err(error) = write(Path::new(&folder), &seeds) {
            eprintln!("the seeds cannot be written: {error}");
            std::process::exit(1);
        }
        std::process::exit(0);
    }
    std::panic::set_hook(Box::new(|info| {
        if is_foreign(info) {
            *FOREIGN.lock().unwrap_or_else(PoisonError::into_inner) = info.to_string();
            return;
        }
        eprintln!("{info}\n{}", std::backtrace::Backtrace::force_capture());
        std::process::abort();
    }));
}

fn is_foreign(info: &PanicHookInfo<'_>) -> bool {
    info.location().is_some_and(|location| {
        let file = location.file();
        file.contains("/registry/src/") || file.starts_with("/rustc/")
    })
}

/// Runs one input; a panic that reaches this place is a finding, whoever raised it.
pub fn run(work: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(work)).is_err() {
        eprintln!("escaped: {}", FOREIGN.lock().unwrap_or_else(PoisonError::into_inner));
        std::process::abort();
    }
}

fn write(folder: &Path, seeds: &[Vec<u8>]) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for (number, seed) in seeds.iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{number:03}")), seed)?;
    }
    Ok(())
}

/// Files that cannot be read are no seeds.
fn collect(folder: &Path, frame: fn(&str, &[u8]) -> Vec<u8>, seeds: &mut Vec<Vec<u8>>) {
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            collect(&path, frame, seeds);
        } else if let Ok(bytes) = std::fs::read(&path)
            && bytes.len() <= FILE_BYTES
        {
            seeds.push(frame(&path.to_string_lossy(), &bytes));
        }
    }
}

/// Puts `made` into libFuzzer's buffer; `None` if it does not fit or is what was there.
pub fn place(data: &mut [u8], size: usize, most: usize, made: &[u8]) -> Option<usize> {
    if made.len() > most || data.get(..size) == Some(made) {
        return None;
    }
    data.get_mut(..made.len())?.copy_from_slice(made);
    Some(made.len())
}
