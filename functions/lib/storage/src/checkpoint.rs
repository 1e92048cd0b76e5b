//! Where an unfinished object stands, so that a later invocation goes on with it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::checksum::Crc64;
use crate::error::Error;
use crate::upload::UploadedPart;
use crate::{Range, Result, Store, Writer};

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
    /// How many bytes the object should have, if that is known: decides the size of its parts.
    #[serde(default)]
    pub expected: Option<u64>,
}

/// The bytes of a checkpoint that no part holds yet, kept in an object of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tail {
    /// The object that holds them, beside the one being written.
    pub key: String,
    /// How many.
    pub bytes: u64,
    /// Their checksum.
    pub crc64: Crc64,
}

impl Store {
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
            if u64::try_from(held.len()) != Ok(tail.bytes) || Crc64::of(&held) != tail.crc64 {
                let (bucket, key) = self.place(key);
                return Err(Error::UploadGone { bucket, key });
            }
            writer.restore(&held);
        }
        writer.next_number = checkpoint.parts.iter().map(|part| part.number).max().unwrap_or(0) + 1;
        writer.inherited = checkpoint.upload_id.is_some();
        writer.upload_id = checkpoint.upload_id;
        writer.parts = checkpoint.parts;
        writer.accepted = checkpoint.offset;
        writer.expected = checkpoint.expected;
        writer.resumed = true;
        Ok(writer)
    }
}
