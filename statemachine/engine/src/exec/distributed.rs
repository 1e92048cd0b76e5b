//! The distributed mode of a Map: every item gets an execution of its own.

use std::sync::Arc;

use futures::FutureExt;
use serde_json::{Value, json};

use super::child::Brood;
use super::map::{fan_out, item_input, items_at_path};
use super::perform::fill;
use super::reader;
use super::run::lock;
use super::step::Visit;
use super::writer;
use crate::fault::Fault;
use crate::history::EventType;
use crate::machine::model::{Distributed, Map};

const THRESHOLD_EXCEEDED: &str = "States.ExceedToleratedFailureThreshold";

/// Runs a Map in distributed mode.
pub(super) async fn run(
    visit: &mut Visit<'_>,
    map: &Map,
    distributed: &Distributed,
    input: &Value,
    at_once: usize,
) -> Result<Value, Fault> {
    let items = match &distributed.reader {
        Some(reader) => reader::items(visit, reader, input).await?,
        None => items_at_path(visit, map, input)?,
    };
    let target =
        distributed.writer.as_ref().map(|writer| fill(visit, writer, input)).transpose()?;
    let id = uuid::Uuid::new_v4().to_string();
    let brood = Arc::new(brood(visit, map, distributed, &id));
    visit.record(EventType::MapStateStarted, json!({"length": items.len()}));
    visit.record(EventType::MapRunStarted, json!({"mapRunArn": brood.map_run_arn}));
    let result = {
        let visit = &*visit;
        let brood = &brood;
        let start = |index: usize| {
            let value = items.get(index).unwrap_or(&Value::Null);
            let input = item_input(visit, map, input, index, value)?;
            let child = Arc::clone(brood).child(index, input);
            Ok(child.map(|result| result.map_err(threshold)).boxed())
        };
        fan_out(visit.run, items.len(), at_once, start).await
    };
    // What was done is exported in either case, as AWS does.
    let written = match &target {
        Some(target) => writer::write(visit, target, &brood, &id).await.map(Some),
        None => Ok(None),
    };
    let result = match (result, written) {
        (Err(fault), _) | (Ok(_), Err(fault)) => Err(fault),
        (Ok(_), Ok(Some(details))) => Ok(details),
        (Ok(results), Ok(None)) => Ok(Value::Array(results)),
    };
    record_end(visit, &result);
    result
}

fn brood(visit: &Visit<'_>, map: &Map, distributed: &Distributed, id: &str) -> Brood {
    let identity = &visit.run.shared.identity;
    let mut map_runs = lock(&visit.run.map_runs);
    map_runs.push(Vec::new());
    Brood {
        parent: Arc::clone(visit.run),
        slot: map_runs.len().saturating_sub(1),
        state: visit.state.name.clone(),
        label: distributed.label.clone(),
        map_run_arn: identity
            .arn("mapRun", &format!("{}/{}:{id}", identity.state_machine, distributed.label)),
        scope: Arc::clone(&map.processor),
    }
}

/// One failed child is one more than a Map without tolerance tolerates.
fn threshold(fault: Fault) -> Fault {
    let cause = format!(
        "The specified tolerated failure threshold was exceeded: a child failed with {} ({})",
        fault.error, fault.cause
    );
    Fault::new(THRESHOLD_EXCEEDED, cause)
}

fn record_end(visit: &mut Visit<'_>, result: &Result<Value, Fault>) {
    match result {
        Ok(_) => {
            visit.record(EventType::MapRunSucceeded, Value::Null);
            visit.record(EventType::MapStateSucceeded, Value::Null);
        }
        Err(fault) => {
            let details = json!({"error": fault.error, "cause": fault.cause});
            visit.record(EventType::MapRunFailed, details);
            visit.record(EventType::MapStateFailed, Value::Null);
        }
    }
}
