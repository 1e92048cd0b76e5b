//! Files that take longer than one invocation: they go on where they stopped, and are never put
//! together from two versions.

mod rehearsal;
mod upload;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::items::{Failed, FileItem};
use domain::keys::Inbox;
use domain::{Deadline, ErrorClass, Failure, SecretStore};
use dray::local::{Functions, Invocations, Local, LocalExecutions, Options, Rehearsals};
use engine::{EventType, Notice};
use integration::{Dray, World, csv, gzip, tar, zip};
use secrets::FolderSecrets;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use storage::Condition;
use storage::runs::Run;

/// The least number of invocations that a file must have taken.
const INVOCATIONS: usize = 8;
/// Nearly over from the first moment: an invocation does as little as it may.
const HURRY: Invocations =
    Invocations { limit: Duration::from_secs(3000), margin: Duration::from_secs(3600) };

/// Bytes that no two places have in common.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    })
    .take(bytes)
    .collect()
}

/// Multipart uploads that nobody completed.
fn unfinished(world: &World) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(world.state.join("s3/.uploads")) else { return Vec::new() };
    let paths = entries.map(|entry| entry.expect("an upload").path());
    // Beside their folders are files that a process was writing when it was killed.
    paths.filter(|path| path.is_dir()).collect()
}

/// Every function in a hurry but Encrypt: it may not stop in the middle of a member, and what it
/// cannot seal in time is refused before.
fn hurry() -> Rehearsals {
    let others = Functions::NAMES.into_iter().filter(|name| *name != "encrypt");
    others.map(|name| (name, HURRY)).collect()
}

/// How often each state was entered.
type Entries = Arc<Mutex<BTreeMap<String, usize>>>;

fn count_entries(options: &mut Options) -> Entries {
    let entered = Entries::default();
    let counter = Arc::clone(&entered);
    options.observer = Some(Arc::new(move |notice: Notice<'_>| {
        let event = notice.event;
        if let (EventType::TaskStateEntered, Some(state)) = (event.event_type, event.state()) {
            *counter.lock().expect("a counter").entry(state.to_owned()).or_default() += 1;
        }
    }));
    entered
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_takes_many_invocations_arrives_whole() {
    let world = World::embedded();
    let large = noise(6 << 20);
    world.put("large.bin", &large);
    world.put("small.csv", b"id\n1\n");
    let mut options = world.options();
    options.invocations = hurry();
    let entered = count_entries(&mut options);
    let ended = world.run_with(options, world.start()).await;
    for state in ["Download", "Upload"] {
        let entered = entered.lock().expect("a counter")[state];
        assert!(entered >= INVOCATIONS, "{state} {entered}: {:?}", ended.outcome.cause);
    }
    let opened = world.opened();
    assert_eq!(opened["small.csv"], b"id\n1\n");
    assert!(opened["large.bin"] == large, "other bytes arrived");
    assert_eq!(unfinished(&world), Vec::<PathBuf>::new());
    assert_eq!(
        world.target.names().len(),
        2,
        "temporary files are left: {:?}",
        world.target.names()
    );
}

/// Half text, half noise: deflate makes many blocks of it.
fn content(seed: usize, bytes: usize) -> Vec<u8> {
    let mut content = csv(seed, 60_000);
    content.truncate(bytes / 2);
    content.extend(noise(bytes - content.len()));
    content
}

