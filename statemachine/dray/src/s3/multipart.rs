//! Multipart uploads: each is a folder until it is put together.
//!
//! - `target.json`: what it is to become.
//! - `whole`: the object as it will be. A part whose place in it is known when it arrives, because all
//!   parts before it have been announced, is written there, so that in the end nothing is copied.
//! - `data-…`: the bytes of any other part: sent again, or out of order.
//! - `part-00001`: where the bytes of a part are, their number and their checksum. Its version is the
//!   part's version.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use s3s::dto::{CompletedPart, ETag};
use s3s::{S3Result, s3_error};
use serde::{Deserialize, Serialize};

use super::checksum::Crc64;
use super::conditions::etag_of;
use super::folder::{Folder, Temporary, broken, is_absence};
use super::place::Place;
use super::random_hex;

/// Every part but the last must have this size.
const PART_BYTES_MIN: u64 = 5 * 1024 * 1024;
/// S3 numbers parts from 1 to this.
const PART_NUMBER_MAX: i32 = 10_000;
const ID_BYTES: usize = 16;
const TARGET_FILE: &str = "target.json";
/// The file that parts are written into at their places.
pub(super) const WHOLE_FILE: &str = "whole";
const PART_PREFIX: &str = "part-";
const DATA_PREFIX: &str = "data-";

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

/// A part that is there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) bytes: u64,
    pub(super) crc64: Crc64,
    data: Data,
}

/// Where the bytes of a part are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Data {
    /// In `whole`, from this offset on.
    At(u64),
    /// In a file of their own.
    File(String),
}

/// Begins an upload and names it.
pub(super) fn create(folder: &Folder, place: &Place) -> S3Result<String> {
    folder.bucket(&place.bucket)?;
    let id = random_hex::<ID_BYTES>();
    let path = folder.uploads().join(&id);
    let target = Target { key: place.key.clone(), bucket: place.bucket.clone() };
    let target = serde_json::to_vec(&target).map_err(io::Error::from).map_err(broken)?;
    if let Err(error) = fs::create_dir(&path).and_then(|()| furnish(&path, &target)) {
        // On a full disk. Half an upload would be one that nobody can abort.
        let _nothing_there = fs::remove_dir_all(&path);
        return Err(broken(error));
    }
    folder.slots.begin(&id);
    Ok(id)
}

