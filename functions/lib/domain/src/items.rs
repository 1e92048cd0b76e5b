//! Items: the small JSON documents about files and members that the stages hand on through S3.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::ids::{Name, file_id, member_id};
use crate::names::readable;

/// A source file's identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRef {
    /// Name inside inboxes.
    pub name: Name,
    /// Path relative to the source directory, as [`crate::names`] writes it.
    pub path: String,
    /// Size in bytes when it was discovered.
    pub size_bytes: u64,
    /// Modification time in seconds since 1970 when it was discovered.
    pub mtime_seconds: i64,
}

impl FileRef {
    /// The identity of a listed file.
    #[must_use]
    pub fn new(partner: &str, path: &str, size_bytes: u64, mtime_seconds: i64) -> Self {
        let id = file_id(partner, path, size_bytes, mtime_seconds);
        Self { name: Name::new(size_bytes, &id), path: path.to_owned(), size_bytes, mtime_seconds }
    }
}

/// A source file, with what is known so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileItem {
    /// Which file.
    pub file: FileRef,
    /// Why it is delivered although the ledger has it.
    pub resend: Option<String>,
    /// Filled in by download.
    pub downloaded: Option<Downloaded>,
    /// Filled in by unpack.
    pub expanded: Option<Expanded>,
}

/// What download learned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Downloaded {
    /// Where the bytes are.
    pub key: String,
    /// How many.
    pub bytes: u64,
    /// Their SHA-256, hex.
    pub sha256: String,
}

/// What unpack learned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expanded {
    /// The container: `zip`, `tar.gz`, … or `plain`.
    pub format: String,
    /// Every member's name.
    pub members: Vec<Name>,
}

/// A member, with what is known so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberItem {
    /// Name inside inboxes.
    pub name: Name,
    /// The file that it came in.
    pub file: FileRef,
    /// Why it is delivered although the ledger has it.
    pub resend: Option<String>,
    /// Path inside the archive; of a file that is no archive, its own name.
    pub path: String,
    /// Whether it came out of a container.
    pub from_archive: bool,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256, hex.
    pub sha256: String,
    /// Where the plaintext is.
    pub key: String,
    /// Filled in by inspect or count-large.
    pub count: Option<Counted>,
    /// Filled in by report.
    pub report: Option<Reported>,
    /// Filled in by encrypt.
    pub sealed: Option<Sealed>,
}

impl MemberItem {
    /// The id of a member of that path in that file.
    #[must_use]
    pub fn id_of(file: &FileRef, path: &str) -> String {
        member_id(file.name.id(), path)
    }

    /// `orders.zip!data/a.csv`, or the file's own path when it is no archive.
    #[must_use]
    pub fn label(&self) -> String {
        member_label(&self.file.path, &self.path, self.from_archive)
    }
}

fn member_label(file: &str, member: &str, from_archive: bool) -> String {
    let file = readable(file);
    if from_archive { format!("{file}!{member}") } else { file.into_owned() }
}

/// A record count and how it was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Data records, without header and trailer; `None` when the profile asks for no count.
    pub records: Option<u64>,
    /// The stage that counted.
    pub by: String,
}

/// The third party's knowledge of a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reported {
    /// Sent with every attempt, so that the API tells a repetition from news.
    pub idempotency_key: String,
    /// When the intent was stored.
    pub intended_at: Timestamp,
    /// The API's answer; `None` while it is unknown.
    pub answer: Option<Answer>,
}

/// The API's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The first bytes of the body, for people.
    pub body: String,
    /// When it came.
    pub at: Timestamp,
}

/// A proven ciphertext.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// Where it is.
    pub key: String,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256, hex.
    pub sha256: String,
    /// `.pgp` or `.asc`.
    pub suffix: String,
    /// Fingerprint of the partner's certificate.
    pub certificate: String,
    /// Key ids that can open it.
    pub recipients: Vec<String>,
}

