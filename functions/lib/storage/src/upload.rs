//! The requests of a multipart upload, and how large its parts are.

use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, ChecksumType, CompletedMultipartUpload, CompletedPart,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::checksum::Crc64;
use crate::fault::{Fault, FaultKind};
use crate::{ETag, Result, Store};

/// The size of the first parts, and the size below which an object is sent in one request.
pub const PART_BYTES_FIRST: u64 = PART_BYTES_MIN;
/// The smallest part that S3 takes, the last one excepted.
pub(crate) const PART_BYTES_MIN: u64 = 5 * 1024 * 1024;
/// The largest part that S3 takes is 5 GiB; the growth stops before it.
const PART_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;
/// An object of unknown size has this many first parts, ...
const PARTS_FIRST: u32 = 2_000;
/// ... and from there on its parts double after this many.
const PARTS_PER_STEP: u32 = 800;
/// The doubling stops here: 2.5 GiB.
const STEPS_MAX: u32 = 9;
/// An object of known size has this many equal parts at most; the other 1,000 that S3 allows are
/// for what comes unexpectedly.
const PARTS_EXPECTED: u32 = 9_000;
/// After that the size of parts doubles quickly.
const PARTS_PER_LATE_STEP: u32 = 100;
/// Sizes of parts that follow from an expected size are multiples of this.
const PART_BYTES_STEP: u64 = 1024 * 1024;
/// How often bytes that were damaged on their way are sent again.
pub(crate) const GARBLED_TRIES: u32 = 4;

/// The size in bytes of part `number`, counted from 1, of an object of unknown size.
///
/// 5 MiB up to 9.8 GiB, then doubled after every 800 parts: 80 MiB at 100 GiB, and the 10,000 parts
/// that S3 allows hold 5.9 TiB. Most files stay cheap in memory, and nobody has to know the size
/// beforehand; whoever does know it needs far less memory for a large one ([`Store::writer_for`]).
#[must_use]
pub const fn part_bytes(number: u32) -> u64 {
    let step = number.saturating_sub(PARTS_FIRST).div_ceil(PARTS_PER_STEP);
    let step = if step > STEPS_MAX { STEPS_MAX } else { step };
    PART_BYTES_FIRST << step
}

/// The size in bytes of part `number`, counted from 1, of an object that should have `expected`
/// bytes.
///
/// All parts are equal, as small as the count allows: 5 MiB up to 43 GiB, 12 MiB for 100 GiB, 583
/// MiB for 5 TiB. An object that grows beyond what was expected still fits up to 900 GiB at least.
#[must_use]
pub const fn part_bytes_of(expected: u64, number: u32) -> u64 {
    let needed = expected.div_ceil(PARTS_EXPECTED as u64).next_multiple_of(PART_BYTES_STEP);
    let bytes = if needed < PART_BYTES_MIN { PART_BYTES_MIN } else { needed };
    let late = number.saturating_sub(PARTS_EXPECTED).div_ceil(PARTS_PER_LATE_STEP);
    let bytes = bytes.saturating_mul(1 << late);
    if bytes > PART_BYTES_MAX { PART_BYTES_MAX } else { bytes }
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
    /// The checksum of its bytes.
    pub crc64: Crc64,
}

impl UploadedPart {
    fn number_on_the_wire(number: u32) -> i32 {
        i32::try_from(number).unwrap_or(i32::MAX)
    }
}

impl Store {
    pub(crate) async fn create_upload(&self, key: &str) -> Result<String> {
        let request = self.client().create_multipart_upload().bucket(self.bucket()).key(key);
        let request = request
            .content_type("application/octet-stream")
            .checksum_algorithm(ChecksumAlgorithm::Crc64Nvme)
            .checksum_type(ChecksumType::FullObject);
        let answer = request.send().await;
        let answer = answer.map_err(|error| self.upload_error(key, Fault::of(error)))?;
        Ok(answer.upload_id.unwrap_or_default())
    }

