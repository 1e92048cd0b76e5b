//! Somebody else's AWS around a world: MiniStack runs the deployed state machine and the built
//! function programs against the world's servers, in the place of our engine.
//!
//! `engines/pipeline.py` is the other half. EMR Serverless, which MiniStack lacks, is ours.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use dray::emr::{
    EmrServer, EmrServerless, JobFiles, Runner, SparkSubmit, SparkSubmitDriver, Threads,
};
use dray::local::{BUCKET, DEFINITION, Functions, JOBS, Spark};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use storage::Store;
use tempfile::TempDir;

use crate::binary::built;
use crate::{Faults, World};

/// The account that MiniStack works for, and its access key.
const ACCOUNT: &str = "000000000000";
/// What jobs run as; nobody checks it here, but it must look like one.
const JOB_ROLE: &str = "arn:aws:iam::000000000000:role/job";
/// Before every secret's name.
const PREFIX: &str = "drayage/test/";
/// Seconds that an invocation may take.
const TIMEOUT_SECONDS: u32 = 900;

/// A running MiniStack with everything that a deployment has. Stops when dropped.
pub struct MiniStack {
    process: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    /// The bucket.
    pub store: Store,
    _emr: EmrServer,
    _folder: TempDir,
}

/// What does the jobs of EMR Serverless.
#[derive(Clone, Debug)]
pub enum Jobs {
    /// Threads of this process.
    Threads,
    /// A program that fails, so many times; then threads.
    Fail(u32),
    /// A Spark.
    Spark(Spark),
}

/// Fails before it works.
struct Failing {
    left: AtomicU32,
    first: SparkSubmit,
    then: Threads,
}

#[async_trait]
impl Runner for Failing {
    async fn run(&self, job: &SparkSubmitDriver, folder: &Path) -> Result<(), String> {
        let one_less = |left: u32| left.checked_sub(1);
        match self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less) {
            Ok(_) => self.first.run(job, folder).await,
            Err(_) => self.then.run(job, folder).await,
        }
    }
}

/// An execution that has ended.
#[derive(Debug, Deserialize)]
pub struct Execution {
    /// Its ARN.
    pub arn: String,
    /// `SUCCEEDED`, `FAILED` …
    pub status: String,
    /// What it left, if it succeeded.
    pub output: Option<Value>,
    /// The error's name, if it did not.
    pub error: Option<String>,
    /// And its cause.
    pub cause: Option<String>,
    /// The states that it entered, in order.
    pub entered: Vec<String>,
    /// The children of its Maps.
    pub children: Vec<MapChild>,
    /// What went to the event bus: source, type, detail.
    pub events: Vec<Value>,
}

/// A child of a distributed Map.
#[derive(Debug, Deserialize)]
pub struct MapChild {
    /// How it ended.
    pub status: String,
    /// Its Tasks, in the order in which it entered them.
    pub entered: Vec<String>,
}

impl MiniStack {
    /// Deploys into a new MiniStack: profile and secrets of the world's first partner, the functions
    /// as they were built, with faults where these name some, and what does the Spark jobs.
    ///
    /// # Panics
    /// When something is missing or does not start.
    pub async fn start(world: &World, faults: &Faults, jobs: &Jobs) -> Self {
        let folder = tempfile::tempdir().expect("a folder for MiniStack");
        let port = free_port();
        let store = Store::local(format!("http://127.0.0.1:{port}"), ACCOUNT, "any", BUCKET);
        let emr = EmrServerless::new(folder.path().join("emr"), runner(jobs, &store, port));
        let emr = EmrServer::start(emr).await.expect("an EMR Serverless");
        let functions = functions(folder.path(), faults);
        let mut substitutions = dray::local::substitutions();
        substitutions.insert("SparkJobRoleArn".to_owned(), JOB_ROLE.to_owned());
        let spec = json!({
            "port": port,
            "folder": folder.path().join("ministack"),
            "definition": DEFINITION,
            "substitutions": substitutions,
            "machine": "machine",
            "bucket": BUCKET,
            "objects": {domain::keys::profile(&world.partner.name): world.partner.profile.to_string()},
            "secrets": secrets(&world.secrets),
            "emr": {"endpoint": emr.endpoint(), "access_key": emr.access_key()},
            "functions": functions,
        });
        let (process, requests, answers) = python();
        let mut stack =
            Self { process, requests: Some(requests), answers, store, _emr: emr, _folder: folder };
        stack.ask(&spec);
        if let Some(Spark { counter, .. }) = jobs.spark() {
            let published = JobFiles { counter }.publish(&stack.store, JOBS).await;
            published.expect("the job's files");
        }
        stack
    }

