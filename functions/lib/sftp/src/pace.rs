//! How much a server takes at once: asked generously, lowered when it turns out to take less, and
//! remembered for the session's later transfers.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Every server must take this much at once.
pub(crate) const SMALL_BYTES: u32 = 32 << 10;
/// Requests in flight for one transfer.
pub(crate) const MAX_DEPTH: usize = 64;
/// Asking for less at a time helps no server.
const LEAST_BYTES: u32 = 512;

/// How a transfer asks: bytes in one request, requests in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    pub(crate) packet_bytes: u32,
    pub(crate) depth: usize,
}

/// What is given up first when a server fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum First {
    /// READs: servers that fail mostly cannot read in parallel.
    Depth,
    /// WRITEs: servers that fail mostly take no large packet.
    Packet,
}

impl Pace {
    pub(crate) const NOTHING: Self = Self { packet_bytes: 0, depth: 0 };

    /// The bolder of both, in each respect.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            packet_bytes: self.packet_bytes.max(other.packet_bytes),
            depth: self.depth.max(other.depth),
        }
    }

    /// The more careful of both, in each respect.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            packet_bytes: self.packet_bytes.min(other.packet_bytes),
            depth: self.depth.min(other.depth),
        }
    }

    /// The next more careful pace after requests of up to `used_bytes` failed; `None` when nothing is
    /// left to give up.
    pub(crate) fn slower(self, used_bytes: u32, first: First) -> Option<Self> {
        // Whatever this file asked for: other files of the session were asked for beside it.
        let one = (self.depth > 1).then_some(Self { depth: 1, ..self });
        let small =
            (used_bytes > SMALL_BYTES).then_some(Self { packet_bytes: SMALL_BYTES, ..self });
        match first {
            First::Depth => one.or(small),
            First::Packet => small.or(one),
        }
    }
}

struct State {
    pace: Pace,
    /// The most that the server has taken well, in each respect.
    proven: Pace,
    /// The most that was asked of it.
    tried: Pace,
}

/// What a session knows about one direction.
pub(crate) struct Learned(Mutex<State>);

impl Learned {
    pub(crate) fn new(packet_bytes: u32) -> Self {
        let pace = Pace { packet_bytes, depth: MAX_DEPTH };
        Self(Mutex::new(State { pace, proven: Pace::NOTHING, tried: Pace::NOTHING }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How to ask now.
    pub(crate) fn pace(&self) -> Pace {
        self.state().pace
    }

    /// The server took this well.
    pub(crate) fn proved(&self, used: Pace) {
        let mut state = self.state();
        state.proven = state.proven.or(used);
    }

    /// The server is asked for this now.
    pub(crate) fn trying(&self, used: Pace) {
        let mut state = self.state();
        state.tried = state.tried.or(used);
    }

    /// Whether more was asked of the server than it has taken well so far.
    pub(crate) fn is_on_trial(&self) -> bool {
        let tried = self.state().tried;
        !self.is_proven(tried)
    }

    /// Whether as much was taken well before, so that a failure has another cause.
    pub(crate) fn is_proven(&self, used: Pace) -> bool {
        let proven = self.state().proven;
        used.packet_bytes <= proven.packet_bytes && used.depth <= proven.depth
    }

    /// From now on not more than this. True when that is news.
    pub(crate) fn learn(&self, pace: Pace) -> bool {
        let mut state = self.state();
        let pace = Pace { packet_bytes: pace.packet_bytes.max(LEAST_BYTES), ..pace };
        let before = state.pace;
        state.pace = before.and(pace);
        state.tried = state.tried.and(pace);
        state.pace != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn pace(packet_bytes: u32, depth: usize) -> Pace {
        Pace { packet_bytes, depth }
    }

    #[test]
    fn each_step_gives_up_one_thing_and_the_last_nothing() {
        const BIG: u32 = SMALL_BYTES + 1;
        let table = [
            (First::Depth, pace(BIG, 2), BIG, Some(pace(BIG, 1))),
            (First::Depth, pace(BIG, 1), BIG, Some(pace(SMALL_BYTES, 1))),
            (First::Depth, pace(SMALL_BYTES, 1), SMALL_BYTES, None),
            (First::Depth, pace(BIG, 1), SMALL_BYTES, None),
            (First::Packet, pace(BIG, 2), BIG, Some(pace(SMALL_BYTES, 2))),
            (First::Packet, pace(BIG, 2), SMALL_BYTES, Some(pace(BIG, 1))),
            (First::Packet, pace(BIG, 1), SMALL_BYTES, None),
        ];
        for (first, limit, used_bytes, expected) in table {
            let found = limit.slower(used_bytes, first);
            assert_eq!(found, expected, "{first:?} {limit:?} {used_bytes}");
        }
    }

    #[test]
    fn proven_means_both_at_least_as_large() {
        let learned = Learned::new(100_000);
        assert!(!learned.is_proven(pace(1, 1)));
        learned.proved(pace(1000, 1));
        learned.proved(pace(10, 4));
        for (used, expected) in [
            (pace(1000, 4), true),
            (pace(1001, 4), false),
            (pace(1000, 5), false),
            (pace(1, 1), true),
        ] {
            assert_eq!(learned.is_proven(used), expected, "{used:?}");
        }
    }

    #[test]
    fn on_trial_is_what_was_asked_and_not_yet_taken() {
        let learned = Learned::new(100_000);
        assert!(!learned.is_on_trial());
        learned.trying(pace(1000, 1));
        learned.trying(pace(10, 4));
        assert!(learned.is_on_trial());
        learned.proved(pace(1000, 3));
        assert!(learned.is_on_trial());
        learned.proved(pace(1, 4));
        assert!(!learned.is_on_trial());
        learned.trying(pace(1001, 4));
        assert!(learned.is_on_trial());
        learned.learn(pace(1000, 64));
        assert!(!learned.is_on_trial(), "what is not asked again is not on trial");
    }

    #[test]
    fn what_was_learned_is_only_ever_lowered() {
        let learned = Learned::new(100_000);
        assert_eq!(learned.pace(), pace(100_000, MAX_DEPTH));
        assert!(learned.learn(pace(50_000, MAX_DEPTH)));
        assert!(learned.learn(pace(90_000, 1)));
        assert!(!learned.learn(pace(100_000, 64)));
        assert_eq!(learned.pace(), pace(50_000, 1));
        assert!(learned.learn(pace(17, 1)));
        assert_eq!(learned.pace(), pace(LEAST_BYTES, 1));
    }
}
