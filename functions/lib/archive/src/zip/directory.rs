//! Finds and reads a zip's central directory: the only list of entries that counts.
//!
//! Two readers must never see two different archives in the same bytes, so everything that could be
//! read in two ways is refused: two end records, a directory that is not where it should be, bytes
//! between it and the end, a count that is wrong.

use std::io::{BufReader, Read};

use super::fields::{Fields, extra};
use crate::Job;
use crate::error::{Error, Reason};
use crate::meter::BUFFER_BYTES;
use crate::source::{Cursor, read_exact_at};

const END: [u8; 4] = *b"PK\x05\x06";
const END_BYTES: usize = 22;
const LOCATOR: [u8; 4] = *b"PK\x06\x07";
const LOCATOR_BYTES: u64 = 20;
const END64: [u8; 4] = *b"PK\x06\x06";
const END64_BYTES: usize = 56;
const RECORD: [u8; 4] = *b"PK\x01\x02";
const RECORD_BYTES: usize = 46;

/// WinZip's AES parameters of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Aes {
    /// AE-2 stores no CRC; its authentication code is the check.
    pub(super) has_crc: bool,
    /// 1, 2, 3 for 128, 192, 256 bits.
    pub(super) strength: u8,
}

/// One entry of the central directory.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) flags: u16,
    /// Compression, the real one behind AES.
    pub(super) method: u16,
    /// The method as stored, 99 for AES.
    pub(super) stored_method: u16,
    pub(super) time: u16,
    pub(super) crc: u32,
    pub(super) stored: u64,
    pub(super) size: u64,
    pub(super) offset: u64,
    pub(super) attributes: u32,
    pub(super) name: Vec<u8>,
    /// The name from Info-ZIP's Unicode field, if it belongs to `name`.
    pub(super) unicode_name: Option<Vec<u8>>,
    pub(super) aes: Option<Aes>,
}

impl Record {
    /// The name for sentences, before its charset is known.
    pub(super) fn shown(&self) -> String {
        String::from_utf8_lossy(&self.name).into_owned()
    }
}

/// Where the directory lies.
#[derive(Clone, Copy)]
struct Extent {
    entries: u64,
    offset: u64,
    length: u64,
}

/// Reads the whole directory, refusing more entries than the limit before keeping them.
pub(super) fn read(job: &Job<'_>) -> Result<Vec<Record>, Error> {
    let extent = locate(job)?;
    if extent.entries > job.limits.max_entries {
        return Err(job.refuse(None, Reason::Entries(job.limits.max_entries)));
    }
    let cursor = Cursor::new(job.source, extent.offset);
    let fault = cursor.fault();
    let mut reader = BufReader::with_capacity(BUFFER_BYTES, cursor.take(extent.length));
    let mut records = Vec::new();
    for _ in 0..extent.entries {
        let raw = read_raw(&mut reader).map_err(|error| job.undecodable(None, &error, &fault))?;
        records.push(parse(&raw).map_err(|reason| job.refuse(Some(&raw.shown()), reason))?);
    }
    let mut rest = [0];
    match reader.read(&mut rest) {
        Ok(0) => Ok(records),
        Ok(_) => Err(job.refuse(None, Reason::corrupt("its directory holds more than it counts"))),
        Err(error) => Err(job.undecodable(None, &error, &fault)),
    }
}

fn locate(job: &Job<'_>) -> Result<Extent, Error> {
    let length = job.source.len();
    let tail_length = length.min(END_BYTES as u64 + u64::from(u16::MAX));
    let tail_offset = length - tail_length;
    let mut tail = vec![0; usize::try_from(tail_length).unwrap_or_default()];
    let read = read_exact_at(job.source, tail_offset, &mut tail);
    if !read.map_err(|error| job.unreadable(error))? {
        return Err(job.unreadable(std::io::ErrorKind::UnexpectedEof.into()));
    }
    let refuse = |reason| job.refuse(None, reason);
    let at = find_end(&tail).map_err(refuse)?;
    let end_at = tail_offset.saturating_add(at as u64);
    let end = End::parse(tail.get(at..).unwrap_or_default()).map_err(refuse)?;
    let plain = end.extent();
    if !end.has_sentinel() && plain.offset.checked_add(plain.length) == Some(end_at) {
        return Ok(plain);
    }
    locate64(job, &end, end_at)
}

