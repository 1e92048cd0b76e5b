//! Checks every entry of a zip before the first byte of any is passed on, and groups the members so
//! that neighbours share a request.

use super::decode;
use super::directory::{Directory, Record};
use crate::Job;
use crate::error::{Error, Reason};
use crate::meter::Tally;
use crate::names;
use crate::roll::Roll;
use crate::sink::Entry;

/// Bytes of a local header before its name.
pub(super) const LOCAL_BYTES: u64 = 30;
/// Stored bytes after which a batch is closed, so that workers share an archive evenly.
const BATCH_BYTES: u64 = 4 << 20;
/// Batches of bytes that an archive is cut into at most, however large it is: each is a request.
const BATCHES: u64 = 256;
/// Members after which a batch is closed.
const BATCH_MEMBERS: usize = 256;

const ENCRYPTED: u16 = 1;
const PATCH: u16 = 1 << 5;
const STRONG: u16 = 1 << 6;
const MASKED: u16 = 1 << 13;

/// A member that will be unpacked.
pub(super) struct Planned<'a> {
    pub(super) record: &'a Record,
    pub(super) entry: Entry,
    /// Where the next entry, or the directory, begins: this member must end before.
    pub(super) boundary: u64,
}

/// Checks all entries; gives the members in the order of their bytes.
pub(super) fn plan<'a>(
    job: &Job<'_>,
    directory: &'a Directory,
) -> Result<Vec<Vec<Planned<'a>>>, Error> {
    let mut roll = Roll::default();
    let mut tally = Tally::default();
    let mut stored: u64 = 0;
    let mut members = Vec::new();
    for record in &directory.records {
        let blame = |reason| refuse(job, record, reason);
        stored = stored.saturating_add(record.stored);
        roll.count(job.limits).map_err(|reason| job.refuse(None, reason))?;
        let (path, folder) = path(job, record).map_err(blame)?;
        if folder {
            roll.admit_folder(&path).map_err(blame)?;
            continue;
        }
        let index = roll.admit(&path).map_err(blame)?;
        tally.claim(job, record.size).map_err(blame)?;
        members.push((record, Entry { path, size_hint: Some(record.size), index }));
    }
    let boundaries = boundaries(job, directory)?;
    if tally.claimed > job.limits.allowance(stored) {
        return Err(job.refuse(None, Reason::Ratio(job.limits.max_ratio)));
    }
    members.sort_by_key(|(record, _)| record.offset);
    Ok(batches(members, &boundaries, BATCH_BYTES.max(stored / BATCHES)))
}

fn refuse(job: &Job<'_>, record: &Record, reason: Reason) -> Error {
    job.refuse(Some(&record.shown(job.options.name_charset)), reason)
}

/// The entry's path, and whether it is a folder.
fn path(job: &Job<'_>, record: &Record) -> Result<(String, bool), Reason> {
    let (bytes, declared) = record.named();
    let name = names::decode(bytes, declared, job.options.name_charset)?;
    let safe = names::check(&name, job.limits)?;
    // The upper half of the attributes is a Unix mode wherever it holds a file type.
    let folder = match (record.attributes >> 16) & 0o170_000 {
        0o120_000 => return Err(Reason::Link),
        // What Info-ZIP makes of its standard input: the content is there, the pipe is gone.
        0o010_000 if record.size > 0 => safe.folder,
        0o020_000 | 0o060_000 | 0o010_000 | 0o140_000 => return Err(Reason::Special),
        0o040_000 => true,
        _ => safe.folder,
    };
    if folder {
        return if record.size == 0 {
            Ok((safe.path, true))
        } else {
            Err(Reason::corrupt("a folder that holds bytes"))
        };
    }
    // The three bits differ, so exclusive or would say the same.
    if record.flags & (PATCH | STRONG | MASKED) != 0 {
        return Err(Reason::Unsupported("patched data or strong encryption".to_owned()));
    }
    if !decode::is_supported(record.method) {
        return Err(Reason::Unsupported(format!("the zip method {}", record.method)));
    }
    if record.aes.is_some() && record.flags & ENCRYPTED == 0 {
        return Err(Reason::corrupt("AES parameters on an entry that is not encrypted"));
    }
    if record.flags & ENCRYPTED != 0 && job.options.password.is_none() {
        return Err(Reason::Encrypted);
    }
    Ok((safe.path, false))
}

/// The start of each entry in order, and the directory's after them; refuses entries that must overlap
/// whatever their local headers say. The local header's own length is known only later and is held
/// against the boundary then.
fn boundaries(job: &Job<'_>, directory: &Directory) -> Result<Vec<u64>, Error> {
    let mut spans: Vec<_> =
        directory.records.iter().map(|record| (record.offset, record)).collect();
    spans.sort_by_key(|(offset, _)| *offset);
    let mut reached: u64 = 0;
    for (offset, record) in &spans {
        let end = LOCAL_BYTES
            .checked_add(record.name.len() as u64)
            .and_then(|head| head.checked_add(record.stored))
            .and_then(|length| offset.checked_add(length))
            .filter(|end| *end <= directory.offset);
        let Some(end) = end else {
            let reason = Reason::corrupt("it reaches into the directory or beyond");
            return Err(refuse(job, record, reason));
        };
        if *offset < reached {
            return Err(refuse(job, record, Reason::Overlap));
        }
        reached = end;
    }
    Ok(spans.into_iter().map(|(offset, _)| offset).chain([directory.offset]).collect())
}

fn batches<'a>(
    members: Vec<(&'a Record, Entry)>,
    starts: &[u64],
    batch_bytes: u64,
) -> Vec<Vec<Planned<'a>>> {
    let mut batches = Vec::new();
    let mut batch = Vec::new();
    let mut bytes: u64 = 0;
    for (record, entry) in members {
        let next = starts.partition_point(|&start| start <= record.offset);
        let boundary = starts.get(next).copied().unwrap_or_default();
        bytes = bytes.saturating_add(record.stored);
        batch.push(Planned { record, entry, boundary });
        if bytes >= batch_bytes || batch.len() >= BATCH_MEMBERS {
            batches.push(std::mem::take(&mut batch));
            bytes = 0;
        }
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    batches
}
