//! Parts that are sent again: the last one that arrived whole counts, whatever its size, and an end
//! that failed can be tried again with other parts.

use bytes::Bytes;

use super::parts::{PART, complete_absent, send};
use super::{Outcome, ensure, expect_pattern, pattern};
use crate::checksum::Crc64;
use crate::error::Error;
use crate::fault::FaultKind;
use crate::{Range, Store};

const LONGER: usize = PART + 1_000;

pub(super) async fn replaced(store: &Store, prefix: &str) -> Outcome {
    let key = format!("{prefix}replaced/object");
    refused_again(store, &key).await?;
    resized(store, &key).await?;
    failed_end(store, &key).await
}

/// A part that is sent again and arrives damaged does not harm the one that is there.
async fn refused_again(store: &Store, key: &str) -> Outcome {
    let id = store.create_upload(key).await?;
    let first = send(store, key, &id, 1, pattern(0, PART)).await?;
    let other = Bytes::from(vec![7; PART]);
    let again = store.upload_part(key, &id, 1, other, Crc64::of(b"other bytes")).await;
    let kind = again.as_ref().err().and_then(Error::kind);
    ensure!(kind == Some(FaultKind::Garbled), "a damaged part: {again:?}");
    store.complete_upload(key, &id, &[first]).await?;
    expect_pattern(store.reader(key, Range::ALL).await?, 0, u64::try_from(PART).unwrap_or(0)).await
}

/// A part of another size moves all that follow.
async fn resized(store: &Store, key: &str) -> Outcome {
    let id = store.create_upload(key).await?;
    send(store, key, &id, 1, Bytes::from(vec![7; PART])).await?;
    let offset = u64::try_from(LONGER).unwrap_or(0);
    let second = send(store, key, &id, 2, pattern(offset, PART)).await?;
    let first = send(store, key, &id, 1, pattern(0, LONGER)).await?;
    store.complete_upload(key, &id, &[first, second]).await?;
    let bytes = u64::try_from(LONGER + PART).unwrap_or(0);
    expect_pattern(store.reader(key, Range::ALL).await?, 0, bytes).await
}

/// An end with fewer parts that was refused leaves all of them as they were.
async fn failed_end(store: &Store, key: &str) -> Outcome {
    let id = store.create_upload(key).await?;
    let len = u64::try_from(PART).unwrap_or(0);
    let mut parts = Vec::new();
    for number in 1..=3 {
        let body = pattern(u64::from(number - 1) * len, PART);
        parts.push(send(store, key, &id, number, body).await?);
    }
    let kind = complete_absent(store, key, &id, parts.get(..2).unwrap_or_default()).await;
    ensure!(kind == Some(FaultKind::Precondition), "If-None-Match at the end: {kind:?}");
    store.complete_upload(key, &id, &parts).await?;
    expect_pattern(store.reader(key, Range::ALL).await?, 0, 3 * len).await
}
