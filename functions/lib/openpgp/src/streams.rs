//! Readers and writers that count, hash, and remember their own first error.
//!
//! The OpenPGP library passes stream errors through many layers and may swallow or rephrase them;
//! the error kept here is the one that is told. The mutexes are never locked: exclusive access
//! goes through `get_mut`, they only make a `Send` stream `Sync`, which the library asks for.

use std::io::{self, Read, Write};
use std::sync::{Mutex, PoisonError};

use sha1::Sha1;
use sha2::{Digest, Sha256};

/// A block of SHA-1 and of SHA-256.
const HASH_BLOCK_BYTES: usize = 64;

/// Bytes seen so far and their hash.
pub(crate) struct Tally<H = Sha256> {
    hash: H,
    bytes: u64,
}

impl<H: Digest> Tally<H> {
    pub(crate) fn new() -> Self {
        Self { hash: H::new(), bytes: 0 }
    }

    pub(crate) fn add(&mut self, data: &[u8]) {
        self.hash.update(data);
        self.bytes = self.bytes.saturating_add(data.len() as u64);
    }

    /// Adds to two hashes, a block to each in turns: the processor works on both at once, which
    /// takes two thirds of the time.
    pub(crate) fn add_both<O: Digest>(&mut self, data: &[u8], other: &mut Tally<O>, more: &[u8]) {
        let (data, more) = (self.align(data), other.align(more));
        let blocks = data.as_chunks::<HASH_BLOCK_BYTES>().0;
        let more_blocks = more.as_chunks::<HASH_BLOCK_BYTES>().0;
        for (block, another) in blocks.iter().zip(more_blocks) {
            self.hash.update(block);
            other.hash.update(another);
        }
        let hashed = blocks.len().min(more_blocks.len()) * HASH_BLOCK_BYTES;
        self.bytes = self.bytes.saturating_add(hashed as u64);
        other.bytes = other.bytes.saturating_add(hashed as u64);
        self.add(data.get(hashed..).unwrap_or_default());
        other.add(more.get(hashed..).unwrap_or_default());
    }

    /// Adds what is missing to a whole block, and tells the rest.
    fn align<'a>(&mut self, data: &'a [u8]) -> &'a [u8] {
        let over = self.bytes % HASH_BLOCK_BYTES as u64;
        let missing = (HASH_BLOCK_BYTES - over as usize) % HASH_BLOCK_BYTES;
        let (head, rest) = data.split_at(missing.min(data.len()));
        self.add(head);
        rest
    }
}

impl Tally<Sha256> {
    /// SHA-256 and number of bytes.
    pub(crate) fn finish(self) -> ([u8; 32], u64) {
        (self.hash.finalize().into(), self.bytes)
    }
}

impl Tally<Sha1> {
    /// SHA-1 and number of bytes.
    pub(crate) fn finish(self) -> ([u8; 20], u64) {
        (self.hash.finalize().into(), self.bytes)
    }
}

/// What was written of a ciphertext.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written {
    /// SHA-256 of the head.
    pub(crate) head_sha256: [u8; 32],
    /// Length of the head.
    pub(crate) head_bytes: u64,
    /// Length of everything.
    pub(crate) bytes: u64,
}

/// The ciphertext on its way out: counted, and its head hashed.
pub(crate) struct Sink<'a> {
    inner: Mutex<&'a mut (dyn Write + Send)>,
    head: Tally,
    head_ended: bool,
    bytes: u64,
    failure: Mutex<Option<io::Error>>,
}

impl<'a> Sink<'a> {
    pub(crate) fn new(inner: &'a mut (dyn Write + Send)) -> Self {
        Self {
            inner: Mutex::new(inner),
            head: Tally::new(),
            head_ended: false,
            bytes: 0,
            failure: Mutex::new(None),
        }
    }

    /// The stream's first error, if it had one.
    pub(crate) fn failure(&mut self) -> Option<io::Error> {
        exclusive(&mut self.failure).take()
    }

    /// What follows is only counted. Without this the head is everything.
    pub(crate) fn end_of_head(&mut self) {
        self.head_ended = true;
    }

