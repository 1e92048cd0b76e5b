//! Bytes that are damaged on their way, and uploads that fail: nothing wrong is ever taken for the
//! object, and nothing is left behind.

use super::proxy::{Meddling, MeddlingProxy};
use super::{Broken, Outcome, code_of, ensure, expect_pattern, fresh_prefix, pattern, put_pattern};
use crate::{Condition, Range, Store};

const MIB: u64 = 1024 * 1024;
const ALWAYS: u32 = u32::MAX;
/// Three parts and a piece.
const BYTES: u64 = 17 * MIB + 3;

/// Writes and reads through a proxy that damages bytes and fails requests. `direct` and `through` are
/// ways to one bucket, without and with `proxy`.
///
/// # Errors
/// [`Broken`] when damage goes unnoticed or is not repaired, or when a failed upload is left.
pub async fn damage_and_failures(direct: Store, through: Store, proxy: &MeddlingProxy) -> Outcome {
    let prefix = fresh_prefix("damage");
    damaged_writes(&direct, &through, proxy, &prefix).await?;
    damaged_uploads(&direct, &through, proxy, &prefix).await?;
    damaged_reads(&direct, &through, proxy, &prefix).await?;
    failed_uploads(&direct, &through, proxy, &prefix).await?;
    lost_end(&direct, &through, proxy, &prefix).await?;
    direct.delete_prefix(&prefix).await?;
    Ok(())
}

async fn damaged_writes(
    direct: &Store,
    through: &Store,
    proxy: &MeddlingProxy,
    prefix: &str,
) -> Outcome {
    let key = format!("{prefix}written");
    let put = || through.put_bytes(&key, pattern(0, 100_000), Condition::Absent);
    proxy.meddle("PUT", "written", Meddling::DamageRequest, ALWAYS);
    let code = code_of(put().await);
    ensure!(code == "storage.garbled", "a body that is always damaged: {code}");
    ensure!(!direct.exists(&key).await?, "a damaged body is there");
    proxy.meddle("PUT", "written", Meddling::DamageRequest, 1);
    ensure!(put().await?.is_written(), "a body that was damaged once was not sent again");
    ensure!(proxy.hits() == 1, "no write was damaged");
    expect_pattern(direct.reader(&key, Range::ALL).await?, 0, 100_000).await
}

async fn damaged_uploads(
    direct: &Store,
    through: &Store,
    proxy: &MeddlingProxy,
    prefix: &str,
) -> Outcome {
    let key = format!("{prefix}uploaded");
    proxy.meddle("PUT", "partNumber=2", Meddling::DamageRequest, ALWAYS);
    let code = code_of(put_pattern(through, &key, BYTES).await);
    ensure!(code == "storage.garbled", "a part that is always damaged: {code}");
    ensure!(!direct.exists(&key).await?, "an object with a damaged part is there");
    expect_nothing_left(direct, &key, "a part that is always damaged").await?;
    proxy.meddle("PUT", "partNumber=2", Meddling::DamageRequest, 2);
    put_pattern(through, &key, BYTES).await?;
    ensure!(proxy.hits() == 2, "no part was damaged");
    expect_pattern(direct.reader(&key, Range::ALL).await?, 0, BYTES).await
}

async fn damaged_reads(
    direct: &Store,
    through: &Store,
    proxy: &MeddlingProxy,
    prefix: &str,
) -> Outcome {
    // One object of one request, one of parts.
    for (name, bytes) in [("small", 100_000), ("large", BYTES)] {
        let key = format!("{prefix}{name}");
        put_pattern(direct, &key, bytes).await?;
        proxy.meddle("GET", name, Meddling::DamageAnswer, 1);
        let mut reader = through.reader(&key, Range::ALL).await?;
        let mut came = 0;
        let end = loop {
            match reader.next().await {
                Ok(Some(piece)) => came += u64::try_from(piece.len()).unwrap_or(0),
                end => break end,
            }
        };
        ensure!(proxy.hits() == 1, "no answer was damaged");
        let code = code_of(end);
        ensure!(code == "storage.garbled", "{name}: a damaged stream ended with {code}");
        ensure!(came < bytes, "{name}: the last byte of a damaged stream was handed out");
        proxy.meddle("GET", name, Meddling::DamageAnswer, 2);
        let found = through.get_bytes(&key).await?.map(|found| found.value);
        ensure!(proxy.hits() == 2, "no answer was damaged");
        let wanted = pattern(0, usize::try_from(bytes).unwrap_or(0));
        ensure!(found == Some(wanted), "{name}: a damaged answer was not asked for again");
        proxy.meddle("GET", name, Meddling::DamageAnswer, ALWAYS);
        let code = code_of(through.get_bytes(&key).await);
        ensure!(code == "storage.garbled", "{name}: answers that are always damaged: {code}");
    }
    Ok(())
}

