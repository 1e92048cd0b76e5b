//! Writes an object of unknown size as a stream, in bounded memory.

use bytes::{Bytes, BytesMut};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::checksum::Running;
use crate::error::Error;
use crate::memory::{Held, Memory};
use crate::upload::{PART_BYTES_MIN, UploadedPart, part_bytes, part_bytes_of};
use crate::{Checkpoint, Condition, ETag, PutOutcome, Result, Store, Tail};

/// How many parts of one object travel at the same time.
const PARTS_IN_FLIGHT: usize = 4;
/// The buffers before the one that holds a part: most objects are small.
const BUFFERS_BEFORE: [u64; 2] = [256 * 1024, 1024 * 1024];

/// A finished object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its size.
    pub bytes: u64,
    /// Its version.
    pub etag: ETag,
}

/// An object being written. Nobody sees it before [`Writer::finish`].
///
/// Memory: the part being filled and at most four under way, as far as the 48 MiB that all writers
/// of a process share allow; one part in any case. See [`part_bytes`] for their size.
///
/// Every byte is covered by a checksum from the moment it is taken here: S3 refuses a part that
/// arrives damaged, which is sent again, and an object that is not the sum of its parts.
///
/// An error ends the object: its upload is aborted before the error is returned. Dropped without an
/// end, a writer aborts in the background. But never the upload of a checkpoint
/// ([`Store::resume`]), which must stay good for another try.
#[derive(Debug)]
pub struct Writer {
    pub(crate) store: Store,
    pub(crate) key: String,
    pub(crate) upload_id: Option<String>,
    /// How many bytes are expected, if anybody knows.
    pub(crate) expected: Option<u64>,
    buffer: BytesMut,
    /// What the buffer holds of the shared memory.
    held: Held,
    /// The checksum of what is in the buffer.
    sum: Running,
    pub(crate) next_number: u32,
    pub(crate) parts: Vec<UploadedPart>,
    in_flight: JoinSet<Result<UploadedPart>>,
    pub(crate) accepted: u64,
    pub(crate) resumed: bool,
    /// Whether the upload is of an earlier invocation.
    pub(crate) inherited: bool,
    settled: bool,
}

impl Store {
    /// Begins an object. Sends nothing before the first part is full.
    pub fn writer(&self, key: &str) -> Writer {
        Writer {
            store: self.clone(),
            key: key.to_owned(),
            upload_id: None,
            expected: None,
            buffer: BytesMut::new(),
            held: Held::nothing(),
            sum: Running::new(),
            next_number: 1,
            parts: Vec::new(),
            in_flight: JoinSet::new(),
            accepted: 0,
            resumed: false,
            inherited: false,
            settled: false,
        }
    }

    /// Begins an object that should have about `bytes` bytes: a large one needs far less memory
    /// than one of unknown size ([`part_bytes_of`]). More and less may come.
    pub fn writer_for(&self, key: &str, bytes: u64) -> Writer {
        let mut writer = self.writer(key);
        writer.expected = Some(bytes);
        writer
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
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        match self.take(bytes).await {
            Ok(()) => Ok(()),
            Err(error) => {
                self.give_up().await;
                Err(error)
            }
        }
    }

    async fn take(&mut self, mut bytes: Bytes) -> Result<()> {
        if self.settled {
            return Err(self.cut_off());
        }
        while !bytes.is_empty() {
            self.make_room(bytes.len()).await?;
            let room = self.room().min(self.buffer.capacity().saturating_sub(self.buffer.len()));
            let taken = bytes.split_to(room.min(bytes.len()));
            self.append(&taken);
            self.accepted += u64::try_from(taken.len()).unwrap_or_default();
            if self.room() == 0 {
                self.send_part().await?;
            }
        }
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) {
        self.sum.update(bytes);
        self.buffer.extend_from_slice(bytes);
    }

    /// Takes the bytes that a checkpoint could not put into a part.
    pub(crate) fn restore(&mut self, tail: &[u8]) {
        self.held.grow_anyway(u64::try_from(tail.len()).unwrap_or_default());
        self.append(tail);
    }

    fn part_bytes(&self) -> u64 {
        match self.expected {
            Some(expected) => part_bytes_of(expected, self.next_number),
            None => part_bytes(self.next_number),
        }
    }

    /// What the part still takes.
    fn room(&self) -> usize {
        let part = usize::try_from(self.part_bytes()).unwrap_or(usize::MAX);
        part.saturating_sub(self.buffer.len())
    }

