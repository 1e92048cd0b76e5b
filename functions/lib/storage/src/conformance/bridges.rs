//! The blocking streams, under conditions in which a careless bridge deadlocks.

use std::io::{self, BufRead, Read, Write};
use std::time::Duration;

use super::{Broken, Outcome, ensure, expect_no_uploads, fresh_prefix, pattern, sha256};
use crate::blocking::{Object, SyncReader, SyncWriter, failure_in};
use crate::{Condition, Error, Range, Store};

const BYTES: usize = 20 * 1024 * 1024 + 7;
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the blocking streams. To be called on a runtime with one thread as well, the server on the
/// same one.
///
/// # Errors
/// [`Broken`] when bytes differ, something hangs, or a failure loses its name.
pub async fn bridges(store: Store) -> Outcome {
    let prefix = fresh_prefix("bridges");
    let all = async {
        round_trip(&store, &prefix).await?;
        random_access(&store, &prefix).await?;
        early_ends(&store, &prefix).await?;
        checkpoints(&store, &prefix).await?;
        failures(&store, &prefix).await?;
        store.delete_prefix(&prefix).await?;
        Ok(())
    };
    match tokio::time::timeout(PATIENCE, all).await {
        Ok(done) => done,
        Err(_elapsed) => Err(Broken::new("a blocking stream hangs")),
    }
}

/// Runs synchronous code the way a stage does.
async fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Broken> + Send + 'static,
) -> Result<T, Broken> {
    tokio::task::spawn_blocking(work).await?
}

async fn round_trip(store: &Store, prefix: &str) -> Outcome {
    let (key, copy) = (format!("{prefix}object"), format!("{prefix}copy"));
    let mut writer = SyncWriter::new(store.writer(&key));
    let written = on_thread(move || {
        for piece in pattern(0, BYTES).chunks(1_013) {
            writer.write_all(piece)?;
        }
        writer.flush()?;
        Ok(writer.finish()?)
    });
    let written = written.await?;
    ensure!(written.bytes == 20 * 1024 * 1024 + 7, "{} bytes written", written.bytes);
    // Reading and writing at once, from one thread.
    let mut reader = SyncReader::new(store.reader(&key, Range::ALL).await?);
    let mut writer = SyncWriter::new(store.writer(&copy));
    on_thread(move || {
        io::copy(&mut reader, &mut writer)?;
        Ok(writer.finish()?)
    })
    .await?;
    let mut reader = SyncReader::new(store.reader(&copy, Range::ALL).await?);
    on_thread(move || {
        let mut all = Vec::new();
        reader.read_to_end(&mut all)?;
        ensure!(sha256(&all) == sha256(&pattern(0, BYTES)), "a copy through both bridges differs");
        ensure!(reader.read(&mut [0; 9])? == 0, "bytes after the end");
        Ok(())
    })
    .await?;
    let lines = format!("{prefix}lines");
    let written = store.put_bytes(&lines, "one\ntwo\n\nfour".into(), Condition::Any).await?;
    ensure!(written.is_written(), "the lines were refused");
    let reader = SyncReader::new(store.reader(&lines, Range::ALL).await?);
    let lines = on_thread(move || Ok(reader.lines().collect::<io::Result<Vec<_>>>()?)).await?;
    ensure!(lines == ["one", "two", "", "four"], "the lines are {lines:?}");
    Ok(())
}

/// A blocking writer that stops and goes on, and one whose upload is swept in between.
async fn checkpoints(store: &Store, prefix: &str) -> Outcome {
    const FIRST: usize = 11 * 1024 * 1024 + 3;
    for swept in [false, true] {
        let key = format!("{prefix}stopped-{swept}");
        let mut writer = SyncWriter::new(store.writer(&key));
        let checkpoint = on_thread(move || {
            writer.write_all(&pattern(0, FIRST))?;
            Ok(writer.checkpoint()?)
        })
        .await?;
        ensure!(checkpoint.offset == FIRST as u64, "stopped at {}", checkpoint.offset);
        if swept {
            let aborted = store.abort_uploads(&key).await?;
            ensure!(aborted == 1, "{aborted} uploads were aborted");
            expect_no_uploads(store, &key).await?;
            match store.resume(&key, checkpoint).await {
                Err(Error::UploadGone { .. }) => continue,
                other => return Err(Broken::new(format!("an aborted upload goes on: {other:?}"))),
            }
        }
        let mut writer = SyncWriter::new(store.resume(&key, checkpoint).await?);
        let written = on_thread(move || {
            let all = pattern(0, BYTES);
            writer.write_all(all.get(FIRST..).unwrap_or_default())?;
            Ok(writer.finish()?)
        })
        .await?;
        ensure!(written.bytes == BYTES as u64, "{} bytes written", written.bytes);
        let whole = store.reader(&key, Range::ALL).await?.collect().await?;
        ensure!(sha256(&whole) == sha256(&pattern(0, BYTES)), "an object in two goes differs");
    }
    Ok(())
}

