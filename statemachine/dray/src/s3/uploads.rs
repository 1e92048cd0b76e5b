//! Lists unfinished uploads and the parts they have, page by page.

use s3s::S3Result;
use s3s::dto::{
    ListMultipartUploadsInput, ListMultipartUploadsOutput, ListPartsInput, ListPartsOutput,
    MultipartUpload, Part, Timestamp,
};

use super::conditions::etag_of;
use super::folder::{Folder, blocking};
use super::listing::{count, page_size};
use super::multipart;
use super::place::Place;

/// The parts of one upload.
pub(super) async fn parts(folder: &Folder, input: ListPartsInput) -> S3Result<ListPartsOutput> {
    let place = Place::new(&input.bucket, &input.key)?;
    let upload = multipart::folder_of(folder, &place, &input.upload_id)?;
    let after = input.part_number_marker.unwrap_or(0);
    let mut parts = blocking(move || multipart::parts(&upload)).await?;
    parts.retain(|(number, ..)| *number > after);
    let max = page_size(input.max_parts);
    let is_truncated = parts.len() > max;
    parts.truncate(max);
    let last = parts.last().map(|(number, ..)| *number);
    let parts = parts.into_iter().map(|(number, part, metadata)| Part {
        part_number: Some(number),
        size: i64::try_from(part.bytes).ok(),
        checksum_crc64nvme: Some(part.crc64.to_string()),
        e_tag: Some(etag_of(&metadata)),
        last_modified: metadata.modified().ok().map(Timestamp::from),
        ..Default::default()
    });
    Ok(ListPartsOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(input.upload_id),
        max_parts: count(max),
        part_number_marker: input.part_number_marker,
        next_part_number_marker: last.filter(|_| is_truncated),
        is_truncated: Some(is_truncated),
        parts: Some(parts.collect()),
        ..Default::default()
    })
}

/// The unfinished uploads of a bucket.
pub(super) async fn unfinished(
    folder: &Folder,
    input: ListMultipartUploadsInput,
) -> S3Result<ListMultipartUploadsOutput> {
    let (folder, bucket) = (folder.clone(), input.bucket.clone());
    let mut uploads = blocking(move || multipart::uploads(&folder, &bucket)).await?;
    let prefix = input.prefix.clone().unwrap_or_default();
    let marker = (input.key_marker.clone(), input.upload_id_marker.clone());
    uploads.retain(|upload| {
        upload.target.key.starts_with(&prefix)
            && match &marker {
                (None, _) => true,
                (Some(key), None) => upload.target.key > *key,
                (Some(key), Some(id)) => (&upload.target.key, &upload.id) > (key, id),
            }
    });
    let max = page_size(input.max_uploads);
    let is_truncated = uploads.len() > max;
    uploads.truncate(max);
    let last = uploads.last().filter(|_| is_truncated);
    Ok(ListMultipartUploadsOutput {
        bucket: Some(input.bucket),
        prefix: input.prefix,
        key_marker: input.key_marker,
        upload_id_marker: input.upload_id_marker,
        max_uploads: count(max),
        next_key_marker: last.map(|upload| upload.target.key.clone()),
        next_upload_id_marker: last.map(|upload| upload.id.clone()),
        is_truncated: Some(is_truncated),
        uploads: Some(uploads.into_iter().map(listed_upload).collect()),
        ..Default::default()
    })
}

fn listed_upload(upload: multipart::Upload) -> MultipartUpload {
    MultipartUpload {
        key: Some(upload.target.key),
        upload_id: Some(upload.id),
        initiated: upload.begun.map(Timestamp::from),
        ..Default::default()
    }
}
