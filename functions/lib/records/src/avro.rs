//! Avro object container files: each block says how many records it holds.

use std::io::{self, BufRead, BufReader, Read};

use crate::error::Error;
use crate::partial::Count;

/// Most entries and bytes of the header's metadata. The schema is in it and may be long.
const METADATA_ENTRIES: u64 = 10_000;
const METADATA_BYTES: u64 = 64 << 20;
const SYNC_BYTES: usize = 16;

/// Counts the records of an Avro file from its beginning to its end.
///
/// Blocks are passed over, not decoded; the marker after each is held against the file's own.
///
/// # Errors
///
/// [`Error::Corrupt`] for anything but a whole Avro file, [`Error::Read`] when the reader fails.
pub fn count_avro(reader: impl Read) -> Result<Count, Error> {
    let mut file = Blocks { reader: BufReader::with_capacity(128 << 10, reader), bytes: 0 };
    let mut magic = [0; 4];
    file.fill(&mut magic)?;
    if magic != *b"Obj\x01" {
        return Err(corrupt("it does not begin like one"));
    }
    file.skip_metadata()?;
    let mut sync = [0; SYNC_BYTES];
    file.fill(&mut sync)?;
    let mut records: u64 = 0;
    while !file.ended()? {
        let count = file.length()?;
        let size = file.length()?;
        file.skip(size)?;
        let mut marker = [0; SYNC_BYTES];
        file.fill(&mut marker)?;
        if marker != sync {
            return Err(corrupt("a block does not end with the file's marker"));
        }
        records = records.checked_add(count).ok_or_else(|| corrupt("its counts overflow"))?;
    }
    Ok(Count { records, total: records, bytes: file.bytes })
}

fn corrupt(what: impl Into<String>) -> Error {
    Error::Corrupt { format: "Avro", what: what.into() }
}

struct Blocks<R> {
    reader: BufReader<R>,
    bytes: u64,
}

impl<R: Read> Blocks<R> {
    fn failed(error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => corrupt("it ends too early"),
            _ => Error::Read(error),
        }
    }

    fn fill(&mut self, buf: &mut [u8]) -> Result<(), Error> {
        self.bytes = self.bytes.saturating_add(buf.len() as u64);
        self.reader.read_exact(buf).map_err(Self::failed)
    }

    fn ended(&mut self) -> Result<bool, Error> {
        loop {
            match self.reader.fill_buf() {
                Ok(available) => return Ok(available.is_empty()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::Read(error)),
            }
        }
    }

    fn skip(&mut self, length: u64) -> Result<(), Error> {
        let mut part = self.reader.by_ref().take(length);
        let skipped = io::copy(&mut part, &mut io::sink()).map_err(Error::Read)?;
        self.bytes = self.bytes.saturating_add(skipped);
        if skipped == length { Ok(()) } else { Err(corrupt("it ends too early")) }
    }

    /// A zigzag variable-length number.
    fn long(&mut self) -> Result<i64, Error> {
        let mut value: u64 = 0;
        for shift in (0..64).step_by(7) {
            let mut byte = [0];
            self.fill(&mut byte)?;
            let [byte] = byte;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok((value >> 1).cast_signed() ^ -((value & 1).cast_signed()));
            }
        }
        Err(corrupt("a number is too long"))
    }

    /// A number that must not be negative.
    fn length(&mut self) -> Result<u64, Error> {
        u64::try_from(self.long()?).map_err(|_| corrupt("a length is negative"))
    }

    /// The header's map: blocks of pairs, ended by an empty one; a negative count is followed by the
    /// block's size.
    fn skip_metadata(&mut self) -> Result<(), Error> {
        let mut entries: u64 = 0;
        loop {
            let count = self.long()?;
            if count == 0 {
                return Ok(());
            }
            if count < 0 {
                self.length()?;
            }
            entries = entries.saturating_add(count.unsigned_abs());
            if entries > METADATA_ENTRIES {
                return Err(corrupt("its metadata is too large"));
            }
            for _ in 0..count.unsigned_abs().saturating_mul(2) {
                let length = self.length()?;
                self.skip(length)?;
                if self.bytes > METADATA_BYTES {
                    return Err(corrupt("its metadata is too large"));
                }
            }
        }
    }
}