    /// Runs the state machine to its end.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn run(&mut self, name: &str, input: &Value) -> Execution {
        let answer = self.ask(&json!({"do": "run", "name": name, "input": input}));
        serde_json::from_value(answer).expect("an execution")
    }

    /// Puts an object into the bucket.
    ///
    /// # Panics
    /// When MiniStack does not answer.
    pub fn put(&mut self, key: &str, text: &str) {
        self.ask(&json!({"do": "put", "key": key, "text": text}));
    }

    /// Everything in the bucket; nothing for what is no text.
    ///
    /// # Panics
    /// When MiniStack does not answer.
    pub fn objects(&mut self) -> BTreeMap<String, Option<String>> {
        serde_json::from_value(self.ask(&json!({"do": "objects"}))).expect("objects")
    }

    fn ask(&mut self, request: &Value) -> Value {
        let requests = self.requests.as_mut().expect("it is running");
        writeln!(requests, "{request}").expect("MiniStack listens");
        let mut line = String::new();
        let length = self.answers.read_line(&mut line).expect("MiniStack answers");
        assert!(length > 0, "MiniStack ended at {request}; what it said is above");
        serde_json::from_str(&line).expect("an answer in JSON")
    }
}

impl Drop for MiniStack {
    fn drop(&mut self) {
        // It ends with its input, and its functions with it.
        drop(self.requests.take());
        drop(self.process.wait());
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

fn python() -> (Child, ChildStdin, BufReader<ChildStdout>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut python = Command::new(root.join("../.venv-engines/bin/python"));
    python.arg(root.join("engines/pipeline.py")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = python.spawn().expect(".venv-engines/bin/python is missing: make tools");
    let requests = process.stdin.take().expect("its input");
    let answers = BufReader::new(process.stdout.take().expect("its output"));
    (process, requests, answers)
}

/// Every secret of the folder, by the name that it has in Secrets Manager.
fn secrets(folder: &Path) -> Map<String, Value> {
    let mut found = Map::new();
    for partner in std::fs::read_dir(folder).expect("secrets") {
        let partner = partner.expect("a partner's secrets");
        for secret in std::fs::read_dir(partner.path()).expect("secrets") {
            let path = secret.expect("a secret").path();
            let name = path.strip_prefix(folder).expect("below").display().to_string();
            let text = std::fs::read_to_string(&path).expect("a secret");
            found.insert(format!("{PREFIX}{name}"), text.into());
        }
    }
    found
}

fn runner(jobs: &Jobs, store: &Store, port: u16) -> Arc<dyn Runner> {
    let environment = [
        ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}")),
        ("AWS_ACCESS_KEY_ID", ACCOUNT.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "any".to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
    ];
    let environment: Vec<_> =
        environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let submit = |spark: &Spark| SparkSubmit {
        master: spark.master.clone(),
        program: spark.program.clone(),
        store: store.clone(),
        environment: environment.clone(),
    };
    let threads = Threads::new(store.clone());
    match jobs {
        Jobs::Threads => Arc::new(threads),
        Jobs::Fail(times) => {
            let first = submit(&Jobs::failing());
            Arc::new(Failing { left: AtomicU32::new(*times), first, then: threads })
        }
        Jobs::Spark(spark) => Arc::new(submit(spark)),
    }
}

impl Jobs {
    /// A Spark whose every job fails.
    #[must_use]
    pub fn failing() -> Spark {
        Spark { master: "local".into(), program: "false".into(), counter: vec!["false".into()] }
    }

    fn spark(&self) -> Option<Spark> {
        match self {
            Self::Threads => None,
            Self::Fail(_) => Some(Self::failing()),
            Self::Spark(spark) => Some(spark.clone()),
        }
    }
}

/// What is deployed of every function.
fn functions(folder: &Path, faults: &Faults) -> Map<String, Value> {
    let environment = json!({
        "DRAYAGE_BUCKET": BUCKET,
        "DRAYAGE_SECRETS_PREFIX": PREFIX,
        "DRAYAGE_INSPECT_CONCURRENCY": "4",
        "DRAYAGE_SEAL_CONCURRENCY": "4",
        "DRAYAGE_JOB_PREFIX": format!("s3://{BUCKET}/{JOBS}"),
        "RUST_LOG": "warn",
    });
    let one = |name: &&str| {
        let zip = faults.package(name, &built(name), folder);
        let function =
            json!({"zip": zip, "timeout": TIMEOUT_SECONDS, "environment": environment.clone()});
        ((*name).to_owned(), function)
    };
    Functions::NAMES.iter().map(one).collect()
}
