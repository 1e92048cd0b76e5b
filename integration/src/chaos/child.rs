//! The process that things happen to: one run over the state folder, as `dray run` makes it, with a
//! door before everything that it talks to.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use domain::Profile;
use domain::events::Start;
use dray::local::{Invocations, Local, Options, Rehearsals, Ways};
use dray::progress::{Phases, Progress};
use dray::run::run_one;
use engine::{FastClock, Injections, Observer};
use secrets::FolderSecrets;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use storage::Store;
use tokio::io::{AsyncBufReadExt, BufReader};

use super::http::HttpDoor;
use super::plan::{Aim, Door, STAGES};
use super::room::{Disks, Rooms};
use super::rules::{Rules, say};
use super::wire;

/// The stage that tells the API.
const REPORT: &str = "report";

/// What the parent wants of a child.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Orders {
    pub(super) state: PathBuf,
    pub(super) secrets: PathBuf,
    pub(super) profile: Value,
    pub(super) aims: Vec<Aim>,
    pub(super) disks: Disks,
    /// The file that sets this process's clock.
    pub(super) clock: Option<PathBuf>,
    /// Rehearsed failures, as `dray run --inject` takes them.
    pub(super) inject: Vec<String>,
    /// Invocations end early.
    pub(super) hurry: bool,
}

/// Runs the partner once as the file of orders says, and tells on standard output what happens.
///
/// # Errors
/// When the run cannot be started or its end not be told.
pub async fn child(orders: &std::path::Path) -> anyhow::Result<()> {
    let orders = std::fs::read(orders).context("the orders")?;
    let mut orders: Orders = serde_json::from_slice(&orders).context("the orders")?;
    let rules = Arc::new(Rules::new(orders.aims.clone(), Rooms::new(orders.disks.clone())));
    listen(&rules);
    doors_before_partners(&rules, &mut orders.profile).await?;
    let mut options = Options::new(&orders.state, Arc::new(FolderSecrets::new(&orders.secrets)));
    options.clock = Arc::new(FastClock::new());
    options.injections = Injections::parse(&orders.inject)?;
    options.observer = Some(Arc::clone(&rules) as Arc<dyn Observer>);
    options.ways = Some(doors_before_bucket(&rules, orders.clock.as_ref()).await?);
    if orders.hurry {
        options.invocations = hurry();
    }
    let profile = Profile::parse(&orders.profile.to_string())
        .map_err(|problems| anyhow::anyhow!("{problems}"))?;
    let local = Local::start(options).await?;
    let progress = Progress::new(local.store(), &Arc::new(Phases::default()), true);
    let start = Start { partner: profile.partner.clone(), ..Start::default() };
    let ended = match run_one(&local, &progress, &profile, start).await {
        Ok(ended) => ended,
        Err(error) => {
            say(&format!("gave-up {error:#}").replace('\n', " "));
            return Ok(());
        }
    };
    let verdict = ended.summary.map(|summary| format!("{:?}", summary.verdict));
    say(&format!(
        "end {} {:?} {} {}",
        ended.run,
        ended.outcome.status,
        verdict.unwrap_or_default(),
        ended.outcome.cause.as_deref().unwrap_or_default().replace('\n', " "),
    ));
    local.stop().await;
    Ok(())
}

/// The parent lets a process go on by a line.
fn listen(rules: &Arc<Rules>) {
    let rules = Arc::clone(rules);
    tokio::spawn(async move {
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        while let Ok(Some(_)) = lines.next_line().await {
            rules.go.notify_one();
        }
    });
}

/// Nearly over from the first moment: an invocation does as little as it may.
fn hurry() -> Rehearsals {
    let limit = Duration::from_secs(3000);
    let hurry = Invocations { limit, margin: limit + Duration::from_secs(600) };
    Invocations::GO_ON.into_iter().map(|name| (name, hurry)).collect()
}

/// Puts doors where the profile has servers.
async fn doors_before_partners(rules: &Arc<Rules>, profile: &mut Value) -> anyhow::Result<()> {
    for (end, door) in [("source", Door::Source), ("target", Door::Target)] {
        if STAGES.iter().any(|stage| rules.watches(stage, door)) {
            let port = profile[end]["port"].as_u64().context("a port")?;
            profile[end]["port"] = wire::open(rules, door, u16::try_from(port)?).await?.into();
        }
    }
    if rules.watches(REPORT, Door::Api) {
        let door = HttpDoor::open(rules, REPORT, Door::Api, None).await?;
        let url = profile["report"]["url"].as_str().context("a URL")?;
        profile["report"]["url"] = door.before(url).into();
    }
    Ok(())
}

/// Puts doors between the bucket and the stages that have something to fear there.
async fn doors_before_bucket(rules: &Arc<Rules>, clock: Option<&PathBuf>) -> anyhow::Result<Ways> {
    let mut doors = Vec::new();
    for stage in STAGES.into_iter().filter(|stage| rules.watches(stage, Door::Bucket)) {
        doors.push((stage, HttpDoor::open(rules, stage, Door::Bucket, clock.cloned()).await?));
    }
    Ok(Arc::new(move |name, s3| {
        let bucket = dray::local::BUCKET;
        match doors.iter().find(|(stage, _)| *stage == name) {
            None => s3.store(bucket),
            Some((_, door)) => {
                let endpoint = door.before(s3.endpoint());
                Store::local(endpoint, s3.access_key(), s3.secret_key(), bucket)
            }
        }
    }))
}