#[tokio::test(flavor = "multi_thread")]
async fn members_that_take_many_invocations_arrive_whole() {
    let (one, two, three) = (content(1, 3 << 20), content(2, 2 << 20), b"id\n1\n".to_vec());
    for (name, bytes, members) in [
        ("deflated.zip", zip(&[("a", &one), ("b", &two), ("c", &three)]), 3),
        ("single.gz", gzip(&one), 1),
        ("packed.tar.gz", gzip(&tar(&[("a", &one), ("b", &two), ("c", &three)])), 3),
        ("plain.tar", tar(&[("a", &one), ("b", &two), ("c", &three)]), 3),
    ] {
        let world = World::embedded();
        world.put(name, &bytes);
        let mut options = world.options();
        options.invocations = Rehearsals::from([("unpack", HURRY)]);
        let entered = count_entries(&mut options);
        let ended = world.run_with(options, world.start()).await;
        let times = entered.lock().expect("a counter")["Unpack"];
        assert!(times >= INVOCATIONS, "{name}: {times}: {:?}", ended.outcome.cause);
        let opened: Vec<Vec<u8>> = world.opened().into_values().collect();
        let failed = ended.summary.expect("a summary").failed;
        assert_eq!(opened.len(), members, "{name}: {failed:?}");
        assert!(opened[0] == one, "{name}: other bytes arrived");
        assert!(members == 1 || (opened[1] == two && opened[2] == three), "{name}");
        assert_eq!(unfinished(&world), Vec::<PathBuf>::new(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_is_refused_late_leaves_nothing() {
    let world = World::embedded();
    // Stored as it is; the last byte of the second member is another one.
    let (one, two) = (noise(2 << 20), noise(3 << 20));
    let mut bytes = zip(&[("a", &one), ("b", &two)]);
    let end = bytes.windows(64).rposition(|piece| *piece == two[two.len() - 64..]);
    bytes[end.expect("the content") + 63] ^= 1;
    world.put("damaged.zip", &bytes);
    let mut options = world.options();
    options.invocations = Rehearsals::from([("unpack", HURRY)]);
    let entered = count_entries(&mut options);
    let ended = world.run_with(options, world.start()).await;
    assert!(entered.lock().expect("a counter")["Unpack"] >= INVOCATIONS);
    let failed = &ended.summary.expect("a summary").failed;
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].failure.code, "archive.crc", "{}", failed[0].failure);
    assert_eq!(unfinished(&world), Vec::<PathBuf>::new());
    assert_eq!(world.target.names(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_cannot_be_sealed_in_one_invocation_is_told_before_anything_is_spent() {
    let world = World::embedded();
    world.put("large.csv", &csv(1, 60_000));
    world.put("small.csv", b"id\n1\n");
    let mut options = world.options();
    // Ten milliseconds of work.
    let limit = Duration::from_millis(100_010);
    let short = Invocations { limit, margin: Duration::from_secs(100) };
    options.invocations = Rehearsals::from([("encrypt", short)]);
    let ended = world.run_with(options, world.start()).await;
    let failed = &ended.summary.expect("a summary").failed;
    let [failed] = failed.as_slice() else { panic!("{failed:?}") };
    assert_eq!(failed.failure.code, "inspect.too_large_to_seal");
    assert!(failed.failure.message.contains("takes 335544 bytes at most"), "{}", failed.failure);
    assert_eq!(world.target.names().len(), 1);
    assert_eq!(world.api.reports().len(), 1, "the large one was reported");
}

#[test]
fn whoever_seals_faster_says_so() {
    let world = World::openssh();
    world.put("large.csv", b"id\n1\n2\n");
    let run = |bytes: &str| Dray::run(&world, &[]).env("DRAYAGE_SEALABLE_BYTES", bytes).finish();
    let said = run("6").expect_code(1);
    assert!(said.stdout.contains("large.csv has 7 bytes"), "{said:?}");
    assert_eq!(world.target.names(), Vec::<String>::new());
    run("7").expect_code(0);
    assert_eq!(world.target.names().len(), 1);
}

/// A run whose functions are called one by one.
struct Halfway {
    world: World,
    local: Local,
    functions: Functions,
    /// What the function is called with that is looked at.
    event: Value,
}

/// The run's name.
const RUN: &str = "20260301T060000Z-5f3a9c1e";

impl Halfway {
    /// At the door of Download, with one file.
    async fn at_download(name: &str, content: &[u8]) -> Self {
        Self::in_world(World::embedded(), name, content).await
    }

    async fn in_world(world: World, name: &str, content: &[u8]) -> Self {
        world.put(name, content);
        let local = Local::start(world.options()).await.expect("the embedded world");
        local.put_profile(&world.profile()).await.expect("a profile");
        let secrets: Arc<dyn SecretStore> = Arc::new(FolderSecrets::new(&world.secrets));
        let executions = LocalExecutions::new(world.state.join("bench")).expect("executions");
        let functions = Functions::new(local.store(), &secrets, &Arc::new(executions));
        let mut halfway = Self { world, local, functions, event: Value::Null };
        let execution = format!("arn:aws:states:local:000000000000:execution:machine:{RUN}");
        let discover = json!({"run": RUN, "execution": execution, "start": {"partner": "acme"}});
        halfway.call("discover", discover).await.expect("discovered");
        halfway.plan("fetch").await;
        halfway
    }

    /// After that many invocations of Download.
    async fn new(content: &[u8], times: usize) -> Self {
        let halfway = Self::at_download("large.bin", content).await;
        for _ in 0..times {
            assert_eq!(halfway.download().await.expect("a piece")["more"], true);
        }
        halfway
    }

    /// At the door of Upload, with one file that is no archive.
    async fn at_upload(content: &[u8]) -> Self {
        Self::at_upload_in(World::embedded(), content).await
    }

    async fn at_upload_in(world: World, content: &[u8]) -> Self {
        let mut halfway = Self::in_world(world, "large.bin", content).await;
        for (phase, stages) in [
            ("fetch", &["download", "unpack"][..]),
            ("inspect", &["inspect"]),
            ("seal", &["report", "encrypt"]),
        ] {
            halfway.plan(phase).await;
            for stage in stages {
                while halfway.call(stage, halfway.event.clone()).await.expect("done")["more"]
                    == true
                {}
            }
        }
        halfway.plan("deliver").await;
        halfway
    }

    /// Makes the one parcel of a phase, for the functions to be called with.
    async fn plan(&mut self, phase: &str) {
        let plan = json!({"partner": "acme", "run": RUN, "phase": phase});
        let wave = self.call("plan", plan).await.expect("planned");
        let list = wave["key"].as_str().expect("a list's key");
        let parcels = self.local.store().get::<Value>(list).await.expect("a list");
        let parcel = &parcels.expect("a list").value[0]["parcel"];
        self.event = json!({"partner": "acme", "run": RUN, "phase": phase, "parcel": parcel});
    }

    async fn call(&self, name: &str, event: Value) -> Result<Value, Failure> {
        let function = self.functions.get(name).expect("a function");
        function(event, Deadline::after(HURRY.limit).with_margin(HURRY.margin)).await
    }

    async fn download(&self) -> Result<Value, Failure> {
        self.call("download", self.event.clone()).await
    }

    /// Goes on to the end, and tells in how many invocations.
    async fn to_the_end(&self) -> Result<usize, Failure> {
        let mut times = 1;
        while self.download().await?["more"] == true {
            times += 1;
        }
        Ok(times)
    }

    /// The downloaded file's item.
    async fn item(&self) -> Option<FileItem> {
        let run = Run::new(self.local.store(), "acme", RUN);
        let names = run.names(Inbox::Downloaded).await.expect("a listing");
        let name = names.first()?;
        run.read(Inbox::Downloaded, name).await.expect("an item")
    }

    /// What the bucket has of the file.
    async fn stored(&self) -> Vec<u8> {
        let downloaded = self.item().await.expect("an item").downloaded.expect("downloaded");
        let found = self.local.store().get_bytes(&downloaded.key).await.expect("S3");
        let bytes = found.expect("an object").value.to_vec();
        assert_eq!(downloaded.sha256, hex::encode(Sha256::digest(&bytes)));
        assert_eq!(downloaded.bytes, bytes.len() as u64);
        bytes
    }

    /// Where a stage stands with its one item, and where that is kept.
    async fn progress(&self, stage: &str, inbox: Inbox) -> (String, Value) {
        let store = self.local.store();
        let run = Run::new(store, "acme", RUN);
        let names = run.names(inbox).await.expect("a listing");
        let key = run.keys().progress(stage, &names[0]);
        let found = store.get(&key).await.expect("S3").expect("a checkpoint");
        (key, found.value)
    }

    async fn failure(&self) -> Option<Failure> {
        let run = Run::new(self.local.store(), "acme", RUN);
        let failed: Vec<Failed> = run.read_all(Inbox::Failed).await.expect("a listing");
        failed.into_iter().next().map(|failed| failed.failure)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_may_be_used_twice() {
    let content = noise(12 << 20);
    let halfway = Halfway::new(&content, 30).await;
    // As if the invocations after the checkpoint had died before they could tell.
    let kept = halfway.progress("download", Inbox::Discovered).await;
    for _ in 0..3 {
        halfway.download().await.expect("a piece");
    }
    let (key, earlier) = kept;
    drop(halfway.local.store().put(&key, &earlier, Condition::Any).await.expect("S3"));
    halfway.to_the_end().await.expect("the end");
    assert!(halfway.stored().await == content);
    assert_eq!(unfinished(&halfway.world), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_expired_is_begun_anew() {
    let content = noise(12 << 20);
    let halfway = Halfway::new(&content, 30).await;
    let uploads = unfinished(&halfway.world);
    assert_eq!(uploads.len(), 1, "a multipart upload is under way");
    std::fs::remove_dir_all(&uploads[0]).expect("it expires");
    let times = halfway.to_the_end().await.expect("the end");
    assert!(times > 30, "{times}: it went on with what was gone");
    assert!(halfway.stored().await == content);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_versions_are_never_put_together() {
    let content = noise(12 << 20);
    let halfway = Halfway::new(&content, 30).await;
    // As long as before, and a moment later.
    let mut other = noise(12 << 20);
    other.reverse();
    let path = halfway.world.source.paths()[0].clone();
    let before = std::fs::metadata(&path).and_then(|meta| meta.modified()).expect("a time");
    std::fs::write(&path, &other).expect("another version");
    let file = std::fs::File::options().write(true).open(&path).expect("the file");
    file.set_modified(before + Duration::from_secs(2)).expect("its time");
    halfway.to_the_end().await.expect("the parcel's end");
    assert!(halfway.item().await.is_none());
    let failure = halfway.failure().await.expect("a failure");
    assert_eq!(failure.class, ErrorClass::SourceChanged, "{failure}");
    assert_eq!(unfinished(&halfway.world), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_run_sweeps_what_a_dead_one_left() {
    let content = noise(12 << 20);
    let halfway = Halfway::new(&content, 30).await;
    assert_eq!(unfinished(&halfway.world).len(), 1, "a multipart upload is under way");
    let Halfway { world, local, .. } = halfway;
    local.stop().await;
    // Nobody knows the first run's execution: it is dead.
    let ended = world.run().await;
    assert_eq!(unfinished(&world), Vec::<PathBuf>::new(), "{:?}", ended.outcome.cause);
    assert!(world.opened()["large.bin"] == content);
}
