//! Counts that a file declares about itself, in its first or last line.

use regex::bytes::{Regex, RegexBuilder};

use crate::error::Error;
use crate::source::{self, Source};

/// Longest line that is looked at, in bytes.
const LINE_BYTES: usize = 64 << 10;
/// Memory that a pattern may compile to, in bytes.
const PATTERN_BYTES: usize = 1 << 20;

/// Which line declares the count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The first line, a byte order mark aside.
    Header,
    /// The last line that is not blank.
    Trailer,
}

impl Place {
    const fn name(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Trailer => "trailer",
        }
    }
}

/// Where and how a file declares its count.
#[derive(Clone, Debug)]
pub struct Declared {
    place: Place,
    pattern: Regex,
}

impl Declared {
    /// A pattern with one capture group, which holds the count in decimal digits.
    ///
    /// # Errors
    ///
    /// [`Error::Options`] for a pattern that is no regular expression, is too large, or has another
    /// number of groups than one.
    pub fn new(place: Place, pattern: &str) -> Result<Self, Error> {
        let wrong = |what: String| Error::Options(format!("declared.pattern {what}"));
        let pattern = RegexBuilder::new(pattern)
            .size_limit(PATTERN_BYTES)
            .build()
            .map_err(|error| wrong(format!("cannot be used: {error}")))?;
        if pattern.captures_len() != 2 {
            return Err(wrong("must have exactly one capture group".to_owned()));
        }
        Ok(Self { place, pattern })
    }

    /// The count that the file declares.
    ///
    /// # Errors
    ///
    /// [`Error::DeclaredMissing`] when the line does not match or its group is no number, and
    /// [`Error::Read`].
    pub fn read(&self, source: &dyn Source) -> Result<u64, Error> {
        let line = match self.place {
            Place::Header => first_line(source)?,
            Place::Trailer => last_line(source)?,
        };
        let missing = || Error::DeclaredMissing { place: self.place.name() };
        let captures = self.pattern.captures(&line).ok_or_else(missing)?;
        let digits = captures.get(1).ok_or_else(missing)?.as_bytes();
        std::str::from_utf8(digits)
            .ok()
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok())
            .ok_or_else(missing)
    }

    /// Holds the declared count against `counted`, the records without headers and trailers.
    ///
    /// # Errors
    ///
    /// [`Error::DeclaredMismatch`], and those of [`read`](Self::read).
    pub fn check(&self, source: &dyn Source, counted: u64) -> Result<(), Error> {
        let declared = self.read(source)?;
        if declared == counted {
            Ok(())
        } else {
            Err(Error::DeclaredMismatch { declared, counted })
        }
    }
}

fn is_end(byte: u8) -> bool {
    byte == b'\n' || byte == b'\r'
}

fn first_line(source: &dyn Source) -> Result<Vec<u8>, Error> {
    let mut head = source::read(source, 0, LINE_BYTES)?;
    if head.starts_with(b"\xef\xbb\xbf") {
        head.drain(..3);
    }
    let end = head.iter().position(|&byte| is_end(byte)).unwrap_or(head.len());
    head.truncate(end);
    Ok(head)
}

fn last_line(source: &dyn Source) -> Result<Vec<u8>, Error> {
    let from = source.len().saturating_sub(LINE_BYTES as u64);
    let mut tail = source::read(source, from, LINE_BYTES)?;
    let end = tail.iter().rposition(|byte| !byte.is_ascii_whitespace() && *byte != 0x1a);
    tail.truncate(end.map_or(0, |end| end + 1));
    let start = tail.iter().rposition(|&byte| is_end(byte)).map_or(0, |end| end + 1);
    tail.drain(..start);
    if from == 0 && tail.starts_with(b"\xef\xbb\xbf") {
        tail.drain(..3);
    }
    Ok(tail)
}
