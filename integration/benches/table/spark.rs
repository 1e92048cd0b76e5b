//! Counting large members: Inspect in one invocation beside a Spark job, for files of several sizes,
//! how Spark scales with executors, and two partners at once. `ROWS=spark`, which needs Java and
//! 16 GiB of disk for a gibibyte of other rows' large file.
//!
//! Both count the same object in the same local bucket with the same counter, on the same cores: what
//! differs is what it takes to begin.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use domain::ids::Name;
use domain::items::{Expanded, FileItem, FileRef, MemberItem};
use domain::keys::{Inbox, Phase};
use domain::{Deadline, SecretStore};
use dray::emr::{JobFiles, Runner, SparkSubmit, SparkSubmitDriver};
use dray::local::{BUCKET, Functions, LocalExecutions};
use dray::s3::{Options, S3Server};
use integration::World;
use jiff::Timestamp;
use secrets::FolderSecrets;
use serde_json::json;
use storage::runs::Run;
use storage::{Condition, Store};
use tempfile::TempDir;

use crate::rows::Row;
use crate::text::csv;

/// Gibibytes of the files that both count.
const SIZES: [u64; 3] = [1, 4, 16];
/// The text that a file repeats.
const PIECE_BYTES: u64 = 64 << 20;
const SUBMIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../.venv-bench/bin/spark-submit");
const JOBS: &str = "jobs/local";
/// Ranges of a job.
const SPLITS: &str = "16";

/// All rows of Spark.
pub fn rows(bytes: u64) -> Vec<Row> {
    integration::servers().block_on(async {
        let house = House::new().await;
        let mut rows = Vec::new();
        let nothing = house.lay("empty", 1 << 20).await;
        let start =
            house.spark("local[2]", &[&house.run("start", &nothing, Inbox::Large).await]).await;
        rows.push(row("Spark's start: a job of 1 MiB on local[2]".to_owned(), start, None));
        for gib in SIZES {
            let object = house.lay("large", gib * bytes).await;
            let inspect =
                house.inspect(&house.run(&format!("i{gib}"), &object, Inbox::Members).await).await;
            let run = house.run(&format!("s{gib}"), &object, Inbox::Large).await;
            let spark = house.spark("local[2]", &[&run]).await;
            let mib = (gib * bytes) >> 20;
            rows.push(row(format!("count {mib} MiB: Spark local[2]"), inspect, Some(spark)));
            if gib != SIZES[1] {
                continue;
            }
            for executors in [1, 2, 4] {
                let run = house.run(&format!("e{executors}"), &object, Inbox::Large).await;
                let master = format!("local-cluster[{executors},1,1024]");
                let took = house.spark(&master, &[&run]).await;
                let name = format!("Spark counts {mib} MiB on {executors} executors of one core");
                rows.push(row(name, took, None));
            }
            let runs = (
                house.run("p1", &object, Inbox::Large).await,
                house.run("p2", &object, Inbox::Large).await,
            );
            let took = house.spark("local[2]", &[&runs.0, &runs.1]).await;
            rows.push(row(format!("two partners' jobs of {mib} MiB at once"), took, Some(spark)));
        }
        rows
    })
}

fn row(name: String, seconds: f64, peer: Option<f64>) -> Row {
    Row {
        name,
        unit: "s".to_owned(),
        ours: seconds,
        peer: peer.unwrap_or(seconds),
        limit: None,
        ratio: peer.unwrap_or(seconds) / seconds,
        bar: 0.0,
        holds: true,
    }
}

/// An object that is counted, and its records.
struct Object {
    key: String,
    bytes: u64,
    records: u64,
}

struct House {
    /// Its secrets.
    _world: World,
    s3: S3Server,
    store: Store,
    functions: Functions,
    folder: TempDir,
    piece: Bytes,
    /// Lines of the piece.
    lines: u64,
}

impl House {
    async fn new() -> Self {
        let mut world = World::embedded();
        world.partner.profile["records"] = json!({
            "model": "csv", "header_records": 1, "large_above_bytes": 1_u64 << 50,
        });
        let folder = tempfile::tempdir().expect("a folder");
        let options =
            Options { folder: folder.path().join("s3"), buckets: vec![BUCKET.to_owned()] };
        let s3 = S3Server::start(options).await.expect("S3");
        let store = s3.store(BUCKET);
        let key = domain::keys::profile("acme");
        drop(store.put(&key, &world.profile(), Condition::Any).await.expect("the profile"));
        let secrets: Arc<dyn SecretStore> = Arc::new(FolderSecrets::new(&world.secrets));
        let executions = LocalExecutions::new(folder.path().join("executions")).expect("a folder");
        let functions = Functions::new(&store, &secrets, &Arc::new(executions));
        let program = integration::program().display().to_string();
        let files = JobFiles { counter: vec![program, count_large::NAME.to_owned()] };
        files.publish(&store, JOBS).await.expect("the job's files");
        let text = folder.path().join("piece.csv");
        let lines = csv(&text, PIECE_BYTES) + 1;
        let piece = std::fs::read(&text).expect("the text").into();
        Self { _world: world, s3, store, functions, folder, piece, lines }
    }

