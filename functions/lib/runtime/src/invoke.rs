//! One invocation: event in, answer or classed failure out, whatever happens in between.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use domain::{Deadline, Failure, Stage};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tracing::{error, info};

/// Time kept back so that a failure is answered before the sandbox is cut off; less if the
/// deadline's margin is small.
const ANSWER_MARGIN: std::time::Duration = std::time::Duration::from_secs(2);

/// The code of a panic.
pub(crate) const PANIC: &str = "runtime.panic";

/// A stage without its types, as local callers keep them in a table.
pub type BoxedStage = Arc<
    dyn Fn(Value, Deadline) -> Pin<Box<dyn Future<Output = Result<Value, Failure>> + Send>>
        + Send
        + Sync,
>;

/// Takes a stage's types away.
pub fn boxed<S: Stage>(stage: S) -> BoxedStage {
    let stage = Arc::new(stage);
    Arc::new(move |event, deadline| Box::pin(invoke(Arc::clone(&stage), event, deadline)))
}

/// Calls a stage: reads the event, bounds it by the deadline, turns a panic into a failure, logs
/// the outcome once and writes one metric line.
///
/// # Errors
/// The stage's own failure; `Misconfigured` for an event that is none of its; `Transient` for a
/// panic or a missed deadline.
pub async fn invoke<S: Stage>(
    stage: Arc<S>,
    event: Value,
    deadline: Deadline,
) -> Result<Value, Failure> {
    let begun = Instant::now();
    let run = event.get("run").and_then(Value::as_str).unwrap_or_default().to_owned();
    let outcome = guarded(stage, event, deadline).await;
    let duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    match &outcome {
        Ok(_) => info!(stage = S::NAME, run, duration_ms, "stage done"),
        Err(failure) => error!(
            stage = S::NAME,
            run,
            duration_ms,
            class = failure.class.name(),
            code = %failure.code,
            "{}",
            failure.message
        ),
    }
    outcome
}

async fn guarded<S: Stage>(
    stage: Arc<S>,
    event: Value,
    deadline: Deadline,
) -> Result<Value, Failure> {
    let input =
        serde_json::from_value(event).map_err(|error| bad_event(S::NAME, &error.to_string()))?;
    // A task of its own catches a panic; aborting it with the caller keeps cancellation whole.
    let task = AbortOnDrop(tokio::spawn(async move { stage.handle(input, deadline).await }));
    let limit = deadline.remaining().saturating_sub(ANSWER_MARGIN.min(deadline.margin() / 8));
    let output = match tokio::time::timeout(limit, task).await {
        Ok(Ok(outcome)) => outcome?,
        Ok(Err(_)) => {
            return Err(Failure::transient(
                PANIC,
                format!("{} met a defect of its own; the log has the place.", S::NAME),
            ));
        }
        Err(_) => {
            return Err(Failure::transient(
                "runtime.deadline",
                format!("{} was not done when its time ran out.", S::NAME),
            ));
        }
    };
    serde_json::to_value(output).map_err(|error| {
        Failure::rejected("runtime.answer", format!("The answer cannot be written: {error}."))
    })
}

/// An event that the stage cannot read, and why.
pub(crate) fn bad_event(stage: &str, why: &str) -> Failure {
    let message = format!("The event of {stage} is not one of its own: {why}.");
    Failure::misconfigured("runtime.bad_event", message)
}

struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<T> Future for AbortOnDrop<T> {
    type Output = Result<T, tokio::task::JoinError>;

    fn poll(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context)
    }
}

/// One CloudWatch embedded-metric line: duration and outcome of an invocation.
pub(crate) fn metric_line(stage: &str, duration_ms: u64, class: Option<&str>) -> String {
    json!({
        "_aws": {
            "Timestamp": jiff::Timestamp::now().as_millisecond(),
            "CloudWatchMetrics": [{
                "Namespace": "Drayage",
                "Dimensions": [["stage"], ["stage", "outcome"]],
                "Metrics": [
                    {"Name": "duration", "Unit": "Milliseconds"},
                    {"Name": "invocations", "Unit": "Count"},
                ],
            }],
        },
        "stage": stage,
        "outcome": class.unwrap_or("ok"),
        "duration": duration_ms,
        "invocations": 1,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use async_trait::async_trait;
    use domain::ErrorClass;

    use super::*;

    struct Odd;

    #[async_trait]
    impl Stage for Odd {
        type Input = String;
        type Output = u64;
        const NAME: &'static str = "odd";

        async fn handle(&self, input: String, _: Deadline) -> Result<u64, Failure> {
            match input.as_str() {
                "panic" => panic!("on purpose"),
                "hang" => std::future::pending().await,
                _ => Ok(7),
            }
        }
    }

    async fn call(event: Value, deadline: Deadline) -> Result<Value, Failure> {
        boxed(Odd)(event, deadline).await
    }

    #[tokio::test]
    async fn an_answer_is_json() {
        assert_eq!(call(json!("x"), Deadline::NONE).await, Ok(json!(7)));
    }

    #[tokio::test]
    async fn a_panic_a_deadline_and_a_bad_event_are_classed() {
        let panic = call(json!("panic"), Deadline::NONE).await.expect_err("panics");
        assert_eq!((panic.class, &*panic.code), (ErrorClass::Transient, "runtime.panic"));
        let deadline = Deadline::after(Duration::from_millis(2_010));
        let late = call(json!("hang"), deadline).await.expect_err("hangs");
        assert_eq!((late.class, &*late.code), (ErrorClass::Transient, "runtime.deadline"));
        let bad = call(json!({}), Deadline::NONE).await.expect_err("no string");
        assert_eq!((bad.class, &*bad.code), (ErrorClass::Misconfigured, "runtime.bad_event"));
    }
}
