//! The service beside what its API promises; over HTTP with the SDK of the real one.

use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_emrserverless::Client;
use aws_sdk_emrserverless::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_emrserverless::types::JobRunState;
use tokio::sync::Semaphore;

use super::*;

/// Ends each job when it is let.
#[derive(Default)]
struct Gate {
    started: AtomicUsize,
    dropped: AtomicUsize,
    let_end: Option<Semaphore>,
    fails: bool,
}

impl Gate {
    fn closed() -> Arc<Self> {
        Arc::new(Self { let_end: Some(Semaphore::new(0)), ..Self::default() })
    }

    fn open(fails: bool) -> Arc<Self> {
        Arc::new(Self { fails, ..Self::default() })
    }
}

struct CountDrop<'a>(&'a AtomicUsize);

impl Drop for CountDrop<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Runner for Gate {
    async fn run(&self, _: &SparkSubmitDriver, _: &Path) -> Result<(), String> {
        self.started.fetch_add(1, Ordering::SeqCst);
        let _dropped = CountDrop(&self.dropped);
        if let Some(let_end) = &self.let_end {
            let_end.acquire().await.unwrap().forget();
        }
        if self.fails { Err("It broke.\nthe end of its log".to_owned()) } else { Ok(()) }
    }
}

fn service(gate: &Arc<Gate>) -> EmrServerless {
    EmrServerless::new("unused", Arc::clone(gate) as _)
}

fn request(token: &str) -> StartJobRun {
    StartJobRun {
        client_token: token.to_owned(),
        execution_role_arn: "arn:aws:iam::000000000000:role/job".to_owned(),
        job_driver: JobDriver {
            spark_submit: SparkSubmitDriver {
                entry_point: "s3://bucket/job.py".to_owned(),
                entry_point_arguments: vec!["--run".to_owned(), "r".to_owned()],
                spark_submit_parameters: "--conf spark.executor.instances=1".to_owned(),
            },
        },
        name: Some("acme".to_owned()),
        execution_timeout_minutes: None,
        configuration_overrides: None,
        tags: BTreeMap::new(),
    }
}

async fn reached(service: &EmrServerless, id: &str, state: JobState) {
    let job = service.job(APPLICATION, id).unwrap();
    job.reached(state).await;
}

#[tokio::test]
async fn a_token_is_one_job_and_belongs_to_one_request() {
    let gate = Gate::open(false);
    let service = service(&gate);
    let first = service.start_job_run(APPLICATION, request("a")).unwrap();
    let again = service.start_job_run(APPLICATION, request("a")).unwrap();
    assert_eq!(first.id, again.id);
    service.ended(APPLICATION, &first.id).await.unwrap();
    assert_eq!(service.start_job_run(APPLICATION, request("a")).unwrap().id, first.id);
    assert_eq!(gate.started.load(Ordering::SeqCst), 1, "it ran once");
    let mut other = request("a");
    other.job_driver.spark_submit.entry_point_arguments.push("--more".to_owned());
    let refused = service.start_job_run(APPLICATION, other).unwrap_err();
    assert_eq!(refused.name(), "ConflictException");
    assert_ne!(service.start_job_run(APPLICATION, request("b")).unwrap().id, first.id);
}

#[tokio::test]
async fn a_job_ends_as_its_work_does() {
    for (fails, state, details) in
        [(false, JobState::Success, ""), (true, JobState::Failed, "It broke.\nthe end of its log")]
    {
        let service = service(&Gate::open(fails));
        let taken = service.start_job_run(APPLICATION, request("a")).unwrap();
        assert_eq!(taken.state, JobState::Submitted);
        let ended = service.ended(APPLICATION, &taken.id).await.unwrap();
        assert_eq!((ended.state, ended.details.as_str()), (state, details));
        // What has ended cannot be cancelled.
        assert_eq!(service.cancel_job_run(APPLICATION, &taken.id).unwrap().state, state);
    }
}

#[tokio::test]
async fn a_cancelled_job_stops_its_work() {
    let gate = Gate::closed();
    let service = service(&gate);
    let id = service.start_job_run(APPLICATION, request("a")).unwrap().id;
    reached(&service, &id, JobState::Running).await;
    assert_eq!(service.cancel_job_run(APPLICATION, &id).unwrap().state, JobState::Cancelling);
    let ended = service.ended(APPLICATION, &id).await.unwrap();
    assert_eq!(ended.state, JobState::Cancelled);
    assert_eq!(ended.details, "The job run was cancelled.");
    assert_eq!(
        gate.started.load(Ordering::SeqCst),
        gate.dropped.load(Ordering::SeqCst),
        "nothing goes on"
    );
}

