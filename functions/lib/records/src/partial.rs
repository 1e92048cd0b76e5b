//! Counts of ranges, their sum, and the number that they come to.

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::model::Model;
use crate::state::State;
use crate::wide::Head;

/// What a range does to a reader that enters it in one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) entry: State,
    pub(crate) exit: State,
    pub(crate) records: u64,
}

/// The count of a byte range for every state in which it may be entered.
///
/// Small, serialisable, and safe to carry between processes: it knows which model it was made with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partial {
    pub(crate) model: String,
    pub(crate) bytes: u64,
    pub(crate) head: Head,
    pub(crate) rows: Vec<Row>,
}

/// What a file comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Records without headers and trailers.
    pub records: u64,
    /// Records with them.
    pub total: u64,
    /// Bytes counted.
    pub bytes: u64,
}

impl Partial {
    /// The count of no bytes: combining with it changes nothing.
    #[must_use]
    pub fn identity() -> Self {
        Self { model: String::new(), bytes: 0, head: Head::default(), rows: Vec::new() }
    }

    fn is_identity(&self) -> bool {
        self.model.is_empty()
    }

    /// Bytes of the range.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The count of this range and the one right behind it. Associative.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] when the two were made with different models, or when the second was
    /// counted as the beginning of a file.
    pub fn combine(&self, next: &Self) -> Result<Self, Error> {
        if self.is_identity() {
            return Ok(next.clone());
        }
        if next.is_identity() {
            return Ok(self.clone());
        }
        if self.model != next.model {
            return Err(Error::Mismatch("they were made with different models"));
        }
        let overflow = || Error::Mismatch("their sum is too large");
        let through = |row: &Row| {
            let onward = next.rows.iter().find(|onward| onward.entry == row.exit);
            let onward = onward
                .ok_or(Error::Mismatch("the second was counted as the beginning of a file"))?;
            let records = row.records.checked_add(onward.records).ok_or_else(overflow)?;
            Ok(Row { entry: row.entry, exit: onward.exit, records })
        };
        Ok(Self {
            model: self.model.clone(),
            bytes: self.bytes.checked_add(next.bytes).ok_or_else(overflow)?,
            head: self.head.then(&next.head),
            rows: self.rows.iter().map(through).collect::<Result<_, _>>()?,
        })
    }

    /// The number of records, when the partial covers the whole file.
    ///
    /// # Errors
    ///
    /// Those of a file that cannot be counted ([`Error::UnterminatedQuote`], [`Error::Utf16`],
    /// [`Error::PartialRecord`]), and [`Error::Mismatch`] for a partial of another model or of a
    /// range that was not counted as the beginning of the file.
    pub fn finish(
        &self,
        model: &Model,
        header_records: u64,
        trailer_records: u64,
    ) -> Result<Count, Error> {
        let total = if self.is_identity() { 0 } else { self.total(model)? };
        let records = total.saturating_sub(header_records).saturating_sub(trailer_records);
        Ok(Count { records, total, bytes: self.bytes })
    }

    fn total(&self, model: &Model) -> Result<u64, Error> {
        if self.model != model.fingerprint() {
            return Err(Error::Mismatch("they were made with another model"));
        }
        if let Model::Fixed { record_bytes } = *model {
            let remainder = self.bytes.checked_rem(record_bytes);
            return match (remainder, self.bytes.checked_div(record_bytes)) {
                (Some(0), Some(records)) => Ok(records),
                _ => Err(Error::PartialRecord { bytes: self.bytes, record_bytes }),
            };
        }
        let start = self.rows.iter().find(|row| row.entry == State::Start);
        let row =
            start.ok_or(Error::Mismatch("the first range was not counted as the beginning"))?;
        if self.head.is_wide() {
            return Err(Error::Utf16);
        }
        match row.exit {
            State::Start | State::LineStart | State::AfterCr => Ok(row.records),
            // A CR that no LF followed is content, and so is a part of a byte order mark.
            State::Bom1
            | State::Bom2
            | State::FieldStart
            | State::Inside
            | State::QuoteSeen
            | State::Escaped
            | State::CrBlank
            | State::CrInside => Ok(row.records.saturating_add(1)),
            State::Quoted | State::EscapedQuoted => {
                Err(Error::UnterminatedQuote { records: row.records })
            }
        }
    }
}
