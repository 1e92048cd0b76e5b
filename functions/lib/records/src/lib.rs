//! Counts records: exactly, in any number of pieces, at the speed of memory.
//!
//! A byte range is counted without knowing its neighbours: for each state that the bytes before it
//! could have left behind (inside quotes, after a CR, …) a [`Partial`] holds the records that end in
//! the range and the state at its end. Combining partials is associative, so threads of a Lambda and
//! executors of a Spark job give the same number as one pass over the file.
//!
//! # Rules
//!
//! - A record ends at its terminator; what stands after the last terminator is a record too.
//! - `lines`: every line counts, blank ones included.
//! - `csv`: a line without a single byte is not a record; a terminator inside quotes ends nothing; a
//!   quote opens only at the start of a field, `""` inside quotes is one quote, and a quote anywhere
//!   else is a letter. Text after a closing quote belongs to the field, as in Python's `csv`.
//! - `jsonl`: a line of blanks, tabs and CRs is not a record; only LF ends a line.
//! - `fixed`: every `record_bytes` bytes are a record; a remainder is refused.
//! - Terminators of `lines` and `csv`: `Auto` takes LF, CRLF and a lone CR, each as one end of line;
//!   the others take exactly what they name and leave the rest as data.
//! - A UTF-8 byte order mark at the start is no content.
//! - Text models refuse UTF-16 and UTF-32: by a byte order mark, or when the first 256 bytes hold a NUL,
//!   read as such text from first to last, and either half of their units are of alphabetic scripts or
//!   the bytes are no UTF-8 either. NULs in any other place are letters.
//! - Any other bytes are counted as they stand, a gzip or PDF file too: what a file is, is decided
//!   where it is unpacked, not here.
//! - Headers and trailers are subtracted; more of them than records leave 0. A file without bytes has
//!   0 records, which is a result.

mod avro;
mod csv;
mod declared;
mod error;
mod jsonl;
mod lines;
mod model;
mod parquet;
mod partial;
mod profile;
mod range;
mod simd;
mod source;
mod state;
mod wide;

pub use avro::count_avro;
pub use declared::{Declared, Place};
pub use error::Error;
pub use model::{Csv, Model, Terminator};
pub use parquet::count_parquet;
pub use partial::{Count, Partial};
pub use range::RangeCounter;
pub use simd::Level;
pub use source::Source;
pub use state::State;
