//! The suite that every server must pass before the pipeline may use it as S3.
//!
//! Real requests against a real bucket; everything is written under one prefix of its own and
//! deleted at the end. Tests of other packages call it, so it reports instead of panicking.

mod bridges;
mod damage;
mod documents;
mod faults;
mod lists;
mod memory;
mod parts;
mod proxy;
mod replaced;
mod streams;

use std::fmt;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use domain::Failure;
use sha2::{Digest, Sha256};

use crate::{ByteStreamReader, Error, Store, Written};

pub use bridges::bridges;
pub use damage::damage_and_failures;
pub use documents::race;
pub use faults::{CuttingProxy, reader_resumes};
pub use memory::{huge_parts, many_writers};
pub use proxy::{Meddling, MeddlingProxy, Rule};

/// What the server, or this package, got wrong.
#[derive(Clone, PartialEq, Eq)]
pub struct Broken(String);

impl fmt::Debug for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Broken {}

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        Self(Failure::from(error).to_string())
    }
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Self(failure.to_string())
    }
}

impl From<std::io::Error> for Broken {
    fn from(error: std::io::Error) -> Self {
        Self(format!("{error:?}"))
    }
}

impl From<tokio::task::JoinError> for Broken {
    fn from(error: tokio::task::JoinError) -> Self {
        Self(error.to_string())
    }
}

/// How a part of the suite ended.
pub type Outcome = Result<(), Broken>;

macro_rules! ensure {
    ($condition:expr, $($words:tt)+) => {
        if !$condition {
            return Err($crate::conformance::Broken::new(format!($($words)+)));
        }
    };
}
use ensure;

impl Broken {
    pub(crate) fn new(words: impl Into<String>) -> Self {
        Self(words.into())
    }
}

/// Runs the whole suite but for [`race`] over several servers, [`bridges`], [`reader_resumes`],
/// [`damage_and_failures`], [`many_writers`] and [`huge_parts`], which need more than one bucket on
/// one runtime.
///
/// # Errors
/// The first thing that was not as it must be.
pub async fn conformance(store: Store) -> Outcome {
    let prefix = fresh_prefix("all");
    documents::documents(&store, &prefix).await?;
    documents::failures(&store, &prefix).await?;
    documents::chain(&store, &prefix).await?;
    race(std::slice::from_ref(&store)).await?;
    streams::round_trips(&store, &prefix).await?;
    streams::ranges(&store, &prefix).await?;
    streams::endings(&store, &prefix).await?;
    streams::checkpoints(&store, &prefix).await?;
    parts::parts(&store, &prefix).await?;
    replaced::replaced(&store, &prefix).await?;
    parts::checksums(&store, &prefix).await?;
    lists::lists(&store, &prefix).await?;
    store.delete_prefix(&prefix).await?;
    ensure!(store.list(&prefix).await?.is_empty(), "objects are left under {prefix}");
    Ok(())
}

/// A prefix that nobody used before.
fn fresh_prefix(name: &str) -> String {
    let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("conformance/{name}-{:x}-{:x}/", std::process::id(), time.as_nanos())
}

/// Bytes that are different at every place where parts could be mixed up.
///
/// The pattern repeats after 65,537 bytes, a prime, so no part or buffer size is a multiple of it.
fn pattern(offset: u64, len: usize) -> Bytes {
    const BYTES: u64 = 65_537;
    static PERIOD: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let byte = |at: u64| (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) & 0xFF;
        (0..BYTES).map(|at| u8::try_from(byte(at)).unwrap_or(0)).collect()
    });
    let start = usize::try_from(offset % BYTES).unwrap_or(0);
    let mut bytes = Vec::with_capacity(len + PERIOD.len());
    bytes.extend_from_slice(PERIOD.get(start..).unwrap_or_default());
    while bytes.len() < len {
        bytes.extend_from_slice(&PERIOD);
    }
    bytes.truncate(len);
    bytes.into()
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Writes the pattern from `from` to `to` in pieces of an odd size.
async fn write_pattern(writer: &mut crate::Writer, from: u64, to: u64) -> crate::Result<()> {
    let mut at = from;
    while at < to {
        let len = usize::try_from((to - at).min(777_777)).unwrap_or(0);
        writer.write(pattern(at, len)).await?;
        at += u64::try_from(len).unwrap_or(0);
    }
    Ok(())
}

/// Writes an object of `bytes` bytes of the pattern.
async fn put_pattern(store: &Store, key: &str, bytes: u64) -> crate::Result<Written> {
    let mut writer = store.writer(key);
    write_pattern(&mut writer, 0, bytes).await?;
    writer.finish().await
}

/// Reads to the end and compares with the pattern.
async fn expect_pattern(mut reader: ByteStreamReader, from: u64, bytes: u64) -> Outcome {
    let mut count = 0;
    while let Some(piece) = reader.next().await? {
        ensure!(!piece.is_empty(), "an empty piece in the middle of a stream");
        ensure!(piece == pattern(from + count, piece.len()), "other bytes at {from} + {count}");
        count += u64::try_from(piece.len()).unwrap_or(0);
    }
    ensure!(count == bytes, "{count} bytes came instead of {bytes}");
    Ok(())
}

/// Waits until no upload is left under a prefix: aborting goes on in the background.
async fn expect_no_uploads(store: &Store, prefix: &str) -> Outcome {
    for _ in 0..100 {
        if store.unfinished_uploads(prefix).await?.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err(Broken::new(format!("unfinished uploads are left under {prefix}")))
}

/// The code of the failure that an operation must end with.
fn code_of<T>(done: crate::Result<T>) -> String {
    match done {
        Ok(_) => "no failure".to_owned(),
        Err(error) => Failure::from(error).code.into_owned(),
    }
}
