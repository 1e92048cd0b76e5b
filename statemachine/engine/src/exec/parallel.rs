//! Parallel states: every branch works on a copy of the same input, beside the others.

use std::sync::Arc;

use futures::FutureExt;
use serde_json::Value;

use super::fan::fan_out;
use super::perform::fill;
use super::run::{Place, walk};
use super::size::within_limit;
use super::step::Visit;
use crate::fault::Fault;
use crate::history::EventType;
use crate::machine::model::Parallel;

/// Runs every branch to its end; answers their outputs in the order of the branches. The first
/// branch that fails stops the others, and its error is the state's.
pub(super) async fn parallel(
    visit: &mut Visit<'_>,
    parallel: &Parallel,
    input: &Value,
) -> Result<Value, Fault> {
    let input = match &parallel.parameters {
        Some(parameters) => fill(visit, parameters, input)?,
        None => input.clone(),
    };
    within_limit(&input, &format!("The input of the branches of '{}'", visit.state.name))?;
    visit.record(EventType::ParallelStateStarted, Value::Null);
    let result = {
        let visit = &*visit;
        let start = |index: usize| {
            let branch = parallel.branches.get(index).map(Arc::clone);
            let scope = branch.ok_or_else(|| Fault::runtime("a branch is not there"))?;
            let place = Place { beside: true, ..visit.place.clone() };
            let walk = walk(Arc::clone(visit.run), scope, input.clone(), place);
            Ok(walk.map(|(result, _)| result.map(Some)).boxed())
        };
        let count = parallel.branches.len();
        fan_out(visit.run, count, count, start).await
    };
    visit.place.cursor = visit.run.recorder.last();
    match result {
        Ok(results) => {
            let results = Value::Array(results);
            within_limit(&results, &format!("The result of the state '{}'", visit.state.name))?;
            visit.record(EventType::ParallelStateSucceeded, Value::Null);
            Ok(results)
        }
        Err(fault) => {
            visit.record(EventType::ParallelStateFailed, Value::Null);
            Err(fault)
        }
    }
}
