//! What people read at the end: a table, the reasons, and where the proof lies.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;

use anyhow::Context;
use domain::Failure;
use domain::events::{DiscoverOutcome, Summary, Verdict};
use domain::items::{Receipt, Verified};
use indicatif::{HumanBytes, HumanCount};
use serde_json::json;
use tracing_subscriber::EnvFilter;

use crate::local::Local;
use crate::run::{Ended, leading_failure};

/// Receipts that are listed one by one; more are counted.
const LISTED_RECEIPTS: usize = 20;

/// Sends the log to the state folder, or to standard error when asked.
///
/// # Errors
/// When the log file cannot be opened.
pub fn start_log(folder: &Path, verbose: bool) -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("info,aws=warn,russh=warn"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter);
    if verbose {
        // A second call in one process keeps the first log.
        drop(builder.with_writer(std::io::stderr).try_init());
        return Ok(());
    }
    let path = folder.join("dray.log");
    let file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .with_context(|| format!("cannot write the log {}", path.display()))?;
    drop(builder.json().flatten_event(true).with_writer(Mutex::new(file)).try_init());
    Ok(())
}

/// Prints the JSON Schema of a profile.
///
/// # Errors
/// When standard output is closed.
pub fn print_schema() -> anyhow::Result<ExitCode> {
    let schema = serde_json::to_string_pretty(&domain::profile::schema())?;
    writeln!(std::io::stdout(), "{schema}")?;
    Ok(ExitCode::SUCCESS)
}

/// Tells why a profile cannot be used.
pub fn print_unusable(path: &Path, failure: &Failure, json: bool) {
    if json {
        let line = json!({
            "profile": path.display().to_string(),
            "verdict": Verdict::Misconfigured,
            "error": failure,
        });
        say(&line.to_string());
    }
    eprintln!("{failure}");
}

/// Prints a run's summary as one line of JSON.
///
/// # Errors
/// When standard output is closed.
pub fn print_json(ended: &Ended) -> anyhow::Result<()> {
    let line = match (&ended.summary, ended.not_needed()) {
        (Some(summary), _) => serde_json::to_string(summary)?,
        (None, Some(outcome)) => {
            json!({"partner": ended.partner, "run": ended.run, "verdict": outcome}).to_string()
        }
        (None, None) => json!({
            "partner": ended.partner,
            "run": ended.run,
            "verdict": Verdict::Incomplete,
            "error": leading_failure(ended),
        })
        .to_string(),
    };
    writeln!(std::io::stdout(), "{line}")?;
    Ok(())
}

/// Prints a run for people.
pub fn print_run(local: &Local, ended: &Ended) {
    say(&format!("\n{}  run {}", ended.partner, ended.run));
    if let Some(failure) = leading_failure(ended) {
        say(&format!("  {failure}"));
    }
    let Some(summary) = &ended.summary else {
        return match ended.not_needed() {
            Some(DiscoverOutcome::Busy) => {
                say("  Another run of this partner is active; nothing was done.");
            }
            Some(DiscoverOutcome::Duplicate) => {
                say("  This scheduled start was taken by another run; nothing was done.");
            }
            _ => {}
        };
    };
    say(&format!("  {}", headline(summary)));
    for warning in &summary.warnings {
        say(&format!("  warning: {warning}"));
    }
    print_receipts(summary);
    for failed in &summary.failed {
        say(&format!(
            "  quarantined in {}: {}\n    {}",
            failed.stage,
            failed.label(),
            failed.failure
        ));
    }
    let folder = local.bucket_folder().join("runs").join(&summary.partner).join(&summary.run);
    if !summary.receipts.is_empty() {
        say(&format!("  receipts  {}", folder.join("delivered").display()));
    }
    say(&format!("  report    {}", folder.join("report.html").display()));
}

fn headline(summary: &Summary) -> String {
    let totals = &summary.totals;
    match summary.verdict {
        Verdict::Nothing if totals.already_delivered > 0 => format!(
            "Nothing new: {} files were delivered by earlier runs, {} are still being written.",
            totals.already_delivered, totals.unsettled
        ),
        Verdict::Nothing => {
            format!("Nothing new at the source ({} still being written).", totals.unsettled)
        }
        Verdict::Misconfigured if totals.discovered == 0 => {
            "Nothing was touched; mend this and run again.".to_owned()
        }
        Verdict::Unaccounted => format!(
            "{} items ended in no final place; this is a defect of dray: {}",
            summary.unaccounted.len(),
            summary.unaccounted.join(", ")
        ),
        Verdict::Delivered
        | Verdict::Incomplete
        | Verdict::Misconfigured
        | Verdict::Unacknowledged => format!(
            "{} files, {} members: {} delivered ({}, {} records), {} quarantined; {} delivered \
             before.",
            totals.discovered,
            totals.members,
            totals.delivered,
            HumanBytes(totals.delivered_bytes),
            HumanCount(totals.records),
            totals.failed,
            totals.already_delivered,
        ),
    }
}

fn print_receipts(summary: &Summary) {
    let shown = summary.receipts.iter().take(LISTED_RECEIPTS);
    let rows: Vec<[String; 5]> = shown.map(row).collect();
    if rows.is_empty() {
        return;
    }
    let head = ["source", "bytes", "records", "delivered as", "proven by"].map(str::to_owned);
    let mut widths = [0; 5];
    for row in rows.iter().chain([&head]) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in [&head].into_iter().chain(&rows) {
        let cells: Vec<String> = row
            .iter()
            .zip(widths)
            .enumerate()
            .map(|(column, (cell, width))| {
                let numeric = column == 1 || column == 2;
                if numeric { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            })
            .collect();
        say(format!("    {}", cells.join("  ")).trim_end());
    }
    let more = summary.receipts.len().saturating_sub(LISTED_RECEIPTS);
    if more > 0 {
        say(&format!("    … and {more} more in the report"));
    }
}

fn row(receipt: &Receipt) -> [String; 5] {
    let source = if receipt.member == receipt.file.path {
        receipt.file.path.clone()
    } else {
        format!("{}!{}", receipt.file.path, receipt.member)
    };
    let proven = match receipt.verified {
        Verified::ReadBack => "read back",
        Verified::ServerHash => "server's hash",
        Verified::Size => "size",
    };
    let name = receipt.remote_path.rsplit('/').next().unwrap_or_default();
    [
        source,
        receipt.bytes.to_string(),
        receipt.records.map_or_else(|| "-".to_owned(), |records| records.to_string()),
        name.to_owned(),
        proven.to_owned(),
    ]
}

/// A line on standard output; a closed one must not fail a run that is done.
pub fn say(line: &str) {
    drop(writeln!(std::io::stdout(), "{line}"));
}
