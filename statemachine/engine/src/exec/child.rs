//! A child of a distributed Map: an execution of its own, which reports to its parent even when it
//! is dropped half-way.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::sync::Notify;

use super::outcome::{MapChild, Status};
use super::run::{Run, lock};
use crate::fault::Fault;
use crate::history::{EventType, Recorder};
use crate::machine::model::Scope;

/// What the children of one Map Run have in common.
pub(super) struct Brood {
    pub(super) parent: Arc<Run>,
    /// Index of the Map Run among those of the parent.
    pub(super) slot: usize,
    /// Name of the Map state.
    pub(super) state: String,
    pub(super) label: String,
    pub(super) map_run_arn: String,
    pub(super) scope: Arc<Scope>,
}

impl Brood {
    /// Runs one child to its end.
    pub(super) async fn child(self: Arc<Self>, index: usize, input: Value) -> Result<Value, Fault> {
        let run = Arc::new(self.make(index, input));
        let mut report = Report { brood: &self, run: &run, ended: false };
        let result = run.execute(Arc::clone(&self.scope)).await;
        let status = if result.is_ok() { Status::Succeeded } else { Status::Failed };
        report.end(status, result.clone());
        result
    }

    fn make(&self, index: usize, input: Value) -> Run {
        let shared = Arc::clone(&self.parent.shared);
        let name = uuid::Uuid::new_v4().to_string();
        let machine_name = format!("{}/{}", shared.identity.state_machine, self.label);
        let id = shared.identity.arn("execution", &format!("{machine_name}:{name}"));
        Run {
            id: id.clone(),
            input,
            machine_name,
            started: shared.clock.now(),
            item: Some(MapChild {
                state: self.state.clone(),
                index,
                map_run_arn: self.map_run_arn.clone(),
            }),
            recorder: Recorder {
                execution_id: id,
                execution_name: name.clone(),
                item: Some((self.state.clone(), index)),
                clock: Arc::clone(&shared.clock),
                observer: shared.observer.clone(),
                events: Mutex::default(),
            },
            name,
            map_runs: Mutex::default(),
            live: self.parent.live.clone(),
            sleep_left: None,
            slept_out: Notify::new(),
            shared,
        }
    }
}

/// Tells the parent how a child ended.
struct Report<'c> {
    brood: &'c Brood,
    run: &'c Run,
    ended: bool,
}

impl Report<'_> {
    fn end(&mut self, status: Status, result: Result<Value, Fault>) {
        self.ended = true;
        let outcome = self.run.outcome(status, result);
        if let Some(children) = lock(&self.brood.parent.map_runs).get_mut(self.brood.slot) {
            children.push(outcome);
        }
    }
}

impl Drop for Report<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.run.recorder.record_last(EventType::ExecutionAborted, Value::Null);
            self.end(Status::Aborted, Err(Fault::new("", "")));
        }
    }
}
