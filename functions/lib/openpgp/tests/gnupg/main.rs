//! Against GnuPG: it makes the certificates, and it opens what was sealed.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail by panicking")]

mod certificates;
mod sealing;
mod world;
