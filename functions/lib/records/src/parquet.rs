//! Parquet files: the footer says how many rows there are, in all and in each row group.
//!
//! Only these numbers are read, by a reader of Thrift's compact protocol that passes over the rest.

use crate::error::Error;
use crate::partial::Count;
use crate::source::{self, Source};

const MAGIC: &[u8] = b"PAR1";
/// Footers of real files are below a few MiB; this one would describe millions of columns.
const FOOTER_BYTES: u64 = 256 << 20;
const WINDOW_BYTES: usize = 64 << 10;
/// Structs and lists inside each other.
const DEPTH: u32 = 16;

/// Counts the rows of a Parquet file from its footer.
///
/// # Errors
///
/// [`Error::Corrupt`] for anything but a whole Parquet file with a readable footer, [`Error::Read`]
/// when the source fails.
pub fn count_parquet(source: &dyn Source) -> Result<Count, Error> {
    let bytes = source.len();
    if source::read(source, 0, MAGIC.len())? != MAGIC {
        return Err(corrupt("it does not begin like one"));
    }
    let tail_at = bytes.checked_sub(8).ok_or_else(|| corrupt("it is too short"))?;
    let tail = source::read(source, tail_at, 8)?;
    let length = match tail.as_slice() {
        [a, b, c, d, b'P', b'A', b'R', b'1'] => u64::from(u32::from_le_bytes([*a, *b, *c, *d])),
        [.., b'P', b'A', b'R', b'E'] => return Err(corrupt("its footer is encrypted")),
        _ => return Err(corrupt("it does not end like one")),
    };
    let start = tail_at
        .checked_sub(length)
        .filter(|&start| start >= MAGIC.len() as u64 && length <= FOOTER_BYTES)
        .ok_or_else(|| corrupt("its footer has an impossible length"))?;
    let mut footer = Footer { source, at: start, end: tail_at, window: Vec::new(), used: 0 };
    let records = footer.rows()?;
    Ok(Count { records, total: records, bytes })
}

fn corrupt(what: impl Into<String>) -> Error {
    Error::Corrupt { format: "Parquet", what: what.into() }
}

/// Types of the compact protocol.
const STOP: u8 = 0;
const I64: u8 = 6;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

struct Footer<'a> {
    source: &'a dyn Source,
    /// Where the window ends in the file.
    at: u64,
    end: u64,
    window: Vec<u8>,
    used: usize,
}

