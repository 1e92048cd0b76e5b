//! Writes an object of unknown size as a stream, in bounded memory, and can stop in the middle so
//! that a later invocation goes on.

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::error::Error;
use crate::upload::{PART_BYTES_MIN, UploadedPart, part_bytes};
use crate::{Condition, ETag, PutOutcome, Range, Result, Store};

/// How many parts travel at the same time.
const PARTS_IN_FLIGHT: usize = 4;
/// Parts wait once this much is under way, so that only the largest objects cost more memory.
const BYTES_IN_FLIGHT: u64 = 256 * 1024 * 1024;
/// Until this much has come the buffer grows by itself: most objects are small.
const GROW_BYTES: usize = 256 * 1024;

/// A finished object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its size.
    pub bytes: u64,
    /// Its version.
    pub etag: ETag,
}

/// Where an unfinished object stands: what [`Store::resume`] needs to go on. Goes into an item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The multipart upload, if one was begun.
    pub upload_id: Option<String>,
    /// The parts that S3 has.
    pub parts: Vec<UploadedPart>,
    /// How many bytes were written in all, the tail included: the next one to write.
    pub offset: u64,
    /// What was too small to be a part.
    pub tail: Option<Tail>,
}

/// The bytes of a checkpoint that no part holds yet, kept in an object of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tail {
    /// The object that holds them, beside the one being written.
    pub key: String,
    /// How many.
    pub bytes: u64,
}

/// An object being written. Nobody sees it before [`Writer::finish`].
///
/// Memory: the part being filled plus at most four parts, or 256 MiB, under way; one part if parts
/// are larger than that (from 492 GiB on). See [`part_bytes`].
///
/// Dropped without an end, it aborts its upload in the background; but not one that came with a
/// checkpoint ([`Store::resume`]), which must stay good for another try.
#[derive(Debug)]
pub struct Writer {
    store: Store,
    key: String,
    upload_id: Option<String>,
    buffer: BytesMut,
    next_number: u32,
    parts: Vec<UploadedPart>,
    in_flight: JoinSet<Result<UploadedPart>>,
    bytes_in_flight: u64,
    accepted: u64,
    resumed: bool,
    /// Whether the upload is of an earlier invocation.
    inherited: bool,
    settled: bool,
}

impl Store {
    /// Begins an object. Sends nothing before the first part is full.
    pub fn writer(&self, key: &str) -> Writer {
        Writer {
            store: self.clone(),
            key: key.to_owned(),
            upload_id: None,
            buffer: BytesMut::new(),
            next_number: 1,
            parts: Vec::new(),
            in_flight: JoinSet::new(),
            bytes_in_flight: 0,
            accepted: 0,
            resumed: false,
            inherited: false,
            settled: false,
        }
    }

    /// Goes on with an object at a checkpoint; the next byte to write is [`Checkpoint::offset`].
    ///
    /// May be called again with the same checkpoint when the first try died.
    ///
    /// # Errors
    /// [`Error::UploadGone`] when the upload or the tail exists no more: begin anew.
    pub async fn resume(&self, key: &str, checkpoint: Checkpoint) -> Result<Writer> {
        let mut writer = self.writer(key);
        if let Some(upload_id) = &checkpoint.upload_id {
            self.check_upload(key, upload_id).await?;
        }
        if let Some(tail) = &checkpoint.tail {
            let held = match self.reader(&tail.key, Range::ALL).await {
                Ok(mut reader) => reader.collect().await?,
                Err(Error::Missing { .. }) => Bytes::new(),
                Err(error) => return Err(error),
            };
            if u64::try_from(held.len()) != Ok(tail.bytes) {
                let (bucket, key) = self.place(key);
                return Err(Error::UploadGone { bucket, key });
            }
            writer.buffer.extend_from_slice(&held);
        }
        writer.next_number = checkpoint.parts.iter().map(|part| part.number).max().unwrap_or(0) + 1;
        writer.inherited = checkpoint.upload_id.is_some();
        writer.upload_id = checkpoint.upload_id;
        writer.parts = checkpoint.parts;
        writer.accepted = checkpoint.offset;
        writer.resumed = true;
        Ok(writer)
    }
}

