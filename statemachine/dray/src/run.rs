//! `dray run`: the real job on one machine.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use domain::events::{DiscoverOutcome, Resend, Start, Summary, Verdict};
use domain::profile::Problems;
use domain::{ErrorClass, Failure, Profile};
use engine::{Injections, Outcome, Status};
use secrets::FolderSecrets;

use crate::cli::RunArguments;
use crate::local::{Functions, Invocations, Local, Options, Rehearsals, Spark, new_run_id};
use crate::progress::{Phases, Progress};
use crate::view;

/// How one partner's run ended.
pub struct Ended {
    /// Whose.
    pub partner: String,
    /// Which run.
    pub run: String,
    /// The state machine's end.
    pub outcome: Arc<Outcome>,
    /// What Finish wrote, if the run came that far.
    pub summary: Option<Summary>,
}

/// How grave an ending is, as the process's exit status says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gravity {
    /// All delivered, or nothing to do.
    Fine = 0,
    /// Something was quarantined or is left to do.
    Incomplete = 1,
    /// Somebody must mend the setup.
    Misconfigured = 2,
}

impl From<Gravity> for ExitCode {
    fn from(gravity: Gravity) -> Self {
        Self::from(gravity as u8)
    }
}

impl Ended {
    /// Why Discover did not open the run: another one has the partner or the scheduled start.
    #[must_use]
    pub fn not_needed(&self) -> Option<DiscoverOutcome> {
        if self.outcome.status != Status::Succeeded || self.summary.is_some() {
            return None;
        }
        let found = self.outcome.output.as_ref()?.pointer("/discover/outcome")?;
        serde_json::from_value(found.clone()).ok()
    }

    /// How grave it is.
    #[must_use]
    pub fn gravity(&self) -> Gravity {
        match self.summary.as_ref().map(|summary| summary.verdict) {
            Some(Verdict::Delivered | Verdict::Nothing) => Gravity::Fine,
            Some(Verdict::Misconfigured) => Gravity::Misconfigured,
            // The scheduled start is another run's; a busy partner may have files left to do.
            None if self.not_needed() == Some(DiscoverOutcome::Duplicate) => Gravity::Fine,
            Some(Verdict::Incomplete | Verdict::Unacknowledged | Verdict::Unaccounted) | None => {
                Gravity::Incomplete
            }
        }
    }
}

/// Runs every profile and prints what came of it.
///
/// # Errors
/// When the state folder cannot be used or an option cannot be meant.
pub async fn command(arguments: &RunArguments, verbose: bool) -> anyhow::Result<ExitCode> {
    std::fs::create_dir_all(&arguments.state)
        .with_context(|| format!("cannot make the state folder {}", arguments.state.display()))?;
    view::start_log(&arguments.state, verbose)?;
    anyhow::ensure!(
        arguments.secrets.is_dir(),
        "there is no secrets folder {}; make it with one file per secret",
        arguments.secrets.display()
    );
    let (profiles, mut gravity) = read_profiles(arguments);
    let phases = Arc::new(Phases::default());
    let mut options =
        Options::new(&arguments.state, Arc::new(FolderSecrets::new(&arguments.secrets)));
    options.connections = connections(arguments)?;
    options.injections = Injections::parse(&arguments.inject)?;
    options.observer = Some(Arc::clone(&phases) as _);
    options.invocations = rehearsals(&arguments.deadline)?;
    options.spark = arguments.spark.as_deref().map(spark).transpose()?;
    let local = Local::start(options).await?;
    let work = run_all(&local, &phases, profiles, arguments);
    let ended = tokio::select! {
        ended = work => ended,
        _ = tokio::signal::ctrl_c() => {
            eprintln!("\ndray: stopped. Nothing is lost: the same command goes on from here.");
            return Ok(ExitCode::from(130));
        }
    };
    for one in ended {
        match one {
            Ok(one) => {
                gravity = gravity.max(one.gravity());
                if arguments.json { view::print_json(&one)? } else { view::print_run(&local, &one) }
            }
            Err(error) => {
                gravity = gravity.max(Gravity::Incomplete);
                eprintln!("dray: {error:#}");
            }
        }
    }
    local.stop().await;
    Ok(gravity.into())
}

/// The folder that all runs of this user share, whatever their state folders are.
fn connections(arguments: &RunArguments) -> anyhow::Result<PathBuf> {
    if let Some(folder) = &arguments.connections {
        return Ok(folder.clone());
    }
    let home = std::env::home_dir().filter(|home| !home.as_os_str().is_empty());
    let home = home.context("there is no home folder; name one with --connections")?;
    Ok(home.join(".cache/drayage/connections"))
}

/// The range counter, for `spark-submit` on this machine.
///
/// # Errors
/// As [`count_large::program::run`].
pub async fn count_large(arguments: count_large::program::Arguments) -> anyhow::Result<ExitCode> {
    count_large::program::run(arguments).await?;
    Ok(ExitCode::SUCCESS)
}

