//! The OpenPGP library panics on a few kinds of damaged bytes, a message cut inside its first
//! encrypted block among them. Here a panic of the library is an answer like any other.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs the library on untrusted bytes; `None` when it gave up.
///
/// What `work` borrowed must be dropped or only read after a `None`.
pub(crate) fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}
