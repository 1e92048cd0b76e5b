//! The compression methods of zip entries.

use std::io::{self, BufRead, Read};

use deflate64::Deflate64Decoder;
use liblzma::bufread::XzDecoder;
use liblzma::stream::Stream;

use super::directory::Record;
use crate::error::Reason;
use crate::frames::{Codec, xz_stream};
use crate::window::Window;

const STORED: u16 = 0;
const DEFLATE: u16 = 8;
const DEFLATE64: u16 = 9;
const BZIP2: u16 = 12;
const LZMA: u16 = 14;
const ZSTD_OLD: u16 = 20;
const ZSTD: u16 = 93;
const XZ: u16 = 95;

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

/// A decoder over an entry's bytes.
pub(super) fn open<'a>(
    mut packed: &'a mut dyn BufRead,
    record: &Record,
    window: Window,
) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match record.method {
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
    })
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
