//! How much a line to a server holds: what it carries in the time that an answer takes. More WRITEs than
//! that only wait, on the far side; and `sshd`, which copies all that waits in a channel with every
//! packet that comes, then spends a third of its time on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The fastest line that one session fills: ten gigabits in a second, in bytes.
const BYTES_PER_SECOND: u64 = 1_250_000_000;
/// The nearest server takes this much at once.
const LEAST_BYTES: u64 = 512 << 10;

/// The line of one channel.
pub(crate) struct Line {
    /// How long the fastest answer took, in nanoseconds.
    fastest: AtomicU64,
    /// What all WRITEs without an answer carry together, in bytes.
    afloat: Arc<AtomicU64>,
}

/// What one WRITE has afloat, until it is dropped.
pub(crate) struct Afloat {
    all: Arc<AtomicU64>,
    bytes: u64,
}

impl Drop for Afloat {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Line {
    /// Before the first answer nothing is known, and nothing is held back.
    pub(crate) fn new() -> Self {
        Self { fastest: AtomicU64::new(u64::MAX), afloat: Arc::default() }
    }

    /// Takes note of an answer.
    pub(crate) fn answered_in(&self, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.fastest.fetch_min(nanoseconds, Ordering::Relaxed);
    }

    /// How many bytes it holds.
    pub(crate) fn holds_bytes(&self) -> u64 {
        let fastest = self.fastest.load(Ordering::Relaxed);
        (fastest.saturating_mul(BYTES_PER_SECOND / 1_000_000) / 1000).max(LEAST_BYTES)
    }

    /// Whether that many bytes more find room.
    pub(crate) fn has_room(&self, bytes: u32) -> bool {
        self.afloat.load(Ordering::Relaxed) + u64::from(bytes) <= self.holds_bytes()
    }

    /// Sets the bytes of a WRITE afloat.
    pub(crate) fn float(&self, bytes: usize) -> Afloat {
        let all = Arc::clone(&self.afloat);
        let bytes = bytes as u64;
        all.fetch_add(bytes, Ordering::Relaxed);
        Afloat { all, bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_holds_what_it_carries_until_the_fastest_answer_comes() {
        let line = Line::new();
        assert!(line.holds_bytes() > 1 << 40, "nothing is known");
        for (milliseconds, holds) in
            [(50.0, 62_500_000), (1.0, 1_250_000), (7.0, 1_250_000), (0.1, LEAST_BYTES)]
        {
            line.answered_in(Duration::from_secs_f64(milliseconds / 1e3));
            assert_eq!(line.holds_bytes(), holds, "{milliseconds}");
        }
    }

    #[test]
    fn what_is_afloat_takes_room_until_it_is_answered() {
        let line = Line::new();
        line.answered_in(Duration::ZERO);
        let half = LEAST_BYTES / 2;
        let (bytes, more) = (half as usize, half as u32);
        let first = line.float(bytes);
        assert!(line.has_room(more) && !line.has_room(more + 1));
        let second = line.float(bytes);
        assert!(!line.has_room(1));
        drop(first);
        assert!(line.has_room(more));
        drop(second);
        assert!(line.has_room(2 * more) && !line.has_room(2 * more + 1));
    }
}
