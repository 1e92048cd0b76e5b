//! Where members go: the trait that the caller implements, and what it learns about each member.

use std::io::{self, Write};

use crate::restart::{Kept, Restart};

/// One regular file inside an archive, before its bytes are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Relative path with `/` between its parts; checked, normalised, never empty.
    pub path: String,
    /// The size that the archive claims. Enforced before commit where it is given.
    pub size_hint: Option<u64>,
    /// Position among the archive's regular files, from 0; stable across calls.
    pub index: u32,
}

/// Takes the members. Called from several threads when a zip is unpacked in parallel.
pub trait Sink: Send + Sync {
    /// Whether the entry's bytes are needed; `false` passes over it without reading them.
    ///
    /// # Errors
    ///
    /// Any error ends the unpacking as [`Error::Write`](crate::Error::Write).
    fn wanted(&self, entry: &Entry) -> io::Result<bool>;

    /// Opens the place where the entry's bytes go.
    ///
    /// # Errors
    ///
    /// Any error ends the unpacking as [`Error::Write`](crate::Error::Write).
    fn begin(&self, entry: &Entry) -> io::Result<Box<dyn MemberWriter>>;

    /// Whether to stop before the next member, for instance because a deadline is near.
    fn stop(&self) -> bool {
        false
    }

    /// Whether to stop within a member: asked after every piece that the sink did not have.
    fn pause(&self) -> bool {
        false
    }

    /// Whether this call will have to end before so many bytes of one member are unpacked. They are
    /// then decoded in a slower way that can be entered again where it stops.
    fn takes_longer(&self, bytes: u64) -> bool {
        let _ = bytes;
        false
    }

    /// Whether time is up although nothing was unpacked: all of it went into passing over what the
    /// sink has. The archive is then refused, for the next call would not come further.
    fn exhausted(&self) -> bool {
        false
    }
}

/// Receives one member's bytes. Dropping it without [`commit`](Self::commit) means abort: what was
/// written must never be seen by anyone.
pub trait MemberWriter: Write + Send {
    /// How far an earlier call had come; what is written here goes on behind it.
    fn kept(&self) -> Option<&Kept> {
        None
    }

    /// Stops within the member: what was written is kept for the call that goes on behind it.
    ///
    /// # Errors
    ///
    /// Any error ends the unpacking as [`Error::Write`](crate::Error::Write).
    fn keep(self: Box<Self>, restart: Option<Restart>) -> io::Result<()> {
        let _ = restart;
        Ok(())
    }

    /// The member is whole and verified.
    ///
    /// # Errors
    ///
    /// Any error ends the unpacking as [`Error::Write`](crate::Error::Write).
    fn commit(self: Box<Self>) -> io::Result<()>;
}

/// What one call of [`unpack`](crate::unpack) did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Members committed by this call.
    pub members: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Members that the sink did not want.
    pub skipped: u64,
    /// Something is left: the sink asked to stop.
    pub more: bool,
}