#[tokio::test]
async fn a_job_that_takes_too_long_is_cancelled() {
    let gate = Gate::closed();
    let mut service = service(&gate);
    Arc::get_mut(&mut service.inner).unwrap().minute = Duration::from_millis(1);
    let limited = StartJobRun { execution_timeout_minutes: Some(5), ..request("a") };
    let id = service.start_job_run(APPLICATION, limited).unwrap().id;
    let ended = service.ended(APPLICATION, &id).await.unwrap();
    assert_eq!(ended.state, JobState::Cancelled);
    assert_eq!(ended.details, "The job run took longer than 5 minutes.");
    assert_eq!(gate.dropped.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_cannot_be_run_is_refused() {
    let service = service(&Gate::open(false));
    let mut without_end = request("a");
    without_end.job_driver.spark_submit.spark_submit_parameters = "--name 'x".to_owned();
    let mut without_program = request("a");
    without_program.job_driver.spark_submit.entry_point.clear();
    let no_role = StartJobRun { execution_role_arn: String::new(), ..request("a") };
    for bad in [request(""), request(&"a".repeat(65)), without_end, without_program, no_role] {
        let refused = service.start_job_run(APPLICATION, bad).unwrap_err();
        assert_eq!(refused.name(), "ValidationException", "{refused}");
    }
    let nowhere = service.start_job_run("other", request("a")).unwrap_err();
    assert_eq!(nowhere.name(), "ResourceNotFoundException");
    for unknown in [
        service.get_job_run(APPLICATION, "none"),
        service.cancel_job_run(APPLICATION, "none"),
        service.ended("other", "none").await,
    ] {
        assert_eq!(unknown.unwrap_err().name(), "ResourceNotFoundException");
    }
}

fn client(server: &EmrServer, access_key: &str) -> Client {
    let http = aws_smithy_http_client::Builder::new().build_http();
    let config = aws_sdk_emrserverless::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(server.endpoint())
        .credentials_provider(Credentials::new(access_key, "any", None, None, "test"))
        .http_client(http)
        .build();
    Client::from_conf(config)
}

fn start(
    client: &Client,
    token: &str,
) -> aws_sdk_emrserverless::operation::start_job_run::builders::StartJobRunFluentBuilder {
    use aws_sdk_emrserverless::types::{JobDriver, SparkSubmit};
    let driver = SparkSubmit::builder()
        .entry_point("s3://bucket/job.py")
        .entry_point_arguments("--run")
        .spark_submit_parameters("--conf spark.executor.cores=2")
        .build()
        .unwrap();
    client
        .start_job_run()
        .application_id(APPLICATION)
        .client_token(token)
        .execution_role_arn("arn:aws:iam::000000000000:role/job")
        .job_driver(JobDriver::SparkSubmit(driver))
        .name("acme")
        .tags("team", "data")
}

#[tokio::test]
async fn the_real_services_sdk_is_answered() {
    let gate = Gate::closed();
    let service = service(&gate);
    let server = EmrServer::start(service.clone()).await.unwrap();
    let client = client(&server, server.access_key());
    let started = start(&client, "t").send().await.unwrap();
    assert_eq!(started.application_id(), APPLICATION);
    assert_eq!(start(&client, "t").send().await.unwrap().job_run_id(), started.job_run_id());
    let conflict = start(&client, "t").name("other").send().await.unwrap_err().into_service_error();
    assert!(conflict.is_conflict_exception(), "{conflict:?}");

    let id = started.job_run_id();
    reached(&service, id, JobState::Running).await;
    let asked = || client.get_job_run().application_id(APPLICATION).job_run_id(id).send();
    let job = asked().await.unwrap().job_run.unwrap();
    assert_eq!(*job.state(), JobRunState::Running);
    assert_eq!(job.name(), Some("acme"));
    assert_eq!(job.tags().unwrap()["team"], "data");
    let driver = job.job_driver().unwrap().as_spark_submit().unwrap();
    assert_eq!(driver.entry_point(), "s3://bucket/job.py");
    assert_eq!(driver.entry_point_arguments(), ["--run"]);
    assert!(job.created_at().secs() > 1_700_000_000);

    client.cancel_job_run().application_id(APPLICATION).job_run_id(id).send().await.unwrap();
    service.ended(APPLICATION, id).await.unwrap();
    let job = asked().await.unwrap().job_run.unwrap();
    assert_eq!(*job.state(), JobRunState::Cancelled);
    assert_eq!(job.state_details(), "The job run was cancelled.");
    let unknown = client.get_job_run().application_id("other").job_run_id(id).send().await;
    assert!(unknown.unwrap_err().into_service_error().is_resource_not_found_exception());
}

#[tokio::test]
async fn a_stranger_on_this_machine_starts_nothing() {
    let gate = Gate::open(false);
    let server = EmrServer::start(service(&gate)).await.unwrap();
    let stranger = client(&server, "AKIDEXAMPLE");
    let refused = start(&stranger, "t").send().await.unwrap_err().into_service_error();
    assert_eq!(refused.meta().code(), Some("AccessDeniedException"));
    assert_eq!(gate.started.load(Ordering::SeqCst), 0);
}
