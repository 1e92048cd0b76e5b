//! Deflate that can be entered in the middle, where two of its blocks meet: a few bits and the 32 KiB
//! before that place are all that a decoder has to know.

use std::io::{self, BufRead, Read};

use miniz_oxide::inflate::TINFLStatus as Status;
use miniz_oxide::inflate::core::inflate_flags::{
    TINFL_FLAG_HAS_MORE_INPUT as MORE_INPUT, TINFL_FLAG_STOP_ON_BLOCK_BOUNDARY as BLOCK_BY_BLOCK,
    TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF as NO_WRAP,
};
use miniz_oxide::inflate::core::{BlockBoundaryState, DecompressorOxide, decompress};
use serde::{Deserialize, Serialize};

use crate::error::Reason;

/// How far back deflate refers.
const WINDOW_BYTES: usize = 32 << 10;
/// What comes out before the window is moved to the front of its buffer.
const ROOM_BYTES: usize = 256 << 10;

/// Where two blocks of a deflate stream meet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Boundary {
    /// How many bits of the last byte belong to the next block.
    bits: u8,
    /// These bits.
    bit_buffer: u8,
    /// What came out last, 32 KiB at most.
    #[serde(with = "hex::serde")]
    window: Vec<u8>,
}

/// A decoder of one raw deflate stream.
pub(crate) struct Inflate<R> {
    source: R,
    decoder: Box<DecompressorOxide>,
    buffer: Vec<u8>,
    /// What was read by the caller, up to here.
    given: usize,
    /// What has come out, up to here.
    filled: usize,
    consumed: u64,
    place: Place,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    InBlock,
    Boundary,
    End,
}

impl<R: BufRead> Inflate<R> {
    /// From a stream's first byte.
    pub(crate) fn new(source: R) -> Self {
        Self::with(source, DecompressorOxide::new(), &[])
    }

    /// From the byte after a boundary; without one, from the byte after the stream.
    pub(crate) fn enter(source: R, boundary: Option<&Boundary>) -> io::Result<Self> {
        let Some(boundary) = boundary else {
            let mut ended = Self::new(source);
            ended.place = Place::End;
            return Ok(ended);
        };
        if boundary.bits > 7 || boundary.window.len() > WINDOW_BYTES {
            return Err(io::Error::other("the place where the decoder stopped is damaged"));
        }
        let state = BlockBoundaryState {
            num_bits: boundary.bits,
            bit_buf: boundary.bit_buffer,
            ..BlockBoundaryState::default()
        };
        let decoder = DecompressorOxide::from_block_boundary_state(&state);
        Ok(Self::with(source, decoder, &boundary.window))
    }

    fn with(source: R, decoder: DecompressorOxide, window: &[u8]) -> Self {
        let mut buffer = vec![0; WINDOW_BYTES + ROOM_BYTES];
        buffer.iter_mut().zip(window).for_each(|(place, byte)| *place = *byte);
        let filled = window.len();
        let decoder = Box::new(decoder);
        Self { source, decoder, buffer, given: filled, filled, consumed: 0, place: Place::InBlock }
    }

    /// Bytes of the source that were used since the decoder was made.
    pub(crate) fn consumed(&self) -> u64 {
        self.consumed
    }

    /// What is read from.
    pub(crate) fn source(&self) -> &R {
        &self.source
    }

    /// The bytes behind the stream, once it has ended.
    pub(crate) fn source_mut(&mut self) -> &mut R {
        &mut self.source
    }

    pub(crate) fn into_inner(self) -> R {
        self.source
    }

    /// Whether a block ended with the last byte that was read.
    pub(crate) fn stands(&self) -> bool {
        self.place != Place::InBlock && self.given == self.filled
    }

    /// The boundary behind the last byte that was read; `None` within a block and behind the last.
    pub(crate) fn boundary(&self) -> Option<Boundary> {
        if self.place != Place::Boundary || !self.stands() {
            return None;
        }
        let state = self.decoder.block_boundary_state()?;
        let window = self.buffer.get(self.filled.saturating_sub(WINDOW_BYTES)..self.filled)?;
        Some(Boundary { bits: state.num_bits, bit_buffer: state.bit_buf, window: window.to_vec() })
    }

