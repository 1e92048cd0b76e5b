//! Count-large: the range counter that a Spark job ships to its executors.
//!
//! `plan` splits the large members of a run into ranges, `count` turns one range into a partial
//! count without knowing its neighbours, `combine` adds the partials up and writes the counted
//! items. Spark only spreads the ranges; on a laptop [`on_threads`] does. No counting rule lives
//! here: all of them are in `records`.

use std::collections::BTreeMap;

use domain::ids::Name;
use domain::items::{Counted, MemberItem};
use domain::keys::Inbox;
use domain::profile::Records;
use domain::{ErrorClass, Failure};
use futures::{StreamExt, TryStreamExt};
use records::{Declared, Model, Partial, RangeCounter, Source};
use serde::{Deserialize, Serialize};
use storage::blocking::Object;
use storage::runs::Run;
use storage::{Range, Store};

pub mod program;

/// The stage's word, and the name of the program in its archive.
pub const NAME: &str = "count-large";
/// What Spark runs: it calls the program, a range at a time.
pub const SPARK_JOB: &str = include_str!("../job/count_large.py");
/// The name of that file.
pub const SPARK_JOB_NAME: &str = "count_large.py";
/// The name of the archive with the program.
pub const ARCHIVE_NAME: &str = "count-large.tar.gz";

/// No range is shorter than this, so that a request costs little beside it.
const LEAST_RANGE_BYTES: u64 = 16 << 20;

/// One range of one member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// Which member.
    pub name: Name,
    /// Where its bytes are.
    pub key: String,
    /// First byte.
    pub offset: u64,
    /// How many.
    pub len: u64,
    /// How records are counted.
    pub rules: Records,
}

/// A counted range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountedSplit {
    /// Which member.
    pub name: Name,
    /// First byte.
    pub offset: u64,
    /// What the range holds.
    pub partial: Partial,
}

/// Splits every large member that has no count into ranges: about `splits` in all.
///
/// # Errors
/// `Transient` from storage; `Misconfigured` for rules that cannot be meant.
pub async fn plan(run: &Run, splits: u64) -> Result<Vec<Split>, Failure> {
    let rules = run.profile().await?.records;
    let splittable = Model::of(&rules)?.is_splittable();
    let names = open_members(run).await?;
    let bytes: u64 = names.iter().map(Name::size_bytes).sum();
    let range = bytes.div_ceil(splits.max(1)).max(LEAST_RANGE_BYTES);
    let mut planned = Vec::new();
    for name in names {
        let item: MemberItem = run.expect(Inbox::Large, &name).await?;
        let range = if splittable { range } else { item.bytes.max(1) };
        let mut offset = 0;
        while offset < item.bytes {
            let len = range.min(item.bytes - offset);
            let (name, key, rules) = (name.clone(), item.key.clone(), rules.clone());
            planned.push(Split { name, key, offset, len, rules });
            offset += len;
        }
    }
    Ok(planned)
}

async fn open_members(run: &Run) -> Result<Vec<Name>, Failure> {
    let mut open = Vec::new();
    for name in run.names(Inbox::Large).await? {
        if !run.has_any(&[Inbox::Counted, Inbox::Failed], &name).await? {
            open.push(name);
        }
    }
    Ok(open)
}

/// Counts one range.
///
/// # Errors
/// `Transient` from storage; `Misconfigured` for rules that cannot be meant.
pub async fn count(store: &Store, split: &Split) -> Result<CountedSplit, Failure> {
    let model = Model::of(&split.rules)?;
    let partial = if model.is_splittable() {
        let first = split.offset == 0;
        let mut counter =
            if first { RangeCounter::first(&model)? } else { RangeCounter::any(&model)? };
        let mut reader = store.reader(&split.key, Range::of(split.offset, split.len)).await?;
        while let Some(chunk) = reader.next().await? {
            counter.update(&chunk);
        }
        counter.finish()
    } else {
        // The count stands in the file's own metadata and is read by `combine`.
        Partial::identity()
    };
    Ok(CountedSplit { name: split.name.clone(), offset: split.offset, partial })
}

