//! Reads an object, or a range of it, as a stream that goes on by itself after a dropped connection
//! and does not hand out the last bytes of an object that came damaged.

use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use bytes::{Bytes, BytesMut};

use crate::checksum::{Crc64, Running};
use crate::error::Error;
use crate::fault::{Fault, FaultKind};
use crate::{ETag, Result, Store};

/// How often in a row the stream is opened again without a single byte gained.
const FRUITLESS_TRIES: u32 = 5;
/// How often an object that came damaged is read into memory again.
const GARBLED_TRIES: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// No more than this is reserved ahead for an object whose size a server only claims.
const RESERVE_MAX_BYTES: usize = 64 * 1024 * 1024;

/// Which bytes of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first byte, counted from 0.
    pub offset: u64,
    /// How many; all that follow when `None`. What lies behind the end is left out.
    pub len: Option<u64>,
}

impl Range {
    /// The whole object.
    pub const ALL: Self = Self { offset: 0, len: None };

    /// Everything from `offset` on.
    #[must_use]
    pub const fn from(offset: u64) -> Self {
        Self { offset, len: None }
    }

    /// `len` bytes from `offset` on.
    #[must_use]
    pub const fn of(offset: u64, len: u64) -> Self {
        Self { offset, len: Some(len) }
    }
}

/// An object being read. All bytes come from one version of it.
#[derive(Debug)]
pub struct ByteStreamReader {
    store: Store,
    key: String,
    etag: ETag,
    object_bytes: u64,
    position: u64,
    end: u64,
    body: Option<ByteStream>,
    fruitless: u32,
    /// What the whole object must have; S3 has no checksum for a range of one.
    checksum: Option<Crc64>,
    sum: Running,
}

impl Store {
    /// Opens an object for reading.
    ///
    /// A range that begins at or behind the end of the object is an empty stream, not an error.
    ///
    /// # Errors
    /// [`Error::Missing`] when there is no such object, else [`Error::Read`].
    pub async fn reader(&self, key: &str, range: Range) -> Result<ByteStreamReader> {
        self.open(key, range, None).await
    }

    /// Reads one range into memory; shorter than `len` only at the end of the object.
    ///
    /// # Errors
    /// Those of [`Store::reader`] and [`ByteStreamReader::next`].
    pub async fn read_range(&self, key: &str, offset: u64, len: u64) -> Result<Bytes> {
        self.reader(key, Range::of(offset, len)).await?.collect().await
    }

    pub(crate) async fn open(
        &self,
        key: &str,
        range: Range,
        version: Option<&ETag>,
    ) -> Result<ByteStreamReader> {
        match self.request(key, range, version).await {
            Ok(opened) => Ok(opened),
            Err(fault) if fault.kind == FaultKind::Range => {
                // Only a HEAD tells how long the object is when there is nothing to read from it.
                let found = self.stat(key).await?;
                let Some((object_bytes, etag)) = found else {
                    return Err(self.read_error(key, fault));
                };
                Ok(ByteStreamReader {
                    store: self.clone(),
                    key: key.to_owned(),
                    etag,
                    object_bytes,
                    position: range.offset,
                    end: range.offset,
                    body: None,
                    fruitless: 0,
                    checksum: None,
                    sum: Running::new(),
                })
            }
            Err(fault) if fault.kind == FaultKind::Precondition => {
                let (bucket, key) = self.place(key);
                Err(Error::Replaced { bucket, key })
            }
            Err(fault) => Err(self.read_error(key, fault)),
        }
    }

    async fn request(
        &self,
        key: &str,
        range: Range,
        version: Option<&ETag>,
    ) -> std::result::Result<ByteStreamReader, Fault> {
        // No byte can be asked for in a header, so an empty range asks for one and drops it.
        let last = range.len.map(|len| range.offset.saturating_add(len.max(1) - 1));
        let header = match (range.offset, last) {
            (0, None) => None,
            (offset, None) => Some(format!("bytes={offset}-")),
            (offset, Some(last)) => Some(format!("bytes={offset}-{last}")),
        };
        let request = self.client().get_object().bucket(self.bucket()).key(key);
        let request = request.set_range(header).set_if_match(version.map(ToString::to_string));
        let answer = request.send().await.map_err(Fault::of)?;
        let length = u64::try_from(answer.content_length().unwrap_or_default()).unwrap_or_default();
        let end = match range.len {
            Some(0) => range.offset,
            _ => range.offset.saturating_add(length),
        };
        let object_bytes = answer
            .content_range()
            .and_then(|range| range.rsplit_once('/'))
            .and_then(|(_, total)| total.parse().ok())
            .unwrap_or(end);
        let is_whole = range.offset == 0 && end == object_bytes;
        let checksum = answer.checksum_crc64_nvme().and_then(Crc64::parse);
        Ok(ByteStreamReader {
            store: self.clone(),
            key: key.to_owned(),
            etag: ETag::new(answer.e_tag().unwrap_or_default()),
            object_bytes,
            position: range.offset,
            end,
            body: (end > range.offset).then_some(answer.body),
            fruitless: 0,
            checksum: checksum.filter(|_| is_whole),
            sum: Running::new(),
        })
    }
}

