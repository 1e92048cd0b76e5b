//! The `csv` model: quotes, escapes and delimiters decide which line ends count.
//!
//! 64 bytes at a time become bit masks, in which a record end costs no branch: whether a byte stands
//! inside quotes is the parity of the quotes up to it. Bytes that fill no block, and files in which
//! only CRLF ends a line, are walked byte by byte by the rules themselves.

use fearless_simd::Simd;

use crate::model::{Csv, Terminator};
use crate::simd::{self, Block, Kernel, Level, behind, last};
use crate::state::{Machine, State};

impl Machine for Csv {
    fn states(&self) -> Vec<State> {
        let mut states = vec![State::LineStart, State::FieldStart, State::Inside];
        if self.quote.is_some() {
            states.extend([State::Quoted, State::QuoteSeen]);
        }
        if self.escape.is_some() {
            states.push(State::Escaped);
        }
        if self.quote.is_some() && self.escape.is_some() {
            states.push(State::EscapedQuoted);
        }
        if self.terminator == Terminator::CrLf {
            states.extend([State::CrBlank, State::CrInside]);
        }
        states
    }

    fn advance(&self, level: Level, state: State, mut bytes: &[u8]) -> (u64, State) {
        let Some(mut masks) = Masks::new(self, state) else { return self.walk(state, bytes) };
        if state == State::Quoted {
            // For speed alone: a reader that is wrongly inside quotes may find none in the whole file.
            let Some(found) = self.find_lively(bytes) else { return (0, state) };
            bytes = bytes.get(found..).unwrap_or_default();
        }
        let rest = simd::blocks(level, &mut masks, bytes);
        let (ended, after) = self.walk(masks.state(), rest);
        (masks.ended + ended, after)
    }
}

impl Csv {
    /// By the rules, one byte at a time.
    fn walk(&self, mut state: State, bytes: &[u8]) -> (u64, State) {
        let mut ended = 0;
        for &byte in bytes {
            let (ends, next) = self.step(state, byte);
            ended += u64::from(ends);
            state = next;
        }
        (ended, state)
    }

    /// The next quote or escape. An earlier place would do as well: what lies before it is only
    /// counted faster.
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
            // Behind a CR that no LF follows goes on what was begun.
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

    /// Whether the byte alone ends a line.
    fn is_end(&self, byte: u8) -> bool {
        self.ends().is_some_and(|ends| ends.contains(&byte))
    }

    /// The two bytes that end a line, which may be the same; `None` where it takes both.
    const fn ends(&self) -> Option<[u8; 2]> {
        match self.terminator {
            Terminator::Auto => Some(*b"\n\r"),
            Terminator::Lf => Some(*b"\n\n"),
            Terminator::Cr => Some(*b"\r\r"),
            Terminator::CrLf => None,
        }
    }
}

/// The rules over masks. A field `after_…` says with its lowest bit what the byte before the next
/// block was.
#[derive(Clone, Copy)]
struct Masks {
    delimiter: u8,
    quote: Option<u8>,
    escape: Option<u8>,
    ends: [u8; 2],
    /// Records that have ended.
    ended: u64,
    /// All bits when the next block begins inside quotes, else none.
    quoted: u64,
    after_end: u64,
    after_delimiter: u64,
    after_quote: u64,
    after_escape: u64,
}

impl Masks {
    /// Masks that go on from a state; `None` when a line end takes two bytes.
    fn new(csv: &Csv, state: State) -> Option<Self> {
        let quoted = matches!(state, State::Quoted | State::EscapedQuoted);
        Some(Self {
            delimiter: csv.delimiter,
            quote: csv.quote,
            escape: csv.escape,
            ends: csv.ends()?,
            ended: 0,
            quoted: if quoted { u64::MAX } else { 0 },
            after_end: u64::from(state == State::LineStart),
            after_delimiter: u64::from(state == State::FieldStart),
            after_quote: u64::from(state == State::QuoteSeen),
            after_escape: u64::from(matches!(state, State::Escaped | State::EscapedQuoted)),
        })
    }

    const fn state(&self) -> State {
        match (self.quoted != 0, self.after_escape != 0) {
            (true, true) => State::EscapedQuoted,
            (true, false) => State::Quoted,
            (false, true) => State::Escaped,
            _ if self.after_end != 0 => State::LineStart,
            _ if self.after_delimiter != 0 => State::FieldStart,
            _ if self.after_quote != 0 => State::QuoteSeen,
            _ => State::Inside,
        }
    }

    /// The bytes that an escape makes data.
    ///
    /// Of a run of escapes every second one is data itself. Subtracting a run's bits from the odd
    /// places leaves the escapes that count and the byte behind a run of an odd length. Which escapes
    /// are in the answer does not matter: they are no quotes, delimiters or ends of line. The bit of
    /// `before` is in no other mask.
    #[inline(always)]
    const fn escaped(&mut self, escapes: u64) -> u64 {
        const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;
        let before = self.after_escape;
        let active = escapes & !before;
        let escaped = (active << 1 | ODD).wrapping_sub(active) ^ ODD;
        self.after_escape = last(escaped & escapes);
        escaped | before
    }

    /// Takes the quotes that are letters out, gives the places inside quotes.
    ///
    /// Parity is the truth as long as every quote that opens stands at the start of a field, or right
    /// behind a quote: the two are one, doubled. The first that does neither is a letter, and so are
    /// all behind it until the next field.
    #[inline(always)]
    const fn inside(&self, quotes: &mut u64, starts: u64) -> u64 {
        // One byte is at most one of these things, here and where masks are joined below.
        let before = self.after_end | self.after_delimiter | self.after_quote;
        loop {
            let inside = parity(*quotes) ^ self.quoted;
            let letters = *quotes & inside & !behind(starts | *quotes, before);
            if letters == 0 {
                return inside;
            }
            // Taking out the first alone would do; all up to the next field spare rounds.
            let from = letters | letters.wrapping_neg();
            let later = starts & from;
            let field = later & later.wrapping_neg();
            *quotes &= !(from & field.wrapping_sub(1));
        }
    }
}

impl Kernel for Masks {
    #[inline(always)]
    fn read<S: Simd>(&mut self, block: Block<S>) {
        let data = match self.escape {
            Some(escape) => self.escaped(block.find(escape)),
            None => 0,
        };
        let mut quotes = match self.quote {
            Some(quote) => block.find(quote) & !data,
            None => 0,
        };
        let [one, other] = self.ends;
        let ends = block.find_either(one, other) & !data;
        let delimiters = block.find(self.delimiter) & !data;
        let inside = self.inside(&mut quotes, ends | delimiters);
        let ends = ends & !inside;
        // An end behind an end is a blank line's, or the second half of CRLF.
        let records = ends & !behind(ends, self.after_end);
        self.ended += u64::from(records.count_ones());
        self.quoted = last(inside).wrapping_neg();
        self.after_end = last(ends);
        self.after_delimiter = last(delimiters);
        self.after_quote = last(quotes);
    }
}

/// Bit n is the parity of the bits up to n.
#[inline(always)]
const fn parity(mut mask: u64) -> u64 {
    mask ^= mask << 1;
    mask ^= mask << 2;
    mask ^= mask << 4;
    mask ^= mask << 8;
    mask ^= mask << 16;
    mask ^ mask << 32
}
