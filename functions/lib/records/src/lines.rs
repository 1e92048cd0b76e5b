//! The `lines` model: every end of line counts.

use fearless_simd::Simd;

use crate::model::Terminator;
use crate::simd::{self, Block, Kernel, Level, behind, last};
use crate::state::{Machine, State};

/// Rules of `lines`.
pub(crate) struct Lines(pub(crate) Terminator);

impl Machine for Lines {
    fn states(&self) -> Vec<State> {
        match self.0 {
            Terminator::Auto => vec![State::LineStart, State::Inside, State::AfterCr],
            Terminator::Lf | Terminator::Cr => vec![State::LineStart, State::Inside],
            Terminator::CrLf => vec![State::LineStart, State::Inside, State::CrInside],
        }
    }

    fn advance(&self, level: Level, state: State, bytes: &[u8]) -> (u64, State) {
        match self.0 {
            Terminator::Auto => auto(level, state, bytes),
            Terminator::Lf => one(b'\n', state, bytes),
            Terminator::Cr => one(b'\r', state, bytes),
            Terminator::CrLf => pairs(level, state, bytes),
        }
    }
}

fn one(end: u8, state: State, bytes: &[u8]) -> (u64, State) {
    let after = match bytes.last() {
        None => state,
        Some(&last) if last == end => State::LineStart,
        Some(_) => State::Inside,
    };
    (memchr::memchr_iter(end, bytes).count() as u64, after)
}

fn auto(level: Level, state: State, bytes: &[u8]) -> (u64, State) {
    let ends = Ends::count(level, state == State::AfterCr, bytes);
    let after = match bytes.last() {
        None => state,
        Some(b'\n') => State::LineStart,
        Some(b'\r') => State::AfterCr,
        Some(_) => State::Inside,
    };
    (ends.all - ends.pairs, after)
}

fn pairs(level: Level, state: State, bytes: &[u8]) -> (u64, State) {
    let after_cr = state == State::CrInside;
    let after = match bytes {
        [] => state,
        [.., b'\r', b'\n'] => State::LineStart,
        [b'\n'] if after_cr => State::LineStart,
        [.., b'\r'] => State::CrInside,
        _ => State::Inside,
    };
    (Ends::count(level, after_cr, bytes).pairs, after)
}

/// LFs and CRs, and the pairs that they make.
#[derive(Clone, Copy)]
struct Ends {
    all: u64,
    pairs: u64,
    after_cr: u64,
}

impl Ends {
    fn count(level: Level, after_cr: bool, bytes: &[u8]) -> Self {
        let mut ends = Self { all: 0, pairs: 0, after_cr: u64::from(after_cr) };
        for &byte in simd::blocks(level, &mut ends, bytes) {
            let (lf, cr) = (u64::from(byte == b'\n'), u64::from(byte == b'\r'));
            // A byte is one of them at most.
            ends.all += lf | cr;
            ends.pairs += lf & ends.after_cr;
            ends.after_cr = cr;
        }
        ends
    }
}

impl Kernel for Ends {
    #[inline(always)]
    fn read<S: Simd>(&mut self, block: Block<S>) {
        let (lf, cr) = (block.find(b'\n'), block.find(b'\r'));
        self.all += u64::from((lf | cr).count_ones());
        self.pairs += u64::from((lf & behind(cr, self.after_cr)).count_ones());
        self.after_cr = last(cr);
    }
}