    /// Makes the buffer larger if not one more byte fits, when the shared memory allows it or when
    /// nothing of this object is under way that would give some back.
    async fn make_room(&mut self, wanted: usize) -> Result<()> {
        if self.buffer.len() < self.buffer.capacity() {
            return Ok(());
        }
        let part = self.part_bytes();
        let len = u64::try_from(self.buffer.len().saturating_add(wanted)).unwrap_or(u64::MAX);
        let small = BUFFERS_BEFORE.into_iter().find(|size| *size >= len && self.next_number == 1);
        let size = small.unwrap_or(part);
        while !self.held.grow(size) {
            if self.in_flight.is_empty() {
                self.held.grow_anyway(size);
                break;
            }
            self.collect_part().await?;
        }
        // Not by `reserve`, which takes more than it is asked for.
        let mut larger = Memory::of_process().buffer(size);
        larger.extend_from_slice(&self.buffer);
        self.buffer = larger;
        Ok(())
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
        while self.in_flight.len() >= PARTS_IN_FLIGHT {
            self.collect_part().await?;
        }
        let (store, key, number) = (self.store.clone(), self.key.clone(), self.next_number);
        // A buffer of its own for the next part: this one's memory goes when it has arrived.
        let body = std::mem::take(&mut self.buffer).freeze();
        let (sum, held) = (self.sum.take(), self.held.split());
        self.in_flight.spawn(async move {
            let sent = store.upload_part(&key, &upload_id, number, body.clone(), sum).await;
            drop(held);
            Memory::of_process().reuse(body);
            sent
        });
        self.next_number += 1;
        Ok(())
    }

    /// Waits for one part under way.
    async fn collect_part(&mut self) -> Result<()> {
        match self.in_flight.join_next().await {
            None => Ok(()),
            Some(Ok(Ok(part))) => {
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
        let sent: u64 = self.parts.iter().map(|part| part.bytes).sum();
        let buffered = u64::try_from(self.buffer.len()).unwrap_or_default();
        if sent + buffered == self.accepted { Ok(()) } else { Err(self.cut_off()) }
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
        let etag = match self.put_together().await {
            Ok(etag) => etag,
            Err(error) => {
                self.give_up().await;
                return Err(error);
            }
        };
        self.settled = true;
        self.delete_tails().await?;
        Ok(Written { bytes: self.accepted, etag })
    }

    async fn put_together(&mut self) -> Result<ETag> {
        if self.settled {
            return Err(self.cut_off());
        }
        if self.upload_id.is_some() && !self.buffer.is_empty() {
            self.send_part().await?;
        }
        self.collect_all().await?;
        if let Some(upload_id) = &self.upload_id {
            return self.store.complete_upload(&self.key, upload_id, &self.parts).await;
        }
        let body = std::mem::take(&mut self.buffer).freeze();
        match self.store.put_bytes(&self.key, body, Condition::Any).await? {
            PutOutcome::Written(etag) => Ok(etag),
            PutOutcome::Refused => Err(self.cut_off()),
        }
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

    /// After an error: nothing more is taken, and the upload is aborted unless it is a checkpoint's.
    async fn give_up(&mut self) {
        if self.settled {
            return;
        }
        self.settled = true;
        self.buffer = BytesMut::new();
        self.held = Held::nothing();
        let in_flight = std::mem::take(&mut self.in_flight);
        if let (false, Some(upload_id)) = (self.inherited, &self.upload_id) {
            forget(&self.store, &self.key, upload_id, in_flight).await;
        }
    }

    /// Stops here, with every byte written so far safe in S3, and says how to go on.
    ///
    /// # Errors
    /// [`Error::Upload`], [`Error::Write`]; an earlier checkpoint stays good.
    pub async fn checkpoint(mut self) -> Result<Checkpoint> {
        match self.save().await {
            Ok(tail) => {
                self.settled = true;
                Ok(Checkpoint {
                    upload_id: self.upload_id.take(),
                    parts: std::mem::take(&mut self.parts),
                    offset: self.accepted,
                    tail,
                    expected: self.expected,
                })
            }
            Err(error) => {
                self.give_up().await;
                Err(error)
            }
        }
    }

    async fn save(&mut self) -> Result<Option<Tail>> {
        if self.settled {
            return Err(self.cut_off());
        }
        if u64::try_from(self.buffer.len()).is_ok_and(|bytes| bytes >= PART_BYTES_MIN) {
            self.send_part().await?;
        }
        self.collect_all().await?;
        if self.buffer.is_empty() {
            return Ok(None);
        }
        // The offset in the name: an earlier checkpoint's tail is not touched.
        let key = format!("{}{:020}", self.tail_prefix(), self.accepted);
        let body = std::mem::take(&mut self.buffer).freeze();
        let bytes = u64::try_from(body.len()).unwrap_or_default();
        let _written = self.store.put_bytes(&key, body, Condition::Any).await?;
        Ok(Some(Tail { key, bytes, crc64: self.sum.take() }))
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
        let in_flight = std::mem::take(&mut self.in_flight);
        let (store, key) = (self.store.clone(), std::mem::take(&mut self.key));
        let Ok(runtime) = Handle::try_current() else {
            tracing::warn!(key, "an unfinished upload is left to the bucket's lifecycle rule");
            return;
        };
        runtime.spawn(async move { forget(&store, &key, &upload_id, in_flight).await });
    }
}

/// Aborts an upload as well as it can be done; what is left is swept by the bucket's lifecycle rule.
async fn forget(
    store: &Store,
    key: &str,
    upload_id: &str,
    mut in_flight: JoinSet<Result<UploadedPart>>,
) {
    // A part that arrives after the abort would stay, so none may be under way.
    in_flight.shutdown().await;
    if let Err(error) = store.abort_upload(key, upload_id).await {
        tracing::warn!(key, %error, "an unfinished upload could not be aborted");
    }
}
