//! Streams of gzip, bzip2, xz and zstd: one or many frames after each other, zero padding between or
//! after them, and nothing else.
//!
//! Each frame has its own decoder, because the decoders that take many frames at once disagree on
//! what may follow the last one.

use std::io::{self, BufRead, Read};

use bzip2::bufread::BzDecoder;
use flate2::bufread::GzDecoder;
use liblzma::bufread::XzDecoder;
use liblzma::stream::Stream;

use crate::error::Reason;

/// Memory that an xz or lzma stream may ask for: twice what `xz -9` needs.
pub(crate) const XZ_MEMORY_BYTES: u64 = 130 << 20;
/// Largest window of a zstd frame, as a power of two: 128 MiB, what the `zstd` command accepts.
pub(crate) const ZSTD_WINDOW_LOG: u32 = 27;

/// A compression that holds one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    Gzip,
    Bzip2,
    Xz,
    Zstd,
}

enum State<R: BufRead> {
    /// Before a frame.
    Between(R),
    Gzip(Box<GzDecoder<R>>),
    Bzip2(BzDecoder<R>),
    Xz(XzDecoder<R>),
    Zstd(zstd::Decoder<'static, R>),
    /// The source has ended, or something failed.
    Ended,
}

/// Decompresses frame after frame until the source ends.
pub(crate) struct Frames<R: BufRead> {
    codec: Codec,
    state: State<R>,
    any: bool,
}

impl<R: BufRead> Frames<R> {
    /// Reads frames of `codec` from `source`; at least one must be there.
    pub(crate) fn new(source: R, codec: Codec) -> Self {
        Self { codec, state: State::Between(source), any: false }
    }

    fn open(&self, source: R) -> io::Result<State<R>> {
        Ok(match self.codec {
            Codec::Gzip => State::Gzip(Box::new(GzDecoder::new(source))),
            Codec::Bzip2 => State::Bzip2(BzDecoder::new(source)),
            Codec::Xz => State::Xz(XzDecoder::new_stream(source, xz_stream()?)),
            Codec::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(source)?.single_frame();
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                State::Zstd(decoder)
            }
        })
    }

    /// Starts the next frame; at the end of the source the state stays `Ended`.
    fn next_frame(&mut self, mut source: R) -> io::Result<()> {
        if self.any && !skip_zeros(&mut source)? {
            return Ok(());
        }
        if source.fill_buf()?.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.any = true;
        self.state = self.open(source)?;
        Ok(())
    }
}

/// A decoder of one xz stream that verifies its checks and refuses those it does not know.
pub(crate) fn xz_stream() -> io::Result<Stream> {
    let stream =
        Stream::new_stream_decoder(XZ_MEMORY_BYTES, liblzma::stream::TELL_UNSUPPORTED_CHECK)?;
    Ok(stream)
}

/// Skips zero bytes; whether anything follows them.
fn skip_zeros(source: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let available = source.fill_buf()?;
        if available.is_empty() {
            return Ok(false);
        }
        let zeros = available.iter().take_while(|&&byte| byte == 0).count();
        let ended = zeros < available.len();
        source.consume(zeros);
        if ended {
            return Ok(true);
        }
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            let read = match &mut self.state {
                State::Between(_) => Ok(0),
                State::Gzip(decoder) => decoder.read(buf),
                State::Bzip2(decoder) => decoder.read(buf),
                State::Xz(decoder) => decoder.read(buf),
                State::Zstd(decoder) => decoder.read(buf),
                State::Ended => return Ok(0),
            };
            match read {
                Ok(0) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
                Err(error) => {
                    self.state = State::Ended;
                    return Err(error);
                }
                answer => return answer,
            }
            match std::mem::replace(&mut self.state, State::Ended) {
                State::Between(source) => self.next_frame(source)?,
                State::Gzip(decoder) => self.state = State::Between(decoder.into_inner()),
                State::Bzip2(decoder) => self.state = State::Between(decoder.into_inner()),
                State::Xz(decoder) => self.state = State::Between(decoder.into_inner()),
                State::Zstd(decoder) => self.state = State::Between(decoder.into_inner()),
                State::Ended => return Err(Reason::corrupt("the stream ended twice").into()),
            }
        }
    }
}
