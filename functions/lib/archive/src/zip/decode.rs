//! The compression methods of zip entries.

use std::io::{self, BufRead, Read};

use deflate64::Deflate64Decoder;
use liblzma::bufread::XzDecoder;
use liblzma::stream::Stream;

use super::directory::Record;
use crate::error::Reason;
use crate::frames::{Codec, xz_stream};
use crate::inflate::Inflate;
use crate::restart::{Decode, Restart};
use crate::window::Window;

const STORED: u16 = 0;
const DEFLATE: u16 = 8;
const DEFLATE64: u16 = 9;
const BZIP2: u16 = 12;
const LZMA: u16 = 14;
const ZSTD_OLD: u16 = 20;
const ZSTD: u16 = 93;
const XZ: u16 = 95;

const ENCRYPTED: u16 = 1;
/// Set on LZMA entries that end with a marker instead of at their known length.
const LZMA_END_MARKER: u16 = 1 << 1;

/// Whether [`open`] can read the method.
pub(super) fn is_supported(method: u16) -> bool {
    matches!(method, STORED | DEFLATE | DEFLATE64 | BZIP2 | LZMA | ZSTD_OLD | ZSTD | XZ)
}

/// What the decoder of an entry takes that starts with `head`.
pub(super) fn window(method: u16, head: &[u8]) -> Window {
    match method {
        LZMA => match head {
            [_, _, _, _, properties @ ..] => {
                properties.first_chunk().map_or(Window::Large, |five| Window::of_lzma(*five))
            }
            _ => Window::Large,
        },
        ZSTD_OLD | ZSTD => Window::of_stream(Codec::Zstd, head),
        XZ => Window::of_stream(Codec::Xz, head),
        _ => Window::Small,
    }
}

/// Whether the decoder consumes exactly its own bytes, so that bytes left over are a contradiction.
pub(super) fn reads_to_the_end(method: u16) -> bool {
    !matches!(method, DEFLATE64 | LZMA)
}

/// Whether an entry's decoder can be entered in the middle: an encrypted one has a state of its own.
pub(super) fn is_enterable(record: &Record) -> bool {
    record.flags & ENCRYPTED == 0 && matches!(record.method, STORED | DEFLATE)
}

/// Whether an entry has to be decompressed.
pub(super) fn is_compressed(record: &Record) -> bool {
    record.method != STORED
}

/// A decoder over an entry's bytes.
pub(super) enum Decoder<'a> {
    /// One that has to begin at the start.
    Whole(Box<dyn Read + 'a>),
    /// Bytes as they are.
    Stored { bytes: &'a mut dyn BufRead, read: u64 },
    /// Deflate, block by block.
    Blocks(Inflate<&'a mut dyn BufRead>),
}

impl<'a> Decoder<'a> {
    /// One for an entry that [is enterable](is_enterable), at its start or where it was left.
    pub(super) fn enter(
        packed: &'a mut dyn BufRead,
        record: &Record,
        restart: Option<&Restart>,
    ) -> io::Result<Self> {
        Ok(match (record.method, restart) {
            (STORED, _) => Self::Stored { bytes: packed, read: 0 },
            (_, None) => Self::Blocks(Inflate::new(packed)),
            (_, Some(restart)) => Self::Blocks(Inflate::enter(packed, restart.boundary.as_ref())?),
        })
    }

    /// The place behind the last byte that was read, if it can be entered there. `begun` is where
    /// this began in the source, `crc` is the checksum of the entry so far.
    pub(super) fn restart(&self, begun: u64, crc: u32) -> Option<Restart> {
        let (used, boundary) = match self {
            Self::Whole(_) => return None,
            Self::Stored { read, .. } => (*read, None),
            Self::Blocks(blocks) if blocks.stands() => (blocks.consumed(), blocks.boundary()),
            Self::Blocks(_) => return None,
        };
        Some(Restart { source: begun.saturating_add(used), crc, covered: 0, boundary })
    }
}

impl Read for Decoder<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Whole(decoder) => decoder.read(buf),
            Self::Blocks(blocks) => blocks.read(buf),
            Self::Stored { bytes, read } => {
                let count = bytes.read(buf)?;
                *read += count as u64;
                Ok(count)
            }
        }
    }
}

impl Decode for Decoder<'_> {
    fn stands(&self) -> Option<bool> {
        match self {
            Self::Whole(_) => None,
            Self::Stored { .. } => Some(true),
            Self::Blocks(blocks) => Some(blocks.stands()),
        }
    }
}

/// A decoder over an entry's bytes that begins at their start.
pub(super) fn open<'a>(
    mut packed: &'a mut dyn BufRead,
    record: &Record,
    window: Window,
) -> io::Result<Decoder<'a>> {
    Ok(Decoder::Whole(match record.method {
        STORED => Box::new(packed),
        DEFLATE => Box::new(flate2::bufread::DeflateDecoder::new(packed)),
        DEFLATE64 => Box::new(Deflate64Decoder::with_buffer(packed)),
        BZIP2 => Box::new(bzip2::bufread::BzDecoder::new(packed)),
        ZSTD | ZSTD_OLD => {
            let mut decoder = zstd::Decoder::with_buffer(packed)?;
            decoder.window_log_max(window.log())?;
            Box::new(decoder)
        }
        XZ => Box::new(XzDecoder::new_stream(packed, xz_stream(window)?)),
        LZMA => {
            let header = lzma_header(&mut packed, record)?;
            let chained = io::Cursor::new(header).chain(packed);
            let stream = Stream::new_lzma_decoder(window.memory_bytes())?;
            Box::new(XzDecoder::new_stream(chained, stream))
        }
        other => return Err(Reason::Unsupported(format!("the zip method {other}")).into()),
    }))
}

/// The header of a `.lzma` file made from the one that zip uses: zip leaves the length out.
fn lzma_header(packed: &mut dyn BufRead, record: &Record) -> io::Result<[u8; 13]> {
    let mut own = [0; 9];
    packed.read_exact(&mut own)?;
    let [_, _, 5, 0, properties @ ..] = own else {
        return Err(Reason::corrupt("its LZMA properties have the wrong length").into());
    };
    let length = if record.flags & LZMA_END_MARKER == 0 { record.size } else { u64::MAX };
    let mut header = [0; 13];
    let bytes = properties.into_iter().chain(length.to_le_bytes());
    header.iter_mut().zip(bytes).for_each(|(place, byte)| *place = byte);
    Ok(header)
}
