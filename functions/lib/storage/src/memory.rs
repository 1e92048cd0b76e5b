//! How much memory all uploads of this process may hold together, however many there are.
//!
//! A process may write a dozen objects at once, and each of them is fastest with several parts under
//! way. So parts are taken from one budget: a lone writer gets as many as it can use, many writers
//! share. A writer that holds nothing gets its one part in any case, and nobody ever waits for the
//! memory of another writer, so there is nothing to deadlock on.
//!
//! Buffers of the usual size are used again: an allocator that gets megabytes back from many threads
//! keeps nearly as much again for each of them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::{Bytes, BytesMut};

use crate::upload::PART_BYTES_FIRST;

/// What writers may take for more than one part each. On top of it comes one part for every writer that
/// finds it taken: nine writers of usual parts hold 45 MiB as a rule, and never more than 88.
pub(crate) const BUDGET_BYTES: u64 = 48 * 1024 * 1024;

static PROCESS: Memory = Memory::new(BUDGET_BYTES);

/// A number of bytes to share.
#[derive(Debug)]
pub(crate) struct Memory {
    limit: u64,
    held: AtomicU64,
    peak: AtomicU64,
    /// Empty buffers of the size of a first part.
    spare: Mutex<Vec<BytesMut>>,
}

impl Memory {
    const fn new(limit: u64) -> Self {
        Self {
            limit,
            held: AtomicU64::new(0),
            peak: AtomicU64::new(0),
            spare: Mutex::new(Vec::new()),
        }
    }

    /// What this process shares.
    pub(crate) fn of_process() -> &'static Self {
        &PROCESS
    }

    /// An empty buffer with room for exactly `bytes`.
    pub(crate) fn buffer(&self, bytes: u64) -> BytesMut {
        let mut spare = self.spare();
        if bytes > PART_BYTES_FIRST {
            // What grows needs their memory, and will not need them.
            spare.clear();
        }
        let again = if bytes == PART_BYTES_FIRST { spare.pop() } else { None };
        again.unwrap_or_else(|| {
            BytesMut::with_capacity(usize::try_from(bytes).unwrap_or(usize::MAX))
        })
    }

    /// Takes back a buffer that nobody needs any more, unless that is more than may be held.
    pub(crate) fn reuse(&self, buffer: Bytes) {
        let Ok(mut buffer) = buffer.try_into_mut() else {
            return;
        };
        buffer.clear();
        let mut spare = self.spare();
        let kept = u64::try_from(spare.len() + 1).unwrap_or(u64::MAX) * PART_BYTES_FIRST;
        let fits = self.held.load(Ordering::SeqCst) + kept <= self.limit;
        if fits && u64::try_from(buffer.capacity()) == Ok(PART_BYTES_FIRST) {
            spare.push(buffer);
        }
    }

    fn spare(&self) -> std::sync::MutexGuard<'_, Vec<BytesMut>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The most that was ever held at once.
    #[cfg(any(test, feature = "conformance"))]
    pub(crate) fn peak(&self) -> u64 {
        self.peak.load(Ordering::SeqCst)
    }

    /// What is held now.
    #[cfg(any(test, feature = "conformance"))]
    pub(crate) fn held(&self) -> u64 {
        self.held.load(Ordering::SeqCst)
    }

    fn take(&self, bytes: u64, limit: u64) -> bool {
        let taken = self.held.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |held| {
            held.checked_add(bytes).filter(|sum| *sum <= limit)
        });
        if let Ok(before) = taken {
            self.peak.fetch_max(before + bytes, Ordering::SeqCst);
        }
        taken.is_ok()
    }
}

/// What one buffer holds of the budget; given back when dropped.
#[derive(Debug)]
pub(crate) struct Held {
    memory: &'static Memory,
    bytes: u64,
}

impl Held {
    pub(crate) fn nothing() -> Self {
        Self { memory: Memory::of_process(), bytes: 0 }
    }