/// The position of the end record whose comment reaches exactly to the end of the file.
fn find_end(tail: &[u8]) -> Result<usize, Reason> {
    let fits = |at: &usize| {
        let Some(record) = tail.get(*at..) else { return false };
        let comment = record.get(20..22).and_then(|field| field.first_chunk::<2>());
        comment.is_some_and(|&field| {
            record.len() == END_BYTES + usize::from(u16::from_le_bytes(field))
        })
    };
    let mut found = tail
        .windows(END.len())
        .enumerate()
        .filter(|(_, window)| **window == END)
        .map(|(at, _)| at)
        .filter(fits);
    let first = found.next().ok_or(Reason::Truncated)?;
    if found.next().is_some() {
        return Err(Reason::corrupt("it has two ends"));
    }
    Ok(first)
}

/// The end record as stored, sentinels included.
struct End {
    disks: [u16; 2],
    entries_here: u16,
    entries: u16,
    length: u32,
    offset: u32,
}

impl End {
    fn parse(bytes: &[u8]) -> Result<Self, Reason> {
        let mut fields = Fields(bytes);
        fields.u32()?;
        Ok(Self {
            disks: [fields.u16()?, fields.u16()?],
            entries_here: fields.u16()?,
            entries: fields.u16()?,
            length: fields.u32()?,
            offset: fields.u32()?,
        })
        .and_then(|end: Self| {
            let split = end.disks.iter().any(|&disk| disk != 0 && disk != u16::MAX);
            if split || end.entries_here != end.entries {
                return Err(Reason::Unsupported("a zip of several volumes".to_owned()));
            }
            Ok(end)
        })
    }

    fn has_sentinel(&self) -> bool {
        self.entries == u16::MAX
            || self.length == u32::MAX
            || self.offset == u32::MAX
            || self.disks.contains(&u16::MAX)
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
fn locate64(job: &Job<'_>, end: &End, end_at: u64) -> Result<Extent, Error> {
    let refuse = |reason| job.refuse(None, reason);
    let astray = || refuse(Reason::corrupt("its directory is not where its end says"));
    let read = |offset: u64, buf: &mut [u8]| {
        read_exact_at(job.source, offset, buf).map_err(|error| job.unreadable(error))
    };
    let locator_at = end_at.checked_sub(LOCATOR_BYTES).ok_or_else(astray)?;
    let mut locator = [0; LOCATOR_BYTES as usize];
    if !read(locator_at, &mut locator)? || !locator.starts_with(&LOCATOR) {
        // A 65535-entry archive may carry the sentinel as a plain number.
        let plain = end.extent();
        let fits = plain.offset.checked_add(plain.length) == Some(end_at);
        return if fits { Ok(plain) } else { Err(astray()) };
    }
    let mut fields = Fields(locator.get(8..).unwrap_or_default());
    let end64_at = fields.u64().map_err(refuse)?;
    let mut record = [0; END64_BYTES];
    let inside = end64_at.checked_add(END64_BYTES as u64).is_some_and(|end| end <= locator_at);
    if !inside || !read(end64_at, &mut record)? || !record.starts_with(&END64) {
        return Err(astray());
    }
    let extent = parse64(&record, end64_at, locator_at).map_err(refuse)?;
    let directory_end = extent.offset.checked_add(extent.length);
    if directory_end != Some(end64_at) || !end.agrees(extent) {
        return Err(astray());
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
        return Err(Reason::Unsupported("a zip of several volumes".to_owned()));
    }
    let length = fields.u64()?;
    Ok(Extent { entries, length, offset: fields.u64()? })
}

/// A record's bytes: the fixed part and the three variable ones.
struct Raw {
    fixed: [u8; RECORD_BYTES],
    name: Vec<u8>,
    extra: Vec<u8>,
}

impl Raw {
    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.name).into_owned()
    }
}

