//! Work that runs side by side: the iterations and children of a Map, the branches of a Parallel.

use futures::future::BoxFuture;
use serde_json::Value;
use tokio::task::JoinSet;

use super::run::{Alive, Run};
use crate::fault::Fault;

/// One piece of the work; it may end well without a result.
pub(super) type Job = BoxFuture<'static, Result<Option<Value>, Fault>>;

/// Runs `count` jobs, at most `at_once` at a time, and answers their results in the jobs' order. The
/// first failure stops the others; when this returns, none is alive.
pub(super) async fn fan_out(
    run: &Run,
    count: usize,
    at_once: usize,
    mut start: impl FnMut(usize) -> Result<Job, Fault>,
) -> Result<Vec<Value>, Fault> {
    let mut jobs = JoinSet::new();
    let mut left = 0..count;
    let mut results: Vec<Option<Value>> = vec![None; count];
    loop {
        while jobs.len() < at_once {
            let Some(index) = left.next() else { break };
            match start(index) {
                Ok(job) => {
                    let alive = Alive::new(&run.live);
                    jobs.spawn(async move {
                        let _alive = alive;
                        (index, job.await)
                    });
                }
                Err(fault) => {
                    jobs.shutdown().await;
                    return Err(fault);
                }
            }
        }
        let fault = match jobs.join_next().await {
            None => return Ok(results.into_iter().flatten().collect()),
            Some(Ok((index, Ok(value)))) => {
                if let Some(place) = results.get_mut(index) {
                    *place = value;
                }
                continue;
            }
            Some(Ok((_, Err(fault)))) => fault,
            Some(Err(error)) => Fault::runtime(format!("an iteration was lost: {error}")),
        };
        jobs.shutdown().await;
        return Err(fault);
    }
}
