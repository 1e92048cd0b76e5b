//! Multipart uploads: each is a folder of part files until it is put together.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use s3s::dto::{CompletedPart, ETag};
use s3s::{S3Result, s3_error};
use serde::{Deserialize, Serialize};

use super::conditions::{Conditions, etag_of};
use super::folder::{Folder, Temporary, blocking, broken, is_absence};
use super::place::Place;
use super::random_hex;

/// Every part but the last must have this size.
const PART_BYTES_MIN: u64 = 5 * 1024 * 1024;
/// S3 numbers parts from 1 to this.
const PART_NUMBER_MAX: i32 = 10_000;
const ID_BYTES: usize = 16;
const TARGET_FILE: &str = "target.json";
const PART_PREFIX: &str = "part-";

/// What an upload is to become.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Target {
    pub(super) key: String,
    pub(super) bucket: String,
}

/// An unfinished upload.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) target: Target,
    pub(super) id: String,
    pub(super) begun: Option<std::time::SystemTime>,
}

/// Begins an upload and names it.
pub(super) fn create(folder: &Folder, place: &Place) -> S3Result<String> {
    folder.bucket(&place.bucket)?;
    let id = random_hex::<ID_BYTES>();
    let path = folder.uploads().join(&id);
    let target = Target { key: place.key.clone(), bucket: place.bucket.clone() };
    let target = serde_json::to_vec(&target).map_err(io::Error::from).map_err(broken)?;
    fs::create_dir(&path).map_err(broken)?;
    fs::write(path.join(TARGET_FILE), target).map_err(broken)?;
    Ok(id)
}

/// The folder of an upload that exists and belongs to this key.
pub(super) fn folder_of(folder: &Folder, place: &Place, id: &str) -> S3Result<PathBuf> {
    let is_id = id.len() == 2 * ID_BYTES && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let path = folder.uploads().join(if is_id { id } else { "no-id" });
    match read_target(&path) {
        Some(target) if target.key == place.key && target.bucket == place.bucket => Ok(path),
        _ => Err(s3_error!(NoSuchUpload, "there is no upload {id} of {}", place.key)),
    }
}

/// Whether this folder holds an unfinished upload.
pub(super) fn is_upload(path: &Path) -> bool {
    path.join(TARGET_FILE).exists()
}

fn read_target(upload: &Path) -> Option<Target> {
    serde_json::from_slice(&fs::read(upload.join(TARGET_FILE)).ok()?).ok()
}

fn part_path(upload: &Path, number: i32) -> S3Result<PathBuf> {
    if (1..=PART_NUMBER_MAX).contains(&number) {
        Ok(upload.join(format!("{PART_PREFIX}{number:05}")))
    } else {
        Err(s3_error!(InvalidArgument, "there is no part {number}, only 1 to {PART_NUMBER_MAX}"))
    }
}

/// Files a part that was received; replaces an earlier one of the same number.
pub(super) fn keep_part(upload: &Path, number: i32, part: &Temporary) -> S3Result<ETag> {
    let path = part_path(upload, number)?;
    part.file.set_modified(std::time::SystemTime::now()).map_err(broken)?;
    let metadata = part.file.metadata().map_err(broken)?;
    match part.rename(&path) {
        Ok(()) => Ok(etag_of(&metadata)),
        Err(error) if is_absence(&error) => Err(s3_error!(NoSuchUpload)),
        Err(error) => Err(broken(error)),
    }
}

/// The parts an upload has, by number.
pub(super) fn parts(upload: &Path) -> S3Result<Vec<(i32, Metadata)>> {
    let mut parts = Vec::new();
    for entry in fs::read_dir(upload).map_err(broken)? {
        let entry = entry.map_err(broken)?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(PART_PREFIX)?.parse().ok());
        if let Some(number) = number {
            parts.push((number, entry.metadata().map_err(broken)?));
        }
    }
    parts.sort_by_key(|(number, _)| *number);
    Ok(parts)
}

/// Forgets an upload.
pub(super) fn abort(folder: &Folder, place: &Place, id: &str) -> S3Result<()> {
    let path = folder_of(folder, place, id)?;
    remove(&path).map_err(broken)
}

