//! Streams of gzip, bzip2, xz and zstd: one or many frames after each other, zero padding between or
//! after them, and nothing else.
//!
//! Each frame has its own decoder, because the decoders that take many frames at once disagree on
//! what may follow the last one.

use std::io::{self, BufRead, BufReader, Read};

use bzip2::bufread::BzDecoder;
use flate2::bufread::GzDecoder;
use liblzma::bufread::XzDecoder;
use liblzma::stream::Stream;

use crate::error::Reason;
use crate::gzip::GzipFrame;
use crate::restart::{Decode, Restart};
use crate::source::Cursor;
use crate::window::{Place, Window};

/// A compression that holds one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    Gzip,
    Bzip2,
    Xz,
    Zstd,
}

impl Codec {
    /// Whether a frame may start with these bytes, of which only a few may be known.
    fn may_start_with(self, bytes: &[u8]) -> bool {
        let magic: &[u8] = match (self, bytes) {
            (Self::Gzip, _) => b"\x1f\x8b",
            (Self::Bzip2, _) => b"BZh",
            (Self::Xz, _) => b"\xfd7zXZ\0",
            (Self::Zstd, [0x50..=0x5f, rest @ ..]) => {
                return b"\x2a\x4d\x18".iter().zip(rest).all(|(a, b)| a == b);
            }
            (Self::Zstd, _) => b"\x28\xb5\x2f\xfd",
        };
        magic.iter().zip(bytes).all(|(a, b)| a == b)
    }
}

enum State<R: BufRead> {
    /// Before a frame.
    Between(R),
    Gzip(Box<GzDecoder<R>>),
    GzipByBlocks(Box<GzipFrame<R>>),
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
    room: Room,
    /// Whether gzip is read so that it can be entered again.
    by_blocks: bool,
}

/// Where large windows are held.
pub(crate) enum Room {
    /// Nowhere in particular: only the start is looked at, which leaves a window almost untouched.
    Peek,
    /// In the process's one place, taken when the first frame needs it at the latest.
    Shared(Option<Place>),
}

impl Room {
    /// Makes room for a window; it is kept until the last frame.
    ///
    /// A member may be open by now, so nobody waits here: when the place is taken the caller tries
    /// the whole archive again later.
    fn make(&mut self, window: Window) -> io::Result<Window> {
        match self {
            Self::Peek | Self::Shared(Some(_)) => return Ok(Window::Large),
            Self::Shared(place) if window == Window::Large => {
                *place = Place::take();
                if place.is_none() {
                    let words = "another archive needs the memory that it asks for, at this moment";
                    return Err(io::Error::new(io::ErrorKind::ResourceBusy, words));
                }
            }
            Self::Shared(None) => {}
        }
        Ok(window)
    }
}

impl<R: BufRead> Frames<R> {
    /// Reads frames of `codec` from `source`; at least one must be there.
    pub(crate) fn new(source: R, codec: Codec, room: Room) -> Self {
        Self { codec, state: State::Between(source), any: false, room, by_blocks: false }
    }

    /// Reads gzip frames so that they can be entered again, from the first byte or from a place where
    /// they were left.
    pub(crate) fn enterable(source: R, restart: Option<Restart>) -> io::Result<Self> {
        let mut frames = Self::new(source, Codec::Gzip, Room::Shared(None));
        frames.by_blocks = true;
        if let Some(restart) = restart {
            frames.any = true;
            if let State::Between(source) = std::mem::replace(&mut frames.state, State::Ended) {
                frames.state = State::GzipByBlocks(Box::new(GzipFrame::enter(source, &restart)?));
            }
        }
        Ok(frames)
    }

    fn open(&mut self, mut source: R) -> io::Result<State<R>> {
        let window = self.room.make(Window::of_stream(self.codec, source.fill_buf()?))?;
        Ok(match self.codec {
            Codec::Gzip if self.by_blocks => {
                State::GzipByBlocks(Box::new(GzipFrame::open(source)?))
            }
            Codec::Gzip => State::Gzip(Box::new(GzDecoder::new(source))),
            Codec::Bzip2 => State::Bzip2(BzDecoder::new(source)),
            Codec::Xz => State::Xz(XzDecoder::new_stream(source, xz_stream(window)?)),
            Codec::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(source)?.single_frame();
                decoder.window_log_max(window.log())?;
                State::Zstd(decoder)
            }
        })
    }

    /// Starts the next frame; at the end of the source the state stays `Ended`.
    fn next_frame(&mut self, mut source: R) -> io::Result<()> {
        if self.any && !skip_zeros(&mut source)? {
            return Ok(());
        }
        let start = source.fill_buf()?;
        if start.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if !self.codec.may_start_with(start) {
            return Err(Reason::corrupt("other bytes follow the compressed ones").into());
        }
        self.any = true;
        self.state = self.open(source)?;
        Ok(())
    }
}

/// A decoder of one xz stream that verifies its checks and refuses those it does not know.
pub(crate) fn xz_stream(window: Window) -> io::Result<Stream> {
    let flags = liblzma::stream::TELL_UNSUPPORTED_CHECK;
    Ok(Stream::new_stream_decoder(window.memory_bytes(), flags)?)
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

impl<R: BufRead> Decode for Frames<R> {
    fn stands(&self) -> Option<bool> {
        self.by_blocks.then(|| match &self.state {
            State::GzipByBlocks(frame) => frame.stands(),
            _ => false,
        })
    }
}

impl Frames<BufReader<Cursor<'_>>> {
    /// The place behind the last byte that was read, if it can be entered there.
    pub(crate) fn restart(&self) -> Option<Restart> {
        let State::GzipByBlocks(frame) = &self.state else { return None };
        let source = frame.source();
        let ahead = source.buffer().len() as u64;
        frame.restart(source.get_ref().position().saturating_sub(ahead))
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
                State::GzipByBlocks(decoder) => decoder.read(buf),
                State::Bzip2(decoder) => decoder.read(buf),
                State::Xz(decoder) => decoder.read(buf),
                State::Zstd(decoder) => decoder.read(buf),
                State::Ended => return Ok(0),
            };
            match read {
                Ok(0) => {}
                Err(error) => {
                    self.state = State::Ended;
                    return Err(error);
                }
                answer => return answer,
            }
            match std::mem::replace(&mut self.state, State::Ended) {
                State::Between(source) => self.next_frame(source)?,
                State::Gzip(decoder) => self.state = State::Between(decoder.into_inner()),
                State::GzipByBlocks(decoder) => self.state = State::Between(decoder.into_inner()),
                State::Bzip2(decoder) => self.state = State::Between(decoder.into_inner()),
                State::Xz(decoder) => self.state = State::Between(decoder.into_inner()),
                State::Zstd(decoder) => self.state = State::Between(decoder.into_inner()),
                State::Ended => return Err(Reason::corrupt("the stream ended twice").into()),
            }
        }
    }
}
