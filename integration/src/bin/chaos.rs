//! `make chaos`: many seeds, several at once, and a histogram of what struck where.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use integration::chaos::{Tally, child, try_seed};

/// From so many seeds on, every cell of the histogram must be filled.
const MANY: u64 = 300;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["child", orders] => run_child(Path::new(orders)),
        [first, seeds] => match (first.parse(), seeds.parse()) {
            (Ok(first), Ok(seeds)) => many(first, seeds),
            _ => usage(),
        },
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("chaos FIRST SEEDS: tries that many seeds, from the first on");
    ExitCode::from(2)
}

fn run_child(orders: &Path) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("there are no threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(child(orders));
    // Without waiting for a line of input that never comes.
    runtime.shutdown_background();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Tries the seeds, two at once for each processor, for they often wait, or `JOBS`.
fn many(first: u64, seeds: u64) -> ExitCode {
    let Ok(program) = std::env::current_exe() else { return ExitCode::FAILURE };
    let evidence = PathBuf::from("target/chaos");
    let jobs = std::env::var("JOBS").ok().and_then(|jobs| jobs.parse().ok());
    let jobs: usize =
        jobs.unwrap_or_else(|| 2 * std::thread::available_parallelism().map_or(1, usize::from));
    let tally = Mutex::new(Tally::default());
    let next = AtomicU64::new(first);
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= first + seeds {
                        break;
                    }
                    let outcome = try_seed(seed, &program, &evidence);
                    let mut tally = tally.lock().unwrap_or_else(|broken| broken.into_inner());
                    tally.add(&outcome);
                    println!("{outcome}");
                }
            });
        }
    });
    let tally = tally.into_inner().unwrap_or_else(|broken| broken.into_inner());
    println!("\n{tally}");
    let thin = if seeds >= MANY { tally.thin() } else { Vec::new() };
    for cell in &thin {
        println!("struck less than five times: {cell}");
    }
    println!("chaos: {} seeds passed, {} failed", tally.passed, tally.failed);
    if tally.failed == 0 && thin.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