/// Adds the partials of each member up in order and writes its counted item.
///
/// A member that breaks its model goes to `failed/`, its neighbours are counted. Calling it again
/// writes the same items.
///
/// # Errors
/// `Transient` from storage, or when a range is missing.
pub async fn combine(run: &Run, parts: Vec<CountedSplit>) -> Result<u64, Failure> {
    let rules = run.profile().await?.records;
    let mut members: BTreeMap<Name, Vec<CountedSplit>> = BTreeMap::new();
    for part in parts {
        members.entry(part.name.clone()).or_default().push(part);
    }
    let mut counted = 0;
    for (name, parts) in members {
        match member(run, &rules, &name, parts).await {
            Ok(()) => counted += 1,
            Err(failure) if failure.class == ErrorClass::Rejected => {
                run.fail(domain::keys::Phase::Inspect, &name, NAME, failure).await?;
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(counted)
}

async fn member(
    run: &Run,
    rules: &Records,
    name: &Name,
    mut parts: Vec<CountedSplit>,
) -> Result<(), Failure> {
    let mut item: MemberItem = run.expect(Inbox::Large, name).await?;
    let model = Model::of(rules)?;
    let named = |failure: Failure| Failure {
        message: format!("{}: {}", item.label(), failure.message),
        ..failure
    };
    parts.sort_by_key(|part| part.offset);
    // A task that Spark ran twice counted the same range twice, with the same result.
    parts.dedup_by_key(|part| part.offset);
    let records = match model {
        Model::None => None,
        Model::Parquet | Model::Avro => Some(from_metadata(run.store(), &model, &item).await?),
        _ => {
            let whole = parts.iter().try_fold(Partial::identity(), |sum, part| {
                sum.combine(&part.partial).map_err(Failure::from)
            })?;
            if whole.bytes() != item.bytes {
                return Err(Failure::transient(
                    "count_large.missing_range",
                    format!(
                        "{}: {} of {} bytes were counted.",
                        item.label(),
                        whole.bytes(),
                        item.bytes
                    ),
                ));
            }
            let total = whole.finish(&model, rules.header_records, rules.trailer_records);
            Some(total.map_err(|error| named(error.into()))?.records)
        }
    };
    if let (Some(declared), Some(counted)) = (Declared::of(rules)?, records) {
        let object = Object::open(run.store(), &item.key).await?;
        on_thread(move || Ok(declared.check(&ObjectSource(object), counted)?))
            .await
            .map_err(named)?;
    }
    item.count = Some(Counted { records, by: NAME.to_owned() });
    run.write(Inbox::Counted, name, &item).await
}

async fn from_metadata(store: &Store, model: &Model, item: &MemberItem) -> Result<u64, Failure> {
    let object = Object::open(store, &item.key).await?;
    let is_parquet = *model == Model::Parquet;
    let count = on_thread(move || {
        Ok(if is_parquet {
            records::count_parquet(&ObjectSource(object))?
        } else {
            records::count_avro(object.stream(0))?
        })
    });
    Ok(count.await?.records)
}

/// The whole job on this machine: what Spark does on EMR Serverless.
///
/// # Errors
/// As [`plan`], [`count`] and [`combine`].
pub async fn on_threads(run: &Run, threads: usize) -> Result<u64, Failure> {
    let splits = plan(run, threads as u64 * 4).await?;
    let parts = futures::stream::iter(splits)
        .map(|split| {
            let store = run.store().clone();
            let task = tokio::spawn(async move { count(&store, &split).await });
            async move { task.await.unwrap_or_else(|_| Err(died())) }
        })
        .buffer_unordered(threads.max(1))
        .try_collect()
        .await?;
    combine(run, parts).await
}

struct ObjectSource(Object);

impl Source for ObjectSource {
    fn len(&self) -> u64 {
        self.0.len()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read_at(offset, buffer)
    }
}

async fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(died()))
}

fn died() -> Failure {
    Failure::transient("count_large.thread", "The thread that counts ended by itself.")
}
