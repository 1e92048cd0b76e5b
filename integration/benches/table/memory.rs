//! How much memory each stage holds, each invocation in a process of its own as on Lambda, for a
//! small file and for a large one: `ROWS=memory`, which needs four times the large file of disk.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use domain::{Deadline, SecretStore};
use dray::local::{BUCKET, DEFINITION, Functions, LocalExecutions, substitutions};
use dray::s3::{Options, S3Server};
use engine::{Engine, LambdaCall, Machine, S3Object, Services, Status, SystemClock, TaskError};
use integration::{Kind, World, gzip};
use jiff::Timestamp;
use secrets::FolderSecrets;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use storage::runs::Run;
use storage::{Condition, Store};

use crate::measure::run;
use crate::rows::Row;
use crate::text::csv;
use crate::world::{hop, text};

const MIB: u64 = 1 << 20;
const SMALL_BYTES: u64 = 10 * MIB;
/// Bytes of the large file for each byte of the large file of other rows: 8 GiB.
const LARGER: u64 = 8;
/// The large file is this text again and again.
const PIECE_BYTES: u64 = 64 * MIB;
const PEAK_BYTES_MAX: u64 = 256 * MIB;
/// The name of the job that counts large files, beside those of the functions.
const JOB: &str = "count-large";
/// As long as a Lambda may run.
const TIMEOUT: Duration = Duration::from_mins(15);

/// What a process needs to be one invocation of a stage.
#[derive(Deserialize, Serialize)]
struct Invocation {
    stage: String,
    payload: Value,
    endpoint: String,
    access_key: String,
    secret_key: String,
    secrets: PathBuf,
    executions: PathBuf,
}

/// One invocation of a stage in this process; prints what it answers.
pub fn stage(file: &str) {
    let text = std::fs::read(file).expect("an invocation");
    let call: Invocation = serde_json::from_slice(&text).expect("an invocation");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let answer = runtime.block_on(async {
        let store = Store::local(&call.endpoint, &call.access_key, &call.secret_key, BUCKET);
        if call.stage == JOB {
            let word = |name: &str| call.payload[name].as_str().expect("a word").to_owned();
            let run = Run::new(&store, &word("partner"), &word("run"));
            count_large::on_threads(&run, 2).await.expect("a count");
            return Value::Null;
        }
        let secrets: Arc<dyn SecretStore> = Arc::new(FolderSecrets::new(&call.secrets));
        let executions = LocalExecutions::new(call.executions).expect("a folder");
        let functions = Functions::new(&store, &secrets, &Arc::new(executions));
        let function = functions.get(&call.stage).expect("a stage");
        function(call.payload, Deadline::after(TIMEOUT)).await.expect("the stage's work")
    });
    println!("{answer}");
}

/// All rows of memory.
pub fn rows(bytes: u64) -> Vec<Row> {
    let (small, large) = (peaks(SMALL_BYTES), peaks(bytes * LARGER));
    let gib = bytes * LARGER / (1024 * MIB);
    let row = |(stage, &large): (&String, &u64)| {
        let small = small.get(stage).copied().unwrap_or_default();
        let holds = large <= PEAK_BYTES_MAX;
        Row {
            name: format!("memory of {stage}: {gib} GiB beside 10 MiB"),
            unit: "MiB".to_owned(),
            ours: large as f64 / MIB as f64,
            peer: small as f64 / MIB as f64,
            limit: Some(PEAK_BYTES_MAX as f64 / MIB as f64),
            ratio: PEAK_BYTES_MAX as f64 / large as f64,
            bar: 1.0,
            holds,
        }
    };
    large.iter().map(row).collect()
}

/// The most memory that an invocation of each stage held, in a run over one file.
fn peaks(bytes: u64) -> BTreeMap<String, u64> {
    let world = World::new(Kind::OpenSsh);
    lay(&world, bytes);
    integration::servers().block_on(async {
        let options = Options { folder: world.state.join("s3"), buckets: vec![BUCKET.to_owned()] };
        let s3 = S3Server::start(options).await.expect("S3");
        let store = Store::local(s3.endpoint(), s3.access_key(), s3.secret_key(), BUCKET);
        let profile = world.profile();
        let key = domain::keys::profile(&profile.partner);
        drop(store.put(&key, &profile, Condition::Any).await.expect("the profile"));
        let executions = world.state.join("executions");
        let alive = LocalExecutions::new(executions.clone()).expect("a folder");
        let services = Arc::new(Processes {
            store: store.clone(),
            invocation: Box::new(move |stage, payload| Invocation {
                stage: stage.to_owned(),
                payload,
                endpoint: s3.endpoint().to_owned(),
                access_key: s3.access_key().to_owned(),
                secret_key: s3.secret_key().to_owned(),
                secrets: world.secrets.clone(),
                executions: executions.clone(),
            }),
            folder: tempfile::tempdir().expect("a folder"),
            peaks: Mutex::default(),
        });
        let machine = Machine::load(DEFINITION, &substitutions()).expect("the state machine");
        let engine =
            Engine::builder(Arc::new(machine), Arc::clone(&services) as _, Arc::new(SystemClock))
                .build()
                .expect("an engine");
        let name = dray::local::new_run_id();
        let _alive = alive.begin(&name).expect("a run");
        let outcome = engine.start(&name, json!({"partner": profile.partner})).wait().await;
        assert_eq!(outcome.status, Status::Succeeded, "{:?}", outcome.output);
        let sealed = world.partner.target.paths();
        let total: u64 =
            sealed.iter().map(|path| std::fs::metadata(path).expect("a file").len()).sum();
        assert!(total >= bytes, "{total} bytes were delivered");
        services.peaks.lock().expect("the peaks").clone()
    })
}