    #[cfg(test)]
    fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Grows to `bytes` if the budget allows it.
    pub(crate) fn grow(&mut self, bytes: u64) -> bool {
        self.grow_within(bytes, self.memory.limit)
    }

    /// Grows to `bytes` in any case: for whoever can go on in no other way.
    pub(crate) fn grow_anyway(&mut self, bytes: u64) {
        self.grow_within(bytes, u64::MAX);
    }

    fn grow_within(&mut self, bytes: u64, limit: u64) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let grown = more == 0 || self.memory.take(more, limit);
        if grown {
            self.bytes += more;
        }
        grown
    }

    /// Hands all of it to a buffer that goes on its way.
    pub(crate) fn split(&mut self) -> Self {
        let rest = Self { memory: self.memory, bytes: 0 };
        std::mem::replace(self, rest)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.memory.held.fetch_sub(self.bytes, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(memory: &'static Memory) -> Held {
        Held { memory, bytes: 0 }
    }

    #[test]
    fn the_budget_is_shared_and_comes_back() {
        static MEMORY: Memory = Memory::new(100);
        let (mut one, mut two) = (held(&MEMORY), held(&MEMORY));
        assert!(one.grow(60) && one.grow(60) && one.grow(30));
        assert_eq!(one.bytes(), 60, "never less than before, never twice");
        assert!(!two.grow(41));
        assert_eq!((two.bytes(), MEMORY.held()), (0, 60));
        assert!(two.grow(40));
        let travelling = one.split();
        assert_eq!((one.bytes(), travelling.bytes(), MEMORY.held()), (0, 60, 100));
        drop(travelling);
        assert!(one.grow(60));
        drop((one, two));
        assert_eq!((MEMORY.held(), MEMORY.peak()), (0, 100));
    }

    #[test]
    fn a_buffer_of_the_usual_size_is_used_again() {
        static MEMORY: Memory = Memory::new(2 * PART_BYTES_FIRST);
        let part = usize::try_from(PART_BYTES_FIRST).unwrap();
        let made: Vec<BytesMut> = (0..3).map(|_| MEMORY.buffer(PART_BYTES_FIRST)).collect();
        assert!(made.iter().all(|buffer| buffer.is_empty() && buffer.capacity() == part));
        for mut buffer in made {
            buffer.extend_from_slice(b"part");
            MEMORY.reuse(buffer.freeze());
        }
        assert_eq!(MEMORY.spare().len(), 2, "no more than the budget");
        let shared = MEMORY.buffer(PART_BYTES_FIRST).freeze();
        let _elsewhere = shared.clone();
        MEMORY.reuse(shared);
        MEMORY.reuse(Bytes::from_static(b"small"));
        assert_eq!(MEMORY.spare().len(), 1, "only what is whole and nobody else has");
        assert_eq!(MEMORY.buffer(7).capacity(), 7);
        assert_eq!(MEMORY.spare().len(), 1);
        let again = MEMORY.buffer(PART_BYTES_FIRST);
        assert!(again.is_empty() && again.capacity() == part);
        assert_eq!(MEMORY.spare().len(), 0);
        MEMORY.reuse(again.freeze());
        MEMORY.buffer(PART_BYTES_FIRST + 1);
        assert_eq!(MEMORY.spare().len(), 0, "what is larger needs their memory");
        let mut most = held(&MEMORY);
        assert!(most.grow(PART_BYTES_FIRST + 1));
        MEMORY.reuse(MEMORY.buffer(PART_BYTES_FIRST).freeze());
        assert_eq!(MEMORY.spare().len(), 0, "what is held counts as well");
    }

    #[test]
    fn who_has_no_other_way_gets_more_than_there_is() {
        static MEMORY: Memory = Memory::new(100);
        let (mut one, mut two) = (held(&MEMORY), held(&MEMORY));
        one.grow_anyway(300);
        assert!(!two.grow(1));
        two.grow_anyway(10);
        assert_eq!((MEMORY.held(), MEMORY.peak()), (310, 310));
        drop(one);
        assert!(two.grow(100));
    }
}
