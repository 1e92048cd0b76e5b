//! Bringing the ciphertext to the target and proving that it arrived, over as many invocations as it
//! takes.

use domain::items::{Sealed, Verified};
use domain::profile::{Rename, Target, Verify};
use domain::{Deadline, Failure, Midstate};
use serde::{Deserialize, Serialize};
use sftp::{Session, WriteMode};
use sha2::{Digest, Sha256};
use storage::Range;
use storage::runs::Run;

use crate::verify::{Check, Expected, MISMATCH, ReadBack, verify_written};

/// Ciphertexts from here on are hashed while they are sent, whoever verifies them later: reading one
/// from the bucket a second time could take longer than an invocation. Below, it is speed alone.
const LARGE_BYTES: u64 = 4 << 30;

/// Where an earlier invocation stopped. It belongs to one claim, and so to one temporary file.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// The claim's nonce.
    pub(crate) nonce: String,
    /// Bytes that the server has acknowledged.
    pub(crate) sent: u64,
    /// SHA-256 of them, where it is taken.
    sha256: Option<Midstate>,
    /// What was read back of them.
    read_back: ReadBack,
}

impl Progress {
    /// Nothing was sent so far.
    pub(crate) fn begin(nonce: &str) -> Self {
        Self { nonce: nonce.to_owned(), ..Self::default() }
    }
}

/// One ciphertext on its way.
pub(crate) struct Transfer<'a> {
    pub(crate) run: &'a Run,
    pub(crate) session: &'a Session,
    pub(crate) target: &'a Target,
    pub(crate) sealed: &'a Sealed,
    /// Where it is written.
    pub(crate) path: &'a str,
    pub(crate) deadline: Deadline,
}

impl Transfer<'_> {
    /// Sends the ciphertext and verifies what arrived; `None` when the deadline came first, and
    /// `progress` tells from where to go on.
    ///
    /// A hash of the target proves what was sent as well, so the bytes are hashed on this side only
    /// where nobody asks for one, or where it was not to be had.
    pub(crate) async fn send(&self, progress: &mut Progress) -> Result<Option<Verified>, Failure> {
        let Self { session, target, sealed, path, .. } = self;
        if !self.copy(progress).await? {
            return Ok(None);
        }
        let sent = progress.sha256.as_ref().and_then(Midstate::hash);
        let hashed = sent.map(|hash| refuse_changed(sealed, hash)).transpose()?.is_some();
        let expected = Expected { bytes: sealed.bytes, sha256: &sealed.sha256 };
        let check = Check { session, path, expected: &expected, deadline: self.deadline };
        let verified = verify_written(&check, target, &mut progress.read_back).await;
        let in_doubt = match &verified {
            Ok(level) => *level == Some(Verified::Size),
            Err(failure) => failure.code == MISMATCH,
        };
        // What was hashed on its way, or proven, would only take time a second time.
        if in_doubt && !hashed {
            refuse_changed(sealed, self.stored().await?)?;
        }
        verified
    }

    /// Sends what is left; `false` when the deadline came first.
    ///
    /// Without a temporary name a file is never left in the middle: some servers take it for whole
    /// the moment it is closed.
    async fn copy(&self, progress: &mut Progress) -> Result<bool, Failure> {
        let Self { session, sealed, path, .. } = self;
        // A ciphertext is never empty.
        if progress.sent == sealed.bytes {
            return Ok(true);
        }
        let direct = self.target.rename == Rename::Direct;
        let deadline = if direct { Deadline::NONE } else { self.deadline };
        let mode = match progress.sent {
            0 => WriteMode::Truncate,
            sent => WriteMode::ResumeAt(sent),
        };
        let mut hash = self.hash(progress);
        let mut reader = self.run.store().reader(&sealed.key, Range::from(progress.sent)).await?;
        let mut writer = session.writer(path, mode).await?;
        let mut sent = progress.sent;
        let mut ended = true;
        while let Some(chunk) = reader.next().await? {
            if let Some(hash) = &mut hash {
                hash.update(&chunk);
            }
            sent += chunk.len() as u64;
            writer.write(chunk).await?;
            if sent < sealed.bytes && deadline.is_near() {
                ended = false;
                break;
            }
        }
        writer.finish().await?;
        progress.sent = sent;
        progress.sha256 = hash.as_ref().map(Midstate::of);
        Ok(ended)
    }

    /// The hash of what was sent so far, where one is taken.
    fn hash(&self, progress: &Progress) -> Option<Sha256> {
        if progress.sent > 0 {
            return progress.sha256.as_ref().and_then(Midstate::hash);
        }
        let taken = self.target.verify == Verify::Size || self.sealed.bytes >= LARGE_BYTES;
        taken.then(Sha256::new)
    }

    /// The hash of what the bucket holds.
    async fn stored(&self) -> Result<Sha256, Failure> {
        let mut reader = self.run.store().reader(&self.sealed.key, Range::ALL).await?;
        let mut hash = Sha256::new();
        while let Some(chunk) = reader.next().await? {
            hash.update(&chunk);
        }
        Ok(hash)
    }
}

pub(crate) const CIPHERTEXT_CHANGED: &str = "upload.ciphertext_changed";

/// Only the ciphertext that was proven may be delivered.
fn refuse_changed(sealed: &Sealed, found: Sha256) -> Result<(), Failure> {
    if hex::encode(found.finalize()) == sealed.sha256 {
        return Ok(());
    }
    Err(Failure::transient(
        CIPHERTEXT_CHANGED,
        format!("{} is not the ciphertext that was proven; it was not delivered.", sealed.key),
    ))
}
