//! Messages that the OpenPGP library writes: version 2, and signed ones, whose signature wants one
//! more hash, which the library computes on the way.
//!
//! Like in our own container, the caller's thread reads, hashes and writes, and a second one is
//! the library's.

use std::io::{self, Read, Write};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use sequoia_openpgp as pgp;

use pgp::serialize::stream::Message;

use crate::container::Outlet;
use crate::error::{Error, words};
use crate::streams::{Tally, fill};

/// Plaintext that the library takes before a thread is worth its start.
const ALONE_BYTES: usize = 1024 * 1024;
/// How much moves between the threads at once.
const PIECE_BYTES: usize = 256 * 1024;
/// How many pieces of plaintext there are.
const PIECES: usize = 4;

/// Writes all of `plaintext` through the message that `open` makes on top of the given writer.
pub(crate) fn write<'m>(
    open: impl FnOnce(Outbox) -> pgp::Result<Message<'m>>,
    plaintext: &mut dyn Read,
    mut outlet: Outlet<'_, '_>,
) -> Result<Tally, Error> {
    let (to_line, encrypted) = mpsc::channel();
    let mut message =
        open(Outbox { to_line, filling: Vec::new() }).map_err(|error| failed(words(&error)))?;
    let mut first = vec![0; ALONE_BYTES];
    if read(plaintext, &mut first)? == ALONE_BYTES {
        return beside(message, first, plaintext, outlet, encrypted);
    }
    let mut tally = Tally::new();
    tally.add(&first);
    message.write_all(&first).map_err(|error| failed(error.to_string()))?;
    message.finalize().map_err(|error| failed(words(&error)))?;
    for ciphertext in encrypted {
        outlet.write(&ciphertext)?;
    }
    outlet.finish()?;
    Ok(tally)
}

/// Goes on with a second thread for the library.
fn beside(
    mut message: Message<'_>,
    first: Vec<u8>,
    plaintext: &mut dyn Read,
    outlet: Outlet<'_, '_>,
    encrypted: Receiver<Vec<u8>>,
) -> Result<Tally, Error> {
    thread::scope(|scope| {
        // Each side owns its ends: whoever stops first drops them, and the other one stops as well.
        let (to_library, pieces) = mpsc::channel::<Vec<u8>>();
        let (to_line, used) = mpsc::channel();
        let library = move || -> pgp::Result<()> {
            for piece in pieces {
                message.write_all(&piece)?;
                if to_line.send(piece).is_err() {
                    break;
                }
            }
            message.finalize()
        };
        let library = thread::Builder::new()
            .spawn_scoped(scope, library)
            .map_err(|error| failed(format!("no thread could be started ({error})")))?;
        let fed = feed(first, plaintext, outlet, to_library, used, encrypted);
        let finished = library.join();
        let tally = fed?;
        match finished {
            Ok(Ok(())) => Ok(tally),
            Ok(Err(error)) => Err(failed(words(&error))),
            Err(_) => Err(failed("the thread that encrypts ended by itself")),
        }
    })
}

/// Ends well when the library stopped, for that one tells why.
fn feed(
    first: Vec<u8>,
    plaintext: &mut dyn Read,
    mut outlet: Outlet<'_, '_>,
    to_library: Sender<Vec<u8>>,
    used: Receiver<Vec<u8>>,
    encrypted: Receiver<Vec<u8>>,
) -> Result<Tally, Error> {
    let mut tally = Tally::new();
    let mut piece = first;
    let mut spare = (1..PIECES).map(|_| Vec::new()).chain(used);
    while !piece.is_empty() {
        // The library holds back and lets go again, but gives no more than it took: one piece for
        // one piece keeps up.
        let ciphertext = encrypted.try_recv().unwrap_or_default();
        outlet.write_beside(&ciphertext, &piece, &mut tally)?;
        if to_library.send(piece).is_err() {
            break;
        }
        piece = spare.next().unwrap_or_default();
        piece.resize(PIECE_BYTES, 0);
        read(plaintext, &mut piece)?;
    }
    drop(to_library);
    for ciphertext in encrypted {
        outlet.write(&ciphertext)?;
    }
    outlet.finish()?;
    Ok(tally)
}

/// Reads as much as there is place for, and cuts off the rest.
fn read(plaintext: &mut dyn Read, place: &mut Vec<u8>) -> Result<usize, Error> {
    let count =
        fill(plaintext, place).map_err(|source| Error::Read { what: "the plaintext", source })?;
    place.truncate(count);
    Ok(count)
}

/// Where the library writes: collects pieces and hands them to the caller's thread.
pub(crate) struct Outbox {
    to_line: Sender<Vec<u8>>,
    filling: Vec<u8>,
}

