//! A stage as a Lambda function.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use domain::{Deadline, ErrorClass, Failure, METRICS, Stage};
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::config::Config;
use crate::invoke::{PANIC, bad_event, invoke, metric_line};
use crate::metrics::Metrics;

/// What is logged unless `RUST_LOG` says otherwise. `lambda_runtime` would tell each failure again.
const DEFAULT_FILTER: &str = "info,aws=warn,lambda_runtime::layers::panic=off";

/// What ends a function's process: the Lambda runtime API is gone.
pub type Error = lambda_runtime::Error;

/// Runs a stage until the sandbox ends.
///
/// A stage that cannot be built (a missing environment variable) stays up and answers every event
/// with that failure, so that the state machine sees its class and not a dead process.
///
/// # Errors
/// When the Lambda runtime API cannot be reached.
pub async fn serve<S, B, F>(names: &[&'static str], build: B) -> Result<(), Error>
where
    S: Stage,
    B: FnOnce(Config) -> F,
    F: Future<Output = Result<S, Failure>>,
{
    log_as_json();
    log_panics();
    let built = match (Config::from_env(names), Config::deadline_margin()) {
        (Ok(config), Ok(margin)) => build(config).await.map(|stage| (Arc::new(stage), margin)),
        (Err(failure), _) | (_, Err(failure)) => Err(failure),
    };
    lambda_runtime::run(service_fn(|event: LambdaEvent<Payload>| answer(built.clone(), event)))
        .await
}

/// What was handed over. Reading never fails: if it did, `lambda_runtime` would answer for itself, with
/// an `errorType` that the state machine does not know.
enum Payload {
    Json(Value),
    /// It is no JSON, for that reason.
    Unreadable(String),
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = Value::deserialize(deserializer);
        Ok(read.map_or_else(|error| Self::Unreadable(error.to_string()), Self::Json))
    }
}

async fn answer<S: Stage>(
    built: Result<(Arc<S>, Duration), Failure>,
    event: LambdaEvent<Payload>,
) -> Result<Value, Diagnostic> {
    let begun = Instant::now();
    let left = event.context.deadline().duration_since(SystemTime::now()).unwrap_or_default();
    let outcome = match (built, event.payload) {
        (Ok((stage, margin)), Payload::Json(event)) => {
            invoke(stage, event, Deadline::after(left).with_margin(margin)).await
        }
        (Ok(_), Payload::Unreadable(why)) => Err(told(S::NAME, bad_event(S::NAME, &why))),
        (Err(failure), _) => Err(told(S::NAME, failure)),
    };
    let duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let class = outcome.as_ref().err().map(|failure| failure.class.name());
    print_line(&metric_line(S::NAME, duration_ms, class));
    outcome.map_err(|failure| Diagnostic {
        error_type: failure.class.name().to_owned(),
        error_message: failure.error_message(),
    })
}

/// Logs a failure that came before the stage was called.
fn told(stage: &'static str, failure: Failure) -> Failure {
    let class = failure.class.name();
    tracing::error!(stage, class, code = %failure.code, "{}", failure.message);
    failure
}

/// A panic is a line of the log like any other, with its place; the invocation's own line follows.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let class = ErrorClass::Transient.name();
        let text = panic.payload_as_str().unwrap_or("without a word");
        tracing::error!(class, code = PANIC, place, "A defect: {text}");
    }));
}

/// Standard output is where CloudWatch reads metrics in embedded format.
fn print_line(line: &str) {
    use std::io::Write;
    // A closed standard output must not fail the work.
    drop(writeln!(std::io::stdout(), "{line}"));
}

fn log_as_json() {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    // A second call in one process keeps the first subscriber.
    let log = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_writer(std::io::stderr)
        .with_filter(filter);
    // Without a filter of its own it would ask every library for every event down to its traces.
    let metrics = Metrics(print_line).with_filter(Targets::new().with_target(METRICS, Level::INFO));
    drop(tracing_subscriber::registry().with(log).with(metrics).try_init());
}
