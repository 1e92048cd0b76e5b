//! One try-out: a world of its own with two small files, a run with injections, and what is to be
//! seen afterwards, read from the bucket, the target and the API and from nobody's summary.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::FileTimes;
use std::time::{Duration, SystemTime};

use domain::items::{Failed, FileItem, Lease, LedgerRow};
use domain::keys::{self, Inbox};
use dray::local::Local;
use engine::{EventType, Injection, Injections, Outcome, Status, When};
use integration::{Sample, World};
use storage::Store;
use storage::runs::Run;

/// Members above this many bytes go to Spark: one of three.
const LARGE_ABOVE_BYTES: u64 = 300;
/// Inboxes of the run, all of which must be the same after a recovery.
const INBOXES: [Inbox; 11] = [
    Inbox::Discovered,
    Inbox::Downloaded,
    Inbox::Expanded,
    Inbox::Members,
    Inbox::Large,
    Inbox::Counted,
    Inbox::Reported,
    Inbox::Sealed,
    Inbox::Delivered,
    Inbox::Failed,
    Inbox::Skipped,
];

/// A world with two files at its source.
pub(super) struct Case {
    pub(super) world: World,
}

/// What is to be seen after a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// `Succeeded`, or the error that the execution ended with.
    pub(super) end: String,
    /// Names in every inbox of the run.
    pub(super) inboxes: BTreeMap<String, BTreeSet<String>>,
    /// How many ended in `failed/`, by stage and class.
    pub(super) failed: BTreeMap<(String, String), usize>,
    /// Files and members in no final place.
    pub(super) open: BTreeSet<String>,
    /// Whether somebody holds the partner's lease.
    pub(super) leased: bool,
    /// What is at the target, opened, by name.
    pub(super) target: BTreeMap<String, Vec<u8>>,
    /// Idempotency keys that the API was told.
    pub(super) reports: BTreeSet<String>,
    /// How many reports the API took, repetitions included.
    pub(super) told: usize,
    /// Members that the ledger has as delivered, and how often each was delivered.
    pub(super) ledger: BTreeMap<String, usize>,
    /// Whole files that the ledger has.
    pub(super) ledger_files: BTreeSet<String>,
    /// How many objects of content the run has left in the bucket.
    pub(super) content: usize,
}

impl Seen {
    pub(super) fn delivered(&self) -> usize {
        self.inboxes.get(Inbox::Delivered.folder()).map_or(0, BTreeSet::len)
    }
}

pub(super) fn samples() -> [Sample; 2] {
    [
        Sample::plain("customers.csv", integration::csv(1, 3), 3),
        Sample::zip("orders", &[("lines.csv", 4), ("march/orders.csv", 90)], 2),
    ]
}

/// Plaintexts by the name that each must have at the target.
pub(super) fn expected() -> BTreeMap<String, Vec<u8>> {
    let members = samples().into_iter().flat_map(|sample| sample.members);
    members.map(|member| (member.delivered_as, member.bytes)).collect()
}

