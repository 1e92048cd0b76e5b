//! Unpacks one zip member: local header, decryption, decompression, length and checksum.

use std::io::{BufRead, BufReader, Read};

use crc32fast::Hasher;

use super::cipher;
use super::decode::{self, Decoder};
use super::directory::widen;
use super::fields::Fields;
use super::plan::{LOCAL_BYTES, Planned};
use crate::Job;
use crate::error::{Error, Reason};
use crate::meter::{BUFFER_BYTES, Copied, Delivery};
use crate::source::{Cursor, Fault};
use crate::window::{Place, Window};

/// A member's bytes after decryption, before decompression.
type Packed<'a> = BufReader<Box<dyn Read + 'a>>;

const ENCRYPTED: u16 = 1;
const DESCRIPTOR: u16 = 1 << 3;

/// Unpacks the member through `cursor`; gives its bytes, or `None` when the sink asked to stop within
/// it, or while this was waiting for room.
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
    if decode::is_enterable(record) {
        return in_the_middle(job, cursor, planned, end);
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
    let delivery = Delivery::begin(job, &planned.entry)?;
    let content = Content { job, planned, fault: &fault, begun: 0, before: 0, crc: Hasher::new() };
    let delivered =
        content.copy(&mut packed, delivery, |packed| decode::open(packed, record, window));
    drop(place);
    delivered.map_err(|error| suspect_password(error, record))
}

/// Unpacks a member that can be entered in the middle, from where an earlier call left it.
fn in_the_middle(
    job: &Job<'_>,
    cursor: &mut Cursor<'_>,
    planned: &Planned<'_>,
    end: u64,
) -> Result<Option<u64>, Error> {
    let record = planned.record;
    let fault = cursor.fault();
    let mut delivery = Delivery::begin(job, &planned.entry)?;
    let takes_longer = delivery.takes_longer(record.size);
    let restart = delivery.restart();
    let (mut before, mut crc) = (0, Hasher::new());
    if let Some(restart) = &restart {
        before = delivery.kept_bytes();
        crc = Hasher::new_with_initial(restart.crc);
        cursor.seek(restart.source);
    }
    let begun = cursor.position();
    let mut packed: Packed<'_> =
        BufReader::with_capacity(BUFFER_BYTES, Box::new(cursor.take(end.saturating_sub(begun))));
    let content = Content { job, planned, fault: &fault, begun, before, crc };
    content.copy(&mut packed, delivery, |packed| {
        if takes_longer || !decode::is_compressed(record) {
            Decoder::enter(packed, record, restart.as_ref())
        } else {
            decode::open(packed, record, Window::Small)
        }
    })
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

/// What is copied to the sink.
struct Content<'a> {
    job: &'a Job<'a>,
    planned: &'a Planned<'a>,
    fault: &'a Fault,
    /// Where in the source the reader begins.
    begun: u64,
    /// Bytes of the member before that place, and their checksum.
    before: u64,
    crc: Hasher,
}

impl Content<'_> {
    /// Copies the member, or as much of it as the sink has time for.
    fn copy(
        mut self,
        packed: &mut Packed<'_>,
        mut delivery: Delivery<'_>,
        open: impl for<'d> FnOnce(&'d mut dyn BufRead) -> std::io::Result<Decoder<'d>>,
    ) -> Result<Option<u64>, Error> {
        let (job, record) = (self.job, self.planned.record);
        let path = self.planned.entry.path.as_str();
        let refuse = |reason| job.refuse(Some(path), reason);
        let broken = |error: &std::io::Error| job.undecodable(Some(path), error, self.fault);
        let mut left = record.size.saturating_sub(self.before);
        let mut look = |piece: &[u8]| {
            self.crc.update(piece);
            left = left
                .checked_sub(piece.len() as u64)
                .ok_or_else(|| Reason::corrupt("it holds more bytes than it says"))?;
            Ok(())
        };
        let mut decoder = open(packed).map_err(|error| broken(&error))?;
        let bytes = match delivery.copy(&mut decoder, self.fault, &mut look)? {
            Copied::Whole(bytes) => bytes,
            Copied::Paused => {
                delivery.keep(decoder.restart(self.begun, self.crc.finalize()))?;
                return Ok(None);
            }
            Copied::Stopped => return Ok(None),
        };
        drop(decoder);
        // Reading on to the end also makes the AES layer check its authentication code.
        let spent = packed.fill_buf().map_err(|error| broken(&error))?.is_empty();
        if left > 0 || (!spent && decode::reads_to_the_end(record.method)) {
            return Err(refuse(Reason::corrupt("its length is not what it says")));
        }
        if !spent {
            std::io::copy(packed, &mut std::io::sink()).map_err(|error| broken(&error))?;
        }
        if record.aes.is_none_or(|aes| aes.has_crc) && self.crc.finalize() != record.crc {
            return Err(refuse(Reason::Checksum));
        }
        delivery.commit()?;
        Ok(Some(bytes))
    }
}
