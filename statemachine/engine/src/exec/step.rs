//! One state from entry to exit: its attempts, its retries, its catch.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::context::context;
use super::perform::perform;
use super::retry::Attempts;
use super::run::{Place, Run};
use super::size::within_limit;
use crate::fault::Fault;
use crate::history::EventType;
use crate::machine::model::{Body, State, Target};

/// Where a state leads.
pub(super) enum Step<'s> {
    Next(&'s str, Value),
    End(Value),
}

/// One attempt at a state.
pub(super) struct Visit<'a> {
    pub(super) run: &'a Arc<Run>,
    pub(super) state: &'a State,
    pub(super) place: &'a mut Place,
    /// The context object.
    pub(super) context: Value,
    pub(super) retries: u32,
}

impl Visit<'_> {
    pub(super) fn record(&mut self, kind: EventType, details: Value) {
        self.run.recorder.record(&mut self.place.cursor, kind, details);
    }

    /// A random number, for intrinsics and jitter.
    pub(super) fn random(&self) -> f64 {
        self.run.shared.clock.random()
    }
}

/// Enters a state with `raw` as its input and stays until it exits or fails.
pub(super) async fn step<'s>(
    run: &Arc<Run>,
    state: &'s State,
    raw: Value,
    place: &mut Place,
) -> Result<Step<'s>, Fault> {
    let (entering, exiting) = events(&state.body);
    let details = json!({"name": state.name, "input": raw.to_string()});
    run.recorder.record(&mut place.cursor, entering, details);
    let entered = run.shared.clock.now();
    let step = attempts(run, state, &raw, place, entered).await?;
    if let (Step::Next(_, output) | Step::End(output), Some(exiting)) = (&step, exiting) {
        let details = json!({"name": state.name, "output": output.to_string()});
        run.recorder.record(&mut place.cursor, exiting, details);
    }
    Ok(step)
}

async fn attempts<'s>(
    run: &Arc<Run>,
    state: &'s State,
    raw: &Value,
    place: &mut Place,
    entered: Timestamp,
) -> Result<Step<'s>, Fault> {
    let mut attempts = Attempts::new(&state.retry);
    let mut retries = 0_u32;
    loop {
        let context = context(run, &state.name, entered, retries, place.item.as_deref());
        let mut visit = Visit { run, state, place, context, retries };
        let fault = match perform(&mut visit, state, raw).await {
            Ok((output, Some(next))) => return Ok(Step::Next(next, output)),
            Ok((output, None)) => return Ok(follow(&state.next, output)),
            Err(fault) => fault,
        };
        match attempts.next(&fault, || run.shared.clock.random()) {
            Some(delay) => {
                tracing::debug!(state = state.name, error = fault.error, ?delay, "retrying");
                run.pause(place, delay).await;
                retries = retries.saturating_add(1);
            }
            None => return caught(state, raw, fault),
        }
    }
}

fn follow(target: &Target, output: Value) -> Step<'_> {
    match target {
        Target::Next(next) => Step::Next(next, output),
        Target::End => Step::End(output),
    }
}

/// Hands the error to the first row of Catch that names it, or on.
fn caught<'s>(state: &'s State, raw: &Value, fault: Fault) -> Result<Step<'s>, Fault> {
    let Some(row) = state.catch.iter().find(|row| fault.matches(&row.error_equals)) else {
        return Err(fault);
    };
    let output = match &row.result_path {
        None => raw.clone(),
        Some(path) => path.put(raw.clone(), fault.document()).map_err(|sentence| {
            Fault::new("States.ResultPathMatchFailure", format!("in Catch: {sentence}"))
        })?,
    };
    within_limit(&output, &format!("The output of the state '{}'", state.name))?;
    Ok(Step::Next(&row.next, output))
}

/// The events of entering and leaving a state.
fn events(body: &Body) -> (EventType, Option<EventType>) {
    use EventType as E;
    match body {
        Body::Task(_) => (E::TaskStateEntered, Some(E::TaskStateExited)),
        Body::Map(_) => (E::MapStateEntered, Some(E::MapStateExited)),
        Body::Parallel(_) => (E::ParallelStateEntered, Some(E::ParallelStateExited)),
        Body::Choice(_) => (E::ChoiceStateEntered, Some(E::ChoiceStateExited)),
        Body::Pass(_) => (E::PassStateEntered, Some(E::PassStateExited)),
        Body::Wait(_) => (E::WaitStateEntered, Some(E::WaitStateExited)),
        Body::Succeed => (E::SucceedStateEntered, Some(E::SucceedStateExited)),
        Body::Fail(_) => (E::FailStateEntered, None),
    }
}