impl Writer {
    /// How many bytes were written so far.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.accepted
    }

    pub(crate) fn place(&self) -> (String, String) {
        self.store.place(&self.key)
    }

    /// Takes the next bytes; waits when too many parts are under way.
    ///
    /// # Errors
    /// [`Error::Upload`] of this or an earlier part; the object cannot be finished then. A call
    /// that was cancelled may have taken some of its bytes.
    pub async fn write(&mut self, mut bytes: Bytes) -> Result<()> {
        while !bytes.is_empty() {
            let room = self.room();
            if room == 0 {
                self.send_part().await?;
                continue;
            }
            let taken = bytes.split_to(room.min(bytes.len()));
            if self.next_number > 1 || self.buffer.len() + taken.len() > GROW_BYTES {
                self.buffer.reserve(room);
            }
            self.buffer.extend_from_slice(&taken);
            self.accepted += u64::try_from(taken.len()).unwrap_or_default();
        }
        if self.room() == 0 { self.send_part().await } else { Ok(()) }
    }

    fn room(&self) -> usize {
        let part = usize::try_from(part_bytes(self.next_number)).unwrap_or(usize::MAX);
        part.saturating_sub(self.buffer.len())
    }

    /// Sends what the buffer holds as a part, in the background.
    async fn send_part(&mut self) -> Result<()> {
        let upload_id = match &self.upload_id {
            Some(upload_id) => upload_id.clone(),
            None => {
                let upload_id = self.store.create_upload(&self.key).await?;
                self.upload_id.insert(upload_id).clone()
            }
        };
        let bytes = u64::try_from(self.buffer.len()).unwrap_or_default();
        while !self.in_flight.is_empty()
            && (self.in_flight.len() >= PARTS_IN_FLIGHT
                || self.bytes_in_flight + bytes > BYTES_IN_FLIGHT)
        {
            self.collect_part().await?;
        }
        let body = self.buffer.split().freeze();
        let (store, key, number) = (self.store.clone(), self.key.clone(), self.next_number);
        self.in_flight
            .spawn(async move { store.upload_part(&key, &upload_id, number, body).await });
        self.bytes_in_flight += bytes;
        self.next_number += 1;
        Ok(())
    }

    /// Waits for one part under way.
    async fn collect_part(&mut self) -> Result<()> {
        match self.in_flight.join_next().await {
            None => Ok(()),
            Some(Ok(Ok(part))) => {
                self.bytes_in_flight = self.bytes_in_flight.saturating_sub(part.bytes);
                self.parts.push(part);
                Ok(())
            }
            Some(Ok(Err(error))) => Err(error),
            Some(Err(_ended)) => Err(self.cut_off()),
        }
    }

    /// Waits for all parts and makes sure that none is missing: S3 would accept the gap.
    async fn collect_all(&mut self) -> Result<()> {
        while !self.in_flight.is_empty() {
            self.collect_part().await?;
        }
        self.parts.sort_by_key(|part| part.number);
        let held: u64 = self.parts.iter().map(|part| part.bytes).sum();
        let buffered = u64::try_from(self.buffer.len()).unwrap_or_default();
        if held + buffered == self.accepted { Ok(()) } else { Err(self.cut_off()) }
    }

    fn cut_off(&self) -> Error {
        let (bucket, key) = self.place();
        Error::CutOff { bucket, key }
    }

    /// Makes the object visible, whole. Less than one part is sent in one plain request.
    ///
    /// # Errors
    /// [`Error::Upload`] or [`Error::Write`]; nothing is visible then.
    pub async fn finish(mut self) -> Result<Written> {
        if self.upload_id.is_some() && !self.buffer.is_empty() {
            self.send_part().await?;
        }
        self.collect_all().await?;
        let etag = match self.upload_id.clone() {
            Some(upload_id) => {
                self.store.complete_upload(&self.key, &upload_id, &self.parts).await?
            }
            None => {
                let body = self.buffer.split().freeze();
                match self.store.put_bytes(&self.key, body, Condition::Any).await? {
                    PutOutcome::Written(etag) => etag,
                    PutOutcome::Refused => return Err(self.cut_off()),
                }
            }
        };
        self.settled = true;
        self.delete_tails().await?;
        Ok(Written { bytes: self.accepted, etag })
    }

    /// Forgets everything written so far, checkpoints included.
    ///
    /// # Errors
    /// [`Error::Upload`], [`Error::Delete`]; what is left is swept by the bucket's lifecycle rule.
    pub async fn abort(mut self) -> Result<()> {
        self.settled = true;
        // A part that arrives after the abort would stay, so none may be under way.
        self.in_flight.shutdown().await;
        if let Some(upload_id) = &self.upload_id {
            self.store.abort_upload(&self.key, upload_id).await?;
        }
        self.delete_tails().await
    }

    /// Stops here, with every byte written so far safe in S3, and says how to go on.
    ///
    /// # Errors
    /// [`Error::Upload`], [`Error::Write`]; an earlier checkpoint stays good.
    pub async fn checkpoint(mut self) -> Result<Checkpoint> {
        if u64::try_from(self.buffer.len()).is_ok_and(|bytes| bytes >= PART_BYTES_MIN) {
            self.send_part().await?;
        }
        self.collect_all().await?;
        let tail = if self.buffer.is_empty() {
            None
        } else {
            // The offset in the name: an earlier checkpoint's tail is not touched.
            let key = format!("{}{:020}", self.tail_prefix(), self.accepted);
            let body = self.buffer.split().freeze();
            let bytes = u64::try_from(body.len()).unwrap_or_default();
            let _written = self.store.put_bytes(&key, body, Condition::Any).await?;
            Some(Tail { key, bytes })
        };
        self.settled = true;
        Ok(Checkpoint {
            upload_id: self.upload_id.take(),
            parts: std::mem::take(&mut self.parts),
            offset: self.accepted,
            tail,
        })
    }

    fn tail_prefix(&self) -> String {
        format!("{}.tail-", self.key)
    }

    async fn delete_tails(&self) -> Result<()> {
        if self.resumed {
            self.store.delete_prefix(&self.tail_prefix()).await?;
        }
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if self.settled || self.inherited {
            return;
        }
        let Some(upload_id) = self.upload_id.take() else {
            return;
        };
        let mut in_flight = std::mem::take(&mut self.in_flight);
        let (store, key) = (self.store.clone(), std::mem::take(&mut self.key));
        let Ok(runtime) = Handle::try_current() else {
            tracing::warn!(key, "an unfinished upload is left to the bucket's lifecycle rule");
            return;
        };
        runtime.spawn(async move {
            in_flight.shutdown().await;
            if let Err(error) = store.abort_upload(&key, &upload_id).await {
                tracing::warn!(key, %error, "an unfinished upload could not be aborted");
            }
        });
    }
}
