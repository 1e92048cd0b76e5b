//! The `jsonl` model: one JSON value per line, lines without a value skipped.

use fearless_simd::Simd;

use crate::simd::{self, Block, Kernel, Level, behind, last};
use crate::state::{Machine, State};

/// Rules of `jsonl`.
pub(crate) struct Jsonl;

impl Machine for Jsonl {
    fn states(&self) -> Vec<State> {
        vec![State::LineStart, State::Inside]
    }

    fn advance(&self, level: Level, state: State, bytes: &[u8]) -> (u64, State) {
        let mut values = Values { ended: 0, blank: u64::from(state == State::LineStart) };
        for &byte in simd::blocks(level, &mut values, bytes) {
            match byte {
                b'\n' => {
                    values.ended += 1 - values.blank;
                    values.blank = 1;
                }
                b' ' | b'\t' | b'\r' => {}
                _ => values.blank = 0,
            }
        }
        let after = if values.blank == 1 { State::LineStart } else { State::Inside };
        (values.ended, after)
    }
}

/// Lines that ended with a value in them.
#[derive(Clone, Copy)]
struct Values {
    ended: u64,
    /// 1 while nothing but blanks has been seen of the line.
    blank: u64,
}

impl Kernel for Values {
    #[inline(always)]
    fn read<S: Simd>(&mut self, block: Block<S>) {
        // Whatever is joined here by `|` has no bit in common.
        let ends = block.find(b'\n');
        let blanks = block.find_either(b' ', b'\t') | block.find(b'\r');
        let starts = behind(ends, self.blank);
        // Adding a line's first bit to its run of blanks carries to the byte behind the run: an LF
        // there, or right at the start, ends a line without a value.
        let (carried, beyond) = (starts & blanks).overflowing_add(blanks);
        let firsts = (carried | starts) & !blanks;
        self.ended += u64::from((ends & !firsts).count_ones());
        self.blank = last(ends) | u64::from(beyond);
    }
}
