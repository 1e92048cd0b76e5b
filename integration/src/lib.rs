//! The test world: servers, keys and faults that runs are tried on.
//!
//! Everything is real or as real as one machine allows: OpenSSH's `sshd` on random loopback ports,
//! GnuPG as the partner that opens what was delivered, an HTTP API that keeps what it was told. All
//! keys are made when a test starts; everything lies in a temporary folder and ends with the test.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test world that cannot be built ends the test with a sentence"
)]

mod api;
mod binary;
pub mod chaos;
mod cloud;
mod corpus;
mod faults;
mod gpg;
mod ministack;
mod partner;
mod rie;
mod samples;
mod sshd;
mod wait;
mod world;

pub use api::{Api, Held, Reply, Told};
pub use binary::{Dray, Finished, built, program};
pub use cloud::Cloud;
pub use corpus::{ArchiveRow, CertificateRow, Corpus, MemberRow, RecordsRow, Verdict};
pub use faults::Faults;
pub use gpg::Gpg;
pub use ministack::{Execution, Jobs, MapChild, MiniStack};
pub use partner::{Kind, Partner, Server};
pub use rie::{Rie, Setting};
pub use samples::{Member, Sample, csv, gzip, mixed, tar, zip};
pub use sshd::Sshd;
pub use wait::{servers, wait_until};
pub use world::{World, attempts, states};