fn read_raw(reader: &mut impl Read) -> std::io::Result<Raw> {
    let mut fixed = [0; RECORD_BYTES];
    reader.read_exact(&mut fixed)?;
    if !fixed.starts_with(&RECORD) {
        return Err(Reason::corrupt("its directory is damaged").into());
    }
    let mut lengths = Fields(fixed.get(28..34).unwrap_or_default());
    let mut part = || -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::from(lengths.u16()?)];
        reader.read_exact(&mut bytes)?;
        Ok(bytes)
    };
    let name = part()?;
    let extra = part()?;
    part()?;
    Ok(Raw { fixed, name, extra })
}

fn parse(raw: &Raw) -> Result<Record, Reason> {
    let mut fields = Fields(raw.fixed.get(8..).unwrap_or_default());
    let flags = fields.u16()?;
    let stored_method = fields.u16()?;
    let time = fields.u16()?;
    fields.u16()?;
    let crc = fields.u32()?;
    let (stored, size) = (fields.u32()?, fields.u32()?);
    fields.bytes(6)?;
    let disk = fields.u16()?;
    fields.u16()?;
    let attributes = fields.u32()?;
    let offset = fields.u32()?;
    if disk != 0 && disk != u16::MAX {
        return Err(Reason::Unsupported("a zip of several volumes".to_owned()));
    }
    let [size, stored, offset] = widen([size, stored, offset], &raw.extra)?;
    let (method, aes) = match stored_method {
        99 => aes(&raw.extra)?,
        method => (method, None),
    };
    let name = raw.name.clone();
    let unicode_name = unicode_name(&raw.extra, &name)?;
    Ok(Record {
        flags,
        method,
        stored_method,
        time,
        crc,
        stored,
        size,
        offset,
        attributes,
        name,
        unicode_name,
        aes,
    })
}

/// Replaces sentinels by the 64-bit values of the zip64 field, which holds only those, in order.
fn widen(small: [u32; 3], extra_field: &[u8]) -> Result<[u64; 3], Reason> {
    let mut wide = small.map(u64::from);
    if small.contains(&u32::MAX) {
        let content = extra(extra_field, 0x0001)?;
        if let Some(content) = content {
            let mut fields = Fields(content);
            for value in wide.iter_mut().filter(|value| **value == u64::from(u32::MAX)) {
                *value =
                    fields.u64().map_err(|_| Reason::corrupt("its zip64 field is too short"))?;
            }
        }
    }
    Ok(wide)
}

fn aes(extra_field: &[u8]) -> Result<(u16, Option<Aes>), Reason> {
    let content = extra(extra_field, 0x9901)?
        .ok_or_else(|| Reason::corrupt("its AES parameters are missing"))?;
    let mut fields = Fields(content);
    let version = fields.u16()?;
    fields.u16()?;
    let strength = fields.u8()?;
    let method = fields.u16()?;
    if !matches!(version, 1 | 2) || !matches!(strength, 1..=3) {
        return Err(Reason::Unsupported("an unknown kind of AES".to_owned()));
    }
    Ok((method, Some(Aes { has_crc: version == 1, strength })))
}

/// Info-ZIP's Unicode path: version 1, the CRC of the plain name that it belongs to, UTF-8.
fn unicode_name(extra_field: &[u8], name: &[u8]) -> Result<Option<Vec<u8>>, Reason> {
    let Some(content) = extra(extra_field, 0x7075)? else { return Ok(None) };
    let mut fields = Fields(content);
    let current = fields.u8()? == 1 && fields.u32()? == crc32fast::hash(name);
    Ok(current.then(|| fields.0.to_vec()))
}
