//! The `lines` model: every end of line counts.

use crate::model::Terminator;
use crate::state::{Machine, State};

/// Rules of `lines`.
pub(crate) struct Lines(pub(crate) Terminator);

impl Machine for Lines {
    fn states(&self) -> &'static [State] {
        match self.0 {
            Terminator::Auto => &[State::LineStart, State::Inside, State::AfterCr],
            Terminator::Lf | Terminator::Cr => &[State::LineStart, State::Inside],
            Terminator::CrLf => &[State::LineStart, State::Inside, State::CrInside],
        }
    }

    fn advance(&self, state: State, bytes: &[u8]) -> (u64, State) {
        let Some(&last) = bytes.last() else { return (0, state) };
        match self.0 {
            Terminator::Auto => auto(state, bytes, last),
            Terminator::Lf => one(b'\n', bytes, last),
            Terminator::Cr => one(b'\r', bytes, last),
            Terminator::CrLf => pairs(state, bytes, last),
        }
    }
}

fn one(end: u8, bytes: &[u8], last: u8) -> (u64, State) {
    let ended = memchr::memchr_iter(end, bytes).count() as u64;
    (ended, if last == end { State::LineStart } else { State::Inside })
}

fn auto(state: State, bytes: &[u8], last: u8) -> (u64, State) {
    let mut ended = memchr::memchr_iter(b'\n', bytes).count() as u64;
    // Without a CR, which is the usual case, an LF is all there is to look for.
    if memchr::memchr(b'\r', bytes).is_some() {
        ended += memchr::memchr_iter(b'\r', bytes).count() as u64;
        ended -= count_pairs(bytes);
    }
    if state == State::AfterCr && bytes.first() == Some(&b'\n') {
        ended -= 1;
    }
    let after = match last {
        b'\n' => State::LineStart,
        b'\r' => State::AfterCr,
        _ => State::Inside,
    };
    (ended, after)
}

fn pairs(state: State, bytes: &[u8], last: u8) -> (u64, State) {
    let split = state == State::CrInside && bytes.first() == Some(&b'\n');
    let ended = count_pairs(bytes) + u64::from(split);
    let paired = match bytes {
        [.., b'\r', b'\n'] => true,
        [b'\n'] => split,
        _ => false,
    };
    let after = match last {
        _ if paired => State::LineStart,
        b'\r' => State::CrInside,
        _ => State::Inside,
    };
    (ended, after)
}

/// CRLF pairs that lie wholly in the bytes.
fn count_pairs(bytes: &[u8]) -> u64 {
    let next = bytes.get(1..).unwrap_or_default();
    // Sums of at most 255 ones fit a byte, which lets the compiler count 16 or more at a time.
    bytes
        .chunks(255)
        .zip(next.chunks(255))
        .map(|(here, there)| {
            let ones = here.iter().zip(there).map(|(&a, &b)| u8::from(a == b'\r' && b == b'\n'));
            u64::from(ones.fold(0_u8, u8::wrapping_add))
        })
        .sum()
}
