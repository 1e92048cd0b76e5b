//! What partners owe beside their files: that they come in time, and a word that ours arrived.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// How it stands with files that have to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrival {
    /// None have to on that date.
    NotExpected,
    /// They are not there and not yet due.
    Pending,
    /// They were there when they were due.
    OnTime,
    /// They came after they were due.
    Late,
    /// They are due and not there.
    Missing,
}

impl Arrival {
    /// In words, for people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::NotExpected => "not expected",
            Self::Pending => "pending",
            Self::OnTime => "on time",
            Self::Late => "late",
            Self::Missing => "missing",
        }
    }
}

/// The files of one expectation for one date.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// The expectation's pattern.
    pub pattern: String,
    /// The date that they are for, in the expectation's time zone.
    pub date: Date,
    /// By when they have to be there.
    pub due: Timestamp,
    /// How many have to come.
    pub files: u32,
    /// How many came.
    pub found: u32,
    /// When the last of them was written, as the source tells; `None` while some lack.
    pub complete_at: Option<Timestamp>,
    /// How it stands.
    pub state: Arrival,
}

/// A delivered manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveredManifest {
    /// Full path at the target.
    pub remote_path: String,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256, hex.
    pub sha256: String,
    /// When the target says that it was written; `None` when it took the file away at once.
    pub remote_mtime_seconds: Option<i64>,
}

/// Whether the partner said that a run's delivery arrived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// How it stands.
    pub state: Acknowledgement,
    /// Until when the partner has time.
    pub deadline: Timestamp,
    /// How many acknowledgements there have to be.
    pub wanted: u64,
    /// Paths at the target of those that are not there.
    pub missing: Vec<String>,
    /// When the last of them was seen.
    pub complete_at: Option<Timestamp>,
}

/// How it stands with a partner's acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Acknowledgement {
    /// The partner still has time.
    Pending,
    /// It is there.
    Received,
    /// Its time is over.
    Missing,
}
