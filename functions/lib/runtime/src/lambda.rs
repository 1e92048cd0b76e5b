//! A stage as a Lambda function.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use domain::{Deadline, Failure, Stage};
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde_json::Value;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::config::Config;
use crate::invoke::{invoke, metric_line};
use crate::metrics::Metrics;

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
    let built = match (Config::from_env(names), Config::deadline_margin()) {
        (Ok(config), Ok(margin)) => build(config).await.map(|stage| (Arc::new(stage), margin)),
        (Err(failure), _) | (_, Err(failure)) => Err(failure),
    };
    lambda_runtime::run(service_fn(|event: LambdaEvent<Value>| answer(built.clone(), event))).await
}

async fn answer<S: Stage>(
    built: Result<(Arc<S>, Duration), Failure>,
    event: LambdaEvent<Value>,
) -> Result<Value, Diagnostic> {
    let begun = Instant::now();
    let left = event.context.deadline().duration_since(SystemTime::now()).unwrap_or_default();
    let outcome = match built {
        Ok((stage, margin)) => {
            let deadline = Deadline::after(left).with_margin(margin);
            invoke(stage, event.payload, deadline).await
        }
        Err(failure) => {
            tracing::error!(stage = S::NAME, code = %failure.code, "{}", failure.message);
            Err(failure)
        }
    };
    let duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let class = outcome.as_ref().err().map(|failure| failure.class.name());
    print_line(&metric_line(S::NAME, duration_ms, class));
    outcome.map_err(|failure| Diagnostic {
        error_type: failure.class.name().to_owned(),
        error_message: failure.error_message(),
    })
}

/// Standard output is where CloudWatch reads metrics in embedded format.
fn print_line(line: &str) {
    use std::io::Write;
    // A closed standard output must not fail the work.
    drop(writeln!(std::io::stdout(), "{line}"));
}

fn log_as_json() {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,aws=warn"));
    // A second call in one process keeps the first subscriber.
    let log = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_writer(std::io::stderr)
        .with_filter(filter);
    drop(tracing_subscriber::registry().with(log).with(Metrics(print_line)).try_init());
}