/// Whatever request of an upload fails, the upload is gone when the error is there.
async fn failed_uploads(
    direct: &Store,
    through: &Store,
    proxy: &MeddlingProxy,
    prefix: &str,
) -> Outcome {
    let steps = [
        ("POST", "?uploads", Meddling::Refuse(403)),
        ("PUT", "partNumber=1", Meddling::Refuse(500)),
        ("PUT", "partNumber=2", Meddling::CutRequest),
        ("PUT", "partNumber=3", Meddling::Refuse(400)),
        ("PUT", "partNumber=4", Meddling::Refuse(403)),
        ("POST", "uploadId=", Meddling::Refuse(400)),
        ("POST", "uploadId=", Meddling::Refuse(500)),
    ];
    for (method, target, what) in steps {
        let step = format!("{method} {target} {what:?}");
        let key = format!("{prefix}failed");
        proxy.meddle(method, target, what, ALWAYS);
        let done = put_pattern(through, &key, BYTES).await;
        ensure!(done.is_err(), "{step}: the object was written");
        ensure!(proxy.hits() > 0, "{step}: nothing was refused");
        ensure!(!direct.exists(&key).await?, "{step}: the object is there");
        expect_nothing_left(direct, &key, &step).await?;
    }
    // The same at a checkpoint.
    proxy.meddle("PUT", ".tail-", Meddling::Refuse(400), ALWAYS);
    let key = format!("{prefix}checkpoint");
    let mut writer = through.writer(&key);
    super::write_pattern(&mut writer, 0, 6 * MIB).await?;
    ensure!(writer.checkpoint().await.is_err(), "a checkpoint without its tail");
    expect_nothing_left(direct, &key, "a failed checkpoint").await?;
    // But what a checkpoint needs survives the failures after it.
    let mut writer = direct.writer(&key);
    super::write_pattern(&mut writer, 0, 6 * MIB).await?;
    let checkpoint = writer.checkpoint().await?;
    proxy.meddle("PUT", "partNumber=", Meddling::Refuse(400), ALWAYS);
    let mut writer = through.resume(&key, checkpoint.clone()).await?;
    let done = super::write_pattern(&mut writer, 6 * MIB, BYTES).await;
    let code = code_of(match done {
        Ok(()) => writer.finish().await.map(|_| ()),
        failed => failed,
    });
    ensure!(code == "storage.refused", "after a checkpoint: {code}");
    let mut writer = direct.resume(&key, checkpoint).await?;
    super::write_pattern(&mut writer, 6 * MIB, BYTES).await?;
    writer.finish().await?;
    expect_pattern(direct.reader(&key, Range::ALL).await?, 0, BYTES).await
}

/// The object was put together, but the answer was lost: that is no failure.
async fn lost_end(direct: &Store, through: &Store, proxy: &MeddlingProxy, prefix: &str) -> Outcome {
    let key = format!("{prefix}lost");
    proxy.meddle("POST", "uploadId=", Meddling::CutAnswer, 1);
    let written = put_pattern(through, &key, BYTES).await?;
    ensure!(proxy.hits() == 1, "no answer was lost");
    let reader = direct.reader(&key, Range::ALL).await?;
    ensure!(*reader.etag() == written.etag, "another version than the one that was written");
    expect_pattern(reader, 0, BYTES).await
}

/// Not after a while: now.
async fn expect_nothing_left(store: &Store, key: &str, step: &str) -> Outcome {
    let left = store.unfinished_uploads(key).await?;
    if left.is_empty() {
        return Ok(());
    }
    Err(Broken::new(format!("{step}: an unfinished upload is left")))
}
