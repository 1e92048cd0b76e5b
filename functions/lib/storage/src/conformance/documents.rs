//! Documents and conditional writes: one winner, no lost update, faults by name.

use futures::future::try_join_all;
use serde::{Deserialize, Serialize};

use super::{Broken, Outcome, code_of, ensure, fresh_prefix};
use crate::{Condition, Error, PutOutcome, Store};

const ROUNDS: u32 = 20;
const RACERS: usize = 16;
const CHAIN_TASKS: u32 = 8;
const CHAIN_LENGTH: u32 = 100;
/// A name that no server under test has.
const NO_BUCKET: &str = "no-such-bucket-anywhere-4711";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Claim {
    by: usize,
    round: u32,
}

pub(super) async fn documents(store: &Store, prefix: &str) -> Outcome {
    store.check().await?;
    let key = format!("{prefix}documents/claim ü+%.json");
    ensure!(store.get::<Claim>(&key).await?.is_none(), "a document before it was written");
    ensure!(store.size(&key).await?.is_none(), "a size without an object");
    let first = Claim { by: 1, round: 1 };
    let PutOutcome::Written(etag) = store.put(&key, &first, Condition::Absent).await? else {
        return Err(Broken::new("the first write of a key was refused"));
    };
    let again = store.put(&key, &Claim { by: 2, round: 1 }, Condition::Absent).await?;
    ensure!(again == PutOutcome::Refused, "If-None-Match wrote over an object");
    let Some(found) = store.get::<Claim>(&key).await? else {
        return Err(Broken::new("a document is not there after it was written"));
    };
    ensure!(found.value == first && found.etag == etag, "not what was written: {found:?}");
    let second = Claim { by: 2, round: 2 };
    let updated = store.put(&key, &second, Condition::Unchanged(etag.clone())).await?;
    ensure!(
        matches!(&updated, PutOutcome::Written(newer) if *newer != etag),
        "If-Match with the current version: {updated:?}"
    );
    let stale = store.put(&key, &first, Condition::Unchanged(etag.clone())).await?;
    ensure!(stale == PutOutcome::Refused, "If-Match with an old version wrote");
    ensure!(store.exists(&key).await?, "exists() does not see an object");
    store.delete(&key).await?;
    store.delete(&key).await?;
    ensure!(!store.exists(&key).await?, "an object is there after it was deleted");
    let gone = store.put(&key, &first, Condition::Unchanged(etag)).await?;
    ensure!(gone == PutOutcome::Refused, "If-Match wrote where there was no object");
    Ok(())
}

pub(super) async fn failures(store: &Store, prefix: &str) -> Outcome {
    let key = format!("{prefix}failures/damaged.json");
    let written = store.put_bytes(&key, "{\"by\": 1, ".into(), Condition::Any).await?;
    ensure!(written.is_written(), "an unconditional write was refused");
    match store.get::<Claim>(&key).await {
        Err(error @ Error::Damaged { .. }) => {
            let failure = domain::Failure::from(error);
            ensure!(failure.code == "storage.damaged", "{failure}");
            ensure!(failure.message.contains(&key), "the key is not named: {failure}");
        }
        other => return Err(Broken::new(format!("damaged JSON was read as {other:?}"))),
    }
    let missing = code_of(store.reader(&format!("{prefix}nothing"), crate::Range::ALL).await);
    ensure!(missing == "storage.missing", "a missing object is {missing}");
    let nowhere = store.with_bucket(NO_BUCKET);
    for code in [
        code_of(nowhere.check().await),
        code_of(nowhere.get_bytes("a").await),
        code_of(nowhere.put_bytes("a", "b".into(), Condition::Any).await),
        code_of(nowhere.list("a").await),
    ] {
        ensure!(code == "storage.no_bucket", "a missing bucket is {code}");
    }
    Ok(())
}

/// Lets 16 tasks write the same absent key at the same time, 20 times, spread over `stores`, which
/// must be ways to one and the same bucket. One must win, and its document must be there.
///
/// # Errors
/// [`Broken`] when there is not exactly one winner.
pub async fn race(stores: &[Store]) -> Outcome {
    let prefix = fresh_prefix("race");
    for round in 0..ROUNDS {
        let key = format!("{prefix}{round}.json");
        let racers = (0..RACERS).zip(stores.iter().cycle()).map(|(by, store)| {
            let (store, key) = (store.clone(), key.clone());
            tokio::spawn(async move {
                let outcome = store.put(&key, &Claim { by, round }, Condition::Absent).await?;
                Ok::<_, Broken>(outcome.is_written().then_some(by))
            })
        });
        let mut winners = Vec::new();
        for done in try_join_all(racers).await? {
            winners.extend(done?);
        }
        ensure!(winners.len() == 1, "round {round}: the winners are {winners:?}, not one");
        for store in stores {
            let found = store.get::<Claim>(&key).await?.map(|found| found.value.by);
            ensure!(found == winners.first().copied(), "{found:?} is there, {winners:?} won");
        }
    }
    for store in stores.iter().take(1) {
        store.delete_prefix(&prefix).await?;
    }
    Ok(())
}

/// Eight tasks count to one hundred together, each step only from the version it has read.
pub(super) async fn chain(store: &Store, prefix: &str) -> Outcome {
    let key = format!("{prefix}chain.json");
    let begun = store.put(&key, &0_u32, Condition::Absent).await?;
    ensure!(begun.is_written(), "the chain could not begin");
    let tasks = (0..CHAIN_TASKS).map(|_| tokio::spawn(count(store.clone(), key.clone())));
    let mut steps = 0;
    for done in try_join_all(tasks).await? {
        steps += done?;
    }
    let end = store.get::<u32>(&key).await?.map(|found| found.value);
    ensure!(steps == CHAIN_LENGTH && end == Some(CHAIN_LENGTH), "{steps} steps led to {end:?}");
    Ok(())
}

async fn count(store: Store, key: String) -> Result<u32, Broken> {
    let mut steps = 0;
    loop {
        let Some(found) = store.get::<u32>(&key).await? else {
            return Err(Broken::new("the counter vanished"));
        };
        if found.value >= CHAIN_LENGTH {
            return Ok(steps);
        }
        let next = store.put(&key, &(found.value + 1), Condition::Unchanged(found.etag)).await?;
        if next.is_written() {
            steps += 1;
        }
    }
}
