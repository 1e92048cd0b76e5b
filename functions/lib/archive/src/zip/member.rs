//! Unpacks one zip member: local header, decryption, decompression, length and checksum.

use std::io::{BufRead, BufReader, Read};

use super::cipher;
use super::decode;
use super::directory::widen;
use super::fields::Fields;
use super::plan::{LOCAL_BYTES, Planned};
use crate::Job;
use crate::error::{Error, Reason};
use crate::meter::{BUFFER_BYTES, Delivery};
use crate::source::{Cursor, Fault};
use crate::window::{Place, Window};

/// A member's bytes after decryption, before decompression.
type Packed<'a> = BufReader<Box<dyn Read + 'a>>;

const ENCRYPTED: u16 = 1;
const DESCRIPTOR: u16 = 1 << 3;

/// Unpacks the member through `cursor`; gives its bytes, or `None` when the sink asked to stop while
/// this was waiting for room.
pub(super) fn unpack(
    job: &Job<'_>,
    cursor: &mut Cursor<'_>,
    planned: &Planned<'_>,
) -> Result<Option<u64>, Error> {
    let record = planned.record;
    let path = planned.entry.path.as_str();
    let fault = cursor.fault();
    let refuse = |reason| job.refuse(Some(path), reason);
    cursor.seek(record.offset);
    enter(cursor, planned).map_err(|error| job.undecodable(Some(path), &error, &fault))?;
    let end = cursor.position().saturating_add(record.stored);
    if end > planned.boundary {
        return Err(refuse(Reason::Overlap));
    }
    let stored = cursor.take(record.stored);
    let opened = cipher::open(stored, record, job.options.password);
    let plain = opened.map_err(|error| job.undecodable(Some(path), &error, &fault))?;
    let mut packed = BufReader::with_capacity(BUFFER_BYTES, plain);
    let head = packed.fill_buf();
    let window = head.map(|head| decode::window(record.method, head));
    let window = window
        .map_err(|error| suspect_password(job.undecodable(Some(path), &error, &fault), record))?;
    let place = match window {
        Window::Small => None,
        Window::Large => match Place::wait(&|| job.sink.stop()) {
            None => return Ok(None),
            place => place,
        },
    };
    let delivered = decompress(job, planned, &mut packed, &fault, window);
    drop(place);
    delivered.map(Some).map_err(|error| suspect_password(error, record))
}

/// A wrong ZipCrypto password passes its one-byte check once in 256 times and then yields noise.
fn suspect_password(error: Error, record: &super::directory::Record) -> Error {
    match error {
        Error::Refused {
            archive,
            entry,
            reason: Reason::Corrupt(_) | Reason::Checksum | Reason::Truncated,
        } if record.flags & ENCRYPTED != 0 && record.aes.is_none() => {
            Error::Refused { archive, entry, reason: Reason::WrongPassword }
        }
        other => other,
    }
}

/// Reads the local header, holds it against the directory, and stops at the first stored byte.
fn enter(cursor: &mut Cursor<'_>, planned: &Planned<'_>) -> std::io::Result<()> {
    let record = planned.record;
    let mut head = [0; LOCAL_BYTES as usize];
    cursor.read_exact(&mut head)?;
    let contradiction = |what: &str| {
        Reason::corrupt(format!("its header and the directory disagree about its {what}"))
    };
    if !head.starts_with(b"PK\x03\x04") {
        return Err(contradiction("place").into());
    }
    let mut fields = Fields(head.get(6..).unwrap_or_default());
    let flags = fields.u16()?;
    let method = fields.u16()?;
    fields.u32()?;
    let crc = fields.u32()?;
    let (stored, size) = (fields.u32()?, fields.u32()?);
    let name_length = fields.u16()?;
    let extra_length = fields.u16()?;
    if usize::from(name_length) != record.name.len() {
        return Err(contradiction("name").into());
    }
    let mut name = vec![0; record.name.len()];
    cursor.read_exact(&mut name)?;
    if name != record.name {
        return Err(contradiction("name").into());
    }
    if method != record.stored_method || (flags ^ record.flags) & ENCRYPTED != 0 {
        return Err(contradiction("method").into());
    }
    let mut extra = vec![0; usize::from(extra_length)];
    cursor.read_exact(&mut extra)?;
    let [size, stored, _] = widen([size, stored, 0], &extra)?;
    if flags & DESCRIPTOR == 0
        && !(crc == record.crc && stored == record.stored && size == record.size)
    {
        return Err(contradiction("size or checksum").into());
    }
    Ok(())
}

fn decompress(
    job: &Job<'_>,
    planned: &Planned<'_>,
    packed: &mut Packed<'_>,
    fault: &Fault,
    window: Window,
) -> Result<u64, Error> {
    let record = planned.record;
    let path = planned.entry.path.as_str();
    let refuse = |reason| job.refuse(Some(path), reason);
    let broken = |error: &std::io::Error| job.undecodable(Some(path), error, fault);
    let mut crc = crc32fast::Hasher::new();
    let mut left = record.size;
    let mut look = |piece: &[u8]| {
        crc.update(piece);
        left = left
            .checked_sub(piece.len() as u64)
            .ok_or_else(|| Reason::corrupt("it holds more bytes than it says"))?;
        Ok(())
    };
    let mut delivery = Delivery::begin(job, &planned.entry)?;
    let mut decoder = decode::open(packed, record, window).map_err(|error| broken(&error))?;
    let bytes = delivery.copy(&mut decoder, fault, &mut look)?;
    drop(decoder);
    // Reading on to the end also makes the AES layer check its authentication code.
    let spent = packed.fill_buf().map_err(|error| broken(&error))?.is_empty();
    if left > 0 || (!spent && decode::reads_to_the_end(record.method)) {
        return Err(refuse(Reason::corrupt("its length is not what it says")));
    }
    if !spent {
        std::io::copy(packed, &mut std::io::sink()).map_err(|error| broken(&error))?;
    }
    if record.aes.is_none_or(|aes| aes.has_crc) && crc.finalize() != record.crc {
        return Err(refuse(Reason::Checksum));
    }
    delivery.commit()?;
    Ok(bytes)
}