/// Puts into the folder of an upload what makes it one; the target comes last, and whole.
fn furnish(upload: &Path, target: &[u8]) -> io::Result<()> {
    File::create_new(upload.join(WHOLE_FILE))?;
    let unfinished = upload.join(TARGET_FILE).with_extension("new");
    fs::write(&unfinished, target)?;
    fs::rename(unfinished, upload.join(TARGET_FILE))
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

/// Files a part that lies in `whole`; replaces an earlier one of the same number.
pub(super) fn keep_placed(
    upload: &Path,
    number: i32,
    at: u64,
    sum: (u64, Crc64),
) -> S3Result<ETag> {
    keep(upload, number, &Part { bytes: sum.0, crc64: sum.1, data: Data::At(at) })
}

/// Files a part that lies in a file of its own; replaces an earlier one of the same number.
pub(super) fn keep_apart(
    upload: &Path,
    number: i32,
    file: &Temporary,
    sum: (u64, Crc64),
) -> S3Result<ETag> {
    let name = format!("{DATA_PREFIX}{}", random_hex::<ID_BYTES>());
    file.rename(&upload.join(&name)).map_err(gone)?;
    keep(upload, number, &Part { bytes: sum.0, crc64: sum.1, data: Data::File(name) })
}

fn keep(upload: &Path, number: i32, part: &Part) -> S3Result<ETag> {
    let path = part_path(upload, number)?;
    let mut record = Temporary::create(upload).map_err(gone)?;
    serde_json::to_writer(&mut record.file, part).map_err(io::Error::from).map_err(broken)?;
    record.file.set_modified(std::time::SystemTime::now()).map_err(broken)?;
    let metadata = record.file.metadata().map_err(broken)?;
    record.rename(&path).map_err(gone)?;
    Ok(etag_of(&metadata))
}

/// A folder that vanished is an upload that ended.
fn gone(error: io::Error) -> s3s::S3Error {
    if is_absence(&error) { s3_error!(NoSuchUpload) } else { broken(error) }
}

/// The parts an upload has, by number.
pub(super) fn parts(upload: &Path) -> S3Result<Vec<(i32, Part, Metadata)>> {
    let mut parts = Vec::new();
    for number in numbers(upload).map_err(gone)? {
        if let Some((part, metadata)) = read_part(upload, number)? {
            parts.push((number, part, metadata));
        }
    }
    Ok(parts)
}

/// The numbers of the parts an upload has, in order.
fn numbers(upload: &Path) -> io::Result<Vec<i32>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(upload)? {
        let name = entry?.file_name();
        numbers.extend(
            name.to_str().and_then(|name| name.strip_prefix(PART_PREFIX)?.parse::<i32>().ok()),
        );
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn read_part(upload: &Path, number: i32) -> S3Result<Option<(Part, Metadata)>> {
    let opened = File::open(part_path(upload, number)?)
        .and_then(|file| file.metadata().map(|metadata| (file, metadata)));
    let (file, metadata) = match opened {
        Ok(opened) => opened,
        Err(error) if is_absence(&error) => return Ok(None),
        Err(error) => return Err(broken(error)),
    };
    let part = serde_json::from_reader(file).map_err(io::Error::from).map_err(broken)?;
    Ok(Some((part, metadata)))
}

/// Forgets an upload.
pub(super) fn abort(folder: &Folder, place: &Place, id: &str) -> S3Result<()> {
    let path = folder_of(folder, place, id)?;
    folder.slots.end(id);
    remove(&path).map_err(broken)
}

/// The file that names the target goes first: from then on the upload does not exist.
pub(super) fn remove(upload: &Path) -> io::Result<()> {
    fs::remove_file(upload.join(TARGET_FILE))?;
    match fs::remove_dir_all(upload) {
        // A part that was being received just now came in between.
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
            fs::remove_dir_all(upload)
        }
        done => done,
    }
}

/// Checks the client's list of parts against what is there.
pub(super) fn chosen(upload: &Path, wanted: &[CompletedPart]) -> S3Result<Vec<(i32, Part)>> {
    let mut parts = Vec::with_capacity(wanted.len());
    let mut before = 0;
    for (index, part) in wanted.iter().enumerate() {
        let number = part.part_number.unwrap_or_default();
        if number <= before {
            return Err(s3_error!(InvalidPartOrder, "part {number} comes after part {before}"));
        }
        before = number;
        let Some((found, metadata)) = read_part(upload, number)? else {
            return Err(s3_error!(InvalidPart, "there is no part {number}"));
        };
        if part.e_tag.as_ref().is_none_or(|etag| !etag.weak_cmp(&etag_of(&metadata))) {
            return Err(s3_error!(InvalidPart, "part {number} is not the one that was uploaded"));
        }
        if found.bytes < PART_BYTES_MIN && index + 1 < wanted.len() {
            return Err(s3_error!(EntityTooSmall, "part {number} is below 5 MiB"));
        }
        parts.push((number, found));
    }
    if parts.is_empty() {
        return Err(s3_error!(MalformedXML, "an upload is completed with at least one part"));
    }
    Ok(parts)
}

/// Opens the file that parts are written into, or `NoSuchUpload`.
pub(super) fn open_whole(upload: &Path) -> S3Result<File> {
    let opened = OpenOptions::new().read(true).write(true).open(upload.join(WHOLE_FILE));
    opened.map_err(gone)
}

/// One file with all parts in order. Nobody may write into `whole` meanwhile.
///
/// What belongs to the upload stays as it is, so a client whose server dies right after this
/// completes once more.
pub(super) fn gather(
    folder: &Folder,
    upload: &Path,
    whole: &mut File,
    parts: &[(i32, Part)],
) -> io::Result<Temporary> {
    if may_use_whole(upload, parts)? {
        fill_gaps(upload, whole, parts)?;
        match Temporary::link(&upload.join(WHOLE_FILE), &folder.uploads()) {
            Ok(linked) => return Ok(linked),
            // A file system without links.
            Err(error) => tracing::debug!(%error, "an upload is copied"),
        }
    }
    let mut joined = Temporary::create(&folder.uploads())?;
    for (_, part) in parts {
        match &part.data {
            Data::At(at) => {
                whole.seek(SeekFrom::Start(*at))?;
                io::copy(&mut io::Read::take(&mut *whole, part.bytes), &mut joined.file)?;
            }
            Data::File(name) => {
                io::copy(&mut File::open(upload.join(name))?, &mut joined.file)?;
            }
        }
    }
    Ok(joined)
}

/// Whether every part in `whole` is where it belongs, and no part in it is left out.
fn may_use_whole(upload: &Path, parts: &[(i32, Part)]) -> io::Result<bool> {
    let mut end = 0;
    let in_place = parts.iter().all(|(_, part)| {
        let begin = end;
        end += part.bytes;
        matches!(part.data, Data::File(_)) || part.data == Data::At(begin)
    });
    Ok(in_place && numbers(upload)?.len() == parts.len())
}

fn fill_gaps(upload: &Path, whole: &mut File, parts: &[(i32, Part)]) -> io::Result<()> {
    let mut end = 0;
    for (_, part) in parts {
        if let Data::File(name) = &part.data {
            whole.seek(SeekFrom::Start(end))?;
            io::copy(&mut File::open(upload.join(name))?, whole)?;
        }
        end += part.bytes;
    }
    whole.set_len(end)
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
