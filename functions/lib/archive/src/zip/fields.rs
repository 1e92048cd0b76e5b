//! Little-endian fields of zip records, read without ever leaving the slice.

use crate::error::Reason;

/// A record's bytes, consumed from the front.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    /// The next `count` bytes.
    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Reason> {
        let (front, rest) = self.0.split_at_checked(count).ok_or(Reason::Truncated)?;
        self.0 = rest;
        Ok(front)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Reason> {
        let (front, rest) = self.0.split_first_chunk::<N>().ok_or(Reason::Truncated)?;
        self.0 = rest;
        Ok(*front)
    }

    /// The next 8-bit number.
    pub(super) fn u8(&mut self) -> Result<u8, Reason> {
        self.array::<1>().map(u8::from_le_bytes)
    }

    /// The next 16-bit number.
    pub(super) fn u16(&mut self) -> Result<u16, Reason> {
        self.array().map(u16::from_le_bytes)
    }

    /// The next 32-bit number.
    pub(super) fn u32(&mut self) -> Result<u32, Reason> {
        self.array().map(u32::from_le_bytes)
    }

    /// The next 64-bit number.
    pub(super) fn u64(&mut self) -> Result<u64, Reason> {
        self.array().map(u64::from_le_bytes)
    }
}

/// The parts of an extra field: identifier and content. Trailing padding shorter than a part's
/// header is ignored, as some makers align entries with it.
pub(super) fn extras(extra: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut fields = Fields(extra);
    std::iter::from_fn(move || {
        let id = fields.u16().ok()?;
        let length = fields.u16().ok()?;
        fields.bytes(usize::from(length)).ok().map(|content| (id, content))
    })
}

/// The one part with this identifier; two of them are a contradiction.
pub(super) fn extra(extra: &[u8], wanted: u16) -> Result<Option<&[u8]>, Reason> {
    let mut found = extras(extra).filter(|(id, _)| *id == wanted).map(|(_, content)| content);
    let first = found.next();
    if found.next().is_some() {
        return Err(Reason::corrupt("an extra field occurs twice"));
    }
    Ok(first)
}