/// The installed Spark, with this program as the counter that it ships.
fn spark(master: &str) -> anyhow::Result<Spark> {
    let home = std::env::var_os("SPARK_HOME").filter(|home| !home.is_empty());
    let program = home.map_or_else(
        || PathBuf::from("spark-submit"),
        |home| Path::new(&home).join("bin/spark-submit"),
    );
    let myself = std::env::current_exe().context("cannot tell where this program is")?;
    let myself = myself.into_os_string().into_string();
    let myself = myself.map_err(|path| anyhow::anyhow!("{} is no UTF-8", path.display()))?;
    Ok(Spark {
        master: master.to_owned(),
        program,
        counter: vec![myself, count_large::NAME.to_owned()],
    })
}

/// The invocations that `--deadline` asks for.
fn rehearsals(deadlines: &[String]) -> anyhow::Result<Rehearsals> {
    let mut rehearsals = Rehearsals::new();
    for text in deadlines {
        let (stages, seconds) = match text.split_once('=') {
            Some((stage, seconds)) => {
                let known = Functions::NAMES.into_iter().find(|name| *name == stage);
                let known = known.with_context(|| {
                    let names = Functions::NAMES.join(", ");
                    format!("--deadline {text}: there is no stage {stage:?}; there are {names}")
                })?;
                (vec![known], seconds)
            }
            None => (Invocations::GO_ON.to_vec(), text.as_str()),
        };
        let seconds = seconds.parse().ok().filter(|seconds| (0.01..=86_400.0).contains(seconds));
        let seconds = seconds.with_context(|| {
            format!("--deadline {text}: the time must be seconds, from 0.01 to 86400")
        })?;
        let invocations = Invocations::of(Duration::from_secs_f64(seconds));
        rehearsals.extend(stages.into_iter().map(|stage| (stage, invocations)));
    }
    Ok(rehearsals)
}

/// Every profile that can be used; the problems of the others are told at once.
fn read_profiles(arguments: &RunArguments) -> (Vec<Profile>, Gravity) {
    let mut profiles: Vec<Profile> = Vec::new();
    let mut gravity = Gravity::Fine;
    for path in &arguments.profiles {
        match read_profile(path) {
            Ok(profile) if profiles.iter().any(|known| known.partner == profile.partner) => {
                let message = format!(
                    "{}: partner {:?} is given twice; a partner has one profile.",
                    path.display(),
                    profile.partner
                );
                let failure = Failure::misconfigured("profile.twice", message);
                gravity = Gravity::Misconfigured;
                view::print_unusable(path, &failure, arguments.json);
            }
            Ok(profile) => profiles.push(profile),
            Err(failure) => {
                gravity = Gravity::Misconfigured;
                view::print_unusable(path, &failure, arguments.json);
            }
        }
    }
    (profiles, gravity)
}

pub(crate) fn read_profile(path: &Path) -> Result<Profile, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::misconfigured(
            "profile.unreadable",
            format!("{} cannot be read: {error}.", path.display()),
        )
    })?;
    Profile::parse(&text).map_err(|problems: Problems| {
        Failure::misconfigured("profile.invalid", format!("{}: {problems}", path.display()))
    })
}

async fn run_all(
    local: &Local,
    phases: &Arc<Phases>,
    profiles: Vec<Profile>,
    arguments: &RunArguments,
) -> Vec<anyhow::Result<Ended>> {
    let progress = Progress::new(local.store(), phases, arguments.json);
    let runs = profiles.into_iter().map(|profile| {
        let start = start(&profile.partner, arguments);
        let progress = &progress;
        async move { run_one(local, progress, &profile, start).await }
    });
    // Side by side and to the end: trouble of one partner must not cut another off.
    let ended = futures::future::join_all(runs).await;
    progress.close();
    ended
}

fn start(partner: &str, arguments: &RunArguments) -> Start {
    Start {
        partner: partner.to_owned(),
        scheduled_time: arguments.scheduled_time.clone(),
        only: (!arguments.only.is_empty()).then(|| arguments.only.clone()),
        retry_of: arguments.retry_of.clone(),
        resend: arguments
            .reason
            .clone()
            .map(|reason| Resend { paths: arguments.resend.clone(), reason }),
    }
}

/// Runs one partner to its end, with progress.
///
/// # Errors
/// When the bucket cannot be used.
pub async fn run_one(
    local: &Local,
    progress: &Progress,
    profile: &Profile,
    start: Start,
) -> anyhow::Result<Ended> {
    local.put_profile(profile).await?;
    let run = new_run_id();
    let watching = progress.watch(&profile.partner, &run);
    let outcome = local.execute(&run, &start).await?;
    watching.finish().await;
    let summary = local.summary(&profile.partner, &run).await?;
    Ok(Ended { partner: profile.partner.clone(), run, outcome, summary })
}

/// The failure that a person should read first, if the run met one of its own.
#[must_use]
pub fn leading_failure(ended: &Ended) -> Option<Failure> {
    if let Some(summary) = &ended.summary {
        return summary.error.clone();
    }
    let error = ended.outcome.error.clone()?;
    let cause = ended.outcome.cause.clone().unwrap_or_default();
    let class = ErrorClass::from_name(&error).unwrap_or(ErrorClass::Transient);
    Some(Failure::new(class, "machine.failed", format!("The run ended with {error}: {cause}")))
}