    /// Decodes on, to the end of a block at the furthest.
    fn fill(&mut self) -> io::Result<()> {
        if self.filled == self.buffer.len() {
            self.buffer.copy_within(self.filled - WINDOW_BYTES.., 0);
            self.filled = WINDOW_BYTES;
            self.given = WINDOW_BYTES;
        }
        let input = self.source.fill_buf()?;
        let ended = input.is_empty();
        let flags = NO_WRAP | BLOCK_BY_BLOCK | if ended { 0 } else { MORE_INPUT };
        let (status, used, made) =
            decompress(&mut self.decoder, input, &mut self.buffer, self.filled, flags);
        self.source.consume(used);
        self.consumed += used as u64;
        self.filled += made;
        self.place = match status {
            Status::Done => Place::End,
            Status::BlockBoundary => Place::Boundary,
            Status::NeedsMoreInput | Status::HasMoreOutput => Place::InBlock,
            Status::FailedCannotMakeProgress if ended => {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            _ => return Err(Reason::corrupt("deflate decompression error").into()),
        };
        Ok(())
    }
}

impl<R: BufRead> Read for Inflate<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        while self.given == self.filled {
            if self.place == Place::End {
                return Ok(0);
            }
            self.fill()?;
        }
        let mut ready = self.buffer.get(self.given..self.filled).unwrap_or_default();
        let read = ready.read(buf)?;
        self.given += read;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::DeflateEncoder;

    use super::*;

    fn deflate(content: &[u8], level: u32) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(level));
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    /// Lines that refer back to each other over the whole window.
    fn lines(count: u32) -> Vec<u8> {
        let mut state = 7_u32;
        let mut content = Vec::new();
        for line in 0..count {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            writeln!(content, "{line},{},{}", state % 1000, state >> 16).unwrap();
        }
        content
    }

    #[test]
    fn a_stream_is_entered_at_each_of_its_boundaries() {
        for level in [0, 1, 6, 9] {
            let content = lines(40_000);
            let packed = deflate(&content, level);
            let mut whole = Inflate::new(packed.as_slice());
            let mut out = Vec::new();
            let mut boundaries = 0;
            let mut piece = vec![0; 10_000];
            loop {
                let read = whole.read(&mut piece).unwrap();
                if read == 0 {
                    break;
                }
                out.extend_from_slice(&piece[..read]);
                let Some(boundary) = whole.boundary() else { continue };
                boundaries += 1;
                let at = usize::try_from(whole.consumed()).unwrap();
                let text = serde_json::to_string(&boundary).unwrap();
                let boundary: Boundary = serde_json::from_str(&text).unwrap();
                let mut rest = Vec::new();
                let mut entered = Inflate::enter(&packed[at..], Some(&boundary)).unwrap();
                entered.read_to_end(&mut rest).unwrap();
                assert!(rest == content[out.len()..], "level {level}, boundary {boundaries}");
            }
            assert!(out == content);
            // The fastest level makes a few large blocks.
            let least = if level == 1 { 1 } else { 5 };
            assert!(boundaries >= least, "level {level}: {boundaries}");
        }
    }

    #[test]
    fn nothing_behind_the_stream_is_used() {
        let content = lines(1000);
        let packed = [deflate(&content, 6), b"behind".to_vec()].concat();
        let mut decoder = Inflate::new(packed.as_slice());
        let mut out = Vec::new();
        decoder.read_to_end(&mut out).unwrap();
        assert!(out == content);
        assert_eq!(decoder.into_inner(), b"behind");
    }

    #[test]
    fn damage_and_missing_bytes_are_errors() {
        let packed = deflate(&lines(1000), 6);
        let read = |bytes: &[u8]| Inflate::new(bytes).read_to_end(&mut Vec::new());
        for cut in 0..packed.len() {
            let error = read(&packed[..cut]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "cut at {cut}");
        }
        assert_eq!(read(&[7]).unwrap_err().kind(), io::ErrorKind::InvalidData);
        // A block with fixed codes that refers to what was before the first byte.
        assert_eq!(read(&[0x03, 0x02, 0x00]).unwrap_err().kind(), io::ErrorKind::InvalidData);
        let far = Boundary { bits: 8, ..Boundary::default() };
        assert!(Inflate::enter(&b""[..], Some(&far)).is_err());
        let long = Boundary { window: vec![0; WINDOW_BYTES + 1], ..Boundary::default() };
        assert!(Inflate::enter(&b""[..], Some(&long)).is_err());
    }
}
