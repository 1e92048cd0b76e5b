//! Counting one member, over parallel ranges where its model allows.

use std::sync::Arc;

use domain::Failure;
use domain::items::MemberItem;
use domain::profile::Records;
use futures::{StreamExt, TryStreamExt};
use records::{Count, Declared, Model, Partial, RangeCounter, Source};
use storage::blocking::{Object, turn};
use storage::{Range, Store};

/// Bytes of one range: long enough that a request costs nothing beside it.
const RANGE_BYTES: u64 = 32 << 20;
/// Ranges of one member that are counted at once.
const RANGES_AT_ONCE: usize = 4;

/// Counts a member's data records; `None` when the profile asks for no count.
///
/// # Errors
/// `Rejected` for a member that breaks its model or its declared count; `Transient` from storage.
pub(crate) async fn count(
    store: &Store,
    rules: &Records,
    item: &MemberItem,
) -> Result<Option<u64>, Failure> {
    let model = Model::of(rules)?;
    let counted = match model {
        Model::None => return Ok(None),
        Model::Parquet | Model::Avro => from_metadata(store, &model, item).await,
        _ => over_ranges(store, rules, &model, item).await,
    };
    let count = counted.map_err(|failure| named(failure, item))?;
    if let Some(declared) = Declared::of(rules)? {
        let object = Object::open(store, &item.key).await?;
        on_thread(move || Ok(declared.check(&ObjectSource(object), count.records)?))
            .await
            .map_err(|failure| named(failure, item))?;
    }
    Ok(Some(count.records))
}

async fn over_ranges(
    store: &Store,
    rules: &Records,
    model: &Model,
    item: &MemberItem,
) -> Result<Count, Failure> {
    let model = Arc::new(model.clone());
    let starts = (0..item.bytes).step_by(usize::try_from(RANGE_BYTES).unwrap_or(usize::MAX));
    let whole = futures::stream::iter(starts)
        .map(|offset| {
            let len = RANGE_BYTES.min(item.bytes - offset);
            range(store.clone(), item.key.clone(), Arc::clone(&model), offset, len)
        })
        .buffered(RANGES_AT_ONCE)
        .try_fold(Partial::identity(), async |sum, part| Ok(sum.combine(&part)?))
        .await?;
    Ok(whole.finish(&model, rules.header_records, rules.trailer_records)?)
}

async fn range(
    store: Store,
    key: String,
    model: Arc<Model>,
    offset: u64,
    len: u64,
) -> Result<Partial, Failure> {
    // A task of its own, so that ranges are counted on several cores.
    let task = tokio::spawn(async move {
        let _turn = turn().await;
        let first = offset == 0;
        let mut counter =
            if first { RangeCounter::first(&model)? } else { RangeCounter::any(&model)? };
        let mut reader = store.reader(&key, Range::of(offset, len)).await?;
        while let Some(chunk) = reader.next().await? {
            counter.update(&chunk);
        }
        Ok(counter.finish())
    });
    task.await.unwrap_or_else(|_| Err(died()))
}

async fn from_metadata(store: &Store, model: &Model, item: &MemberItem) -> Result<Count, Failure> {
    let object = Object::open(store, &item.key).await?;
    let is_parquet = *model == Model::Parquet;
    on_thread(move || {
        Ok(if is_parquet {
            records::count_parquet(&ObjectSource(object))?
        } else {
            records::count_avro(object.stream(0))?
        })
    })
    .await
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

/// The counter knows bytes, not names: a person needs the name.
fn named(failure: Failure, item: &MemberItem) -> Failure {
    Failure { message: format!("{}: {}", item.label(), failure.message), ..failure }
}

async fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(died()))
}

fn died() -> Failure {
    Failure::transient("inspect.thread", "The thread that counts ended by itself; trying again.")
}