    /// Writes everything, and adds what is read meanwhile to another hash.
    pub(crate) fn write_beside(
        &mut self,
        mut data: &[u8],
        more: &[u8],
        tally: &mut Tally,
    ) -> io::Result<()> {
        if self.head_ended {
            tally.add(more);
        } else {
            self.head.add_both(data, tally, more);
        }
        while !data.is_empty() {
            match self.write_some(data) {
                Ok(count) => {
                    self.bytes = self.bytes.saturating_add(count as u64);
                    data = data.get(count..).unwrap_or_default();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Written {
        let (head_sha256, head_bytes) = self.head.finish();
        Written { head_sha256, head_bytes, bytes: self.bytes }
    }

    fn write_some(&mut self, data: &[u8]) -> io::Result<usize> {
        match exclusive(&mut self.inner).write(data) {
            Ok(0) if !data.is_empty() => {
                Err(keep(&mut self.failure, io::ErrorKind::WriteZero.into()))
            }
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                Err(keep(&mut self.failure, error))
            }
            other => other,
        }
    }
}

impl Write for Sink<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let count = self.write_some(data)?;
        self.bytes = self.bytes.saturating_add(count as u64);
        if !self.head_ended {
            self.head.add(data.get(..count).unwrap_or(data));
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        exclusive(&mut self.inner).flush().map_err(|error| keep(&mut self.failure, error))
    }
}

/// The ciphertext as storage gives it back.
pub(crate) struct Source<'a> {
    inner: Mutex<&'a mut (dyn Read + Send)>,
    pub(crate) tally: Tally,
    head_bytes: u64,
    head_sha256: Option<[u8; 32]>,
    failure: Mutex<Option<io::Error>>,
}

impl<'a> Source<'a> {
    /// Reads a ciphertext with a head of that length.
    pub(crate) fn new(inner: &'a mut (dyn Read + Send), head_bytes: u64) -> Self {
        Self {
            inner: Mutex::new(inner),
            tally: Tally::new(),
            head_bytes,
            head_sha256: None,
            failure: Mutex::new(None),
        }
    }

    /// SHA-256 of the head, once all of it was read.
    pub(crate) const fn head_sha256(&self) -> Option<[u8; 32]> {
        self.head_sha256
    }

    fn add(&mut self, data: &[u8]) {
        let missing = self.head_bytes.saturating_sub(self.tally.bytes);
        let missing = usize::try_from(missing).unwrap_or(usize::MAX);
        let (head, rest) = data.split_at(missing.min(data.len()));
        self.tally.add(head);
        if self.head_sha256.is_none() && self.tally.bytes >= self.head_bytes {
            self.head_sha256 = Some(self.tally.hash.clone().finalize().into());
        }
        self.tally.add(rest);
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
                self.add(buffer.get(..count).unwrap_or_default());
                Ok(count)
            }
            Err(error) => Err(keep(&mut self.failure, error)),
        }
    }
}

