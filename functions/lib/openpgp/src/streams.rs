//! Readers and writers that count, hash, and remember their own first error.
//!
//! The OpenPGP library passes stream errors through many layers and may swallow or rephrase them;
//! the error kept here is the one that is told. The mutexes are never locked: exclusive access
//! goes through `get_mut`, they only make a `Send` stream `Sync`, which the library asks for.

use std::io::{self, Read, Write};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

/// Bytes seen so far and their hash.
pub(crate) struct Tally {
    hash: Sha256,
    bytes: u64,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self { hash: Sha256::new(), bytes: 0 }
    }

    pub(crate) fn add(&mut self, data: &[u8]) {
        self.hash.update(data);
        self.bytes = self.bytes.saturating_add(data.len() as u64);
    }

    /// SHA-256 and number of bytes.
    pub(crate) fn finish(self) -> ([u8; 32], u64) {
        (self.hash.finalize().into(), self.bytes)
    }
}

/// The ciphertext on its way out.
pub(crate) struct Sink<'a> {
    inner: Mutex<&'a mut (dyn Write + Send)>,
    pub(crate) tally: Tally,
    failure: Mutex<Option<io::Error>>,
}

impl<'a> Sink<'a> {
    pub(crate) fn new(inner: &'a mut (dyn Write + Send)) -> Self {
        Self { inner: Mutex::new(inner), tally: Tally::new(), failure: Mutex::new(None) }
    }

    /// The stream's first error, if it had one.
    pub(crate) fn failure(&mut self) -> Option<io::Error> {
        exclusive(&mut self.failure).take()
    }
}

impl Write for Sink<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match exclusive(&mut self.inner).write(data) {
            Ok(0) if !data.is_empty() => {
                Err(keep(&mut self.failure, io::ErrorKind::WriteZero.into()))
            }
            Ok(count) => {
                self.tally.add(data.get(..count).unwrap_or(data));
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => Err(keep(&mut self.failure, error)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        exclusive(&mut self.inner).flush().map_err(|error| keep(&mut self.failure, error))
    }
}

/// The ciphertext as storage gives it back.
pub(crate) struct Source<'a> {
    inner: Mutex<&'a mut (dyn Read + Send)>,
    pub(crate) tally: Tally,
    failure: Mutex<Option<io::Error>>,
}

impl<'a> Source<'a> {
    pub(crate) fn new(inner: &'a mut (dyn Read + Send)) -> Self {
        Self { inner: Mutex::new(inner), tally: Tally::new(), failure: Mutex::new(None) }
    }

    /// The stream's first error, if it had one.
    pub(crate) fn failure(&mut self) -> Option<io::Error> {
        exclusive(&mut self.failure).take()
    }
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match read_some(exclusive(&mut self.inner), buffer) {
            Ok(count) => {
                self.tally.add(buffer.get(..count).unwrap_or_default());
                Ok(count)
            }
            Err(error) => Err(keep(&mut self.failure, error)),
        }
    }
}

/// One read that is not disturbed by signals.
pub(crate) fn read_some(reader: &mut (impl Read + ?Sized), buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match reader.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

fn exclusive<T>(mutex: &mut Mutex<T>) -> &mut T {
    mutex.get_mut().unwrap_or_else(PoisonError::into_inner)
}

/// Stores the error and returns a stand-in of the same kind for the layers above.
fn keep(slot: &mut Mutex<Option<io::Error>>, error: io::Error) -> io::Error {
    let stand_in = io::Error::new(error.kind(), error.to_string());
    exclusive(slot).get_or_insert(error);
    stand_in
}
