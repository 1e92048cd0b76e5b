//! The four requests of a multipart upload, and how large its parts are.

use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::fault::{Fault, FaultKind};
use crate::{ETag, Result, Store};

/// The size of the first parts, and the size below which an object is sent in one request.
pub const PART_BYTES_FIRST: u64 = 8 * 1024 * 1024;
/// The smallest part that S3 takes, the last one excepted.
pub(crate) const PART_BYTES_MIN: u64 = 5 * 1024 * 1024;
/// After this many parts their size doubles.
const PARTS_PER_STEP: u32 = 1_000;
/// The doubling stops here: 4 GiB, below the 5 GiB that S3 allows.
const STEPS_MAX: u32 = 9;

/// The size in bytes of part `number`, counted from 1.
///
/// 8 MiB, doubled after every 1,000 parts: 1,000 parts hold 7.8 GiB, 5,000 hold 242 GiB, and the
/// 10,000 that S3 allows hold 7.8 TiB, more than the 5 TiB that an object may have. Small files
/// stay cheap in memory, and nobody has to know the size beforehand.
#[must_use]
pub const fn part_bytes(number: u32) -> u64 {
    let step = number.saturating_sub(1) / PARTS_PER_STEP;
    let step = if step > STEPS_MAX { STEPS_MAX } else { step };
    PART_BYTES_FIRST << step
}

/// One part that S3 has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadedPart {
    /// Counted from 1.
    pub number: u32,
    /// The part's version; S3 wants it back at the end.
    pub etag: ETag,
    /// Its size in bytes.
    pub bytes: u64,
}

impl UploadedPart {
    fn number_on_the_wire(number: u32) -> i32 {
        i32::try_from(number).unwrap_or(i32::MAX)
    }
}

impl Store {
    pub(crate) async fn create_upload(&self, key: &str) -> Result<String> {
        let request = self.client().create_multipart_upload().bucket(self.bucket()).key(key);
        let answer = request.content_type("application/octet-stream").send().await;
        let answer = answer.map_err(|error| self.upload_error(key, Fault::of(error)))?;
        Ok(answer.upload_id.unwrap_or_default())
    }

    pub(crate) async fn upload_part(
        &self,
        key: &str,
        upload_id: &str,
        number: u32,
        body: Bytes,
    ) -> Result<UploadedPart> {
        let bytes = u64::try_from(body.len()).unwrap_or_default();
        let request = self.client().upload_part().bucket(self.bucket()).key(key);
        let request = request
            .upload_id(upload_id)
            .part_number(UploadedPart::number_on_the_wire(number))
            .body(body.into());
        // Covered by the CRC32 that the SDK sends; a SHA-256 to sign it would only cost time.
        let answer = request.customize().disable_payload_signing().send().await;
        let answer = answer.map_err(|error| self.upload_error(key, Fault::of(error)))?;
        Ok(UploadedPart { number, etag: ETag::new(answer.e_tag.unwrap_or_default()), bytes })
    }

    pub(crate) async fn complete_upload(
        &self,
        key: &str,
        upload_id: &str,
        parts: &[UploadedPart],
    ) -> Result<ETag> {
        let parts = parts.iter().map(|part| {
            CompletedPart::builder()
                .part_number(UploadedPart::number_on_the_wire(part.number))
                .e_tag(part.etag.as_str())
                .build()
        });
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts.collect())).build();
        let request = self.client().complete_multipart_upload().bucket(self.bucket()).key(key);
        let answer = request.upload_id(upload_id).multipart_upload(parts).send().await;
        let answer = answer.map_err(|error| self.upload_error(key, Fault::of(error)))?;
        Ok(ETag::new(answer.e_tag.unwrap_or_default()))
    }

    /// Forgets an upload and its parts; no error when it is gone already.
    pub(crate) async fn abort_upload(&self, key: &str, upload_id: &str) -> Result<()> {
        let request = self.client().abort_multipart_upload().bucket(self.bucket()).key(key);
        match request.upload_id(upload_id).send().await {
            Ok(_) => Ok(()),
            Err(error) => match Fault::of(error) {
                fault if fault.kind == FaultKind::NoUpload => Ok(()),
                fault => Err(self.upload_error(key, fault)),
            },
        }
    }

    /// Asks whether an upload can still go on.
    pub(crate) async fn check_upload(&self, key: &str, upload_id: &str) -> Result<()> {
        let request = self.client().list_parts().bucket(self.bucket()).key(key);
        match request.upload_id(upload_id).max_parts(1).send().await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.upload_error(key, Fault::of(error))),
        }
    }

    /// The keys under a prefix that have an unfinished multipart upload (at most 1,000).
    ///
    /// # Errors
    /// [`Error::List`](crate::Error::List).
    pub async fn unfinished_uploads(&self, prefix: &str) -> Result<Vec<String>> {
        let request = self.client().list_multipart_uploads().bucket(self.bucket()).prefix(prefix);
        match request.send().await {
            Ok(answer) => {
                Ok(answer.uploads().iter().filter_map(|upload| upload.key.clone()).collect())
            }
            Err(error) => Err(self.list_error(prefix, Fault::of(error))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_parts_hold_the_largest_object_and_none_is_too_large() {
        let total: u64 = (1..=10_000).map(part_bytes).sum();
        assert!(total >= 5 << 40, "{total}");
        assert!((1..=10_000).all(|number| part_bytes(number) < 5 << 30));
        assert_eq!(part_bytes(1), PART_BYTES_FIRST);
        assert_eq!(part_bytes(1_000), PART_BYTES_FIRST);
        assert_eq!(part_bytes(1_001), 2 * PART_BYTES_FIRST);
        assert_eq!(part_bytes(10_000), 4 << 30);
    }
}
