//! The `csv` model: quotes, escapes and delimiters decide which line ends count.
//!
//! Most bytes of most files are dull: a block without quote and escape is counted by comparing each
//! byte with the one before it, which compilers turn into wide instructions. Only blocks with a quote
//! or an escape are walked, from one interesting byte to the next.

use crate::model::{Csv, Terminator};
use crate::state::{Machine, State};

/// Bytes that are judged dull or not at once; they stay in the fastest cache.
const BLOCK_BYTES: usize = 8 << 10;

impl Machine for Csv {
    fn states(&self) -> &'static [State] {
        &[
            State::LineStart,
            State::FieldStart,
            State::Inside,
            State::Quoted,
            State::QuoteSeen,
            State::EscapedQuoted,
            State::Escaped,
            State::CrBlank,
            State::CrInside,
        ]
    }

    fn advance(&self, mut state: State, bytes: &[u8]) -> (u64, State) {
        let mut ended = 0;
        for block in bytes.chunks(BLOCK_BYTES) {
            let (more, after) = self.block(state, block);
            ended += more;
            state = after;
        }
        (ended, state)
    }
}

impl Csv {
    fn block(&self, state: State, block: &[u8]) -> (u64, State) {
        let outside = matches!(state, State::LineStart | State::FieldStart | State::Inside);
        if outside && self.terminator != Terminator::CrLf && self.find_lively(block).is_none() {
            return self.dull(state, block);
        }
        self.walk(state, block)
    }

    /// A block of which no byte is a quote or an escape, entered outside quotes: a record ends where
    /// an end of line follows anything else, so blank lines and both halves of CRLF need no care.
    fn dull(&self, state: State, block: &[u8]) -> (u64, State) {
        let (Some(&first), Some(&last)) = (block.first(), block.last()) else {
            return (0, state);
        };
        let entered = u64::from(state != State::LineStart && self.is_end(first));
        let inner = match self.terminator {
            Terminator::Auto => edges(block, |byte| byte == b'\n' || byte == b'\r'),
            Terminator::Cr => edges(block, |byte| byte == b'\r'),
            Terminator::Lf | Terminator::CrLf => edges(block, |byte| byte == b'\n'),
        };
        let after = match last {
            last if self.is_end(last) => State::LineStart,
            last if last == self.delimiter => State::FieldStart,
            _ => State::Inside,
        };
        (entered + inner, after)
    }

    /// Whether the byte alone ends a line.
    fn is_end(&self, byte: u8) -> bool {
        match self.terminator {
            Terminator::Auto => byte == b'\n' || byte == b'\r',
            Terminator::Lf => byte == b'\n',
            Terminator::Cr => byte == b'\r',
            Terminator::CrLf => false,
        }
    }

    /// Byte by byte, except through quoted text, which is skipped to its next quote or escape.
    fn walk(&self, mut state: State, bytes: &[u8]) -> (u64, State) {
        let mut ended = 0;
        let mut rest = bytes;
        loop {
            if state == State::Quoted {
                let Some(found) = self.find_lively(rest) else { return (ended, state) };
                rest = rest.get(found..).unwrap_or_default();
            }
            let Some((&byte, after)) = rest.split_first() else { return (ended, state) };
            let (ends, next) = self.step(state, byte);
            ended += u64::from(ends);
            state = next;
            rest = after;
        }
    }

    /// The next quote or escape.
    fn find_lively(&self, bytes: &[u8]) -> Option<usize> {
        match (self.quote, self.escape) {
            (Some(quote), Some(escape)) => memchr::memchr2(quote, escape, bytes),
            (Some(one), None) | (None, Some(one)) => memchr::memchr(one, bytes),
            (None, None) => None,
        }
    }

    /// One byte: whether a record ends with it, and the state after it.
    #[inline]
    fn step(&self, state: State, byte: u8) -> (bool, State) {
        match state {
            State::Quoted => (false, self.in_quotes(byte)),
            State::EscapedQuoted => (false, State::Quoted),
            State::Escaped => (false, State::Inside),
            State::QuoteSeen if self.quote == Some(byte) => (false, State::Quoted),
            State::CrBlank if byte == b'\n' => (false, State::LineStart),
            State::CrInside if byte == b'\n' => (true, State::LineStart),
            // A CR that no LF follows was data.
            State::CrBlank | State::CrInside => self.outside(State::Inside, byte),
            _ => self.outside(state, byte),
        }
    }

    fn in_quotes(&self, byte: u8) -> State {
        match Some(byte) {
            some if some == self.quote => State::QuoteSeen,
            some if some == self.escape => State::EscapedQuoted,
            _ => State::Quoted,
        }
    }

    #[inline]
    fn outside(&self, state: State, byte: u8) -> (bool, State) {
        let blank = state == State::LineStart;
        let opens = matches!(state, State::LineStart | State::FieldStart);
        if self.is_end(byte) {
            return (!blank, State::LineStart);
        }
        let next = match byte {
            byte if byte == self.delimiter => State::FieldStart,
            byte if opens && self.quote == Some(byte) => State::Quoted,
            byte if self.escape == Some(byte) => State::Escaped,
            b'\r' if self.terminator == Terminator::CrLf && blank => State::CrBlank,
            b'\r' if self.terminator == Terminator::CrLf => State::CrInside,
            _ => State::Inside,
        };
        (false, next)
    }
}

/// How often an end follows a byte that is none, within the bytes.
#[inline]
fn edges(bytes: &[u8], is_end: impl Fn(u8) -> bool) -> u64 {
    let next = bytes.get(1..).unwrap_or_default();
    // Sums of at most 255 ones fit a byte, which lets the compiler count 16 or more at a time.
    bytes
        .chunks(255)
        .zip(next.chunks(255))
        .map(|(here, there)| {
            let ones =
                here.iter().zip(there).map(|(&a, &b)| u8::from(is_end(b)) & u8::from(!is_end(a)));
            u64::from(ones.fold(0_u8, u8::wrapping_add))
        })
        .sum()
}
