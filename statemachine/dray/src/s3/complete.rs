//! Puts a multipart upload together and makes it the object, if it is what the client sent.

use s3s::dto::{CompleteMultipartUploadInput, ETag};
use s3s::{S3Result, s3_error};

use super::checksum::Crc64;
use super::conditions::Conditions;
use super::folder::{Folder, blocking, broken};
use super::multipart::{self, Part};
use super::place::Place;

/// The object's version and checksum.
pub(super) async fn complete(
    folder: Folder,
    place: Place,
    input: CompleteMultipartUploadInput,
) -> S3Result<(ETag, Crc64)> {
    let conditions =
        Conditions { if_match: input.if_match.clone(), if_none_match: input.if_none_match.clone() };
    let gathered = {
        let (folder, place) = (folder.clone(), place.clone());
        blocking(move || {
            let wanted = input.multipart_upload.as_ref().and_then(|upload| upload.parts.as_deref());
            let upload = multipart::folder_of(&folder, &place, &input.upload_id)?;
            let parts = multipart::chosen(&upload, wanted.unwrap_or_default())?;
            let sum = check(&input, &parts)?;
            // From here on nobody finds a place in the file, and whoever still writes into it waits.
            folder.slots.end(&input.upload_id);
            let mut whole = multipart::open_whole(&upload)?;
            whole.lock().map_err(broken)?;
            let object = multipart::gather(&folder, &upload, &mut whole, &parts).map_err(broken)?;
            Ok((upload, whole, object, sum))
        })
    };
    let (upload, whole, object, sum) = gathered.await?;
    folder
        .exclusive(place, move |folder, place| {
            // Not in place when it was aborted in the meantime.
            folder_is_there(folder, place, &upload)?;
            let etag = folder.commit(&object, place, &conditions, Some(sum))?;
            if let Err(error) = multipart::remove(&upload) {
                tracing::warn!(%error, "the parts of a finished upload could not be removed");
            }
            // The lock goes last: a late writer must find its upload gone, not the object open.
            drop(whole);
            Ok((etag, sum))
        })
        .await
}

fn folder_is_there(folder: &Folder, place: &Place, upload: &std::path::Path) -> S3Result<()> {
    let id = upload.file_name().unwrap_or_default().to_string_lossy();
    multipart::folder_of(folder, place, &id).map(|_| ())
}

/// Compares what the client says about the whole with the sum of its parts.
fn check(input: &CompleteMultipartUploadInput, parts: &[(i32, Part)]) -> S3Result<Crc64> {
    let bytes: u64 = parts.iter().map(|(_, part)| part.bytes).sum();
    let claimed = input.mpu_object_size;
    if claimed.is_some_and(|claimed| u64::try_from(claimed) != Ok(bytes)) {
        return Err(s3_error!(InvalidRequest, "the parts have {bytes} bytes, not {claimed:?}"));
    }
    let sum = parts.iter().fold(Crc64::EMPTY, |sum, (_, part)| sum.then(part.crc64, part.bytes));
    match &input.checksum_crc64nvme {
        Some(claimed) if *claimed != sum.to_string() => {
            Err(s3_error!(BadDigest, "the parts do not have the crc64nvme that was sent"))
        }
        _ => Ok(sum),
    }
}
