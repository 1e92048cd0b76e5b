//! Decoders' windows: how large one will be, told by the first bytes of a stream, and the one place
//! in the process for those that are large.
//!
//! Several archives may be unpacked at the same time, each by several workers. Usual windows are of
//! 8 MiB or less; one of 128 MiB is legal, but not in every worker at once.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::frames::Codec;

/// Largest window that needs no place, as a power of two.
pub(crate) const SMALL_LOG: u32 = 23;
/// Largest window of a zstd frame, as a power of two: 128 MiB, what the `zstd` command accepts.
pub(crate) const LARGE_LOG: u32 = 27;
/// Memory of an xz or lzma decoder besides its window, generously.
const BESIDES_BYTES: u64 = 2 << 20;
/// How often one who waits looks whether there is still time.
const PATIENCE: Duration = Duration::from_millis(50);

/// What a stream's decoder may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Window {
    /// At most 8 MiB.
    Small,
    /// At most 128 MiB; needs a [`Place`].
    Large,
}

impl Window {
    /// The window's limit as a power of two.
    pub(crate) fn log(self) -> u32 {
        match self {
            Self::Small => SMALL_LOG,
            Self::Large => LARGE_LOG,
        }
    }

    /// What an xz or lzma decoder may take, all in all.
    pub(crate) fn memory_bytes(self) -> u64 {
        (1 << self.log()) + BESIDES_BYTES
    }

    fn of(bytes: Option<u64>) -> Self {
        match bytes {
            Some(bytes) if bytes <= 1 << SMALL_LOG => Self::Small,
            _ => Self::Large,
        }
    }

    /// Reads the start of a stream; what is unclear counts as large. The decoder holds the stream to
    /// the answer, so one that grows later is refused.
    pub(crate) fn of_stream(codec: Codec, head: &[u8]) -> Self {
        match codec {
            Codec::Gzip | Codec::Bzip2 => Self::Small,
            Codec::Zstd => Self::of(zstd_window(head)),
            Codec::Xz => Self::of(xz_window(head)),
        }
    }

    /// Reads the five bytes of LZMA properties.
    pub(crate) fn of_lzma([_, size @ ..]: [u8; 5]) -> Self {
        Self::of(Some(u32::from_le_bytes(size).into()))
    }
}

/// The window of a zstd frame; a skippable one has none.
fn zstd_window(head: &[u8]) -> Option<u64> {
    let (magic, rest) = head.split_first_chunk::<4>()?;
    if matches!(magic, [0x50..=0x5f, 0x2a, 0x4d, 0x18]) {
        return Some(0);
    }
    let (&descriptor, rest) = rest.split_first()?;
    if descriptor & 0x20 == 0 {
        let &window = rest.first()?;
        let base = 1_u64 << (10 + (window >> 3));
        return Some(base + base / 8 * u64::from(window & 7));
    }
    // One segment: the window is the content, whose length follows the dictionary's number.
    let dictionary = match descriptor & 3 {
        3 => 4,
        bytes => usize::from(bytes),
    };
    let length = 1_usize << (descriptor >> 6);
    let bytes = rest.get(dictionary..dictionary + length)?;
    let value = bytes.iter().rev().fold(0, |value: u64, &byte| value << 8 | u64::from(byte));
    Some(if length == 2 { value + 256 } else { value })
}

