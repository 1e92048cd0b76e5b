//! Where a reader may stand between two bytes. One alphabet of states for all text models, so that
//! partial counts have one shape.

use serde::{Deserialize, Serialize};

use crate::simd::Level;

/// Where a reader stands between two bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Before the first byte of the file.
    Start,
    /// After the first byte of a UTF-8 byte order mark.
    Bom1,
    /// After its second.
    Bom2,
    /// Before a line's first byte, or (`jsonl`) before its first byte that is no blank.
    LineStart,
    /// After a delimiter.
    FieldStart,
    /// Inside a line or an unquoted field.
    Inside,
    /// Inside quotes.
    Quoted,
    /// After a quote inside quotes: the end of them, or the first half of a doubled one.
    QuoteSeen,
    /// After an escape inside quotes.
    EscapedQuoted,
    /// After an escape outside quotes.
    Escaped,
    /// After a CR that ended a line: an LF belongs to it.
    AfterCr,
    /// After a CR at a line's start that may become CRLF.
    CrBlank,
    /// After a CR behind content that may become CRLF.
    CrInside,
}

/// A model's rules: what the bytes of a range do to a state.
pub(crate) trait Machine {
    /// The states in which a range may begin, the opening ones aside. One too many would cost a reader.
    fn states(&self) -> Vec<State>;

    /// Reads `bytes` from `state`; gives the records that end in them and the state after them.
    ///
    /// Never called in one of the [`OPENING`] states and never returns one.
    fn advance(&self, level: Level, state: State, bytes: &[u8]) -> (u64, State);
}

/// The opening states, which all text models share.
pub(crate) const OPENING: [State; 3] = [State::Start, State::Bom1, State::Bom2];

/// Reads `bytes` from any state: the byte order mark here, the rest by the machine.
pub(crate) fn advance<M: Machine + ?Sized>(
    machine: &M,
    level: Level,
    mut state: State,
    mut bytes: &[u8],
) -> (u64, State) {
    while OPENING.contains(&state) {
        let Some((&byte, rest)) = bytes.split_first() else { return (0, state) };
        state = match (state, byte) {
            (State::Start, 0xef) => State::Bom1,
            (State::Bom1, 0xbb) => State::Bom2,
            (State::Bom2, 0xbf) => State::LineStart,
            (State::Start, _) => return machine.advance(level, State::LineStart, bytes),
            // No mark after all: what looked like one were a line's first letters.
            _ => return machine.advance(level, State::Inside, bytes),
        };
        bytes = rest;
    }
    machine.advance(level, state, bytes)
}
