//! A second, naive reader of zip directories: the mutator repairs archives with it, and the target
//! holds what was accepted against it.

use std::io::Read;
use std::ops::Range;

use crate::random::Random;

const END: &[u8] = b"PK\x05\x06";
const RECORD: &[u8] = b"PK\x01\x02";
const LOCAL: &[u8] = b"PK\x03\x04";
const RECORD_BYTES: usize = 46;
const LOCAL_BYTES: usize = 30;
const END_BYTES: usize = 22;
/// Most bytes that a member is inflated to for its checksum.
const INFLATED: u64 = 1 << 21;

/// One record of the directory, by its place.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// Where the record begins.
    pub at: usize,
    /// Its length with name, extra field and comment.
    pub length: usize,
}

fn u16_at(bytes: &[u8], at: usize) -> Option<usize> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?).into())
}

fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?)).ok()
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

fn put_u32(bytes: &mut [u8], at: usize, value: usize) {
    put(bytes, at, &u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes());
}

/// Where the end record stands, and the records of the directory before it.
#[must_use]
pub fn directory(bytes: &[u8]) -> Option<(usize, Vec<Record>)> {
    let mut ends = bytes.windows(END.len()).enumerate().filter(|(_, window)| *window == END);
    let fits = |at: usize| u16_at(bytes, at + 20) == Some(bytes.len() - at - END_BYTES);
    let last = ends.clone().next_back()?.0;
    let end =
        ends.find(|(at, _)| bytes.len() - at >= END_BYTES && fits(*at)).map_or(last, |end| end.0);
    let is_record = |at: &usize| bytes.get(*at..).is_some_and(|rest| rest.starts_with(RECORD));
    let stated = u32_at(bytes, end + 16).filter(is_record);
    let mut at = stated.or_else(|| bytes.windows(RECORD.len()).position(|w| w == RECORD))?;
    let mut records = Vec::new();
    while is_record(&at) && at < end {
        let lengths = [28, 30, 32].map(|field| u16_at(bytes, at + field).unwrap_or_default());
        let length = RECORD_BYTES + lengths.iter().sum::<usize>();
        records.push(Record { at, length });
        at += length;
    }
    Some((end, records))
}

/// The bytes that each member occupies, header included; `None` when 64-bit fields are involved. Of an
/// entry without content, a folder above all, only the fixed part of its header counts: nobody reads
/// what that header says of itself.
#[must_use]
pub fn spans(bytes: &[u8]) -> Option<Vec<Range<usize>>> {
    let (_, records) = directory(bytes)?;
    let span = |record: &Record| {
        let offset = u32_at(bytes, record.at + 42)?;
        if u32_at(bytes, record.at + 24)? == 0 {
            return Some(offset..offset.checked_add(LOCAL_BYTES)?);
        }
        let stored = u32_at(bytes, record.at + 20)?;
        Some(offset..content(bytes, offset)?.checked_add(stored)?)
    };
    let wide = records.iter().any(|record| {
        [20, 24, 42].iter().any(|field| u32_at(bytes, record.at + field) == Some(0xffff_ffff))
    });
    if wide { None } else { records.iter().map(span).collect() }
}

/// Where the directory begins.
#[must_use]
pub fn start(bytes: &[u8]) -> Option<usize> {
    directory(bytes)?.1.first().map(|record| record.at)
}

/// Where the content behind a local header begins.
fn content(bytes: &[u8], offset: usize) -> Option<usize> {
    bytes.get(offset..)?.starts_with(LOCAL).then_some(())?;
    Some(offset + LOCAL_BYTES + u16_at(bytes, offset + 26)? + u16_at(bytes, offset + 28)?)
}

/// Makes counts, places, lengths and checksums true again, as far as they can be.
pub fn repair(bytes: &mut [u8]) {
    let Some((end, records)) = directory(bytes) else { return };
    let (Some(first), Some(last)) = (records.first(), records.last()) else { return };
    let count = u16::try_from(records.len()).unwrap_or(u16::MAX).to_le_bytes();
    put(bytes, end + 8, &count);
    put(bytes, end + 10, &count);
    if last.at + last.length == end {
        put_u32(bytes, end + 12, end - first.at);
        put_u32(bytes, end + 16, first.at);
    }
    let comment = u16::try_from(bytes.len().saturating_sub(end + END_BYTES)).unwrap_or_default();
    put(bytes, end + 20, &comment.to_le_bytes());
    for record in &records {
        let _ = checksum(bytes, record.at);
    }
}