/// Reads until the buffer is full or the stream ends, and tells how much that was.
pub(crate) fn fill(reader: &mut (impl Read + ?Sized), buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match read_some(reader, rest)? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers each write and each flush with the next of its answers.
    struct Scripted(Vec<io::Result<usize>>);

    impl Write for Scripted {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            self.0.remove(0)
        }

        fn flush(&mut self) -> io::Result<()> {
            self.0.remove(0).map(drop)
        }
    }

    #[test]
    fn a_full_stream_is_the_failure_that_is_told() {
        let mut full = Scripted(vec![Ok(0), Ok(0)]);
        let mut sink = Sink::new(&mut full);
        assert_eq!(sink.write(b"").unwrap(), 0);
        assert!(sink.failure().is_none(), "nothing was to be written");
        assert_eq!(sink.write(b"x").unwrap_err().kind(), io::ErrorKind::WriteZero);
        assert_eq!(sink.failure().unwrap().kind(), io::ErrorKind::WriteZero);
    }

    #[test]
    fn a_signal_is_no_failure() {
        let mut disturbed = Scripted(vec![Err(io::ErrorKind::Interrupted.into()), Ok(2), Ok(1)]);
        let mut sink = Sink::new(&mut disturbed);
        sink.write_all(b"abc").unwrap();
        assert!(sink.failure().is_none());
        assert_eq!(sink.finish(), written(b"abc", b""));
    }

    fn written(head: &[u8], rest: &[u8]) -> Written {
        Written {
            head_sha256: Sha256::digest(head).into(),
            head_bytes: head.len() as u64,
            bytes: (head.len() + rest.len()) as u64,
        }
    }

    /// Interrupted by a signal at every other read.
    struct Disturbed {
        calls: usize,
        data: io::Cursor<&'static [u8]>,
    }

    impl Read for Disturbed {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.calls += 1;
            if self.calls % 2 == 1 {
                return Err(io::ErrorKind::Interrupted.into());
            }
            self.data.read(buffer)
        }
    }

    #[test]
    fn a_signal_does_not_end_a_read() {
        let mut disturbed = Disturbed { calls: 0, data: io::Cursor::new(b"abc") };
        let mut source = Source::new(&mut disturbed, 2);
        let mut buffer = [0; 8];
        assert_eq!(source.read(&mut buffer).unwrap(), 3);
        assert_eq!(source.read(&mut buffer).unwrap(), 0);
        assert!(source.failure().is_none());
        assert_eq!(source.head_sha256(), Some(Sha256::digest(b"ab").into()));
        assert_eq!(source.tally.finish(), (Sha256::digest(b"abc").into(), 3));
    }

    #[test]
    fn the_head_is_what_was_written_before_its_end() {
        let mut out = Vec::new();
        let mut sink = Sink::new(&mut out);
        sink.write_all(b"a").unwrap();
        sink.write_all(b"bc").unwrap();
        sink.end_of_head();
        sink.write_all(b"de").unwrap();
        assert_eq!(sink.finish(), written(b"abc", b"de"));
        assert_eq!(out, b"abcde");
    }

    #[test]
    fn what_is_written_beside_is_written_whole() {
        for head_ended in [false, true] {
            let answers = vec![Err(io::ErrorKind::Interrupted.into()), Ok(1), Ok(2), Ok(0)];
            let mut short = Scripted(answers);
            let mut sink = Sink::new(&mut short);
            if head_ended {
                sink.end_of_head();
            }
            let mut tally = Tally::new();
            sink.write_beside(b"abc", b"more", &mut tally).unwrap();
            assert_eq!(tally.finish(), (Sha256::digest(b"more").into(), 4));
            let hashed: &[u8] = if head_ended { b"" } else { b"abc" };
            assert_eq!(sink.head.hash.clone().finalize(), Sha256::digest(hashed));
            let full = sink.write_beside(b"d", b"", &mut Tally::new()).unwrap_err();
            assert_eq!(full.kind(), io::ErrorKind::WriteZero);
            assert_eq!(sink.failure().unwrap().kind(), io::ErrorKind::WriteZero);
            assert_eq!(sink.finish().bytes, 3);
        }
    }

    #[test]
    fn a_head_is_known_when_all_of_it_was_read() {
        for (head_bytes, step) in [(0, 1), (3, 1), (3, 2), (3, 5), (5, 3), (6, 4)] {
            let mut data = &b"abcde"[..];
            let mut source = Source::new(&mut data, head_bytes);
            let mut buffer = vec![0; step];
            assert_eq!(source.head_sha256(), None);
            while source.read(&mut buffer).unwrap() > 0 {}
            let expected =
                b"abcde".get(..head_bytes as usize).map(|head| Sha256::digest(head).into());
            assert_eq!(source.head_sha256(), expected, "{head_bytes} in steps of {step}");
            assert_eq!(source.tally.finish(), (Sha256::digest(b"abcde").into(), 5));
        }
    }

    #[test]
    fn the_first_failure_is_kept_from_writes_and_flushes() {
        let failures = [io::ErrorKind::BrokenPipe, io::ErrorKind::TimedOut].map(|k| Err(k.into()));
        let mut broken = Scripted(failures.into());
        let mut sink = Sink::new(&mut broken);
        assert_eq!(sink.flush().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(sink.write(b"x").unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(sink.failure().unwrap().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn two_hashes_in_turns_are_the_two_hashes() {
        let data: Vec<u8> = (0..1000).map(|number| (number % 251) as u8).collect();
        for (one, other) in [(0, 0), (0, 1000), (1000, 0), (1000, 999), (700, 1000), (63, 65)] {
            let (one, other) = (&data[..one], &data[1000 - other..]);
            for (before, more_before) in [(0, 0), (1, 0), (0, 63), (64, 65), (100, 17)] {
                let (mut tally, mut more) = (Tally::<Sha256>::new(), Tally::<Sha1>::new());
                tally.add(&data[..before]);
                more.add(&data[..more_before]);
                tally.add_both(one, &mut more, other);
                let (all, all_more) =
                    ([&data[..before], one].concat(), [&data[..more_before], other].concat());
                let (hash, bytes) = tally.finish();
                assert_eq!((hash, bytes), (Sha256::digest(&all).into(), all.len() as u64));
                let (hash, bytes) = more.finish();
                assert_eq!((hash, bytes), (Sha1::digest(&all_more).into(), all_more.len() as u64));
            }
        }
    }

    #[test]
    fn a_buffer_is_filled_by_many_short_reads() {
        let mut disturbed = Disturbed { calls: 0, data: io::Cursor::new(b"abc") };
        let mut buffer = [0; 2];
        assert_eq!(fill(&mut disturbed, &mut buffer).unwrap(), 2);
        assert_eq!(fill(&mut disturbed, &mut buffer).unwrap(), 1);
        assert_eq!(fill(&mut disturbed, &mut buffer).unwrap(), 0);
        let mut pieces = b"a".chain(&b"bc"[..]).chain(&b"def"[..]);
        let mut buffer = [0; 4];
        assert_eq!(fill(&mut pieces, &mut buffer).unwrap(), 4);
        assert_eq!(&buffer, b"abcd");
    }
}