impl ByteStreamReader {
    /// The version that is being read.
    #[must_use]
    pub const fn etag(&self) -> &ETag {
        &self.etag
    }

    /// The size of the whole object in bytes, whatever range is read.
    #[must_use]
    pub const fn object_bytes(&self) -> u64 {
        self.object_bytes
    }

    /// How many bytes are still to come.
    #[must_use]
    pub const fn remaining_bytes(&self) -> u64 {
        self.end.saturating_sub(self.position)
    }

    /// The offset in the object of the next byte.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    pub(crate) fn place(&self) -> (String, String) {
        self.store.place(&self.key)
    }

    /// The next bytes, never empty; `None` after the last one of the range.
    ///
    /// When the connection drops, the rest is asked for again, and only from the same version of
    /// the object; after five tries in a row without a byte it gives up.
    ///
    /// The last bytes of a whole object come only when all of them have the checksum that S3 keeps:
    /// whoever got `None` got the object. A range is as good as the connection.
    ///
    /// # Errors
    /// [`Error::Read`], with the code `storage.garbled` when the bytes are not those of the object;
    /// [`Error::Replaced`] when the object changed meanwhile.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        while self.position < self.end {
            let Some(body) = self.body.as_mut() else {
                self.reopen().await?;
                continue;
            };
            match body.next().await {
                Some(Ok(bytes)) if bytes.is_empty() => {}
                Some(Ok(mut bytes)) => {
                    let left = usize::try_from(self.remaining_bytes()).unwrap_or(usize::MAX);
                    bytes.truncate(left);
                    self.position += u64::try_from(bytes.len()).unwrap_or_default();
                    self.fruitless = 0;
                    self.verify(&bytes)?;
                    return Ok(Some(bytes));
                }
                Some(Err(error)) => self.drop_body(Some(Fault::dropped(error)))?,
                None => self.drop_body(None)?,
            }
        }
        Ok(None)
    }

    /// Adds bytes to the sum of the object, and compares it behind the last one.
    fn verify(&mut self, bytes: &[u8]) -> Result<()> {
        let Some(checksum) = self.checksum else {
            return Ok(());
        };
        self.sum.update(bytes);
        if self.position < self.end || self.sum.sum() == checksum {
            return Ok(());
        }
        let fault = Fault::garbled("the bytes that came do not have the checksum of the object");
        Err(self.store.read_error(&self.key, fault))
    }

    /// Reads all that is left into memory; again from the beginning if the object came damaged.
    ///
    /// # Errors
    /// Those of [`ByteStreamReader::next`].
    pub async fn collect(&mut self) -> Result<Bytes> {
        let from_start = self.position == 0;
        let mut tries = 1;
        loop {
            match self.collect_once().await {
                Err(error)
                    if from_start
                        && error.kind() == Some(FaultKind::Garbled)
                        && tries < GARBLED_TRIES =>
                {
                    tracing::warn!(key = self.key, %error, "an object is read again");
                    tries += 1;
                    self.position = 0;
                    self.body = None;
                    self.sum = Running::new();
                }
                done => return done,
            }
        }
    }

    async fn collect_once(&mut self) -> Result<Bytes> {
        let expected = usize::try_from(self.remaining_bytes()).unwrap_or(usize::MAX);
        let Some(first) = self.next().await? else {
            return Ok(Bytes::new());
        };
        if first.len() == expected {
            return Ok(first);
        }
        let mut all = BytesMut::with_capacity(expected.min(RESERVE_MAX_BYTES));
        all.extend_from_slice(&first);
        while let Some(bytes) = self.next().await? {
            all.extend_from_slice(&bytes);
        }
        Ok(all.freeze())
    }

    /// Notes a connection that ended too early; an error once too many of them brought nothing.
    fn drop_body(&mut self, fault: Option<Fault>) -> Result<()> {
        self.body = None;
        self.fruitless += 1;
        let fault = fault.unwrap_or_else(|| {
            Fault::dropped(std::io::Error::from(std::io::ErrorKind::UnexpectedEof))
        });
        if self.fruitless >= FRUITLESS_TRIES {
            return Err(self.store.read_error(&self.key, fault));
        }
        tracing::debug!(key = self.key, position = self.position, %fault, "reading goes on");
        Ok(())
    }

    async fn reopen(&mut self) -> Result<()> {
        tokio::time::sleep(FIRST_PAUSE * 2_u32.saturating_pow(self.fruitless.min(5))).await;
        let range = Range::of(self.position, self.remaining_bytes());
        match self.store.request(&self.key, range, Some(&self.etag)).await {
            Ok(opened) => {
                self.body = opened.body;
                Ok(())
            }
            Err(fault) => match fault.kind {
                FaultKind::Unreachable | FaultKind::Throttled => self.drop_body(Some(fault)),
                FaultKind::Precondition | FaultKind::Missing | FaultKind::Range => {
                    let (bucket, key) = self.place();
                    Err(Error::Replaced { bucket, key })
                }
                _ => Err(self.store.read_error(&self.key, fault)),
            },
        }
    }
}