/// Writes a plain member's true length and checksum into its two headers.
fn checksum(bytes: &mut [u8], at: usize) -> Option<()> {
    let offset = u32_at(bytes, at + 42)?;
    let from = content(bytes, offset)?;
    let stored = u32_at(bytes, at + 20)?;
    let data = bytes.get(from..from.checked_add(stored)?)?;
    let plain = match (u16_at(bytes, at + 8)? & 1, u16_at(bytes, at + 10)?) {
        (0, 0) => data.to_vec(),
        (0, 8 | 9) => {
            let mut plain = Vec::new();
            let decoder = flate2::read::DeflateDecoder::new(data);
            decoder.take(INFLATED).read_to_end(&mut plain).ok()?;
            plain
        }
        _ => return None,
    };
    let crc = crc32fast::hash(&plain).to_le_bytes();
    put(bytes, at + 16, &crc);
    put_u32(bytes, at + 24, plain.len());
    put(bytes, offset + 14, &crc);
    put_u32(bytes, offset + 18, stored);
    put_u32(bytes, offset + 22, plain.len());
    Some(())
}

/// Names that a library must think about, written over whatever stands there.
const NAMES: [&[u8]; 9] =
    [b"../", b"/", b"C:\\", b"a/.. /", b"./", b"a\\..\\", b"a\0", b"a/", b"\x81"];

/// Changes one field of one header.
pub fn tweak(bytes: &mut [u8], random: &mut Random) {
    let Some((end, records)) = directory(bytes) else { return };
    if records.is_empty() {
        return;
    }
    let record = *random.of(&records);
    let offset = u32_at(bytes, record.at + 42).unwrap_or_default();
    match random.below(8) {
        0 => {
            let name = *random.of(&NAMES);
            let room = u16_at(bytes, record.at + 28).unwrap_or_default();
            let name = &name[..name.len().min(room)];
            put(bytes, record.at + RECORD_BYTES, name);
            put(bytes, offset + LOCAL_BYTES, name);
        }
        1 => shift(bytes, end + *random.of(&[4, 6, 8, 10, 12, 16, 20]), random),
        2 | 3 => shift(bytes, offset + *random.of(&[6, 8, 14, 18, 22, 26, 28]), random),
        4 => {
            // The same method in both headers, or they contradict each other first of all.
            let method = *random.of(&[0_u8, 8, 9, 12, 14, 20, 93, 95, 99, 1]);
            put(bytes, record.at + 10, &[method, 0]);
            put(bytes, offset + 8, &[method, 0]);
        }
        5 => {
            let mode = *random.of(&[0xa1_u8, 0x81, 0x41, 0x61, 0x11, 0xc1, 0x21]);
            put(bytes, record.at + 41, &[mode]);
        }
        _ => {
            let fields = [8, 10, 16, 20, 24, 28, 30, 32, 34, 38, 42];
            shift(bytes, record.at + *random.of(&fields), random);
        }
    }
}

/// Adds a little to a 16-bit field, or sets it to a limit.
fn shift(bytes: &mut [u8], at: usize, random: &mut Random) {
    let Some(old) = u16_at(bytes, at).and_then(|old| u16::try_from(old).ok()) else { return };
    let delta = u16::try_from(random.below(48)).unwrap_or_default();
    let new = match random.below(5) {
        0 => old.wrapping_sub(delta),
        1 => old ^ (1 << (delta % 16)),
        2 => *random.of(&[0, 1, 0x7fff, 0xfffe, 0xffff]),
        _ => old.wrapping_add(delta),
    };
    put(bytes, at, &new.to_le_bytes());
}

/// One member of an archive that is written to order, lies included.
#[derive(Clone, Debug, Default)]
pub struct Member<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Flags of both headers.
    pub flags: u16,
    /// Method of both headers.
    pub method: u16,
    /// What is stored.
    pub stored: &'a [u8],
    /// What that becomes.
    pub plain: &'a [u8],
    /// Extra field of the directory.
    pub extra: &'a [u8],
    /// External attributes.
    pub attributes: u32,
}

/// Writes an archive.
#[must_use]
pub fn write(members: &[Member<'_>]) -> Vec<u8> {
    let (mut bytes, mut records) = (Vec::new(), Vec::new());
    for member in members {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
        let short = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_le_bytes();
        let offset = length(&bytes);
        let mut shared = [member.flags.to_le_bytes(), member.method.to_le_bytes()].concat();
        shared.extend([0, 0, 0x21, 0x58]);
        shared.extend(crc32fast::hash(member.plain).to_le_bytes());
        shared.extend(length(member.stored));
        shared.extend(length(member.plain));
        shared.extend(short(member.name));
        bytes.extend([LOCAL, &[20, 0], &shared, &[0, 0], member.name, member.stored].concat());
        records.extend([RECORD, &[20, 3, 20, 0], &shared, &short(member.extra)].concat());
        records.extend([0; 6]);
        records.extend(member.attributes.to_le_bytes());
        records.extend([&offset, member.name, member.extra].concat());
    }
    let count = u16::try_from(members.len()).unwrap_or(u16::MAX).to_le_bytes();
    let offset = u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
    let length = u32::try_from(records.len()).unwrap_or(u32::MAX).to_le_bytes();
    bytes.extend(&records);
    bytes.extend([END, &[0; 4], &count, &count, &length, &offset, &[0, 0]].concat());
    bytes
}