    /// An object of about that many bytes, over the one of that name.
    async fn lay(&self, name: &str, bytes: u64) -> Object {
        let key = format!("data/bench/{name}");
        let mut writer = self.store.writer_for(&key, bytes);
        let times = bytes.div_ceil(PIECE_BYTES);
        for _ in 0..times {
            writer.write(self.piece.clone()).await.expect("room");
        }
        let written = writer.finish().await.expect("an object");
        // The first line of the first piece is the header.
        Object { key, bytes: written.bytes, records: times * self.lines - 1 }
    }

    /// A run with that object as its one member, which waits in that inbox to be counted.
    async fn run(&self, id: &str, object: &Object, inbox: Inbox) -> Counting {
        let run = Run::new(&self.store, "acme", &format!("20260301T060000Z-{id}"));
        run.snapshot_profile().await.expect("the profile");
        let name = Name::new(object.bytes, "5f3a9c1e5f3a9c1e5f3a9c1e5f3a9c1e");
        let file = FileRef {
            name: name.clone(),
            path: "large.csv".to_owned(),
            size_bytes: object.bytes,
            mtime_seconds: Timestamp::UNIX_EPOCH.as_second(),
        };
        let unpacked = FileItem {
            file: file.clone(),
            resend: None,
            downloaded: None,
            expanded: Some(Expanded { format: "plain".to_owned(), members: vec![name.clone()] }),
        };
        run.write(Inbox::Expanded, &name, &unpacked).await.expect("an item");
        let item = MemberItem {
            name: name.clone(),
            file,
            resend: None,
            path: "large.csv".to_owned(),
            from_archive: false,
            bytes: object.bytes,
            sha256: String::new(),
            key: object.key.clone(),
            count: None,
            report: None,
            sealed: None,
        };
        run.write(inbox, &name, &item).await.expect("an item");
        Counting { run, name, records: object.records }
    }

    /// Seconds of the Lambda that counts.
    async fn inspect(&self, counting: &Counting) -> f64 {
        let id = counting.run.keys().run();
        let plan = json!({"partner": "acme", "run": id, "phase": Phase::Inspect});
        let call = |name: &str, event| {
            (self.functions.get(name).expect("a function"))(event, Deadline::NONE)
        };
        let wave = call("plan", plan).await.expect("planned");
        let list = wave["key"].as_str().expect("a list's key");
        let parcels = self.store.get::<serde_json::Value>(list).await.expect("S3");
        let parcel = &parcels.expect("a list").value[0]["parcel"];
        let event = json!({
            "partner": "acme", "run": id, "phase": Phase::Inspect, "parcel": parcel,
        });
        let begun = Instant::now();
        call("inspect", event).await.expect("counted");
        let took = begun.elapsed().as_secs_f64();
        counting.check().await;
        took
    }

    /// Seconds of a job for each run, all at once.
    async fn spark(&self, master: &str, runs: &[&Counting]) -> f64 {
        let begun = Instant::now();
        let jobs = runs.iter().map(|counting| self.job(master, counting));
        futures::future::join_all(jobs).await;
        let took = begun.elapsed().as_secs_f64();
        for counting in runs {
            counting.check().await;
        }
        took
    }

    async fn job(&self, master: &str, counting: &Counting) {
        let environment = [
            ("AWS_ENDPOINT_URL", self.s3.endpoint()),
            ("AWS_ACCESS_KEY_ID", self.s3.access_key()),
            ("AWS_SECRET_ACCESS_KEY", self.s3.secret_key()),
            ("AWS_REGION", "us-east-1"),
        ];
        let spark = SparkSubmit {
            master: master.to_owned(),
            program: SUBMIT.into(),
            store: self.store.clone(),
            environment: environment
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        };
        let id = counting.run.keys().run();
        let words = ["--bucket", BUCKET, "--partner", "acme", "--run", id, "--splits", SPLITS];
        let job = SparkSubmitDriver {
            entry_point: format!("s3://{BUCKET}/{JOBS}/{}", count_large::SPARK_JOB_NAME),
            entry_point_arguments: words.map(str::to_owned).into(),
            spark_submit_parameters: format!(
                "--conf spark.executor.memory=1g --conf spark.executor.cores=1 --conf \
                 spark.archives=s3://{BUCKET}/{JOBS}/{}#counter",
                count_large::ARCHIVE_NAME
            ),
        };
        let folder: PathBuf = self.folder.path().join(format!("job-{id}"));
        spark.run(&job, &folder).await.unwrap_or_else(|why| panic!("{why}"));
    }
}

/// A run whose member is counted.
struct Counting {
    run: Run,
    name: Name,
    records: u64,
}

impl Counting {
    /// The count must be right.
    async fn check(&self) {
        let item: MemberItem = self.run.expect(Inbox::Counted, &self.name).await.expect("counted");
        assert_eq!(item.count.expect("a count").records, Some(self.records));
    }
}
