//! Reads a zip's central directory: the only list of entries that counts.

use std::io::{BufReader, Read};

use super::end::{Extent, Tail, locate};
use super::fields::{Fields, extra};
use crate::Job;
use crate::error::{Error, Reason};
use crate::limits::NameCharset;
use crate::meter::BUFFER_BYTES;
use crate::names::{self, Declared};
use crate::source::Cursor;

const RECORD: [u8; 4] = *b"PK\x01\x02";
const RECORD_BYTES: usize = 46;
const UTF8: u16 = 1 << 11;

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
    /// The bytes that name the entry, and what they say about their charset.
    pub(super) fn named(&self) -> (&[u8], Declared) {
        match &self.unicode_name {
            Some(name) => (name, Declared::Utf8),
            None if self.flags & UTF8 != 0 => (&self.name, Declared::Utf8),
            None => (&self.name, Declared::ZipLegacy),
        }
    }

    /// The name for sentences.
    pub(super) fn shown(&self, charset: NameCharset) -> String {
        let (name, declared) = self.named();
        names::shown(name, declared, charset)
    }
}

/// The central directory.
pub(super) struct Directory {
    pub(super) records: Vec<Record>,
    /// Where it begins, which is where the last entry must have ended.
    pub(super) offset: u64,
}

/// Reads the whole directory, refusing more entries than the limit before keeping them.
pub(super) fn read(job: &Job<'_>) -> Result<Directory, Error> {
    let (extent, tail) = locate(job)?;
    if extent.entries > job.limits.max_entries {
        return Err(job.refuse(None, Reason::Entries(job.limits.max_entries)));
    }
    let records = match within(&tail, extent) {
        Some(mut bytes) => read_records(job, &mut bytes, extent.entries)?,
        None => {
            let cursor = Cursor::new(job.source, extent.offset);
            let fault = cursor.fault();
            let reader = BufReader::with_capacity(BUFFER_BYTES, cursor.take(extent.length));
            read_records(job, &mut { reader }, extent.entries)
                .map_err(|error| fault.take().map_or(error, |source| job.unreadable(source)))?
        }
    };
    Ok(Directory { records, offset: extent.offset })
}

/// The directory's bytes if the tail holds them all: most archives need no second request.
fn within(tail: &Tail, extent: Extent) -> Option<&[u8]> {
    let start = usize::try_from(extent.offset.checked_sub(tail.offset)?).ok()?;
    let length = usize::try_from(extent.length).ok()?;
    tail.bytes.get(start..)?.get(..length)
}

fn read_records(job: &Job<'_>, reader: &mut dyn Read, entries: u64) -> Result<Vec<Record>, Error> {
    let broken = |error: &std::io::Error| job.refuse(None, Reason::from_decoder(error));
    let mut records = Vec::new();
    for _ in 0..entries {
        let raw = read_raw(reader).map_err(|error| broken(&error))?;
        let parsed = parse(&raw, job.limits.max_name_bytes);
        let blame = |reason| {
            let shown = names::shown(&raw.name, Declared::ZipLegacy, job.options.name_charset);
            job.refuse(Some(&shown), reason)
        };
        records.push(parsed.map_err(blame)?);
    }
    let mut rest = [0];
    match reader.read(&mut rest) {
        Ok(0) => Ok(records),
        Ok(_) => Err(job.refuse(None, Reason::corrupt("its directory holds more than it counts"))),
        Err(error) => Err(broken(&error)),
    }
}

/// A record's bytes: the fixed part and the three variable ones.
struct Raw {
    fixed: [u8; RECORD_BYTES],
    name: Vec<u8>,
    extra: Vec<u8>,
}

fn read_raw(reader: &mut dyn Read) -> std::io::Result<Raw> {
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

fn parse(raw: &Raw, max_name_bytes: usize) -> Result<Record, Reason> {
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
    if flags & UTF8 != 0 && unicode_name.as_ref().is_some_and(|other| *other != name) {
        return Err(Reason::corrupt("it has two names"));
    }
    // In UTF-8 no name is shorter than its bytes here, so that a directory of giants is not kept.
    if name.len().max(unicode_name.as_ref().map_or(0, Vec::len)) > max_name_bytes {
        return Err(Reason::Name(format!("longer than {max_name_bytes} bytes")));
    }
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
pub(super) fn widen(small: [u32; 3], extra_field: &[u8]) -> Result<[u64; 3], Reason> {
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
    let cut = |_| Reason::corrupt("its AES parameters are cut");
    let version = fields.u16().map_err(cut)?;
    fields.u16().map_err(cut)?;
    let strength = fields.u8().map_err(cut)?;
    let method = fields.u16().map_err(cut)?;
    if !matches!(version, 1 | 2) || !matches!(strength, 1..=3) {
        return Err(Reason::Unsupported("an unknown kind of AES".to_owned()));
    }
    Ok((method, Some(Aes { has_crc: version == 1, strength })))
}

/// Info-ZIP's Unicode path: version 1, the CRC of the plain name that it belongs to, UTF-8.
fn unicode_name(extra_field: &[u8], name: &[u8]) -> Result<Option<Vec<u8>>, Reason> {
    let Some(content) = extra(extra_field, 0x7075)? else { return Ok(None) };
    let broken = |_| Reason::corrupt("its Unicode name is cut");
    let mut fields = Fields(content);
    let version = fields.u8().map_err(broken)?;
    let current = version == 1 && fields.u32().map_err(broken)? == crc32fast::hash(name);
    Ok(current.then(|| fields.0.to_vec()))
}
