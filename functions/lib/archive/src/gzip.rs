//! A gzip frame that can be entered in the middle.

use std::io::{self, BufRead, Read};

use crc32fast::Hasher;
use flate2::bufread::GzDecoder;

use crate::error::Reason;
use crate::inflate::Inflate;
use crate::restart::Restart;

/// One frame behind its header.
pub(crate) struct GzipFrame<R> {
    content: Inflate<R>,
    crc: Hasher,
    /// Bytes of the frame, modulo 2³².
    length: u32,
    ended: bool,
}

impl<R: BufRead> GzipFrame<R> {
    /// Reads the header.
    pub(crate) fn open(source: R) -> io::Result<Self> {
        // It reads the header at once and nothing else.
        let mut decoder = GzDecoder::new(source);
        if decoder.header().is_none() {
            // What is wrong with it shows at the first read.
            let unread = || Reason::corrupt("its gzip header cannot be read").into();
            return Err(decoder.read(&mut [0]).err().unwrap_or_else(unread));
        }
        let content = Inflate::new(decoder.into_inner());
        Ok(Self { content, crc: Hasher::new(), length: 0, ended: false })
    }

    /// Goes on where a frame was left.
    pub(crate) fn enter(source: R, restart: &Restart) -> io::Result<Self> {
        let content = Inflate::enter(source, restart.boundary.as_ref())?;
        let crc = Hasher::new_with_initial(restart.crc);
        Ok(Self { content, crc, length: restart.covered, ended: false })
    }

    /// Whether the frame can be entered behind the last byte that was read.
    pub(crate) fn stands(&self) -> bool {
        self.content.stands()
    }

    /// That place, of which the caller knows where it is.
    pub(crate) fn restart(&self, source: u64) -> Option<Restart> {
        self.stands().then(|| Restart {
            source,
            crc: self.crc.clone().finalize(),
            covered: self.length,
            boundary: self.content.boundary(),
        })
    }

    pub(crate) fn source(&self) -> &R {
        self.content.source()
    }

    pub(crate) fn into_inner(self) -> R {
        self.content.into_inner()
    }

    /// Compares checksum and length behind the content.
    fn close(&mut self) -> io::Result<()> {
        let mut trailer = [0; 8];
        self.content.source_mut().read_exact(&mut trailer)?;
        let [a, b, c, d, length @ ..] = trailer;
        let same = u32::from_le_bytes([a, b, c, d]) == self.crc.clone().finalize()
            && u32::from_le_bytes(length) == self.length;
        if same { Ok(()) } else { Err(Reason::Checksum.into()) }
    }
}

impl<R: BufRead> Read for GzipFrame<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.content.read(buf)?;
        let piece = buf.get(..read).unwrap_or_default();
        self.crc.update(piece);
        // A length counts modulo 2³² here.
        #[expect(clippy::cast_possible_truncation, reason = "the format's own arithmetic")]
        let bytes = read as u32;
        self.length = self.length.wrapping_add(bytes);
        if read == 0 && !buf.is_empty() && !self.ended {
            self.close()?;
            self.ended = true;
        }
        Ok(read)
    }
}
