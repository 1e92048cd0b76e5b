//! The command people use, and the machine that runs on a laptop in the place of AWS.
//!
//! [`local`] is the whole embedded world: the state machine's engine, an S3 over a folder, secrets
//! from files and the stages' own handlers, called with the same JSON as on Lambda.

pub mod cli;
pub mod demo;
pub mod emr;
pub mod local;
pub mod progress;
pub mod run;
pub mod s3;
pub mod size;
pub mod view;
