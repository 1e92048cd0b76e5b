//! What a person can type.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Moves partners' files: pick up by SFTP, unpack, count, report, seal, deliver, prove.
#[derive(Debug, Parser)]
#[command(
    name = "dray",
    version,
    after_help = "Examples:\n  dray demo\n      Two partners, their servers and an API on loopback: see a whole run in seconds.\n  dray run acme.json --state ./state --secrets ./secrets\n      The real job against real servers, on this machine.\n\nExit status: 0 all delivered (or nothing to do), 1 something was quarantined or another run of the\npartner is active, 2 misconfigured."
)]
pub struct Cli {
    /// Write the log to standard error instead of the state folder's dray.log.
    #[arg(long, short, global = true)]
    pub verbose: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show a whole run: no arguments, no servers, no AWS.
    ///
    /// Makes two partners with sample files and keys, starts SFTP servers, an S3 and a report API
    /// on loopback, runs the real state machine and prints receipts. Everything it made stays in
    /// the folder for you to look at.
    Demo(DemoArguments),
    /// Run the real job on this machine against real servers.
    ///
    /// Reads each PROFILE, takes what is new at its source, and delivers it. What was delivered is
    /// remembered in the state folder, so running it again sends nothing twice. Partners run side
    /// by side; trouble of one does not touch another.
    Run(Box<RunArguments>),
    /// Print what the partners' Spark jobs need on EMR Serverless, and set it there.
    ///
    /// Each partner's job has the executors, cores and memory that its profile says; an application
    /// that may use the printed capacity can run all partners' jobs at the same time.
    Size(SizeArguments),
    /// Print the JSON Schema of a profile, for editors and checks.
    Schema,
    /// The range counter of the Spark job, for its executors.
    #[command(hide = true)]
    CountLarge(count_large::program::Arguments),
}

/// Arguments of `dray demo`.
#[derive(Debug, Args)]
pub struct DemoArguments {
    /// Folder for everything that the demo makes; a new one under the system's temporary folder
    /// when left out.
    #[arg(long, value_name = "DIR")]
    pub folder: Option<PathBuf>,
}

/// Arguments of `dray run`.
#[derive(Debug, Args)]
#[command(
    after_help = "A secret named acme/source-key in a profile is the file acme/source-key under --secrets.\n\nRehearse failure: --inject Upload=error fails every upload once, --inject Encrypt=error:Rejected\nrejects what is sealed, --inject Report=repeat calls it twice, --inject Download=kill cuts it off."
)]
pub struct RunArguments {
    /// Partners' profiles (JSON files).
    #[arg(required = true, value_name = "PROFILE")]
    pub profiles: Vec<PathBuf>,
    /// Folder for the ledger, runs, receipts and data in transit.
    #[arg(long, value_name = "DIR")]
    pub state: PathBuf,
    /// Folder where SFTP connections are counted, so that all runs of this machine together stay
    /// within `max_connections`; ~/.cache/drayage/connections if not given.
    #[arg(long, value_name = "DIR")]
    pub connections: Option<PathBuf>,
    /// Folder that holds one file per secret.
    #[arg(long, value_name = "DIR")]
    pub secrets: PathBuf,
    /// Print each run's summary as one line of JSON on standard output.
    #[arg(long)]
    pub json: bool,
    /// Take only this source path, relative to the source directory; may be repeated.
    #[arg(long, value_name = "PATH")]
    pub only: Vec<String>,
    /// Take only what failed in that earlier run.
    #[arg(long, value_name = "RUN")]
    pub retry_of: Option<String>,
    /// Deliver this source path again although it was delivered; may be repeated.
    #[arg(long, value_name = "PATH", requires = "reason")]
    pub resend: Vec<String>,
    /// Why it is delivered again; the receipt keeps it.
    #[arg(long, value_name = "TEXT", requires = "resend")]
    pub reason: Option<String>,
    /// The schedule's time of this start: a second start with the same time does nothing.
    #[arg(long, value_name = "TIME")]
    pub scheduled_time: Option<String>,
    /// Count large members with the installed Spark on that master, such as `local[2]`, instead of
    /// threads of this process. Takes `spark-submit` from SPARK_HOME or PATH.
    #[arg(long, value_name = "MASTER")]
    pub spark: Option<String>,
    /// Rehearse invocations of Download, Unpack and Upload that may take only that long: what is not
    /// done goes on in the next one. `STAGE=SECONDS` is for one stage; may be repeated.
    #[arg(long, value_name = "[STAGE=]SECONDS")]
    pub deadline: Vec<String>,
    /// Rehearse a failure (`STATE=error`, `STATE=repeat`, `STATE=kill`, see below); may be repeated.
    #[arg(long, value_name = "STATE=WHAT")]
    pub inject: Vec<String>,
}

/// Arguments of `dray size`.
#[derive(Debug, Args)]
#[command(
    after_help = "Credentials and region of --apply come from where every AWS tool takes them. An application takes a new\ncapacity only while it is created or stopped."
)]
pub struct SizeArguments {
    /// Profiles of all partners of an environment (JSON files).
    #[arg(required = true, value_name = "PROFILE")]
    pub profiles: Vec<PathBuf>,
    /// Set the maximum capacity of that EMR Serverless application.
    #[arg(long, value_name = "APPLICATION")]
    pub apply: Option<String>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definitions_hold_together() {
        Cli::command().debug_assert();
    }
}