/// How far a delivery was proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verified {
    /// The whole hash of what the server holds was compared.
    ReadBack,
    /// The server's own hash was compared.
    ServerHash,
    /// The size was compared.
    Size,
}

/// The proof of one delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Whose.
    pub partner: String,
    /// In which run.
    pub run: String,
    /// The source file.
    pub file: FileRef,
    /// The member's path.
    pub member: String,
    /// The member's name inside inboxes.
    pub name: Name,
    /// Plaintext size in bytes.
    pub bytes: u64,
    /// Plaintext SHA-256, hex.
    pub sha256: String,
    /// Data records, if counted.
    pub records: Option<u64>,
    /// Full path at the target.
    pub remote_path: String,
    /// Ciphertext size in bytes.
    pub sealed_bytes: u64,
    /// Ciphertext SHA-256, hex.
    pub sealed_sha256: String,
    /// Fingerprint of the certificate that it is sealed to.
    pub certificate: String,
    /// How far the delivery was proven.
    pub verified: Verified,
    /// When the target says that the file was written, in seconds since 1970 by its own clock;
    /// `None` when it took the file away at once.
    #[serde(default)]
    pub remote_mtime_seconds: Option<i64>,
    /// When the upload was claimed.
    pub claimed_at: Timestamp,
    /// When the file had its final name and this was written.
    pub delivered_at: Timestamp,
    /// True when the right bytes were already there, put by an earlier attempt.
    pub adopted: bool,
    /// The reason, when it was sent again on purpose.
    pub resend: Option<String>,
}

/// A member's claim to its name at the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The run that claims.
    pub run: String,
    /// Differs for each invocation that claims.
    pub nonce: String,
    /// When.
    pub at: Timestamp,
    /// Set right before the rename, after the bytes were verified: from then on the file may have
    /// its final name even if nobody heard the server say so.
    pub renaming: bool,
    /// What the receipt would say.
    pub receipt: Receipt,
}

/// The ledger's row for a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerRow {
    /// The latest claim.
    pub claim: Claim,
    /// Claims before the latest that no receipt followed, oldest first: the target may hold the
    /// bytes of any of them.
    pub earlier: Vec<Claim>,
    /// The latest delivery. Only this blocks another one.
    pub delivered: Option<Receipt>,
    /// Deliveries before the latest, oldest first.
    pub history: Vec<Receipt>,
}

/// The ledger's row for a whole file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerFile {
    /// Which file.
    pub file: FileRef,
    /// The run that delivered its last member.
    pub run: String,
    /// How many members it had.
    pub members: u64,
    /// When.
    pub delivered_at: Timestamp,
}

/// A file or member that did not make it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// Name inside inboxes.
    pub name: Name,
    /// The source file.
    pub file: FileRef,
    /// The member's path, when the failure is a member's.
    pub member: Option<String>,
    /// The stage that met the failure.
    pub stage: String,
    /// Why.
    pub failure: Failure,
    /// When.
    pub at: Timestamp,
}

impl Failed {
    /// `orders.zip!data/a.csv`, or the file's own path.
    #[must_use]
    pub fn label(&self) -> String {
        match &self.member {
            Some(member) => member_label(&self.file.path, member, self.file.path != *member),
            None => self.file.path.clone(),
        }
    }
}

/// A partner's lease: who may deliver for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// ARN of the execution that holds it.
    pub execution: String,
    /// Its run id.
    pub run: String,
    /// Differs for each taking.
    pub nonce: String,
    /// When it was taken.
    pub taken_at: Timestamp,
    /// When it was given back; anyone may take it since.
    pub released_at: Option<Timestamp>,
    /// Runs that died while they held it, the last one first: what they left is swept by the holder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taken_from: Vec<String>,
}

/// The order to stop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Halt {
    /// The stage that met the fault.
    pub stage: String,
    /// The fault.
    pub failure: Failure,
    /// When.
    pub at: Timestamp,
}

/// Work for one invocation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parcel {
    /// The items' names.
    pub names: Vec<Name>,
}
