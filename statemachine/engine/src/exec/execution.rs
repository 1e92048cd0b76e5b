//! An execution from outside: it is started, waited for, aborted.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{Notify, watch};

use super::engine::Shared;
use super::outcome::{Outcome, Status};
use super::run::{Run, lock};
use crate::fault::{Fault, TIMEOUT};
use crate::history::{EventType, Recorder};

/// The handle of a started execution.
#[derive(Clone)]
pub struct Execution {
    id: String,
    name: String,
    abort: watch::Sender<Option<Fault>>,
    outcome: watch::Receiver<Option<Arc<Outcome>>>,
}

impl Execution {
    /// Id, an ARN.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Waits for the end. May be called often, and by several at once.
    pub async fn wait(&self) -> Arc<Outcome> {
        let mut outcome = self.outcome.clone();
        loop {
            if let Some(outcome) = outcome.borrow_and_update().as_ref() {
                return Arc::clone(outcome);
            }
            if outcome.changed().await.is_err() {
                // Only a runtime that shuts down drops an execution before its end.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Tells the execution to stop: running tasks are dropped, children end as `ABORTED`. Does
    /// nothing if it has ended.
    pub fn abort(&self) {
        self.abort_with("", "");
    }

    /// Like [`Execution::abort`], with an error name and a cause for the outcome.
    pub fn abort_with(&self, error: &str, cause: &str) {
        self.abort.send_replace(Some(Fault::new(error, cause)));
    }
}

/// Starts an execution of the whole machine.
pub(super) fn start(shared: Arc<Shared>, name: String, input: Value) -> Execution {
    let run = Arc::new(root(shared, name, input));
    let (abort, aborted) = watch::channel(None);
    let (done, outcome) = watch::channel(None);
    let execution = Execution { id: run.id.clone(), name: run.name.clone(), abort, outcome };
    tokio::spawn(async move {
        let outcome = drive(run, aborted).await;
        done.send_replace(Some(Arc::new(outcome)));
    });
    execution
}

fn root(shared: Arc<Shared>, name: String, input: Value) -> Run {
    let identity = &shared.identity;
    let id = identity.arn("execution", &format!("{}:{name}", identity.state_machine));
    let limit = shared.machine.timeout_seconds().map(Duration::from_secs);
    Run {
        id: id.clone(),
        machine_name: identity.state_machine.clone(),
        input,
        started: shared.clock.now(),
        item: None,
        recorder: Recorder {
            execution_id: id,
            execution_name: name.clone(),
            item: None,
            clock: Arc::clone(&shared.clock),
            observer: shared.observer.clone(),
            events: Mutex::default(),
        },
        name,
        map_runs: Mutex::default(),
        live: watch::Sender::new(0),
        sleep_left: limit.map(Mutex::new),
        slept_out: Notify::new(),
        shared,
    }
}

/// Runs an execution to its end, its time limit or its abortion.
async fn drive(run: Arc<Run>, mut aborted: watch::Receiver<Option<Fault>>) -> Outcome {
    let limit = run.sleep_left.as_ref().map(|left| *lock(left));
    let ended = tokio::select! {
        biased;
        fault = abortion(&mut aborted) => Err((Status::Aborted, fault)),
        () = deadline(&run, limit) => {
            let cause = "the execution took longer than the machine's TimeoutSeconds";
            Err((Status::TimedOut, Fault::new(TIMEOUT, cause)))
        }
        result = run.execute(Arc::clone(run.shared.machine.root())) => Ok(result),
    };
    match ended {
        Ok(result) => {
            let status = if result.is_ok() { Status::Succeeded } else { Status::Failed };
            run.outcome(status, result)
        }
        Err((status, fault)) => {
            // The walk is dropped by now; its background tasks end at their next await.
            let _ = run.live.subscribe().wait_for(|count| *count == 0).await;
            let kind = match status {
                Status::TimedOut => EventType::ExecutionTimedOut,
                _ => EventType::ExecutionAborted,
            };
            let details = json!({"error": fault.error, "cause": fault.cause});
            run.recorder.record_last(kind, details);
            run.outcome(status, Err(fault))
        }
    }
}

async fn abortion(aborted: &mut watch::Receiver<Option<Fault>>) -> Fault {
    if let Ok(fault) = aborted.wait_for(Option::is_some).await
        && let Some(fault) = fault.as_ref()
    {
        return fault.clone();
    }
    // Nobody is left who could abort.
    std::future::pending().await
}

async fn deadline(run: &Run, limit: Option<Duration>) {
    let Some(limit) = limit else { return std::future::pending().await };
    tokio::select! {
        () = run.shared.clock.timeout(limit) => {}
        () = run.slept_out.notified() => {}
    }
}