    /// Sends a part with the checksum that its bytes must have; again when they arrived damaged.
    pub(crate) async fn upload_part(
        &self,
        key: &str,
        upload_id: &str,
        number: u32,
        body: Bytes,
        crc64: Crc64,
    ) -> Result<UploadedPart> {
        let bytes = u64::try_from(body.len()).unwrap_or_default();
        let mut tries = 1;
        loop {
            let request = self.client().upload_part().bucket(self.bucket()).key(key);
            let request = request
                .upload_id(upload_id)
                .part_number(UploadedPart::number_on_the_wire(number))
                .checksum_crc64_nvme(crc64)
                .body(body.clone().into());
            // Covered by its checksum; a SHA-256 to sign it would only cost time.
            match request.customize().disable_payload_signing().send().await.map_err(Fault::of) {
                Ok(answer) => {
                    let etag = ETag::new(answer.e_tag.unwrap_or_default());
                    return Ok(UploadedPart { number, etag, bytes, crc64 });
                }
                Err(fault) if fault.kind == FaultKind::Garbled && tries < GARBLED_TRIES => {
                    tracing::warn!(key, number, %fault, "a part is sent again");
                    tries += 1;
                }
                Err(fault) => return Err(self.upload_error(key, fault)),
            }
        }
    }

    /// Makes the object of its parts, if they are what was sent: S3 compares size and checksum of
    /// the whole.
    pub(crate) async fn complete_upload(
        &self,
        key: &str,
        upload_id: &str,
        parts: &[UploadedPart],
    ) -> Result<ETag> {
        let bytes: u64 = parts.iter().map(|part| part.bytes).sum();
        let whole = parts.iter().fold(Crc64::EMPTY, |sum, part| sum.then(part.crc64, part.bytes));
        let parts = parts.iter().map(|part| {
            CompletedPart::builder()
                .part_number(UploadedPart::number_on_the_wire(part.number))
                .e_tag(part.etag.as_str())
                .checksum_crc64_nvme(part.crc64)
                .build()
        });
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts.collect())).build();
        let request = self.client().complete_multipart_upload().bucket(self.bucket()).key(key);
        let request = request
            .upload_id(upload_id)
            .multipart_upload(parts)
            .checksum_type(ChecksumType::FullObject)
            .checksum_crc64_nvme(whole)
            .set_mpu_object_size(i64::try_from(bytes).ok());
        let answer = match request.send().await.map_err(Fault::of) {
            Ok(answer) => answer,
            Err(fault) if fault.kind == FaultKind::NoUpload => {
                // An earlier answer may have been lost: then the object is there and has our sum.
                let there = self.is_whole(key, bytes, whole).await?;
                return there.ok_or_else(|| self.upload_error(key, fault));
            }
            Err(fault) => return Err(self.upload_error(key, fault)),
        };
        let told = answer.checksum_crc64_nvme().and_then(Crc64::parse);
        if told.is_some_and(|told| told != whole) {
            let fault = Fault::garbled("S3 put together other bytes than were sent");
            return Err(self.upload_error(key, fault));
        }
        Ok(ETag::new(answer.e_tag.unwrap_or_default()))
    }

    /// The version of an object, if it has this size and this checksum.
    async fn is_whole(&self, key: &str, bytes: u64, whole: Crc64) -> Result<Option<ETag>> {
        let request = self.client().head_object().bucket(self.bucket()).key(key);
        match request.checksum_mode(ChecksumMode::Enabled).send().await.map_err(Fault::of) {
            Ok(found) => {
                let same = found.checksum_crc64_nvme().and_then(Crc64::parse) == Some(whole)
                    && found.content_length().and_then(|len| u64::try_from(len).ok())
                        == Some(bytes);
                Ok(same.then(|| ETag::new(found.e_tag.unwrap_or_default())))
            }
            Err(fault) if fault.kind == FaultKind::Missing => Ok(None),
            Err(fault) => Err(self.read_error(key, fault)),
        }
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

    /// Aborts every unfinished multipart upload under a prefix, and tells how many there were.
    ///
    /// # Errors
    /// [`Error::List`](crate::Error::List), [`Error::Upload`](crate::Error::Upload).
    pub async fn abort_uploads(&self, prefix: &str) -> Result<usize> {
        let mut aborted = 0;
        loop {
            let request = self.client().list_multipart_uploads().bucket(self.bucket());
            let answer = request.prefix(prefix).send().await;
            let page = answer.map_err(|error| self.list_error(prefix, Fault::of(error)))?;
            for upload in page.uploads() {
                if let (Some(key), Some(upload_id)) = (&upload.key, &upload.upload_id) {
                    self.abort_upload(key, upload_id).await?;
                    aborted += 1;
                }
            }
            // The next page is the first of what is left.
            if page.is_truncated != Some(true) || page.uploads().is_empty() {
                return Ok(aborted);
            }
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

    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;
    const TIB: u64 = 1 << 40;

    /// How many parts an object has, and the size of its largest one.
    fn parts(object: u64, size: impl Fn(u32) -> u64) -> (u32, u64) {
        let (mut number, mut held, mut largest) = (0, 0, 0);
        while held < object {
            number += 1;
            held += size(number);
            largest = largest.max(size(number));
        }
        (number, largest)
    }

    #[test]
    fn parts_of_an_unknown_object_double_after_the_first_2_000() {
        for (number, size) in [
            (1, 5 * MIB),
            (2_000, 5 * MIB),
            (2_001, 10 * MIB),
            (2_800, 10 * MIB),
            (2_801, 20 * MIB),
            (5_200, 80 * MIB),
            (8_401, 2_560 * MIB),
            (10_000, 2_560 * MIB),
        ] {
            assert_eq!(part_bytes(number), size, "{number}");
        }
        assert_eq!((1..=2_000).map(part_bytes).sum::<u64>(), 10_000 * MIB);
        assert_eq!((1..=4_400).map(part_bytes).sum::<u64>(), 66_000 * MIB);
        assert_eq!((1..=10_000).map(part_bytes).sum::<u64>(), 6_146_000 * MIB);
    }

    #[test]
    fn an_object_of_5_tib_fits_whether_its_size_was_known_or_not() {
        for object in [1, 5 * MIB, 43 * GIB, 45 * GIB, 100 * GIB, TIB, 5 * TIB] {
            let (unknown, _) = parts(object, part_bytes);
            let (known, largest) = parts(object, |number| part_bytes_of(object, number));
            assert!(unknown <= 10_000, "{object}: {unknown} parts");
            assert!(known <= PARTS_EXPECTED, "{object}: {known} parts");
            assert!((PART_BYTES_MIN..5 * GIB).contains(&largest), "{object}: {largest}");
        }
        for number in 1..=10_000 {
            assert!(part_bytes(number) <= PART_BYTES_MAX, "{number}");
            assert!(part_bytes_of(5 * TIB, number) <= PART_BYTES_MAX, "{number}");
            assert_eq!(part_bytes_of(40 * TIB, number), PART_BYTES_MAX, "{number}");
        }
    }

    #[test]
    fn parts_of_a_known_object_are_equal_and_as_small_as_the_count_allows() {
        let size = |object| part_bytes_of(object, 1);
        assert_eq!(size(0), 5 * MIB);
        assert_eq!(size(9_000 * 5 * MIB), 5 * MIB);
        assert_eq!(size(9_000 * 5 * MIB + 1), 6 * MIB);
        assert_eq!(size(100 * GIB), 12 * MIB);
        assert_eq!(size(5 * TIB), 583 * MIB);
        assert_eq!(part_bytes_of(100 * GIB, 9_000), 12 * MIB);
    }

    #[test]
    fn an_object_far_larger_than_expected_still_fits() {
        assert_eq!(part_bytes_of(1, 9_001), 10 * MIB);
        assert_eq!(part_bytes_of(1, 9_100), 10 * MIB);
        assert_eq!(part_bytes_of(1, 9_101), 20 * MIB);
        for expected in [0, GIB, 100 * GIB] {
            let (count, _) = parts(900 * GIB, |number| part_bytes_of(expected, number));
            assert!(count <= 10_000, "{expected}: {count} parts");
        }
    }
}