impl Outbox {
    fn hand_over(&mut self) -> io::Result<()> {
        let piece = std::mem::take(&mut self.filling);
        self.to_line.send(piece).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Outbox {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.filling.reserve_exact(PIECE_BYTES.saturating_sub(self.filling.len()));
        let count = data.len().min(PIECE_BYTES.saturating_sub(self.filling.len()));
        self.filling.extend_from_slice(data.get(..count).unwrap_or_default());
        if self.filling.len() == PIECE_BYTES {
            self.hand_over()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        // Nobody takes it when the other side has stopped.
        let _ = self.hand_over();
    }
}

fn failed(reason: impl Into<String>) -> Error {
    Error::Seal { reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::streams::Sink;

    /// Before the second thread starts, at its start, and while it works.
    const STOPS: [usize; 7] = [
        0,
        1,
        ALONE_BYTES - 1,
        ALONE_BYTES,
        ALONE_BYTES + 1,
        ALONE_BYTES + PIECE_BYTES,
        ALONE_BYTES + 7 * PIECE_BYTES + 5,
    ];
    const ALL_BYTES: usize = ALONE_BYTES + 10 * PIECE_BYTES;

    fn count_up(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|number| (number % 251) as u8).collect()
    }

    /// Lets so many bytes through, and then does the other thing.
    struct Until<T> {
        inner: T,
        left: usize,
        then: fn() -> io::Result<usize>,
    }

    impl<T: Read> Read for Until<T> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = buffer.len().min(self.left);
            self.left -= count;
            if count == 0 { (self.then)() } else { self.inner.read(&mut buffer[..count]) }
        }
    }

    impl<T: Write> Write for Until<T> {
        fn write(&mut self, data: &[u8]) -> io::Result<usize> {
            let count = data.len().min(self.left);
            self.left -= count;
            if count == 0 { (self.then)() } else { self.inner.write(&data[..count]) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn fails() -> io::Result<usize> {
        Err(io::ErrorKind::TimedOut.into())
    }

    fn panics() -> io::Result<usize> {
        panic!("on purpose")
    }

    /// Through a message without any packet, which so many bytes may enter.
    fn written(
        plaintext: &mut dyn Read,
        ciphertext: &mut (dyn Write + Send),
        left: usize,
        then: fn() -> io::Result<usize>,
    ) -> Result<Tally, Error> {
        let mut sink = Sink::new(ciphertext);
        let open = |outbox| Ok(Message::new(Until { inner: outbox, left, then }));
        let tally = write(open, plaintext, Outlet::Binary(&mut sink));
        match sink.failure() {
            Some(source) => Err(Error::Write { what: "the ciphertext", source }),
            None => tally,
        }
    }

    #[test]
    fn everything_comes_through_at_any_length() {
        for bytes in STOPS {
            let plaintext = count_up(bytes);
            let mut ciphertext = Vec::new();
            let tally = written(&mut &*plaintext, &mut ciphertext, usize::MAX, fails).unwrap();
            assert!(ciphertext == plaintext, "{bytes} bytes");
            assert_eq!(tally.finish().1, bytes as u64);
        }
    }

    #[test]
    fn whatever_fails_is_told() {
        let plaintext = count_up(ALL_BYTES);
        for left in STOPS {
            let mut reader = Until { inner: &*plaintext, left, then: fails };
            let read = written(&mut reader, &mut Vec::new(), usize::MAX, fails);
            assert!(matches!(read, Err(Error::Read { .. })), "read {left}");
            let mut writer = Until { inner: Vec::new(), left, then: fails };
            let write = written(&mut &*plaintext, &mut writer, usize::MAX, fails);
            assert!(matches!(write, Err(Error::Write { .. })), "write {left}");
            let sealed = written(&mut &*plaintext, &mut Vec::new(), left, fails);
            assert!(matches!(sealed, Err(Error::Seal { .. })), "library {left}");
        }
    }

    #[test]
    fn whatever_panics_leaves_no_thread_behind() {
        let plaintext = count_up(ALL_BYTES);
        for left in STOPS {
            let mut reader = Until { inner: &*plaintext, left, then: panics };
            let read = || written(&mut reader, &mut Vec::new(), usize::MAX, fails);
            assert!(catch_unwind(AssertUnwindSafe(read)).is_err(), "read {left}");
            let mut writer = Until { inner: Vec::new(), left, then: panics };
            let write = || written(&mut &*plaintext, &mut writer, usize::MAX, fails);
            assert!(catch_unwind(AssertUnwindSafe(write)).is_err(), "write {left}");
        }
        let sealed = written(&mut &*plaintext, &mut Vec::new(), 2 * ALONE_BYTES, panics);
        assert!(matches!(sealed, Err(Error::Seal { .. })), "library");
    }
}
