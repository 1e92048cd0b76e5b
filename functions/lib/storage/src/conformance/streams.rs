//! Streams: every size round trips, nothing half is ever visible, a checkpoint loses nothing.

use super::{
    Broken, Outcome, code_of, ensure, expect_no_uploads, expect_pattern, pattern, put_pattern,
    write_pattern,
};
use crate::{Checkpoint, Error, Range, Store};

const MIB: u64 = 1024 * 1024;

pub(super) async fn round_trips(store: &Store, prefix: &str) -> Outcome {
    let sizes = [0, 1, 300_000, 5 * MIB - 1, 5 * MIB, 5 * MIB + 1, 10 * MIB, 20 * MIB + 12_345];
    for bytes in sizes {
        let key = format!("{prefix}streams/{bytes}");
        let written = put_pattern(store, &key, bytes).await?;
        ensure!(store.size(&key).await? == Some(bytes), "the size of {key}");
        let reader = store.reader(&key, Range::ALL).await?;
        ensure!(*reader.etag() == written.etag, "the version of {key}");
        ensure!(reader.object_bytes() == bytes, "the size that the reader of {key} sees");
        expect_pattern(reader, 0, bytes).await?;
    }
    expect_no_uploads(store, &format!("{prefix}streams/")).await
}

pub(super) async fn ranges(store: &Store, prefix: &str) -> Outcome {
    let key = format!("{prefix}ranges");
    let bytes = 9 * MIB + 77;
    let written = put_pattern(store, &key, bytes).await?;
    let cases = [
        (0, None),
        (0, Some(1)),
        (1, Some(MIB)),
        (5 * MIB - 3, Some(6)),
        (bytes - 1, None),
        (bytes - 1, Some(100)),
        (5, Some(0)),
        (bytes, None),
        (bytes + 10, Some(1)),
    ];
    for (offset, len) in cases {
        let left = bytes.saturating_sub(offset);
        let wanted = len.unwrap_or(left).min(left);
        let reader = store.reader(&key, Range { offset, len }).await?;
        ensure!(reader.object_bytes() == bytes, "the size seen from {offset}");
        ensure!(*reader.etag() == written.etag, "the version seen from {offset}");
        ensure!(reader.remaining_bytes() == wanted, "{} left", reader.remaining_bytes());
        expect_pattern(reader, offset, wanted).await?;
    }
    let some = store.read_range(&key, 1_000_000, 100).await?;
    ensure!(some == pattern(1_000_000, 100), "read_range");
    replaced(store, &key, bytes).await
}

/// A stream never mixes two versions, and random access notices the new one.
async fn replaced(store: &Store, key: &str, bytes: u64) -> Outcome {
    let mut reader = store.reader(key, Range::ALL).await?;
    let object = crate::blocking::Object::open(store, key).await?;
    let first = reader.next().await?.unwrap_or_default();
    ensure!(first == pattern(0, first.len()), "the first piece");
    put_pattern(store, key, 3).await?;
    let from = reader.position();
    match expect_pattern(reader, from, bytes - from).await {
        Ok(()) => {}
        Err(broken) if broken.to_string().contains("storage.replaced") => {}
        Err(broken) => return Err(broken),
    }
    let read = tokio::task::spawn_blocking(move || object.read_at(0, &mut [0; 3])).await?;
    let code = read.err().as_ref().and_then(crate::blocking::failure_in).map(|f| f.code.clone());
    ensure!(code.as_deref() == Some("storage.replaced"), "random access ended with {code:?}");
    Ok(())
}

/// Abort and drop leave neither an object nor an upload; until the end nothing is visible.
pub(super) async fn endings(store: &Store, prefix: &str) -> Outcome {
    let prefix = format!("{prefix}endings/");
    let key = format!("{prefix}object");
    let mut writer = store.writer(&key);
    write_pattern(&mut writer, 0, 17 * MIB).await?;
    ensure!(!store.exists(&key).await?, "an object is visible before its end");
    let uploads = store.unfinished_uploads(&prefix).await?;
    ensure!(uploads == [key.clone()], "the unfinished uploads are {uploads:?}");
    writer.abort().await?;
    expect_no_uploads(store, &prefix).await?;
    let mut writer = store.writer(&key);
    write_pattern(&mut writer, 0, 17 * MIB).await?;
    drop(writer);
    expect_no_uploads(store, &prefix).await?;
    store.writer(&key).abort().await?;
    ensure!(store.list(&prefix).await?.is_empty(), "something is left after abort and drop");
    Ok(())
}

pub(super) async fn checkpoints(store: &Store, prefix: &str) -> Outcome {
    let prefix = format!("{prefix}checkpoints/");
    let bytes = 21 * MIB + 11;
    // In turn: only a tail; a part and a small tail; a part and a large one; exactly full parts.
    for stop in [3 * MIB + 1, 6 * MIB + 5, 9 * MIB, 10 * MIB] {
        let key = format!("{prefix}{stop}");
        let mut writer = store.writer(&key);
        write_pattern(&mut writer, 0, stop).await?;
        let checkpoint = writer.checkpoint().await?;
        ensure!(checkpoint.offset == stop, "{stop} became {}", checkpoint.offset);
        ensure!(!store.exists(&key).await?, "an object is visible at a checkpoint");
        let json = serde_json::to_string(&checkpoint).map_err(|e| Broken::new(e.to_string()))?;
        let checkpoint: Checkpoint =
            serde_json::from_str(&json).map_err(|e| Broken::new(e.to_string()))?;
        // The first invocation to go on dies, the second one begins at the same place.
        let mut dying = store.resume(&key, checkpoint.clone()).await?;
        write_pattern(&mut dying, stop, stop + 9 * MIB).await?;
        drop(dying);
        let mut writer = store.resume(&key, checkpoint.clone()).await?;
        ensure!(writer.offset() == stop, "goes on at {}", writer.offset());
        write_pattern(&mut writer, stop, stop + MIB).await?;
        // A second checkpoint on top of the first.
        let second = writer.checkpoint().await?;
        let mut writer = store.resume(&key, second).await?;
        write_pattern(&mut writer, stop + MIB, bytes).await?;
        let written = writer.finish().await?;
        ensure!(written.bytes == bytes, "{} bytes instead of {bytes}", written.bytes);
        expect_pattern(store.reader(&key, Range::ALL).await?, 0, bytes).await?;
        let left = store.list(&key).await?;
        ensure!(left.len() == 1, "besides the object there is {left:?}");
        let gone = store.resume(&key, checkpoint).await;
        ensure!(matches!(gone, Err(Error::UploadGone { .. })), "{gone:?} after the end");
        ensure!(code_of(gone) == "storage.upload_gone", "the code of an upload that is gone");
    }
    expect_no_uploads(store, &prefix).await
}
