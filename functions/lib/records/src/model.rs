//! What a record is: the models and their options.

use crate::error::Error;

/// What ends a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Terminator {
    /// LF, CRLF or a lone CR, each one end of line; a file may mix them.
    #[default]
    Auto,
    /// LF only; a CR is data.
    Lf,
    /// CRLF only; a lone CR or LF is data.
    CrLf,
    /// CR only; an LF is data.
    Cr,
}

/// How CSV is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Csv {
    /// Between fields.
    pub delimiter: u8,
    /// Around fields; `None` when quotes are letters.
    pub quote: Option<u8>,
    /// Makes the next byte data; doubled quotes keep working beside it.
    pub escape: Option<u8>,
    /// Between records.
    pub terminator: Terminator,
}

impl Default for Csv {
    fn default() -> Self {
        Self { delimiter: b',', quote: Some(b'"'), escape: None, terminator: Terminator::Auto }
    }
}

/// What a record is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Model {
    /// Every line.
    Lines {
        /// What ends a line.
        terminator: Terminator,
    },
    /// RFC 4180 and its relatives.
    Csv(Csv),
    /// One JSON value per line.
    Jsonl,
    /// Records of one length, terminators included.
    Fixed {
        /// That length.
        record_bytes: u64,
    },
    /// Parquet: the count stands in its footer, see [`count_parquet`](crate::count_parquet).
    Parquet,
    /// Avro: the counts stand before its blocks, see [`count_avro`](crate::count_avro).
    Avro,
    /// Not counted.
    None,
}

impl Model {
    /// Whether a [`RangeCounter`](crate::RangeCounter) can count it in pieces.
    #[must_use]
    pub const fn is_splittable(&self) -> bool {
        matches!(self, Self::Lines { .. } | Self::Csv(_) | Self::Jsonl | Self::Fixed { .. })
    }

    /// Checks that the options can be meant.
    ///
    /// # Errors
    ///
    /// [`Error::Options`] for bytes that play two roles and records of no length.
    pub fn check(&self) -> Result<(), Error> {
        let wrong = |what: &str| Err(Error::Options(what.to_owned()));
        match self {
            Self::Fixed { record_bytes: 0 } => wrong("record_bytes must be at least 1"),
            Self::Csv(csv) => {
                let roles = [Some(csv.delimiter), csv.quote, csv.escape, Some(b'\n'), Some(b'\r')];
                let mut bytes: Vec<u8> = roles.into_iter().flatten().collect();
                if bytes.iter().any(|byte| !byte.is_ascii()) {
                    return wrong("delimiter, quote and escape must be ASCII");
                }
                let count = bytes.len();
                bytes.sort_unstable();
                bytes.dedup();
                if bytes.len() == count {
                    Ok(())
                } else {
                    wrong("delimiter, quote, escape and line ends must differ from each other")
                }
            }
            _ => Ok(()),
        }
    }

    /// What a partial count remembers of the model, so that parts of two models are never summed.
    pub(crate) fn fingerprint(&self) -> String {
        format!("{self:?}")
    }
}