impl Footer<'_> {
    /// `FileMetaData`: field 3 is the number of rows, field 4 the list of row groups.
    fn rows(&mut self) -> Result<u64, Error> {
        let (mut total, mut groups) = (None, None);
        let mut id = 0;
        loop {
            let (kind, field) = self.field(id)?;
            id = field;
            match (kind, field) {
                (STOP, _) => break,
                (I64, 3) => total = Some(self.rows_number()?),
                (LIST, 4) => groups = Some(self.row_groups()?),
                _ => self.skip(kind, DEPTH)?,
            }
        }
        match (total, groups) {
            (Some(total), Some(groups)) if total == groups => Ok(total),
            (Some(_), Some(_)) => Err(corrupt("its row groups hold another number of rows")),
            _ => Err(corrupt("its footer has no number of rows")),
        }
    }

    /// The sum of field 3, `num_rows`, over all row groups.
    fn row_groups(&mut self) -> Result<u64, Error> {
        let (kind, count) = self.list()?;
        if count > 0 && kind != STRUCT {
            return Err(corrupt("its row groups are none"));
        }
        let mut sum: u64 = 0;
        for _ in 0..count {
            let mut id = 0;
            loop {
                let (kind, field) = self.field(id)?;
                id = field;
                match (kind, field) {
                    (STOP, _) => break,
                    (I64, 3) => {
                        let rows = self.rows_number()?;
                        sum = sum.checked_add(rows).ok_or_else(|| corrupt("its rows overflow"))?;
                    }
                    _ => self.skip(kind, DEPTH)?,
                }
            }
        }
        Ok(sum)
    }

    fn rows_number(&mut self) -> Result<u64, Error> {
        let rows = zigzag(self.varint()?);
        u64::try_from(rows).map_err(|_| corrupt("a number of rows is negative"))
    }

    /// A field's type and number; the number is the last one plus a delta, or written out.
    fn field(&mut self, last: i64) -> Result<(u8, i64), Error> {
        let byte = self.byte()?;
        let (delta, kind) = (byte >> 4, byte & 0x0f);
        let field = match (kind, delta) {
            (STOP, _) => 0,
            (_, 0) => zigzag(self.varint()?),
            (_, delta) => last.saturating_add(i64::from(delta)),
        };
        Ok((kind, field))
    }

    /// A list's element type and length.
    fn list(&mut self) -> Result<(u8, u64), Error> {
        let byte = self.byte()?;
        let count = if byte >> 4 == 15 { self.varint()? } else { u64::from(byte >> 4) };
        Ok((byte & 0x0f, count))
    }

    fn skip(&mut self, kind: u8, depth: u32) -> Result<(), Error> {
        let inner = depth.checked_sub(1).ok_or_else(|| corrupt("its footer is too deep"))?;
        match kind {
            // Booleans of a struct live in their type.
            1 | 2 => Ok(()),
            3 => self.byte().map(drop),
            4..=6 => self.varint().map(drop),
            7 => self.pass(8),
            8 => {
                let length = self.varint()?;
                self.pass(length)
            }
            LIST | 10 => {
                let (kind, count) = self.list()?;
                self.skip_many(kind, count, inner)
            }
            11 => {
                let count = self.varint()?;
                let kinds = if count == 0 { 0 } else { self.byte()? };
                for _ in 0..count {
                    self.skip_many(kinds >> 4, 1, inner)?;
                    self.skip_many(kinds & 0x0f, 1, inner)?;
                }
                Ok(())
            }
            STRUCT => {
                let mut id = 0;
                loop {
                    let (kind, field) = self.field(id)?;
                    if kind == STOP {
                        return Ok(());
                    }
                    id = field;
                    self.skip(kind, inner)?;
                }
            }
            13 => self.pass(16),
            _ => Err(corrupt("its footer holds an unknown type")),
        }
    }

    /// Elements of a collection, in which booleans do take a byte.
    fn skip_many(&mut self, kind: u8, count: u64, depth: u32) -> Result<(), Error> {
        for _ in 0..count {
            match kind {
                1 | 2 => self.byte().map(drop)?,
                kind => self.skip(kind, depth)?,
            }
        }
        Ok(())
    }

    fn varint(&mut self) -> Result<u64, Error> {
        let mut value: u64 = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(corrupt("a number is too long"))
    }

    fn byte(&mut self) -> Result<u8, Error> {
        loop {
            if let Some(&byte) = self.window.get(self.used) {
                self.used += 1;
                return Ok(byte);
            }
            let left = self.end.saturating_sub(self.at);
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(WINDOW_BYTES);
            self.window = source::read(self.source, self.at, length)?;
            self.at = self.at.saturating_add(self.window.len() as u64);
            self.used = 0;
            if self.window.is_empty() {
                return Err(corrupt("its footer ends too early"));
            }
        }
    }

    fn pass(&mut self, count: u64) -> Result<(), Error> {
        let inside = (self.window.len().saturating_sub(self.used)) as u64;
        if count <= inside {
            self.used = self.used.saturating_add(usize::try_from(count).unwrap_or(usize::MAX));
            return Ok(());
        }
        let beyond = count - inside;
        self.at = self
            .at
            .checked_add(beyond)
            .filter(|&at| at <= self.end)
            .ok_or_else(|| corrupt("its footer ends too early"))?;
        self.window.clear();
        self.used = 0;
        Ok(())
    }
}

fn zigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}
