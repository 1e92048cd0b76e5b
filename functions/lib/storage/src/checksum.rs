//! CRC-64/NVME, the checksum that S3 keeps of every object: computed where bytes enter and leave this
//! package, so that whatever happens to them on the way is noticed.
//!
//! The sums of parts can be put together to the sum of the whole, in any order of arrival.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crc_fast::CrcAlgorithm::Crc64Nvme;
use serde::{Deserialize, Serialize};

/// The checksum of some bytes; in text the way S3 writes it, base64 of eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Crc64(u64);

impl Crc64 {
    /// The checksum of no bytes.
    pub(crate) const EMPTY: Self = Self(0);

    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(crc_fast::checksum(Crc64Nvme, bytes))
    }

    /// The checksum of these bytes and of `len` more that have the checksum `next`.
    pub(crate) fn then(self, next: Self, len: u64) -> Self {
        if len == 0 {
            self
        } else {
            Self(crc_fast::checksum_combine(Crc64Nvme, self.0, next.0, len))
        }
    }

    /// Reads what S3 wrote; `None` for what is no checksum of a whole object.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text).ok()?;
        Some(Self(u64::from_be_bytes(bytes.try_into().ok()?)))
    }
}

impl From<Crc64> for String {
    fn from(sum: Crc64) -> Self {
        STANDARD.encode(sum.0.to_be_bytes())
    }
}

impl TryFrom<String> for Crc64 {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("not the base64 of a CRC-64/NVME")
    }
}

/// The checksum of bytes that come piece by piece.
pub(crate) struct Running(crc_fast::Digest);

impl Running {
    pub(crate) fn new() -> Self {
        Self(crc_fast::Digest::new(Crc64Nvme))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn sum(&self) -> Crc64 {
        Crc64(self.0.finalize())
    }

    /// The sum so far; the next byte begins a new one.
    pub(crate) fn take(&mut self) -> Crc64 {
        let sum = self.sum();
        self.0.reset();
        sum
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Running({:016x})", self.sum().0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_the_one_that_s3_computes() {
        // The check value of CRC-64/NVME in the catalogue of parametrised CRC algorithms.
        assert_eq!(Crc64::of(b"123456789"), Crc64(0xae8b_1486_0a79_9888));
        assert_eq!(String::from(Crc64::of(b"123456789")), "rosUhgp5mIg=");
        assert_eq!(Crc64::of(b""), Crc64::EMPTY);
    }

    #[test]
    fn parts_of_any_size_have_the_sum_of_the_whole() {
        let bytes: Vec<u8> = (0..10_000_u32).flat_map(|n| (n * n).to_le_bytes()).collect();
        for size in [1, 7, 4_096, 39_999, 40_000] {
            let mut running = Running::new();
            let whole = bytes.chunks(size).fold(Crc64::EMPTY, |sum, part| {
                running.update(part);
                sum.then(running.take(), part.len() as u64)
            });
            assert_eq!(whole, Crc64::of(&bytes), "{size}");
        }
        assert_eq!(Crc64::of(&bytes).then(Crc64::EMPTY, 0), Crc64::of(&bytes));
    }

    #[test]
    fn only_eight_bytes_of_base64_are_a_sum() {
        let sum = Crc64::of(b"x");
        assert_eq!(Crc64::parse(&String::from(sum)), Some(sum));
        // Of parts only ("-3"), of another algorithm, of nothing.
        for text in ["rosUhgp5mIg=-3", "AAAAAA==", "", "?"] {
            assert_eq!(Crc64::parse(text), None, "{text}");
        }
    }
}
