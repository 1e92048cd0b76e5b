//! One execution while it runs: who it is, what it remembers, and the walk from state to state.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};

use super::engine::Shared;
use super::outcome::{MapChild, Outcome, Status};
use super::size::within_limit;
use super::step::{Step, step};
use crate::fault::Fault;
use crate::history::{EventType, Recorder};
use crate::machine::model::Scope;

/// An execution: the machine's own, or the child of a distributed Map.
pub(super) struct Run {
    pub(super) shared: Arc<Shared>,
    pub(super) id: String,
    pub(super) name: String,
    /// `delivery`, or `delivery/Fetch` for a child of the Map labelled Fetch.
    pub(super) machine_name: String,
    pub(super) input: Value,
    pub(super) started: Timestamp,
    pub(super) item: Option<MapChild>,
    pub(super) recorder: Recorder,
    /// The ended children of each Map Run.
    pub(super) map_runs: Mutex<Vec<Vec<Outcome>>>,
    /// How many background tasks of the whole tree are alive.
    pub(super) live: watch::Sender<usize>,
    /// How much of the machine's TimeoutSeconds may still be slept away, and the alarm for when
    /// that is used up.
    pub(super) sleep_left: Option<Mutex<Duration>>,
    pub(super) slept_out: Notify,
}

/// Where a walk is: which event came last, and which item of an inline Map it works on.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) cursor: u64,
    pub(super) item: Option<Arc<Item>>,
    /// True if other walks of the same execution run beside this one.
    pub(super) beside: bool,
}

/// An item of a Map, as the context object shows it.
pub(super) struct Item {
    pub(super) index: usize,
    pub(super) value: Value,
}

/// Counts one background task for as long as it lives.
pub(super) struct Alive(watch::Sender<usize>);

impl Alive {
    pub(super) fn new(live: &watch::Sender<usize>) -> Self {
        live.send_modify(|count| *count = count.saturating_add(1));
        Self(live.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

/// Locks a mutex; nothing is left half-written by a panic while one is held here.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Run {
    /// Runs the scope from beginning to end and records both.
    pub(super) async fn execute(self: &Arc<Self>, scope: Arc<Scope>) -> Result<Value, Fault> {
        let mut cursor = 0;
        let details = json!({
            "input": self.input.to_string(),
            "roleArn": self.shared.identity.role_arn,
        });
        self.recorder.record(&mut cursor, EventType::ExecutionStarted, details);
        let result = match within_limit(&self.input, "The input of the execution") {
            Err(fault) => Err(fault),
            Ok(()) => {
                let place = Place { cursor, item: None, beside: false };
                let (result, last) = walk(Arc::clone(self), scope, self.input.clone(), place).await;
                cursor = last;
                result
            }
        };
        let (kind, details) = match &result {
            Ok(output) => (EventType::ExecutionSucceeded, json!({"output": output.to_string()})),
            Err(fault) => {
                (EventType::ExecutionFailed, json!({"error": fault.error, "cause": fault.cause}))
            }
        };
        self.recorder.record(&mut cursor, kind, details);
        result
    }

    /// Lets time pass in which nothing happens. Such sleeps of the machine's own walk count
    /// against its TimeoutSeconds by themselves, for a clock may skip them.
    pub(super) async fn pause(&self, place: &Place, duration: Duration) {
        let left = match (&self.sleep_left, place.beside) {
            (Some(left), false) => {
                let mut left = lock(left);
                let rest = *left;
                *left = rest.saturating_sub(duration);
                Some(rest)
            }
            _ => None,
        };
        match left {
            Some(left) if duration > left => {
                self.shared.clock.sleep(left).await;
                self.slept_out.notify_one();
                std::future::pending::<()>().await;
            }
            _ => self.shared.clock.sleep(duration).await,
        }
    }

    /// What is left when the execution has ended.
    pub(super) fn outcome(&self, status: Status, result: Result<Value, Fault>) -> Outcome {
        let (output, fault) = match result {
            Ok(output) => (Some(output), None),
            Err(fault) => (None, Some(fault)),
        };
        let mut map_runs = std::mem::take(&mut *lock(&self.map_runs));
        for children in &mut map_runs {
            children.sort_by_key(|child| child.item.as_ref().map(|item| item.index));
        }
        Outcome {
            id: self.id.clone(),
            name: self.name.clone(),
            item: self.item.clone(),
            status,
            input: self.input.clone(),
            output,
            error: fault.as_ref().map(|fault| fault.error.clone()),
            cause: fault.map(|fault| fault.cause),
            history: self.recorder.take(),
            children: map_runs.into_iter().flatten().collect(),
            started: self.started,
            stopped: self.shared.clock.now(),
        }
    }
}

/// Goes from state to state until one ends the scope. Answers the number of the last event, too.
pub(super) fn walk(
    run: Arc<Run>,
    scope: Arc<Scope>,
    input: Value,
    mut place: Place,
) -> BoxFuture<'static, (Result<Value, Fault>, u64)> {
    async move {
        let mut name = scope.start_at.as_str();
        let mut data = input;
        loop {
            // States that wait for nobody could turn in a circle for ever: now and then others get
            // their turn, an abort and the time limit among them.
            tokio::task::consume_budget().await;
            // Loading has checked that every target exists.
            let Some(state) = scope.states.get(name) else {
                let fault = Fault::runtime(format!("there is no state '{name}'"));
                return (Err(fault), place.cursor);
            };
            match step(&run, state, data, &mut place).await {
                Ok(Step::Next(next, output)) => {
                    name = next;
                    data = output;
                }
                Ok(Step::End(output)) => return (Ok(output), place.cursor),
                Err(fault) => return (Err(fault), place.cursor),
            }
        }
    }
    .boxed()
}
