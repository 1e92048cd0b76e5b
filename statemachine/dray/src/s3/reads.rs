//! Reads objects: whole, by range, or only what is known about them.

use std::fs::{File, Metadata};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::{StreamExt, stream};
use s3s::dto::{
    ChecksumMode, ChecksumType, GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput,
    StreamingBlob, Timestamp,
};
use s3s::{S3Error, S3Result};

use super::checksum::Crc64;
use super::conditions::{Conditions, etag_of};
use super::folder::{Folder, blocking, broken};
use super::place::Place;

/// Read from the disk and sent at once.
const READ_BYTES: u64 = 512 * 1024;
/// So many reads are ahead of the network, the current one included.
const READS_AHEAD: usize = 2;

pub(super) async fn get(folder: &Folder, input: GetObjectInput) -> S3Result<GetObjectOutput> {
    let place = Place::new(&input.bucket, &input.key)?;
    let conditions = Conditions { if_match: input.if_match, if_none_match: input.if_none_match };
    let (file, metadata) = open(folder, place, conditions).await?;
    let size = metadata.len();
    let sum = asked_sum(input.checksum_mode.as_ref(), &file, &metadata);
    // S3 has no checksum for a range either.
    let sum = sum.filter(|_| input.range.is_none());
    let range = match &input.range {
        None => 0..size,
        Some(range) => range.check(size)?,
    };
    let content_range = input
        .range
        .map(|_| format!("bytes {}-{}/{size}", range.start, range.end.saturating_sub(1)));
    Ok(GetObjectOutput {
        accept_ranges: Some("bytes".to_owned()),
        content_length: i64::try_from(range.end - range.start).ok(),
        content_range,
        content_type: Some("application/octet-stream".to_owned()),
        e_tag: Some(etag_of(&metadata)),
        last_modified: metadata.modified().ok().map(Timestamp::from),
        checksum_crc64nvme: sum.map(|sum| sum.to_string()),
        checksum_type: sum.map(|_| full_object()),
        body: Some(body(file, range)),
        ..Default::default()
    })
}

pub(super) async fn head(folder: &Folder, input: HeadObjectInput) -> S3Result<HeadObjectOutput> {
    let place = Place::new(&input.bucket, &input.key)?;
    let conditions = Conditions { if_match: input.if_match, if_none_match: input.if_none_match };
    let (file, metadata) = open(folder, place, conditions).await?;
    let sum = asked_sum(input.checksum_mode.as_ref(), &file, &metadata);
    Ok(HeadObjectOutput {
        checksum_crc64nvme: sum.map(|sum| sum.to_string()),
        checksum_type: sum.map(|_| full_object()),
        accept_ranges: Some("bytes".to_owned()),
        content_length: i64::try_from(metadata.len()).ok(),
        content_type: Some("application/octet-stream".to_owned()),
        e_tag: Some(etag_of(&metadata)),
        last_modified: metadata.modified().ok().map(Timestamp::from),
        ..Default::default()
    })
}

/// The checksum of the object, for a client that wants it.
fn asked_sum(mode: Option<&ChecksumMode>, file: &File, metadata: &Metadata) -> Option<Crc64> {
    mode.filter(|mode| mode.as_str() == ChecksumMode::ENABLED)?;
    Crc64::kept(file, metadata)
}

/// What kind of checksum this server keeps: of the object, not of its parts.
pub(super) fn full_object() -> ChecksumType {
    ChecksumType::from_static(ChecksumType::FULL_OBJECT)
}

async fn open(folder: &Folder, place: Place, conditions: Conditions) -> S3Result<(File, Metadata)> {
    let folder = folder.clone();
    blocking(move || {
        let (file, metadata) = folder.open_object(&place)?;
        conditions.allow_read(&etag_of(&metadata))?;
        Ok((file, metadata))
    })
    .await
}

fn body(file: File, range: Range<u64>) -> StreamingBlob {
    let reading = Arc::new(Reading { file, spare: Mutex::default() });
    let pieces = stream::iter(pieces(range));
    let reads = pieces.map(move |piece| {
        let reading = Arc::clone(&reading);
        blocking(move || reading.piece(&piece))
    });
    StreamingBlob::wrap::<_, S3Error>(reads.buffered(READS_AHEAD))
}

fn pieces(range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    std::iter::successors(Some(range.start), |start| start.checked_add(READ_BYTES))
        .take_while(move |start| *start < range.end)
        .map(move |start| start..range.end.min(start.saturating_add(READ_BYTES)))
}

/// One answer: its file, and buffers to read into again. Fresh memory for every piece would cost as
/// much as the reading.
struct Reading {
    file: File,
    spare: Mutex<Vec<Vec<u8>>>,
}

/// A piece on its way to the client.
struct Piece {
    buffer: Vec<u8>,
    len: usize,
    reading: Arc<Reading>,
}

impl Reading {
    fn piece(self: Arc<Self>, range: &Range<u64>) -> S3Result<Bytes> {
        let len = usize::try_from(range.end - range.start).unwrap_or(0);
        let mut buffer = self.spare().pop().unwrap_or_default();
        if buffer.len() < len {
            buffer = vec![0; len];
        }
        let place = buffer.get_mut(..len).unwrap_or_default();
        self.file.read_exact_at(place, range.start).map_err(broken)?;
        Ok(Bytes::from_owner(Piece { buffer, len, reading: self }))
    }

    fn spare(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        self.buffer.get(..self.len).unwrap_or_default()
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.reading.spare().push(std::mem::take(&mut self.buffer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_a_range_without_gap_or_overlap() {
        for range in [0..0, 7..7, 0..1, 3..READ_BYTES + 3, 5..3 * READ_BYTES] {
            let mut at = range.start;
            for piece in pieces(range.clone()) {
                assert_eq!(piece.start, at);
                assert!(piece.end > piece.start && piece.end - piece.start <= READ_BYTES);
                at = piece.end;
            }
            assert_eq!(at, range.end);
        }
    }

    #[tokio::test]
    async fn buffers_are_used_again_and_no_byte_of_an_earlier_piece_is_seen() {
        let bytes: Vec<u8> = (0..3 * READ_BYTES + 7).map(|at| (at % 251) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, &bytes).unwrap();
        let reading = Arc::new(Reading { file, spare: Mutex::default() });
        let mut places = std::collections::BTreeSet::new();
        for range in pieces(0..bytes.len() as u64) {
            let piece = Arc::clone(&reading).piece(&range).unwrap();
            assert_eq!(piece, bytes[range.start as usize..range.end as usize]);
            places.insert(piece.as_ptr());
        }
        assert_eq!(places.len(), 1, "one after the other, they need one buffer");
    }
}
