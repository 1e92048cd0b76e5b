//! The `jsonl` model: one JSON value per line, lines without a value skipped.

use crate::state::{Machine, State};

/// Rules of `jsonl`.
pub(crate) struct Jsonl;

impl Machine for Jsonl {
    fn states(&self) -> &'static [State] {
        &[State::LineStart, State::Inside]
    }

    fn advance(&self, mut state: State, mut bytes: &[u8]) -> (u64, State) {
        let mut ended = 0;
        loop {
            if state == State::Inside {
                let Some(end) = memchr::memchr(b'\n', bytes) else { return (ended, state) };
                ended += 1;
                bytes = bytes.get(end + 1..).unwrap_or_default();
            }
            // Blank lines vanish with the blanks in front of the next value.
            let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
            let Some(value) = bytes.iter().position(|byte| !blank(byte)) else {
                return (ended, State::LineStart);
            };
            bytes = bytes.get(value..).unwrap_or_default();
            state = State::Inside;
        }
    }
}
