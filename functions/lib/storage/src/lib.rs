//! S3 as the pipeline needs it: small documents with conditional writes, and long streams that
//! survive a dropped connection.
//!
//! This package is the only home of `aws-sdk-s3`. A [`Store`] is one bucket; everything else hangs
//! off it. Synchronous libraries (zip, sequoia) reach the same streams through [`blocking`].

pub mod blocking;
mod checkpoint;
mod checksum;
#[cfg(feature = "conformance")]
pub mod conformance;
mod documents;
mod error;
mod fault;
mod listing;
mod memory;
mod reader;
pub mod runs;
mod store;
mod upload;
mod writer;

pub use checkpoint::{Checkpoint, Tail};
pub use checksum::Crc64;
pub use documents::{Condition, ETag, PutOutcome, Versioned};
pub use error::Error;
pub use fault::{Fault, FaultKind};
pub use listing::{Listed, Pages};
pub use reader::{ByteStreamReader, Range};
pub use store::Store;
pub use upload::{PART_BYTES_FIRST, UploadedPart, part_bytes, part_bytes_of};
pub use writer::{Writer, Written};

/// What every operation of this package returns.
pub type Result<T> = std::result::Result<T, Error>;