/// The window of an xz stream's first block; a stream without blocks has none.
fn xz_window(head: &[u8]) -> Option<u64> {
    const HEADER_BYTES: usize = 12;
    const LZMA2: u64 = 0x21;
    let block = head.get(HEADER_BYTES..)?;
    let (&size, mut rest) = block.split_first()?;
    if size == 0 {
        return Some(0);
    }
    let flags = take(&mut rest)?;
    for flag in [0x40, 0x80] {
        if flags & flag != 0 {
            varint(&mut rest)?;
        }
    }
    for _ in 0..=flags & 3 {
        let (filter, length) = (varint(&mut rest)?, varint(&mut rest)?);
        let (properties, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        // The code 40 stands for all that can be addressed.
        if let (LZMA2, &[code @ 0..40]) = (filter, properties) {
            return Some((2 | u64::from(code & 1)) << (code / 2 + 11));
        }
        rest = after;
    }
    None
}

fn take(bytes: &mut &[u8]) -> Option<u8> {
    let (&first, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(first)
}

/// A number of 7-bit groups, as far as filters need them.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let byte = take(bytes)?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

static TAKEN: Mutex<bool> = Mutex::new(false);
static FREED: Condvar = Condvar::new();

/// The place for a large window, while this lives.
///
/// It is waited for only by those who hold nothing yet, neither a place nor an opened member: so no
/// two can wait for each other, whatever a sink shares between archives.
pub(crate) struct Place(());

impl Place {
    /// Takes the place if nobody has it.
    pub(crate) fn take() -> Option<Self> {
        Self::wait(&|| true)
    }

    /// Waits for the place; `None` when `give_up` says so while another has it.
    pub(crate) fn wait(give_up: &dyn Fn() -> bool) -> Option<Self> {
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        while *taken {
            if give_up() {
                return None;
            }
            let waited = FREED.wait_timeout(taken, PATIENCE);
            taken = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        *taken = true;
        Some(Self(()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) = false;
        FREED.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn zstd(descriptor: u8, rest: &[u8]) -> Option<u64> {
        zstd_window(&[&[0x28, 0xb5, 0x2f, 0xfd, descriptor], rest].concat())
    }

    #[test]
    fn zstd_frames_tell_their_window() {
        // Exponent and mantissa, as the format defines them.
        assert_eq!(zstd(0x00, &[0x00]), Some(1024));
        assert_eq!(zstd(0x00, &[0x68]), Some(8 * MIB));
        assert_eq!(zstd(0x04, &[0x69]), Some(9 * MIB));
        assert_eq!(zstd(0x00, &[0xff]), Some((1 << 41) + (1 << 41) / 8 * 7));
        // One segment: one, two, four or eight bytes of length, behind the dictionary's number.
        assert_eq!(zstd(0x20, &[200]), Some(200));
        assert_eq!(zstd(0x60, &[1, 1]), Some(257 + 256));
        assert_eq!(zstd(0xa0, &[0, 0, 0x80, 0]), Some(8 * MIB));
        assert_eq!(zstd(0xe0, &[1, 0, 0, 0, 1, 0, 0, 0]), Some((1 << 32) + 1));
        assert_eq!(zstd(0x21, &[9, 7]), Some(7));
        assert_eq!(zstd(0x22, &[9, 9, 7]), Some(7));
        assert_eq!(zstd(0x23, &[9, 9, 9, 9, 7]), Some(7));
        for (descriptor, rest) in
            [(0x00, &[][..]), (0x20, &[]), (0x60, &[1]), (0x23, &[1, 2, 3, 4])]
        {
            assert_eq!(zstd(descriptor, rest), None);
        }
        assert_eq!(zstd_window(b"\x5f\x2a\x4d\x18"), Some(0));
        assert_eq!(zstd_window(b"\x28\xb5"), None);
    }

    fn xz(block: &[u8]) -> Option<u64> {
        xz_window(&[&[0; 12], block].concat())
    }

    #[test]
    fn xz_blocks_tell_their_window() {
        assert_eq!(xz(&[0]), Some(0));
        assert_eq!(xz(&[2, 0, 0x21, 1, 0]), Some(4096));
        assert_eq!(xz(&[2, 0, 0x21, 1, 1]), Some(6144));
        assert_eq!(xz(&[2, 0, 0x21, 1, 22]), Some(8 * MIB));
        assert_eq!(xz(&[2, 0, 0x21, 1, 23]), Some(12 * MIB));
        assert_eq!(xz(&[2, 0, 0x21, 1, 39]), Some(3 << 30));
        assert_eq!(xz(&[2, 0, 0x21, 1, 40]), None);
        // Sizes stand before the filters: one, the other, both, of one byte and of two.
        assert_eq!(xz(&[2, 0x40, 0x85, 1, 0x21, 1, 0]), Some(4096));
        assert_eq!(xz(&[2, 0x80, 5, 0x21, 1, 0]), Some(4096));
        assert_eq!(xz(&[2, 0xc0, 5, 6, 0x21, 1, 0]), Some(4096));
        // The filter that matters is the last; others have properties of their own length.
        assert_eq!(xz(&[2, 1, 4, 0, 0x21, 1, 0]), Some(4096));
        assert_eq!(xz(&[2, 2, 4, 0, 3, 1, 9, 0x21, 1, 0]), Some(4096));
        assert_eq!(xz(&[2, 0, 4, 0, 0x21, 1, 0]), None);
        assert_eq!(xz(&[2, 0, 0x21, 2, 0, 0]), None);
        assert_eq!(xz(&[2, 0, 0x21]), None);
        assert_eq!(xz(&[]), None);
    }

    #[test]
    fn numbers_of_seven_bit_groups_end() {
        let read = |mut bytes: &[u8]| varint(&mut bytes).map(|value| (value, bytes.len()));
        assert_eq!(read(&[0x7f, 1]), Some((127, 1)));
        assert_eq!(read(&[0x80, 0x81, 1]), Some(((1 << 14) + (1 << 7), 0)));
        assert_eq!(read(&[0x80; 9]), None);
        assert_eq!(read(&[0x80]), None);
        let longest = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
        assert_eq!(read(&longest), Some(((1 << 63) - 1, 0)));
    }

    #[test]
    fn what_is_unclear_counts_as_large() {
        assert_eq!(Window::of(Some(8 * MIB)), Window::Small);
        assert_eq!(Window::of(Some(8 * MIB + 1)), Window::Large);
        assert_eq!(Window::of(None), Window::Large);
        assert_eq!(Window::of_lzma([0x5d, 0, 0, 0x80, 0]), Window::Small);
        assert_eq!(Window::of_lzma([0x5d, 1, 0, 0x80, 0]), Window::Large);
        assert_eq!(Window::of_stream(Codec::Gzip, b""), Window::Small);
        assert_eq!(Window::of_stream(Codec::Bzip2, b""), Window::Small);
        assert_eq!(Window::of_stream(Codec::Xz, b""), Window::Large);
        assert_eq!(Window::of_stream(Codec::Zstd, b""), Window::Large);
        assert_eq!(Window::Small.memory_bytes(), 10 * MIB);
        assert_eq!(Window::Large.memory_bytes(), 130 * MIB);
        assert_eq!((Window::Small.log(), Window::Large.log()), (23, 27));
    }
}
