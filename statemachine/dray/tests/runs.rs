//! What every stage takes from `storage::runs`, on the embedded S3 server: the lease, the halt order,
//! and the loop that works a parcel off.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use domain::events::ParcelInput;
use domain::ids::Name;
use domain::items::{FileItem, FileRef, Lease, Parcel};
use domain::keys::{Inbox, Phase};
use domain::{Deadline, Executions, Failure};
use dray::s3::{Options, S3Server};
use jiff::Timestamp;
use storage::runs::{
    LeaseOutcome, Reached, Run, Work, held_lease, holds_lease, release_lease, take_lease,
    work_through,
};
use storage::{Condition, Store};
use tempfile::TempDir;

const BUCKET: &str = "work";
const PARTNER: &str = "acme";

/// An empty bucket; it ends when dropped.
struct Bucket {
    store: Store,
    _server: S3Server,
    _folder: TempDir,
}

impl Bucket {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let buckets = vec![BUCKET.to_owned()];
        let server = S3Server::start(Options { folder: folder.path().to_path_buf(), buckets })
            .await
            .unwrap();
        Self { store: server.store(BUCKET), _server: server, _folder: folder }
    }
}

/// The only execution that runs.
struct Running(&'static str);

#[async_trait]
impl Executions for Running {
    async fn is_running(&self, execution: &str) -> Result<bool, Failure> {
        Ok(execution == self.0)
    }
}

fn lease(number: u32) -> Lease {
    Lease {
        execution: format!("execution-{number}"),
        run: format!("run-{number}"),
        nonce: format!("nonce-{number}"),
        taken_at: Timestamp::UNIX_EPOCH,
        released_at: None,
        taken_from: Vec::new(),
    }
}

#[tokio::test]
async fn a_lease_is_taken_from_the_dead_and_from_nobody_else() {
    let bucket = Bucket::start().await;
    let store = &bucket.store;
    let take = |number, running| async move {
        take_lease(store, PARTNER, &lease(number), &Running(running)).await.unwrap()
    };
    assert_eq!(take(1, "execution-1").await, LeaseOutcome::Held(lease(1)));
    assert_eq!(take(1, "execution-1").await, LeaseOutcome::Held(lease(1)), "asked once more");
    assert_eq!(take(2, "execution-1").await, LeaseOutcome::Busy(lease(1)));
    let after = |number: u32, dead: &[&str]| {
        let taken_from = dead.iter().map(|run| (*run).to_owned()).collect();
        LeaseOutcome::Held(Lease { taken_from, ..lease(number) })
    };
    assert_eq!(take(2, "execution-2").await, after(2, &["run-1"]));
    assert_eq!(take(3, "execution-3").await, after(3, &["run-2", "run-1"]));
    // What was given back was not left by a dead run, even if its execution goes on for a while.
    release_lease(store, PARTNER, "execution-3").await.unwrap();
    assert_eq!(take(4, "execution-3").await, after(4, &[]));
}

#[tokio::test]
async fn a_lease_is_held_by_one_run_until_its_execution_gives_it_back() {
    let bucket = Bucket::start().await;
    let store = &bucket.store;
    let holds = |run| async move { holds_lease(store, PARTNER, run).await.unwrap() };
    assert!(!holds("run-1").await, "nobody took it");
    release_lease(store, PARTNER, "execution-1").await.unwrap();
    take_lease(store, PARTNER, &lease(1), &Running("")).await.unwrap();
    release_lease(store, PARTNER, "execution-2").await.unwrap();
    assert!(holds("run-1").await, "another execution gave it back");
    assert!(!holds("run-2").await);
    assert_eq!(held_lease(store, PARTNER, "run-1").await.unwrap(), Some(lease(1)));
    release_lease(store, PARTNER, "execution-1").await.unwrap();
    assert!(!holds("run-1").await);
    let key = domain::keys::lease(PARTNER);
    let released = store.get::<Lease>(&key).await.unwrap().unwrap().value;
    assert!(released.released_at.is_some());
    release_lease(store, PARTNER, "execution-1").await.unwrap();
    let found = store.get::<Lease>(&key).await.unwrap().unwrap().value;
    assert_eq!(found, released, "it was given back when it was, not when somebody said so again");
}

/// A run with a planned parcel of files.
struct Planned {
    bucket: Bucket,
    run: Run,
    names: Vec<Name>,
}

impl Planned {
    async fn with(files: u64) -> Self {
        let bucket = Bucket::start().await;
        let run = Run::new(&bucket.store, PARTNER, "run-1");
        let mut names = Vec::new();
        for number in 0..files {
            let file = FileRef::new(PARTNER, &format!("{number}.csv"), 100 - number, 0);
            names.push(file.name.clone());
            let item = FileItem { file, resend: None, downloaded: None, expanded: None };
            run.write(Inbox::Discovered, &item.file.name, &item).await.unwrap();
        }
        let key = run.keys().parcel(Phase::Fetch, "p");
        let parcel = Parcel { names: names.clone() };
        let put = bucket.store.put(&key, &parcel, Condition::Absent).await.unwrap();
        assert!(put.is_written());
        Self { bucket, run, names }
    }

    /// The numbers of the files that were worked on, and what came of the parcel.
    async fn work(
        &self,
        deadline: Deadline,
        each: impl Fn(usize) -> Result<Reached, Failure>,
    ) -> (Vec<usize>, Result<bool, Failure>) {
        let input = ParcelInput {
            partner: PARTNER.to_owned(),
            run: "run-1".to_owned(),
            phase: Phase::Fetch,
            parcel: "p".to_owned(),
        };
        let done = &[Inbox::Downloaded, Inbox::Skipped];
        let work = Work { stage: "download", input: &input, done, concurrency: 1, deadline };
        let met = Mutex::new(Vec::new());
        let outcome = work_through(&self.run, work, |name| {
            let number = self.names.iter().position(|known| *known == name).unwrap();
            met.lock().unwrap().push(number);
            std::future::ready(each(number))
        });
        let outcome = outcome.await.map(|output| output.more);
        (met.into_inner().unwrap(), outcome)
    }
}

#[tokio::test]
async fn what_is_done_or_failed_is_not_worked_on_again() {
    let planned = Planned::with(4).await;
    let run = &planned.run;
    run.write(Inbox::Skipped, &planned.names[0], &()).await.unwrap();
    let refused = || Failure::rejected("file.damaged", "It is damaged.");
    run.fail(Phase::Fetch, &planned.names[2], "download", refused()).await.unwrap();
    let each = |number| if number == 1 { Err(refused()) } else { Ok(Reached::End) };
    assert_eq!(planned.work(Deadline::NONE, each).await, (vec![1, 3], Ok(false)));
    // The stage did not write what it did; what it rejected is known.
    assert_eq!(planned.work(Deadline::NONE, each).await, (vec![3], Ok(false)));
}

#[tokio::test]
async fn near_its_end_an_invocation_takes_on_nothing_more_once_something_moved() {
    let planned = Planned::with(4).await;
    let near = Deadline::after(Duration::ZERO);
    let each = |number| Ok(if number < 2 { Reached::Already } else { Reached::End });
    assert_eq!(planned.work(near, each).await, (vec![0, 1, 2], Ok(true)));
    assert_eq!(planned.work(Deadline::NONE, each).await, (vec![0, 1, 2, 3], Ok(false)));
    // What stops in the middle of an item has come to the end of its time.
    let each = |number| Ok(if number == 1 { Reached::Checkpoint } else { Reached::End });
    assert_eq!(planned.work(Deadline::NONE, each).await, (vec![0, 1], Ok(true)));
}

#[tokio::test]
async fn a_fault_of_the_partner_stops_this_invocation_and_all_later_ones() {
    let planned = Planned::with(4).await;
    assert_eq!(planned.run.check_halt().await, Ok(()));
    let fault = Failure::misconfigured("sftp.host_key_changed", "The host key is another.");
    let passing = || Failure::transient("sftp.lost", "The connection was lost.");
    let each = |number| match number {
        0 => Err(passing()),
        1 => Ok(Reached::End),
        _ => Err(fault.clone()),
    };
    assert_eq!(planned.work(Deadline::NONE, each).await, (vec![0, 1, 2], Err(fault.clone())));
    let well = |_| Ok(Reached::End);
    assert_eq!(planned.work(Deadline::NONE, well).await, (vec![], Err(fault.clone())));
    // The first order is kept.
    planned.run.halt("upload", &passing()).await.unwrap();
    assert_eq!(planned.run.check_halt().await, Err(fault));
}

#[tokio::test]
async fn a_run_aborts_its_own_uploads() {
    let planned = Planned::with(0).await;
    let store = &planned.bucket.store;
    let other = Run::new(store, PARTNER, "run-2");
    for run in [&planned.run, &other] {
        let mut writer = store.writer(&run.keys().raw("file"));
        writer.write(vec![0; 6 << 20].into()).await.unwrap();
        // What a checkpoint keeps is not aborted by its writer.
        assert!(writer.checkpoint().await.is_ok());
    }
    planned.run.abort_uploads().await;
    assert_eq!(store.unfinished_uploads("data/").await.unwrap(), [other.keys().raw("file")]);
}
