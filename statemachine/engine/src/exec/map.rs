//! Map states: how many items run at once, and the inline mode.

use std::sync::Arc;

use futures::future::FutureExt;
use serde_json::{Value, json};

use super::context::map_item;
use super::distributed;
use super::fan::fan_out;
use super::perform::limit;
use super::run::{Item, Place, Run, walk};
use super::size::within_limit;
use super::step::Visit;
use crate::fault::Fault;
use crate::history::EventType;
use crate::machine::model::{Map, Mode};
use crate::path::kind_of;

/// AWS runs no more iterations of an inline Map at once.
const MOST_INLINE: u64 = 40;
/// This engine runs no more children of a distributed Map at once.
const MOST_DISTRIBUTED: u64 = 1_000;

/// Runs the processor for every item; answers the results in the items' order, or what a
/// ResultWriter makes of them.
pub(super) async fn map(visit: &mut Visit<'_>, map: &Map, input: &Value) -> Result<Value, Fault> {
    let asked = limit(visit, "MaxConcurrencyPath", &map.concurrency, input, 0)?;
    let most = match map.mode {
        Mode::Inline => MOST_INLINE,
        Mode::Distributed(_) => MOST_DISTRIBUTED,
    };
    let at_once = if asked == 0 { most } else { asked.min(most) };
    let at_once = usize::try_from(at_once).unwrap_or(1);
    let result = match &map.mode {
        Mode::Inline => inline(visit, map, input, at_once).await?,
        Mode::Distributed(distributed) => {
            distributed::run(visit, map, distributed, input, at_once).await?
        }
    };
    within_limit(&result, &format!("The result of the state '{}'", visit.state.name))?;
    Ok(result)
}

/// The array at ItemsPath.
pub(super) fn items_at_path(
    visit: &Visit<'_>,
    map: &Map,
    input: &Value,
) -> Result<Vec<Value>, Fault> {
    let text = map.items.text();
    match map.items.find(input, &visit.context) {
        Some(Value::Array(items)) => Ok(items.clone()),
        Some(other) => Err(Fault::runtime(format!(
            "The ItemsPath '{text}' must hold an array, it holds {}.",
            kind_of(other)
        ))),
        None => Err(Fault::runtime(format!("The ItemsPath '{text}' leads nowhere."))),
    }
}

/// What an item's processor gets: the item, or what ItemSelector makes of it.
pub(super) fn item_input(
    visit: &Visit<'_>,
    map: &Map,
    input: &Value,
    index: usize,
    value: &Value,
) -> Result<Value, Fault> {
    let Some(selector) = &map.selector else { return Ok(value.clone()) };
    let mut context = visit.context.clone();
    if let Some(fields) = context.as_object_mut() {
        fields.insert("Map".into(), map_item(index, value));
    }
    selector.fill(input, &context, &|| visit.random())
}

async fn inline(
    visit: &mut Visit<'_>,
    map: &Map,
    input: &Value,
    at_once: usize,
) -> Result<Value, Fault> {
    let items = items_at_path(visit, map, input)?;
    visit.record(EventType::MapStateStarted, json!({"length": items.len()}));
    let result = {
        let visit = &*visit;
        let start = |index: usize| {
            let value = items.get(index).cloned().unwrap_or_default();
            let input = item_input(visit, map, input, index, &value)?;
            let item = Some(Arc::new(Item { index, value }));
            let place = Place { cursor: visit.place.cursor, item, beside: true };
            let iteration =
                Iteration { run: Arc::clone(visit.run), name: visit.state.name.clone(), index };
            let done = iteration.run(Arc::clone(&map.processor), input, place);
            Ok(done.map(|result| result.map(Some)).boxed())
        };
        fan_out(visit.run, items.len(), at_once, start).await
    };
    visit.place.cursor = visit.run.recorder.last();
    match result {
        Ok(results) => {
            visit.record(EventType::MapStateSucceeded, Value::Null);
            Ok(Value::Array(results))
        }
        Err(fault) => {
            visit.record(EventType::MapStateFailed, Value::Null);
            Err(fault)
        }
    }
}

/// One iteration of an inline Map.
struct Iteration {
    run: Arc<Run>,
    name: String,
    index: usize,
}

/// Records that an iteration was aborted, unless it is told that it ended by itself.
struct Unfinished<'i> {
    iteration: &'i Iteration,
    cursor: u64,
    ended: bool,
}

impl Iteration {
    fn record(&self, cursor: &mut u64, kind: EventType) {
        let details = json!({"name": self.name, "index": self.index});
        self.run.recorder.record(cursor, kind, details);
    }

    async fn run(
        self,
        scope: Arc<crate::machine::model::Scope>,
        input: Value,
        mut place: Place,
    ) -> Result<Value, Fault> {
        self.record(&mut place.cursor, EventType::MapIterationStarted);
        let mut unfinished = Unfinished { iteration: &self, cursor: place.cursor, ended: false };
        let (result, mut cursor) = match within_limit(&input, "The input of an iteration") {
            Ok(()) => walk(Arc::clone(&self.run), scope, input, place).await,
            Err(fault) => (Err(fault), unfinished.cursor),
        };
        unfinished.ended = true;
        let kind = match &result {
            Ok(_) => EventType::MapIterationSucceeded,
            Err(_) => EventType::MapIterationFailed,
        };
        self.record(&mut cursor, kind);
        result
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.iteration.record(&mut self.cursor, EventType::MapIterationAborted);
        }
    }
}
