//! One suite for every source of secrets, and what each source adds.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod folder;
mod manager;
mod responder;
mod suite;