async fn random_access(store: &Store, prefix: &str) -> Outcome {
    let object = Object::open(store, &format!("{prefix}object")).await?;
    ensure!(object.len() == 20 * 1024 * 1024 + 7 && !object.is_empty(), "{} bytes", object.len());
    on_thread(move || {
        let end = object.len();
        for (offset, len, wanted) in
            [(0, 100, 100), (9_999_999, 3, 3), (end - 4, 100, 4), (end, 10, 0), (end + 1, 1, 0)]
        {
            let mut buffer = vec![0; len];
            let count = object.read_at(offset, &mut buffer)?;
            buffer.truncate(count);
            ensure!(buffer == pattern(offset, wanted), "{len} bytes at {offset}");
        }
        let mut rest = Vec::new();
        object.stream(end - 1_000_000).read_to_end(&mut rest)?;
        ensure!(rest == pattern(end - 1_000_000, 1_000_000), "the last million bytes");
        let mut some = Vec::new();
        object.range(Range::of(77, 1_000)).read_to_end(&mut some)?;
        ensure!(some == pattern(77, 1_000), "a range");
        Ok(())
    })
    .await
}

/// Either side may go at any time; nobody hangs and nothing is left.
async fn early_ends(store: &Store, prefix: &str) -> Outcome {
    let key = format!("{prefix}object");
    let mut reader = SyncReader::new(store.reader(&key, Range::ALL).await?);
    on_thread(move || {
        reader.read_exact(&mut [0; 10])?;
        drop(reader);
        Ok(())
    })
    .await?;
    drop(SyncReader::new(store.reader(&key, Range::ALL).await?));
    let dropped = format!("{prefix}dropped/object");
    let mut writer = SyncWriter::new(store.writer(&dropped));
    on_thread(move || {
        writer.write_all(&pattern(0, 17 * 1024 * 1024))?;
        drop(writer);
        Ok(())
    })
    .await?;
    drop(SyncWriter::new(store.writer(&dropped)));
    expect_no_uploads(store, &dropped).await?;
    ensure!(!store.exists(&dropped).await?, "a dropped writer left an object");
    Ok(())
}

/// A failure of storage comes out of the library with its name.
async fn failures(store: &Store, prefix: &str) -> Outcome {
    let key = format!("{prefix}copy");
    let object = Object::open(store, &key).await?;
    store.delete(&key).await?;
    let (read, again) = on_thread(move || {
        let mut reader = object.range(Range::ALL);
        Ok((io::copy(&mut reader, &mut io::sink()).err(), reader.read(&mut [0; 1]).err()))
    })
    .await?;
    for error in [read, again] {
        let code = error.as_ref().and_then(failure_in).map(|failure| failure.code.clone());
        ensure!(code.as_deref() == Some("storage.missing"), "a deleted object: {error:?}");
    }
    let nowhere = store.with_bucket("no-such-bucket-anywhere-4711");
    let mut writer = SyncWriter::new(nowhere.writer("object"));
    let (written, finished) = on_thread(move || {
        let written = io::copy(&mut io::repeat(1).take(40 * 1024 * 1024), &mut writer);
        Ok((written, writer.finish()))
    })
    .await?;
    if let Err(error) = written {
        let code = failure_in(&error).map(|failure| failure.code.clone());
        ensure!(code.as_deref() == Some("storage.no_bucket"), "a write without bucket: {error:?}");
    }
    let code = finished.map_err(|failure| failure.code);
    ensure!(matches!(&code, Err(code) if code == "storage.no_bucket"), "the end: {code:?}");
    Ok(())
}
