//! Files that take longer than one invocation: they go on where they stopped, and are never put
//! together from two versions.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use domain::items::{Failed, FileItem};
use domain::keys::Inbox;
use domain::{Deadline, ErrorClass, Failure, SecretStore};
use dray::local::{Functions, Invocations, Local, LocalExecutions};
use engine::{EventType, Notice};
use integration::World;
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

fn unfinished(world: &World) -> Vec<PathBuf> {
    let folder = world.state.join("s3/.uploads");
    std::fs::read_dir(folder).map_or_else(
        |_| Vec::new(),
        |entries| entries.map(|entry| entry.expect("an upload").path()).collect(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_takes_many_invocations_arrives_whole() {
    let world = World::embedded();
    let large = noise(6 << 20);
    world.put("large.bin", &large);
    world.put("small.csv", b"id\n1\n");
    let mut options = world.options();
    options.invocations = Some(HURRY);
    let entered = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&entered);
    options.observer = Some(Arc::new(move |notice: Notice<'_>| {
        let event = notice.event;
        if event.event_type == EventType::TaskStateEntered && event.state() == Some("Download") {
            counter.fetch_add(1, Ordering::SeqCst);
        }
    }));
    let ended = world.run_with(options, world.start()).await;
    let downloads = entered.load(Ordering::SeqCst);
    assert!(downloads >= INVOCATIONS, "{downloads}: {:?}", ended.outcome.cause);
    let opened = world.opened();
    assert_eq!(opened["small.csv"], b"id\n1\n");
    assert!(opened["large.bin"] == large, "other bytes arrived");
    assert_eq!(unfinished(&world), Vec::<PathBuf>::new());
}

/// A run that stands in the middle of a download.
struct Halfway {
    world: World,
    local: Local,
    functions: Functions,
    event: Value,
}

impl Halfway {
    /// After that many invocations of Download.
    async fn new(content: &[u8], times: usize) -> Self {
        let world = World::embedded();
        world.put("large.bin", content);
        let local = Local::start(world.options()).await.expect("the embedded world");
        local.put_profile(&world.profile()).await.expect("a profile");
        let secrets: Arc<dyn SecretStore> = Arc::new(FolderSecrets::new(&world.secrets));
        let executions = LocalExecutions::new(world.state.join("bench")).expect("executions");
        let functions = Functions::new(local.store(), &secrets, &Arc::new(executions));
        let mut halfway = Self { world, local, functions, event: Value::Null };
        let run = "20260301T060000Z-5f3a9c1e";
        let execution = format!("arn:aws:states:local:000000000000:execution:machine:{run}");
        let discover = json!({"run": run, "execution": execution, "start": {"partner": "acme"}});
        halfway.call("discover", discover).await.expect("discovered");
        let plan = json!({"partner": "acme", "run": run, "phase": "fetch"});
        let wave = halfway.call("plan", plan).await.expect("planned");
        let list = wave["key"].as_str().expect("a list's key");
        let parcels = halfway.local.store().get::<Value>(list).await.expect("a list");
        let parcel = &parcels.expect("a list").value[0]["parcel"];
        halfway.event = json!({"partner": "acme", "run": run, "phase": "fetch", "parcel": parcel});
        for _ in 0..times {
            assert_eq!(halfway.download().await.expect("a piece")["more"], true);
        }
        halfway
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
        let run = Run::new(self.local.store(), "acme", self.event["run"].as_str().expect("a run"));
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

    /// Where Download stands, and where that is kept.
    async fn progress(&self) -> (String, Value) {
        let store = self.local.store();
        let run = Run::new(store, "acme", self.event["run"].as_str().expect("a run"));
        let names = run.names(Inbox::Discovered).await.expect("a listing");
        let key = run.keys().progress("download", &names[0]);
        let found = store.get(&key).await.expect("S3").expect("a checkpoint");
        (key, found.value)
    }

    async fn failure(&self) -> Option<Failure> {
        let run = Run::new(self.local.store(), "acme", self.event["run"].as_str().expect("a run"));
        let failed: Vec<Failed> = run.read_all(Inbox::Failed).await.expect("a listing");
        failed.into_iter().next().map(|failed| failed.failure)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_may_be_used_twice() {
    let content = noise(12 << 20);
    let halfway = Halfway::new(&content, 30).await;
    // As if the invocations after the checkpoint had died before they could tell.
    let kept = halfway.progress().await;
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
