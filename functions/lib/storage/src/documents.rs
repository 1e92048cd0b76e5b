//! Small objects that are read and written whole: JSON documents, and conditional writes, the only
//! means by which two runs agree on who owns what.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::checksum::Crc64;
use crate::error::Error;
use crate::fault::{Fault, FaultKind};
use crate::upload::GARBLED_TRIES;
use crate::{Range, Result, Store};

/// How often a 409 is asked again before it is reported: the other writer needs milliseconds.
const CONFLICT_TRIES: u32 = 8;
const CONFLICT_PAUSE: Duration = Duration::from_millis(50);

/// The version of an object, opaque, as S3 wrote it (quotes included).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ETag(String);

impl ETag {
    pub(crate) fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The header's value.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A value and the version it was read at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned<T> {
    /// What the object holds.
    pub value: T,
    /// The version to pass to [`Condition::Unchanged`].
    pub etag: ETag,
}

/// When a write may happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Always.
    Any,
    /// Only if there is no such object (`If-None-Match: *`).
    Absent,
    /// Only if the object is still at this version (`If-Match`).
    Unchanged(ETag),
}

/// How a write ended.
///
/// `Refused` can be the echo of the caller's own write: when S3 did it and the answer was lost, the
/// SDK asks again and meets its own object. Whoever claims something by a write puts a value of his
/// own into the document and reads it back when refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum PutOutcome {
    /// The object is written; this is its version.
    Written(ETag),
    /// The condition did not hold; nothing was written.
    Refused,
}

impl PutOutcome {
    /// Whether the object was written.
    #[must_use]
    pub const fn is_written(&self) -> bool {
        matches!(self, Self::Written(_))
    }
}

impl Store {
    /// Reads a JSON document; `None` when there is none.
    ///
    /// # Errors
    /// [`Error::Read`]; [`Error::Damaged`] when it does not parse.
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<Versioned<T>>> {
        let Some(found) = self.get_bytes(key).await? else {
            return Ok(None);
        };
        let value = serde_json::from_slice(&found.value).map_err(|source| {
            let (bucket, key) = self.place(key);
            Error::Damaged { bucket, key, source }
        })?;
        Ok(Some(Versioned { value, etag: found.etag }))
    }

    /// Reads a whole object; `None` when there is none. For objects that fit in memory.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub async fn get_bytes(&self, key: &str) -> Result<Option<Versioned<Bytes>>> {
        match self.reader(key, Range::ALL).await {
            Ok(mut reader) => {
                let value = reader.collect().await?;
                Ok(Some(Versioned { value, etag: reader.etag().clone() }))
            }
            Err(Error::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes a value as JSON.
    ///
    /// # Errors
    /// [`Error::Write`]; [`Error::Encode`] when the value has no JSON form.
    pub async fn put<T: Serialize + ?Sized>(
        &self,
        key: &str,
        value: &T,
        condition: Condition,
    ) -> Result<PutOutcome> {
        let body = serde_json::to_vec(value).map_err(|source| {
            let (bucket, key) = self.place(key);
            Error::Encode { bucket, key, source }
        })?;
        self.put_typed(key, body.into(), condition, "application/json").await
    }

    /// Writes an object in one request. For objects that fit in memory.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub async fn put_bytes(
        &self,
        key: &str,
        body: Bytes,
        condition: Condition,
    ) -> Result<PutOutcome> {
        self.put_typed(key, body, condition, "application/octet-stream").await
    }

    async fn put_typed(
        &self,
        key: &str,
        body: Bytes,
        condition: Condition,
        content_type: &str,
    ) -> Result<PutOutcome> {
        let crc64 = Crc64::of(&body);
        let (mut tries, mut garbled) = (0, 1);
        loop {
            let request = self.client().put_object().bucket(self.bucket()).key(key);
            let request = request.content_type(content_type).checksum_crc64_nvme(crc64);
            let request = request.body(body.clone().into());
            let request = match &condition {
                Condition::Any => request,
                Condition::Absent => request.if_none_match("*"),
                Condition::Unchanged(etag) => request.if_match(etag.as_str()),
            };
            // The body is covered by its checksum; hashing it again to sign it would only cost time.
            let fault = match request.customize().disable_payload_signing().send().await {
                Ok(answer) => {
                    return Ok(PutOutcome::Written(ETag::new(answer.e_tag().unwrap_or_default())));
                }
                Err(error) => Fault::of(error),
            };
            match (fault.kind, &condition) {
                (FaultKind::Precondition, _) => return Ok(PutOutcome::Refused),
                // The version that was expected is gone altogether.
                (FaultKind::Missing, Condition::Unchanged(_)) => return Ok(PutOutcome::Refused),
                (FaultKind::Conflict, _) if tries < CONFLICT_TRIES => {
                    tries += 1;
                    tokio::time::sleep(CONFLICT_PAUSE * tries).await;
                }
                (FaultKind::Garbled, _) if garbled < GARBLED_TRIES => garbled += 1,
                _ => return Err(self.write_error(key, fault)),
            }
        }
    }

    /// Deletes an object; no error when there is none.
    ///
    /// # Errors
    /// [`Error::Delete`].
    pub async fn delete(&self, key: &str) -> Result<()> {
        let request = self.client().delete_object().bucket(self.bucket()).key(key);
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.delete_error(key, Fault::of(error))),
        }
    }
}
