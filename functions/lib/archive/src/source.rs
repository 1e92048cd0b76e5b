//! Where an archive's bytes come from, and the readers that keep a failing source apart from a
//! broken archive.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

/// Gaps up to this many bytes are read and dropped; longer ones are worth a new request.
const SKIP_BY_READING_BYTES: u64 = 1 << 20;

/// Random access to an archive's bytes, by ranges.
pub trait Source: Send + Sync {
    /// Length in bytes.
    fn len(&self) -> u64;

    /// Whether there is no byte at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads at `offset` into `buf`; 0 only at the end. For small reads.
    ///
    /// # Errors
    ///
    /// Whatever keeps the bytes from being read; an inner [`domain::Failure`] is passed on unchanged.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;

    /// Opens a sequential read from `offset` to the end: one request, dropped when no longer needed.
    ///
    /// # Errors
    ///
    /// Whatever keeps the bytes from being read; an inner [`domain::Failure`] is passed on unchanged.
    fn stream(&self, offset: u64) -> io::Result<Box<dyn Read + Send>>;
}

/// Fills `buf` from `offset`; `false` when the source is too short.
pub(crate) fn read_exact_at(
    source: &dyn Source,
    mut offset: u64,
    mut buf: &mut [u8],
) -> io::Result<bool> {
    while !buf.is_empty() {
        match source.read_at(offset, buf) {
            Ok(0) => return Ok(false),
            Ok(read) => {
                offset = offset.saturating_add(read as u64);
                buf = buf.get_mut(read..).unwrap_or_default();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Remembers the source's own error while decoders turn it into theirs.
#[derive(Clone, Default)]
pub(crate) struct Fault(Arc<Mutex<Option<io::Error>>>);

impl Fault {
    fn set(&self, error: io::Error) -> io::Error {
        let copy = io::Error::new(error.kind(), error.to_string());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        copy
    }

    /// The source's error, if that is what went wrong.
    pub(crate) fn take(&self) -> Option<io::Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A position in the source that reads forward through one long request and opens a new one for a
/// far jump.
pub(crate) struct Cursor<'a> {
    source: &'a dyn Source,
    stream: Option<Box<dyn Read + Send>>,
    stream_at: u64,
    position: u64,
    fault: Fault,
}

impl<'a> Cursor<'a> {
    /// Starts at `position`; opens nothing yet.
    pub(crate) fn new(source: &'a dyn Source, position: u64) -> Self {
        Self { source, stream: None, stream_at: position, position, fault: Fault::default() }
    }

    /// Where errors of the source are remembered.
    pub(crate) fn fault(&self) -> Fault {
        self.fault.clone()
    }

    /// The next byte that will be read.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Goes to `position`; costs nothing until the next read.
    pub(crate) fn seek(&mut self, position: u64) {
        self.position = position;
    }

    fn align(&mut self) -> io::Result<()> {
        let gap = self.position.checked_sub(self.stream_at);
        if let (Some(stream), Some(gap)) = (&mut self.stream, gap)
            && gap <= SKIP_BY_READING_BYTES
        {
            let skipped = io::copy(&mut stream.take(gap), &mut io::sink())?;
            self.stream_at = self.stream_at.saturating_add(skipped);
            if skipped == gap {
                return Ok(());
            }
        }
        self.stream = None;
        self.stream = Some(self.source.stream(self.position)?);
        self.stream_at = self.position;
        Ok(())
    }

    fn read_on(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.stream.is_none() || self.stream_at != self.position {
            self.align()?;
        }
        let read = match &mut self.stream {
            Some(stream) => stream.read(buf)?,
            None => 0,
        };
        if read == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("the source ended at byte {} before its stated length", self.position),
            ));
        }
        self.position = self.position.saturating_add(read as u64);
        self.stream_at = self.position;
        Ok(read)
    }
}

impl Read for Cursor<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() || self.position >= self.source.len() {
            return Ok(0);
        }
        // An interruption stays here: decoders would take it for the end of what they read.
        loop {
            match self.read_on(buf) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                answer => return answer.map_err(|error| self.fault.set(error)),
            }
        }
    }
}
