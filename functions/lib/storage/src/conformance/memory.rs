//! Many large objects at once, in the memory that one process may have.

use futures::future::try_join_all;

use super::{Outcome, ensure, expect_pattern, fresh_prefix, put_pattern};
use crate::memory::{BUDGET_BYTES, Memory};
use crate::{PART_BYTES_FIRST, Range, Store};

/// Writes and reads `writers` objects of `bytes` bytes at the same time. To be called in a process of
/// its own, so that nobody else's parts are counted.
///
/// # Errors
/// [`Broken`](super::Broken) when their parts hold more than they may, or keep what they held.
pub async fn many_writers(store: Store, writers: usize, bytes: u64) -> Outcome {
    let prefix = fresh_prefix("memory");
    let tasks = (0..writers).map(|number| {
        let (store, key) = (store.clone(), format!("{prefix}{number}"));
        tokio::spawn(async move { put_pattern(&store, &key, bytes).await })
    });
    for written in try_join_all(tasks).await? {
        ensure!(written?.bytes == bytes, "an object is incomplete");
    }
    let memory = Memory::of_process();
    ensure!(memory.held() == 0, "{} bytes are held for nothing", memory.held());
    let peak = memory.peak();
    let others = u64::try_from(writers).unwrap_or(u64::MAX) - 1;
    let most = BUDGET_BYTES + others * PART_BYTES_FIRST;
    ensure!(peak <= most, "parts held {peak} bytes");
    ensure!(peak > BUDGET_BYTES / 2, "parts held only {peak} bytes: nothing was proved");
    for number in 0..writers {
        let reader = store.reader(&format!("{prefix}{number}"), Range::ALL).await?;
        expect_pattern(reader, 0, bytes).await?;
    }
    store.delete_prefix(&prefix).await?;
    Ok(())
}

/// Lets parts outgrow the budget, which a very large object does, and sees them travel one by one.
///
/// # Errors
/// [`Broken`](super::Broken) when two of them are held at once.
pub async fn huge_parts(store: Store) -> Outcome {
    const PART: u64 = BUDGET_BYTES + 1024 * 1024;
    let key = format!("{}object", fresh_prefix("huge"));
    let bytes = 2 * PART + 5;
    let mut writer = store.writer_for(&key, 9_000 * PART);
    super::write_pattern(&mut writer, 0, bytes).await?;
    writer.finish().await?;
    let peak = Memory::of_process().peak();
    ensure!(peak == PART, "parts of {PART} bytes held {peak}");
    expect_pattern(store.reader(&key, Range::ALL).await?, 0, bytes).await?;
    store.delete(&key).await?;
    Ok(())
}
