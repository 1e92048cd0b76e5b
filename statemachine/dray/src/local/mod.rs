//! The embedded world: everything that AWS does for a run, on one machine over one folder.

mod executions;
mod functions;
mod services;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use domain::events::{Start, Summary};
use domain::keys::{self, RunKeys};
use domain::{Profile, SecretStore, Stage, sealable_bytes};
use engine::{Clock, Engine, Identity, Injections, Machine, Observer, Outcome, SystemClock};
use jiff::Timestamp;
use runtime::Config;
use storage::{Condition, Store};

use crate::emr::{self, EmrServerless, JobFiles, Runner, SparkSubmit, Threads};
use crate::s3::{Options as S3Options, S3Server};

pub use executions::LocalExecutions;
pub use functions::Functions;

/// The state machine, the very file that is deployed.
pub const DEFINITION: &str = include_str!("../../../delivery.asl.json");
/// The one bucket of a laptop.
pub const BUCKET: &str = "drayage";
/// Where the Spark job's files are in the bucket.
pub const JOBS: &str = "jobs/local";
/// Parallel invocations of the Maps that no partner limits: what two to eight cores keep busy.
const LOCAL_CONCURRENCY: u32 = 4;

/// What the placeholders of the definition stand for here.
#[must_use]
pub fn substitutions() -> BTreeMap<String, String> {
    let functions = Functions::NAMES.iter().map(|name| {
        let mut letters = name.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        let word: String = first.into_iter().chain(letters).collect();
        (format!("{word}Function"), (*name).to_owned())
    });
    let others = [
        ("SparkApplicationId", emr::APPLICATION),
        ("SparkJobRoleArn", "local"),
        ("EventBusName", "default"),
    ];
    functions.chain(others.map(|(name, value)| (name.to_owned(), value.to_owned()))).collect()
}

/// How long after its time a rehearsed invocation is cut off.
const CUT_OFF_AFTER: Duration = Duration::from_secs(30);

/// Functions whose invocations are of another length than the state machine's, by name.
pub type Rehearsals = BTreeMap<&'static str, Invocations>;

/// The length of one function's invocations.
#[derive(Clone, Copy, Debug)]
pub struct Invocations {
    /// When one is cut off.
    pub limit: Duration,
    /// How long before that it stops taking on work.
    pub margin: Duration,
}

impl Invocations {
    /// Functions that go on in their next invocation where one stops.
    pub const GO_ON: [&'static str; 3] =
        [download::Download::NAME, unpack::Unpack::NAME, upload::Upload::NAME];

    /// That stop taking on work after three quarters of that time. They are cut off late: on a
    /// machine that is busy with other things, finishing what is in hand may take its time.
    #[must_use]
    pub fn of(time: Duration) -> Self {
        Self { limit: time + CUT_OFF_AFTER, margin: time / 4 + CUT_OFF_AFTER }
    }
}

/// A Spark of this machine.
#[derive(Clone, Debug)]
pub struct Spark {
    /// Where it runs, such as `local[2]`.
    pub master: String,
    /// Such as `spark-submit`.
    pub program: PathBuf,
    /// The command that is the range counter: a program and its first arguments.
    pub counter: Vec<String>,
}

/// A stage's way to the bucket, by its name.
pub type Ways = Arc<dyn Fn(&'static str, &S3Server) -> Store + Send + Sync>;

/// How to build the world.
pub struct Options {
    /// Folder that holds bucket, ledger and locks.
    pub state: PathBuf,
    /// Folder where SFTP connections are counted together with those of other processes.
    pub connections: PathBuf,
    /// Where secrets come from.
    pub secrets: Arc<dyn SecretStore>,
    /// Real Spark counts large members; without it, threads of this process do.
    pub spark: Option<Spark>,
    /// How long invocations may take; without a word, as long as the state machine says.
    pub invocations: Rehearsals,
    /// Rehearsed failures.
    pub injections: Injections,
    /// Stages' ways to the bucket; without a word, each calls the server of this process. Tests bring
    /// ways on which requests get lost.
    pub ways: Option<Ways>,
    /// Time; tests bring one that does not wait.
    pub clock: Arc<dyn Clock>,
    /// Sees every event of every execution.
    pub observer: Option<Arc<dyn Observer>>,
}

impl Options {
    /// Real time, no rehearsed failure, nobody watching.
    #[must_use]
    pub fn new(state: impl Into<PathBuf>, secrets: Arc<dyn SecretStore>) -> Self {
        let state = state.into();
        Self {
            connections: state.join("connections"),
            state,
            secrets,
            spark: None,
            invocations: Rehearsals::new(),
            injections: Injections::new(),
            ways: None,
            clock: Arc::new(SystemClock),
            observer: None,
        }
    }
}

/// A running world.
pub struct Local {
    state: PathBuf,
    s3: S3Server,
    store: Store,
    engine: Engine,
    executions: Arc<LocalExecutions>,
}

impl Local {
    /// Starts S3 and the engine over the state folder.
    ///
    /// # Errors
    /// When the folder cannot be used, or an injection names no Task.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&options.state)
            .with_context(|| format!("cannot make the state folder {}", options.state.display()))?;
        let state = std::path::absolute(&options.state)?;
        sftp::share_connections(&options.connections)
            .with_context(|| format!("cannot make the folder {}", options.connections.display()))?;
        let s3 = S3Server::start(S3Options {
            folder: state.join("s3"),
            buckets: vec![BUCKET.to_owned()],
        })
        .await?;
        let store = s3.store(BUCKET);
        let executions = Arc::new(LocalExecutions::new(state.join("executions"))?);
        let sealable = match options.invocations.get(encrypt::Encrypt::NAME) {
            Some(own) => sealable_bytes(own.limit, own.margin),
            None => Config::sealable_bytes()?,
        };
        let ways = options.ways;
        let way = |stage| ways.as_ref().map_or_else(|| store.clone(), |way| way(stage, &s3));
        let functions = Functions::with_stores(&way, &options.secrets, &executions, sealable);
        let runner = runner(options.spark, &s3, &way(count_large::NAME)).await?;
        let emr = EmrServerless::new(state.join("emr"), runner);
        let services =
            services::LocalServices::new(store.clone(), functions, emr, options.invocations);
        let machine = Arc::new(Machine::load(DEFINITION, &substitutions())?);
        let mut builder = Engine::builder(machine, Arc::new(services), options.clock)
            .injections(options.injections)
            .identity(Identity::default());
        if let Some(observer) = options.observer {
            builder = builder.observer(observer);
        }
        Ok(Self { state, s3, store, engine: builder.build()?, executions })
    }

    /// The bucket.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// The loaded state machine.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        self.engine.machine()
    }

