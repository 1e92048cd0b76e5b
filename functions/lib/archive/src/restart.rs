//! Where a member that takes longer than one call was left, and how its decoder enters again.

use serde::{Deserialize, Serialize};

use crate::inflate::Boundary;

/// How far a member had come when an earlier call stopped within it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Bytes of it that the sink has.
    pub bytes: u64,
    /// The place in the archive behind these bytes. Without one the member is decoded from its start
    /// again, and what the sink has is passed over.
    pub restart: Option<Restart>,
}

/// A place in the archive's bytes where a decoder can enter. Good for the same bytes only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// The first byte that was not used.
    pub(crate) source: u64,
    /// CRC-32 of what the checksum of the member, or of the gzip frame, covers so far.
    pub(crate) crc: u32,
    /// Bytes that it covers, modulo 2³².
    pub(crate) covered: u32,
    /// Where in a deflate stream; `None` behind its end, and for bytes that are stored as they are.
    pub(crate) boundary: Option<Boundary>,
}

/// A decoder that may know where it can be entered again.
pub(crate) trait Decode: std::io::Read {
    /// Whether this stands at such a place; `None` if it never will.
    fn stands(&self) -> Option<bool> {
        None
    }
}
