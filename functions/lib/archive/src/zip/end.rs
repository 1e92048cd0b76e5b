//! Finds a zip's central directory by the records at the end of the file.
//!
//! Two readers must never see two different archives in the same bytes, so everything that could be
//! read in two ways is refused: two end records, a directory that is not where it should be, bytes
//! between it and the end, a count that is wrong.

use super::fields::Fields;
use crate::Job;
use crate::error::{Error, Reason};
use crate::source::read_exact_at;

const END: [u8; 4] = *b"PK\x05\x06";
const END_BYTES: usize = 22;
const LOCATOR: [u8; 4] = *b"PK\x06\x07";
const LOCATOR_BYTES: usize = 20;
const END64: [u8; 4] = *b"PK\x06\x06";
const END64_BYTES: usize = 56;

/// The last bytes of the archive, read with one request.
pub(super) struct Tail {
    /// Where they begin.
    pub(super) offset: u64,
    /// As many as end record, its longest comment and its locator may take.
    pub(super) bytes: Vec<u8>,
}

/// Where the directory lies.
#[derive(Clone, Copy)]
pub(super) struct Extent {
    pub(super) entries: u64,
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// Reads the tail and finds the directory.
pub(super) fn locate(job: &Job<'_>) -> Result<(Extent, Tail), Error> {
    let tail = read_tail(job)?;
    let refuse = |reason| job.refuse(None, reason);
    let at = match find_end(&tail.bytes) {
        Err(Reason::Truncated) if begins_a_set(job)? => return Err(refuse(volumes())),
        found => found.map_err(refuse)?,
    };
    let (before, record) = tail.bytes.split_at_checked(at).unwrap_or_default();
    let end = End::parse(record).map_err(refuse)?;
    let end_at = tail.offset.saturating_add(at as u64);
    let locator = before.last_chunk::<LOCATOR_BYTES>().filter(|bytes| bytes.starts_with(&LOCATOR));
    let extent = match locator {
        Some(locator) => follow(job, locator, &end, end_at)?,
        // Here a sentinel is a plain number: an archive may well have 65,535 entries.
        None => end.extent(),
    };
    if locator.is_none() && extent.offset.checked_add(extent.length) != Some(end_at) {
        return Err(refuse(astray()));
    }
    Ok((extent, tail))
}

fn read_tail(job: &Job<'_>) -> Result<Tail, Error> {
    let length = job.source.len();
    // What an end record and its locator take at most; more would do as well.
    let wanted = (LOCATOR_BYTES + END_BYTES + usize::from(u16::MAX)) as u64;
    let offset = length.saturating_sub(wanted);
    let mut bytes = vec![0; usize::try_from(length - offset).unwrap_or_default()];
    let read = read_exact_at(job.source, offset, &mut bytes);
    if !read.map_err(|error| job.unreadable(error))? {
        return Err(job.unreadable(std::io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(Tail { offset, bytes })
}

/// Whether the file is the first volume of several, whose last one has the end record.
fn begins_a_set(job: &Job<'_>) -> Result<bool, Error> {
    let mut head = [0; 4];
    let read = read_exact_at(job.source, 0, &mut head).map_err(|error| job.unreadable(error))?;
    Ok(read && &head == b"PK\x07\x08")
}

fn volumes() -> Reason {
    Reason::Unsupported("a zip of several volumes".to_owned())
}

fn astray() -> Reason {
    Reason::corrupt("its directory is not where its end says")
}

/// The position of the end record whose comment reaches to the end of the file, or to zeros that fill
/// it up, as bsdtar does in a pipe.
fn find_end(tail: &[u8]) -> Result<usize, Reason> {
    let (mut found, mut followed) = (None, false);
    for (at, window) in tail.windows(END.len()).enumerate() {
        if *window != END {
            continue;
        }
        let record = tail.get(at..).unwrap_or_default();
        let comment = record.get(20..22).and_then(|field| field.first_chunk::<2>());
        let stated = comment.map(|&field| END_BYTES + usize::from(u16::from_le_bytes(field)));
        match stated.and_then(|stated| record.get(stated..)) {
            Some(rest) if rest.iter().all(|&byte| byte == 0) => {
                if found.replace(at).is_some() {
                    return Err(Reason::corrupt("it has two ends"));
                }
            }
            rest => followed |= rest.is_some(),
        }
    }
    match found {
        Some(at) => Ok(at),
        None if followed => Err(Reason::corrupt("bytes follow its end")),
        None => Err(Reason::Truncated),
    }
}

/// The end record as stored, sentinels included.
struct End {
    entries: u16,
    length: u32,
    offset: u32,
}

impl End {
    fn parse(bytes: &[u8]) -> Result<Self, Reason> {
        let mut fields = Fields(bytes);
        fields.u32()?;
        let disks = [fields.u16()?, fields.u16()?];
        let entries_here = fields.u16()?;
        let entries = fields.u16()?;
        if disks.iter().any(|&disk| disk != 0 && disk != u16::MAX) || entries_here != entries {
            return Err(volumes());
        }
        Ok(Self { entries, length: fields.u32()?, offset: fields.u32()? })
    }

    fn extent(&self) -> Extent {
        Extent {
            entries: self.entries.into(),
            offset: self.offset.into(),
            length: self.length.into(),
        }
    }

    /// Whether the 64-bit values say the same wherever this record has room for them.
    fn agrees(&self, extent: Extent) -> bool {
        let same = |small: u64, sentinel: u64, large: u64| small == sentinel || small == large;
        same(self.entries.into(), u16::MAX.into(), extent.entries)
            && same(self.length.into(), u32::MAX.into(), extent.length)
            && same(self.offset.into(), u32::MAX.into(), extent.offset)
    }
}

/// Follows the locator before the end record to the 64-bit end record.
fn follow(
    job: &Job<'_>,
    locator: &[u8; LOCATOR_BYTES],
    end: &End,
    end_at: u64,
) -> Result<Extent, Error> {
    let refuse = |reason| job.refuse(None, reason);
    let locator_at = end_at.saturating_sub(LOCATOR_BYTES as u64);
    let mut fields = Fields(locator.get(4..).unwrap_or_default());
    let disk = fields.u32().map_err(refuse)?;
    let end64_at = fields.u64().map_err(refuse)?;
    let disks = fields.u32().map_err(refuse)?;
    if disk != 0 || disks > 1 {
        return Err(refuse(volumes()));
    }
    let mut record = [0; END64_BYTES];
    let inside = end64_at.checked_add(END64_BYTES as u64).is_some_and(|end| end <= locator_at);
    let read = inside
        && read_exact_at(job.source, end64_at, &mut record)
            .map_err(|error| job.unreadable(error))?;
    if !read || !record.starts_with(&END64) {
        return Err(refuse(astray()));
    }
    let extent = parse64(&record, end64_at, locator_at).map_err(refuse)?;
    let directory_end = extent.offset.checked_add(extent.length);
    if directory_end != Some(end64_at) || !end.agrees(extent) {
        return Err(refuse(astray()));
    }
    Ok(extent)
}

fn parse64(record: &[u8], at: u64, locator_at: u64) -> Result<Extent, Reason> {
    let mut fields = Fields(record);
    fields.u32()?;
    let length = fields.u64()?;
    if at.checked_add(12).and_then(|start| start.checked_add(length)) != Some(locator_at) {
        return Err(Reason::corrupt("its 64-bit end record has the wrong length"));
    }
    fields.u32()?;
    let disks = (fields.u32()?, fields.u32()?);
    let here = fields.u64()?;
    let entries = fields.u64()?;
    if disks != (0, 0) || here != entries {
        return Err(volumes());
    }
    let length = fields.u64()?;
    Ok(Extent { entries, length, offset: fields.u64()? })
}