impl Case {
    pub(super) fn new() -> Self {
        let mut world = World::openssh();
        world.partner.profile["records"]["large_above_bytes"] = LARGE_ABOVE_BYTES.into();
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_772_000_000);
        for sample in samples() {
            world.put(&sample.name, &sample.bytes);
            // The same identity in every world, so that names of items can be compared.
            let path = world.source.folder.join(&sample.name);
            let file = std::fs::File::options().write(true).open(path).expect("a sample");
            file.set_times(FileTimes::new().set_modified(then)).expect("its time");
        }
        Self { world }
    }

    /// Runs once and looks around.
    pub(super) async fn run(&self, injections: Injections) -> (Seen, Ended) {
        let mut options = self.world.options();
        options.injections = injections;
        let local = Local::start(options).await.expect("the embedded world");
        let ended = self.world.run_on(&local, self.world.start()).await;
        let seen = self.look(local.store(), &ended.run, &ended.outcome).await;
        local.stop().await;
        (seen, Ended { outcome: ended.outcome })
    }

    async fn look(&self, store: &Store, run: &str, outcome: &Outcome) -> Seen {
        let run = Run::new(store, "acme", run);
        let mut inboxes = BTreeMap::new();
        for inbox in INBOXES {
            let names = run.names(inbox).await.expect("an inbox");
            inboxes
                .insert(inbox.folder().to_owned(), names.iter().map(|n| n.to_string()).collect());
        }
        let mut failed = BTreeMap::new();
        for one in run.read_all::<Failed>(Inbox::Failed).await.expect("failed items") {
            *failed.entry((one.stage, one.failure.class.name().to_owned())).or_default() += 1;
        }
        let open = open(&run, &inboxes).await;
        let lease = store.get::<Lease>(&keys::lease("acme")).await.expect("the lease");
        let (ledger, ledger_files) = ledger(store).await;
        let told = self.world.api.reports();
        Seen {
            end: match outcome.status {
                Status::Succeeded => "Succeeded".to_owned(),
                _ => outcome.error.clone().unwrap_or_default(),
            },
            inboxes,
            failed,
            open,
            leased: lease.is_some_and(|lease| lease.value.released_at.is_none()),
            target: self.world.opened(),
            told: told.len(),
            reports: told.iter().map(|body| body["id"].to_string()).collect(),
            ledger,
            ledger_files,
            content: store.list(&run.keys().data()).await.expect("the run's content").len(),
        }
    }
}

/// The conservation law, reckoned here once more.
async fn open(run: &Run, inboxes: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<String> {
    let names = |inbox: Inbox| inboxes.get(inbox.folder()).cloned().unwrap_or_default();
    let (failed, delivered) = (names(Inbox::Failed), names(Inbox::Delivered));
    let mut open = names(Inbox::Discovered);
    for settled in [&names(Inbox::Skipped), &failed] {
        open.retain(|name| !settled.contains(name));
    }
    for file in run.read_all::<FileItem>(Inbox::Expanded).await.expect("expanded files") {
        if !open.remove(file.file.name.as_str()) {
            continue;
        }
        let members = file.expanded.expect("members").members;
        let members = members.iter().map(|name| name.to_string());
        open.extend(members.filter(|name| !failed.contains(name) && !delivered.contains(name)));
    }
    open
}

async fn ledger(store: &Store) -> (BTreeMap<String, usize>, BTreeSet<String>) {
    let mut members = BTreeMap::new();
    for entry in store.list(&keys::ledger_members("acme")).await.expect("the ledger") {
        let row = store.get::<LedgerRow>(&entry.key).await.expect("a row").expect("a row").value;
        if row.delivered.is_some() {
            members.insert(entry.key, row.history.len() + 1);
        }
    }
    let files = store.list(&keys::ledger_files("acme")).await.expect("the ledger");
    (members, files.into_iter().map(|entry| entry.key).collect())
}

/// How an execution ended, for questions about its way.
pub(super) struct Ended {
    outcome: std::sync::Arc<Outcome>,
}

impl Ended {
    /// How many calls of a Task were made, in the execution and its Maps' children, and how many of
    /// them failed.
    pub(super) fn calls(&self, state: &str) -> (usize, usize) {
        let (mut made, mut failed) = (0, 0);
        for outcome in self.outcome.all() {
            let mut inside = false;
            for event in &outcome.history {
                match event.event_type {
                    EventType::TaskStateEntered => inside = event.state() == Some(state),
                    EventType::TaskScheduled if inside => made += 1,
                    EventType::TaskFailed | EventType::TaskTimedOut if inside => failed += 1,
                    _ => {}
                }
            }
        }
        (made, failed)
    }
}

/// The stage that has to fail so that a state is reached at all: quarantines need something to do.
pub(super) fn stage_before(state: &str) -> Option<&str> {
    state.strip_prefix("Quarantine")
}

/// Injections that lead to a state.
pub(super) fn way_to(state: &str) -> Injections {
    match stage_before(state) {
        Some(stage) => Injections::new().with(stage, error("Rejected", None, When::Before)),
        None => Injections::new(),
    }
}

/// An injected error.
pub(super) fn error(name: &str, times: Option<u32>, when: When) -> Injection {
    let cause = r#"{"errorMessage": "Injected. [test.injected]"}"#.to_owned();
    Injection::Error { error: name.to_owned(), cause, times, when }
}
