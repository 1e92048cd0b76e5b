//! Listing: all keys, in byte order, page by page, and nothing of the neighbours.

use futures::{StreamExt, TryStreamExt, stream};

use super::{Outcome, ensure};
use crate::{Condition, Store};

const KEYS: usize = 2_500;
const WRITERS: usize = 16;

pub(super) async fn lists(store: &Store, prefix: &str) -> Outcome {
    let folder = format!("{prefix}lists/inbox/");
    let mut keys: Vec<_> = (0..KEYS).map(|number| format!("{folder}{:05}", number * 7)).collect();
    // Byte order of whole keys is not the order of folders.
    for odd in ["a-b", "a/b", "a/b-c/d", "a/b.c", "a0"] {
        keys.push(format!("{folder}{odd}"));
    }
    let neighbour = format!("{prefix}lists/inbox-2");
    let all = keys.iter().chain([&neighbour]);
    stream::iter(all)
        .map(|key| store.put_bytes(key, "12345".into(), Condition::Any))
        .buffer_unordered(WRITERS)
        .try_for_each(|_| std::future::ready(Ok(())))
        .await?;
    keys.sort();
    let mut pages = store.pages(&folder);
    let mut found = Vec::new();
    let mut sizes = Vec::new();
    while let Some(page) = pages.next().await? {
        sizes.push(page.len());
        found.extend(page);
    }
    ensure!(sizes == [1_000, 1_000, 505], "the pages have {sizes:?} keys");
    ensure!(found.iter().all(|listed| listed.size == 5), "a size is wrong");
    ensure!(found.iter().map(|listed| &listed.key).eq(&keys), "not the keys in byte order");
    ensure!(found == store.list(&folder).await?, "list() and pages() differ");
    let mut after = store.pages_after(&folder, &format!("{folder}a/b"));
    let rest = after.next().await?.unwrap_or_default();
    let wanted = keys.iter().filter(|key| **key > format!("{folder}a/b"));
    ensure!(rest.iter().map(|listed| &listed.key).eq(wanted), "after a key: {rest:?}");
    let narrow = store.list(&format!("{folder}0000")).await?;
    ensure!(narrow.len() == 2, "a prefix within names finds {narrow:?}");
    let deleted = store.delete_prefix(&folder).await?;
    ensure!(deleted == 2_505, "{deleted} objects deleted");
    ensure!(store.list(&folder).await?.is_empty(), "objects are left after delete_prefix");
    ensure!(store.exists(&neighbour).await?, "delete_prefix took a neighbour");
    ensure!(store.delete_prefix(&folder).await? == 0, "deleting nothing counts something");
    Ok(())
}
