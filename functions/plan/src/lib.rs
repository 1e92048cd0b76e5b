//! Plan: turns an inbox into the work list of one Map.
//!
//! What is done or failed is left out, and so are members of a file that was never committed, which
//! makes the same call right for a first start and for every later one. The answer's count guards
//! the Map, so no Map meets an empty list.

use std::collections::HashSet;

use async_trait::async_trait;
use domain::events::{ParcelRef, PlanInput, PlanOutput};
use domain::ids::Name;
use domain::items::{FileItem, Parcel};
use domain::keys::{Inbox, Phase};
use domain::{Deadline, Failure, Stage};
use futures::{StreamExt, TryStreamExt};
use storage::runs::Run;
use storage::{Condition, Store};

/// Most items in one parcel.
pub const PARCEL_ITEMS: usize = 64;
/// A parcel takes no further item once it holds this many bytes.
pub const PARCEL_BYTES: u64 = 32 << 20;

/// Parcels that are written in one go.
const BATCH: usize = 256;

/// The stage.
pub struct Plan {
    store: Store,
}

impl Plan {
    /// A planner of that bucket's runs.
    #[must_use]
    pub const fn new(store: Store) -> Self {
        Self { store }
    }
}

#[async_trait]
impl Stage for Plan {
    type Input = PlanInput;
    type Output = PlanOutput;
    const NAME: &'static str = "plan";

    async fn handle(&self, input: PlanInput, _: Deadline) -> Result<PlanOutput, Failure> {
        let run = Run::new(&self.store, &input.partner, &input.run);
        let names = work_left(&run, input.phase).await?;
        let items = names.len() as u64;
        let parcels = parcels(names);
        // A planning whose answer was lost may still be writing when the next one is at work.
        let plan = uuid::Uuid::new_v4().simple().to_string();
        let plan = plan.get(..8).unwrap_or(&plan);
        let list = write_parcels(&run, input.phase, plan, &parcels).await?;
        let key = run.keys().wave(input.phase, plan);
        drop(self.store.put(&key, &list, Condition::Any).await?);
        Ok(PlanOutput {
            parcels: list.len() as u64,
            items,
            bucket: self.store.bucket().to_owned(),
            key,
            results: run.keys().map_results(input.phase),
        })
    }
}

/// What the phase has to do, largest first.
async fn work_left(run: &Run, phase: Phase) -> Result<Vec<Name>, Failure> {
    let mut settled: HashSet<Name> = HashSet::new();
    for inbox in phase.outputs().iter().chain(&[Inbox::Failed]) {
        settled.extend(run.names(*inbox).await?);
    }
    let mut names = if phase == Phase::Inspect {
        committed_members(run, &settled).await?
    } else {
        run.names(phase.input()).await?
    };
    names.retain(|name| !settled.contains(name));
    names.sort();
    Ok(names)
}

/// Members of files whose last member was written; others may be half an archive.
async fn committed_members(run: &Run, failed: &HashSet<Name>) -> Result<Vec<Name>, Failure> {
    let files: Vec<FileItem> = run.read_all(Inbox::Expanded).await?;
    Ok(files
        .into_iter()
        .filter(|item| !failed.contains(&item.file.name))
        .filter_map(|item| item.expanded)
        .flat_map(|expanded| expanded.members)
        .collect())
}

/// Packs names, largest first, so that a large item travels alone and small ones together.
fn parcels(names: Vec<Name>) -> Vec<Parcel> {
    let mut parcels: Vec<Parcel> = Vec::new();
    let mut bytes = 0;
    for name in names {
        let size = name.size_bytes();
        let fits = parcels.last().is_some_and(|parcel| {
            parcel.names.len() < PARCEL_ITEMS && size <= PARCEL_BYTES.saturating_sub(bytes)
        });
        match parcels.last_mut() {
            Some(parcel) if fits => {
                bytes += size;
                parcel.names.push(name);
            }
            _ => {
                bytes = size;
                parcels.push(Parcel { names: vec![name] });
            }
        }
    }
    parcels
}

async fn write_parcels(
    run: &Run,
    phase: Phase,
    plan: &str,
    parcels: &[Parcel],
) -> Result<Vec<ParcelRef>, Failure> {
    let mut list = Vec::with_capacity(parcels.len());
    for batch in parcels.chunks(BATCH) {
        let writes = batch.iter().enumerate().map(|(index, parcel)| {
            let id = format!("{plan}-{:06}", list.len() + index);
            async move {
                let key = run.keys().parcel(phase, &id);
                drop(run.store().put(&key, parcel, Condition::Any).await?);
                Ok::<_, Failure>(ParcelRef { parcel: id })
            }
        });
        let writes: Vec<_> = writes.collect();
        let written: Vec<ParcelRef> =
            futures::stream::iter(writes).buffered(16).try_collect().await?;
        list.extend(written);
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_items_travel_alone_and_small_ones_together() {
        let names = |sizes: &[u64]| -> Vec<Name> {
            sizes.iter().enumerate().map(|(i, s)| Name::new(*s, &format!("{i:032x}"))).collect()
        };
        let count = |sizes: &[u64]| -> Vec<usize> {
            parcels(names(sizes)).iter().map(|parcel| parcel.names.len()).collect()
        };
        assert_eq!(count(&[]), Vec::<usize>::new());
        assert_eq!(count(&[PARCEL_BYTES * 2, PARCEL_BYTES, 0]), [1, 2]);
        assert_eq!(count(&[1; 130]), [64, 64, 2]);
        assert_eq!(count(&[PARCEL_BYTES, 1]), [1, 1]);
    }
}
