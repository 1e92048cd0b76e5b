//! The distributed mode of a Map: every item gets an execution of its own.

use std::sync::Arc;

use futures::FutureExt;
use serde_json::{Value, json};

use super::batch::{Batch, batches};
use super::child::Brood;
use super::fan::fan_out;
use super::map::{item_input, items_at_path};
use super::perform::fill;
use super::reader;
use super::run::lock;
use super::step::Visit;
use super::tolerance::Failures;
use super::writer;
use crate::fault::Fault;
use crate::history::EventType;
use crate::machine::model::{Distributed, Map};

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
    let length = items.len();
    let failures = Arc::new(Failures::new(visit, &distributed.tolerance, input, length)?);
    let work = match &distributed.batcher {
        None => Work::Items(items),
        Some(batcher) => {
            let selected = items.iter().enumerate();
            let selected = selected.map(|(at, item)| item_input(visit, map, input, at, item));
            Work::Batches(batches(visit, batcher, input, selected.collect::<Result<_, _>>()?)?)
        }
    };
    visit.record(EventType::MapStateStarted, json!({"length": length}));
    visit.record(EventType::MapRunStarted, json!({"mapRunArn": brood.map_run_arn}));
    let result = {
        let visit = &*visit;
        let brood = &brood;
        let start = |index: usize| {
            let (input, items) = match &work {
                Work::Items(items) => {
                    let value = items.get(index).unwrap_or(&Value::Null);
                    (item_input(visit, map, input, index, value)?, 1)
                }
                Work::Batches(batches) => match batches.get(index) {
                    Some(batch) => (batch.input.clone(), batch.items),
                    None => (Value::Null, 0),
                },
            };
            let failures = Arc::clone(&failures);
            let child = Arc::clone(brood).child(index, input);
            Ok(child.map(move |result| tolerated(&failures, items, result)).boxed())
        };
        fan_out(visit.run, work.children(), at_once, start).await
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

/// What the children work on: an item each, or a batch each.
enum Work {
    Items(Vec<Value>),
    Batches(Vec<Batch>),
}

impl Work {
    fn children(&self) -> usize {
        match self {
            Self::Items(items) => items.len(),
            Self::Batches(batches) => batches.len(),
        }
    }
}

/// The result of a child. One that failed has none, if that is tolerated.
fn tolerated(
    failures: &Failures,
    items: usize,
    result: Result<Value, Fault>,
) -> Result<Option<Value>, Fault> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(fault) => failures.count(items, &fault).map(|()| None),
    }
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