/// A gz of many members, each the same text: quick to make in any size.
fn lay(world: &World, bytes: u64) {
    let room = tempfile::NamedTempFile::new().expect("a file");
    let times = bytes.div_ceil(PIECE_BYTES);
    csv(room.path(), bytes.min(PIECE_BYTES));
    let piece = gzip(&std::fs::read(room.path()).expect("the text"));
    let path = world.partner.source.folder.join("large.csv.gz");
    let mut file = std::fs::File::create(path).expect("a file at the source");
    for _ in 0..times {
        file.write_all(&piece).expect("room");
    }
}

type Invoke = Box<dyn Fn(&str, Value) -> Invocation + Send + Sync>;

/// Every function as a process of its own.
struct Processes {
    store: Store,
    invocation: Invoke,
    folder: tempfile::TempDir,
    peaks: Mutex<BTreeMap<String, u64>>,
}

impl Processes {
    async fn invoke(&self, stage: &str, payload: Value) -> Result<Value, TaskError> {
        let file = self.folder.path().join(uuid::Uuid::new_v4().to_string());
        let call = serde_json::to_vec(&(self.invocation)(stage, payload)).expect("JSON");
        std::fs::write(&file, call).expect("room");
        let mut command: Command = hop(&["stage", text(&file)]);
        let ended = tokio::task::spawn_blocking(move || run(&mut command)).await;
        let (cost, printed) = ended.expect("a process");
        eprintln!("  {stage}: {:.1} MiB, {:.2} s", cost.peak_bytes as f64 / MIB as f64, cost.wall);
        let mut peaks = self.peaks.lock().expect("the peaks");
        let peak = peaks.entry(stage.to_owned()).or_default();
        *peak = cost.peak_bytes.max(*peak);
        Ok(serde_json::from_str(&printed).expect("an answer"))
    }
}

#[async_trait]
impl Services for Processes {
    async fn lambda_invoke(&self, call: LambdaCall) -> Result<Value, TaskError> {
        self.invoke(&call.function_name, call.payload).await
    }

    async fn emr_serverless_start_job_run_sync(&self, job: Value) -> Result<Value, TaskError> {
        let arguments = job["JobDriver"]["SparkSubmit"]["EntryPointArguments"].clone();
        let words: Vec<&str> =
            arguments.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let after = |name: &str| {
            let at = words.iter().position(|word| *word == name).expect("an argument");
            words[at + 1]
        };
        self.invoke(JOB, json!({"partner": after("--partner"), "run": after("--run")})).await?;
        Ok(json!({"ApplicationId": "local", "JobRunId": "local"}))
    }

    async fn events_put_events(&self, _: Value) -> Result<Value, TaskError> {
        Ok(json!({"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]}))
    }

    async fn s3_get_object(&self, _: &str, key: &str) -> Result<Vec<u8>, TaskError> {
        let found = self.store.get_bytes(key).await.expect("S3").expect("an object");
        Ok(found.value.to_vec())
    }

    async fn s3_list_objects_v2(&self, _: &str, prefix: &str) -> Result<Vec<S3Object>, TaskError> {
        let listed = self.store.list(prefix).await.expect("S3");
        let object = |entry: storage::Listed| S3Object {
            key: entry.key,
            size: entry.size,
            etag: String::new(),
            last_modified: Timestamp::UNIX_EPOCH,
            storage_class: "STANDARD".to_owned(),
        };
        Ok(listed.into_iter().map(object).collect())
    }

    async fn s3_put_object(&self, _: &str, key: &str, body: Vec<u8>) -> Result<(), TaskError> {
        drop(self.store.put_bytes(key, Bytes::from(body), Condition::Any).await.expect("S3"));
        Ok(())
    }
}