/// The file that names the target goes first: from then on the upload does not exist.
fn remove(upload: &Path) -> io::Result<()> {
    fs::remove_file(upload.join(TARGET_FILE))?;
    match fs::remove_dir_all(upload) {
        // A part that was being received just now came in between.
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
            fs::remove_dir_all(upload)
        }
        done => done,
    }
}

/// Puts an upload together and makes it the object. The parts stay until the object is in place,
/// so a client whose server died in between completes once more.
pub(super) async fn complete(
    folder: Folder,
    place: Place,
    id: String,
    wanted: Vec<CompletedPart>,
    conditions: Conditions,
) -> S3Result<ETag> {
    let (upload, whole) = {
        let (folder, place) = (folder.clone(), place.clone());
        blocking(move || {
            let upload = folder_of(&folder, &place, &id)?;
            let parts = chosen_parts(&upload, &wanted)?;
            let whole = join(&folder, parts).map_err(broken)?;
            Ok((upload, whole))
        })
        .await?
    };
    folder
        .exclusive(place, move |folder, place| {
            // Not in place when it was aborted in the meantime.
            folder_of(folder, place, &upload.file_name().unwrap_or_default().to_string_lossy())?;
            let etag = folder.commit(&whole, place, &conditions)?;
            if let Err(error) = remove(&upload) {
                tracing::warn!(%error, "the parts of a finished upload could not be removed");
            }
            Ok(etag)
        })
        .await
}

/// Checks the client's list of parts against what is there.
fn chosen_parts(upload: &Path, wanted: &[CompletedPart]) -> S3Result<Vec<File>> {
    let mut files = Vec::with_capacity(wanted.len());
    let mut before = 0;
    for (index, part) in wanted.iter().enumerate() {
        let number = part.part_number.unwrap_or_default();
        if number <= before {
            return Err(s3_error!(InvalidPartOrder, "part {number} comes after part {before}"));
        }
        before = number;
        let opened = File::open(part_path(upload, number)?)
            .and_then(|file| file.metadata().map(|metadata| (file, metadata)));
        let Ok((file, metadata)) = opened else {
            return Err(s3_error!(InvalidPart, "there is no part {number}"));
        };
        if part.e_tag.as_ref().is_none_or(|etag| !etag.weak_cmp(&etag_of(&metadata))) {
            return Err(s3_error!(InvalidPart, "part {number} is not the one that was uploaded"));
        }
        if metadata.len() < PART_BYTES_MIN && index + 1 < wanted.len() {
            return Err(s3_error!(EntityTooSmall, "part {number} is below 5 MiB"));
        }
        files.push(file);
    }
    if files.is_empty() {
        return Err(s3_error!(MalformedXML, "an upload is completed with at least one part"));
    }
    Ok(files)
}

/// Copies parts one behind the other. The kernel does it, without a copy where it can share blocks.
fn join(folder: &Folder, parts: Vec<File>) -> io::Result<Temporary> {
    let mut whole = Temporary::create(&folder.uploads())?;
    for mut part in parts {
        io::copy(&mut part, &mut whole.file)?;
    }
    Ok(whole)
}

/// Every unfinished upload of a bucket, by key and then by name.
pub(super) fn uploads(folder: &Folder, bucket: &str) -> S3Result<Vec<Upload>> {
    folder.bucket(bucket)?;
    let mut found = Vec::new();
    for entry in fs::read_dir(folder.uploads()).map_err(broken)? {
        let entry = entry.map_err(broken)?;
        let (Some(target), Ok(id)) = (read_target(&entry.path()), entry.file_name().into_string())
        else {
            continue;
        };
        if target.bucket == bucket {
            let begun = fs::metadata(entry.path().join(TARGET_FILE));
            let begun = begun.and_then(|file| file.modified()).ok();
            found.push(Upload { target, id, begun });
        }
    }
    found.sort_by(|one, two| (&one.target, &one.id).cmp(&(&two.target, &two.id)));
    Ok(found)
}
