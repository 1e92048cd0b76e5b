//! `dray demo`: the whole job, with nothing but this program.
//!
//! Two partners with SFTP servers, keys and files of their own, an API that takes reports, and the
//! real state machine between them, all on loopback. Everything stays in one folder.

mod api;
mod files;
mod partner;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use domain::events::Start;
use secrets::FolderSecrets;

use crate::cli::DemoArguments;
use crate::local::{Local, Options};
use crate::progress::{Phases, Progress};
use crate::run::{Ended, Gravity, run_one};
use crate::view::{self, say};

use api::ReportApi;
use partner::DemoPartner;

/// The demo's partners.
const PARTNERS: [&str; 2] = ["acme", "globex"];

/// Builds the world, runs it, and says where everything is.
///
/// # Errors
/// When the folder cannot be written or a server cannot be started.
pub async fn command(arguments: &DemoArguments, verbose: bool) -> anyhow::Result<ExitCode> {
    let folder = folder(arguments)?;
    view::start_log(&folder, verbose)?;
    say(&format!("Everything that this demo makes is in {}", folder.display()));
    let api = ReportApi::start(&folder.join("api")).await?;
    let mut partners = Vec::new();
    for name in PARTNERS {
        partners.push(DemoPartner::start(&folder, name, &api).await?);
    }
    let phases = Arc::new(Phases::default());
    let mut options =
        Options::new(folder.join("state"), Arc::new(FolderSecrets::new(folder.join("secrets"))));
    options.observer = Some(Arc::clone(&phases) as _);
    let local = Local::start(options).await?;
    let first = run_partners(&local, &phases, &partners).await?;
    for ended in &first {
        view::print_run(&local, ended);
    }
    say("\nThe same again, as a schedule would:");
    let second = run_partners(&local, &phases, &partners).await?;
    for ended in &second {
        view::print_run(&local, ended);
    }
    let gravity = first.iter().chain(&second).map(Ended::gravity).max().unwrap_or(Gravity::Fine);
    for partner in &partners {
        partner.explain();
    }
    say(&format!("\nThe API was told {} reports: {}", api.reports()?, api.log().display()));
    local.stop().await;
    Ok(gravity.into())
}

fn folder(arguments: &DemoArguments) -> anyhow::Result<PathBuf> {
    match &arguments.folder {
        Some(folder) => {
            let occupied = std::fs::read_dir(folder).is_ok_and(|mut found| found.next().is_some());
            anyhow::ensure!(!occupied, "{} is not empty; name a new folder", folder.display());
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
            Ok(std::path::absolute(folder)?)
        }
        None => Ok(tempfile::Builder::new().prefix("drayage-demo-").tempdir()?.keep()),
    }
}

async fn run_partners(
    local: &Local,
    phases: &Arc<Phases>,
    partners: &[DemoPartner],
) -> anyhow::Result<Vec<Ended>> {
    let progress = Progress::new(local.store(), phases, false);
    let runs = partners.iter().map(|partner| {
        let start = Start { partner: partner.name().to_owned(), ..Start::default() };
        run_one(local, &progress, partner.profile(), start)
    });
    let ended = futures::future::try_join_all(runs).await;
    progress.close();
    ended
}

/// Writes a file and the folders above it.
fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)
            .with_context(|| format!("cannot make {}", parent.display()))?;
    }
    std::fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

/// Writes a secret that only its owner can read.
fn write_secret(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    write(path, b"")?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    write(path, bytes)
}
