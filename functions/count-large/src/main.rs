//! The `count-large` program: what the Spark job ships to its executors.

use std::process::ExitCode;

use clap::Parser;
use count_large::program::{Arguments, run};

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("count-large: {failure}");
            ExitCode::FAILURE
        }
    }
}
