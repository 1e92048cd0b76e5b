//! The program that the Spark job's executors run, one JSON document per line.

use std::io::{BufRead, Write};

use clap::{Parser, Subcommand};
use domain::Failure;
use storage::Store;
use storage::runs::Run;

/// Plans, counts and combines ranges of a run's large members.
#[derive(Debug, Parser)]
pub struct Arguments {
    /// Where the members are.
    #[arg(long, env = "DRAYAGE_BUCKET")]
    bucket: String,
    #[command(subcommand)]
    step: Step,
}

#[derive(Debug, Subcommand)]
enum Step {
    /// Prints one range per line.
    Plan {
        #[arg(long)]
        partner: String,
        #[arg(long)]
        run: String,
        #[arg(long, default_value_t = 8)]
        splits: u64,
    },
    /// Reads ranges from standard input and prints a partial count for each.
    Count,
    /// Reads partial counts from standard input and writes the counted items.
    Combine {
        #[arg(long)]
        partner: String,
        #[arg(long)]
        run: String,
    },
}

/// Does one step. Credentials, region and endpoint come from where every AWS tool takes them.
///
/// # Errors
/// As [`crate::plan`], [`crate::count`] and [`crate::combine`]; `Rejected` for a line that is none
/// of theirs.
pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let store = Store::from_env(&arguments.bucket).await;
    match arguments.step {
        Step::Plan { partner, run, splits } => {
            for split in crate::plan(&Run::new(&store, &partner, &run), splits).await? {
                print(&split)?;
            }
        }
        Step::Count => {
            for line in std::io::stdin().lock().lines() {
                print(&crate::count(&store, &parse(line)?).await?)?;
            }
        }
        Step::Combine { partner, run } => {
            let parts = std::io::stdin().lock().lines().map(parse).collect::<Result<_, _>>()?;
            crate::combine(&Run::new(&store, &partner, &run), parts).await?;
        }
    }
    Ok(())
}

fn parse<T: serde::de::DeserializeOwned>(line: std::io::Result<String>) -> Result<T, Failure> {
    let bad =
        |why: String| Failure::rejected("count_large.input", format!("A line is bad: {why}."));
    serde_json::from_str(&line.map_err(|error| bad(error.to_string()))?)
        .map_err(|error| bad(error.to_string()))
}

fn print<T: serde::Serialize>(value: &T) -> Result<(), Failure> {
    let text = serde_json::to_string(value)
        .map_err(|error| Failure::rejected("count_large.output", error.to_string()))?;
    writeln!(std::io::stdout(), "{text}")
        .map_err(|error| Failure::transient("count_large.output", error.to_string()))
}
