//! Why a count was refused, in words for a person and codes for tools.

use std::io;

use domain::Failure;

/// Why there is no count.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file ends inside quotes, so every count would be a guess.
    #[error(
        "The file ends inside a quoted field after {records} records; \
         check records.quote in the profile, or ask the partner to send the file again."
    )]
    UnterminatedQuote {
        /// Records that had ended by then.
        records: u64,
    },
    /// UTF-16 or UTF-32 text, in which no byte means what it means in UTF-8.
    #[error("The file is UTF-16 or UTF-32 text, which is not counted; ask the partner for UTF-8.")]
    Utf16,
    /// Fixed-length records with a remainder.
    #[error(
        "The file has {bytes} bytes, which is no multiple of {record_bytes}; \
         check records.record_bytes in the profile."
    )]
    PartialRecord {
        /// Length of the file.
        bytes: u64,
        /// Length of a record.
        record_bytes: u64,
    },
    /// A container format that contradicts itself.
    #[error("The file is no whole {format} file: {what}.")]
    Corrupt {
        /// `Parquet` or `Avro`.
        format: &'static str,
        /// The contradiction.
        what: String,
    },
    /// The count in the file's own header or trailer is another one.
    #[error("The file declares {declared} records and holds {counted}.")]
    DeclaredMismatch {
        /// As the file says.
        declared: u64,
        /// As counted.
        counted: u64,
    },
    /// The line that should declare the count does not.
    #[error(
        "The file's {place} does not declare a count that matches records.declared in the profile."
    )]
    DeclaredMissing {
        /// `header` or `trailer`.
        place: &'static str,
    },
    /// Options that cannot be meant.
    #[error("The profile's records section is wrong: {0}.")]
    Options(String),
    /// Partial counts that do not belong together.
    #[error("Partial counts do not fit together: {0}.")]
    Mismatch(&'static str),
    /// The source could not be read.
    #[error("The file could not be read while counting its records")]
    Read(#[source] io::Error),
}

impl Error {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::UnterminatedQuote { .. } => "records.unterminated_quote",
            Self::Utf16 => "records.utf16",
            Self::PartialRecord { .. } => "records.partial_record",
            Self::Corrupt { .. } => "records.corrupt",
            Self::DeclaredMismatch { .. } => "records.declared_mismatch",
            Self::DeclaredMissing { .. } => "records.declared_missing",
            Self::Options(_) => "records.options",
            Self::Mismatch(_) => "records.partial_mismatch",
            Self::Read(_) => "records.read",
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (code, message) = (error.code(), error.to_string());
        match error {
            Error::Options(_) => Self::misconfigured(code, message),
            // Parts of one count that do not fit were made from different attempts: count again.
            Error::Mismatch(_) => Self::transient(code, message),
            Error::Read(source) => {
                match source.get_ref().and_then(|inner| inner.downcast_ref::<Self>()) {
                    Some(failure) => failure.clone(),
                    None => Self::transient(code, format!("{message}: {source}.")),
                }
            }
            _ => Self::rejected(code, message),
        }
    }
}
