//! The `dray` command: reads what was typed and hands it on.

use std::process::ExitCode;

use clap::Parser;
use dray::cli::{Cli, Command};
use dray::{demo, run, size, view};

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        Command::Demo(arguments) => demo::command(&arguments, cli.verbose).await,
        Command::Run(arguments) => run::command(&arguments, cli.verbose).await,
        Command::Size(arguments) => size::command(&arguments).await,
        Command::Schema => view::print_schema(),
        Command::CountLarge(arguments) => run::count_large(arguments).await,
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("dray: {error:#}");
            ExitCode::from(2)
        }
    }
}
