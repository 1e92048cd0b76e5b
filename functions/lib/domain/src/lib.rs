//! What every stage agrees on: the profile, the items that travel, ids, keys, events and the error
//! classes. Imports nothing of ours and does no I/O.

pub mod events;
mod failure;
pub mod heard;
pub mod ids;
pub mod items;
pub mod keys;
mod midstate;
pub mod names;
pub mod profile;
mod secret;
mod stage;

/// The `tracing` target of events whose numbers are metrics and whose texts are their dimensions.
pub const METRICS: &str = "drayage::metrics";

pub use failure::{ErrorClass, Failure};
pub use midstate::Midstate;
pub use profile::Profile;
pub use secret::{Given, SecretBytes, SecretStore, redact};
pub use stage::{Deadline, Executions, INVOCATION_MAX, Stage, sealable_bytes};