    /// The folder where the bucket's objects are plain files.
    #[must_use]
    pub fn bucket_folder(&self) -> PathBuf {
        self.state.join("s3").join(BUCKET)
    }

    /// The folder that holds everything.
    #[must_use]
    pub fn state_folder(&self) -> &Path {
        &self.state
    }

    /// Stores a partner's profile, over an older one.
    ///
    /// # Errors
    /// When the bucket cannot be written.
    pub async fn put_profile(&self, profile: &Profile) -> anyhow::Result<()> {
        let key = keys::profile(&profile.partner);
        drop(self.store.put(&key, profile, Condition::Any).await?);
        Ok(())
    }

    /// Runs the state machine to its end under a name that becomes the run's id.
    ///
    /// Dropping the future aborts the execution; its lease is then free for the next one.
    ///
    /// # Errors
    /// When the execution's lock cannot be made.
    pub async fn execute(&self, run: &str, start: &Start) -> anyhow::Result<Arc<Outcome>> {
        // Held as long as the execution may run: others tell by it that the lease is in use.
        let _alive = self.executions.begin(run)?;
        let execution = self.engine.start(run, serde_json::to_value(start)?);
        let abort = AbortOnDrop(&execution);
        let outcome = execution.wait().await;
        drop(abort);
        if domain::profile::is_partner_name(&start.partner) {
            let root = RunKeys::new(&start.partner, run).root();
            let history = format!("{root}history.json");
            drop(self.store.put(&history, &outcome.history, Condition::Any).await?);
            // The Maps' children, each with its history.
            let children = format!("{root}children.json");
            drop(self.store.put(&children, &outcome.children, Condition::Any).await?);
        }
        Ok(outcome)
    }

    /// A run's summary, once it is finished.
    ///
    /// # Errors
    /// When the bucket cannot be read.
    pub async fn summary(&self, partner: &str, run: &str) -> anyhow::Result<Option<Summary>> {
        let key = RunKeys::new(partner, run).summary();
        Ok(self.store.get(&key).await?.map(|found| found.value))
    }

    /// Ends in good order.
    pub async fn stop(self) {
        self.s3.stop().await;
    }
}

/// What does the jobs; for Spark, with its files in the bucket.
async fn runner(
    spark: Option<Spark>,
    s3: &S3Server,
    store: &Store,
) -> anyhow::Result<Arc<dyn Runner>> {
    let Some(Spark { master, program, counter }) = spark else {
        return Ok(Arc::new(Threads::new(store.clone())));
    };
    JobFiles { counter }.publish(store, JOBS).await?;
    let environment = [
        ("AWS_ENDPOINT_URL", s3.endpoint()),
        ("AWS_ACCESS_KEY_ID", s3.access_key()),
        ("AWS_SECRET_ACCESS_KEY", s3.secret_key()),
        ("AWS_REGION", "us-east-1"),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    Ok(Arc::new(SparkSubmit { master, program, store: store.clone(), environment }))
}

struct AbortOnDrop<'a>(&'a engine::Execution);

impl Drop for AbortOnDrop<'_> {
    fn drop(&mut self) {
        // Of no effect on an execution that has ended.
        self.0.abort();
    }
}

/// A run id that sorts by time and that no other run has.
#[must_use]
pub fn new_run_id() -> String {
    let time = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let random = uuid::Uuid::new_v4().simple().to_string();
    format!("{time}-{}", random.get(..8).unwrap_or_default())
}
