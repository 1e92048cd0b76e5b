//! Against GnuPG: it makes certificates, and it opens what was sealed.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail by panicking")]

mod borders;
mod damage;
mod sealing;
mod world;
