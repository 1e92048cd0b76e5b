//! Proving that the target holds what was sent, as far as the server lets anybody see.

use domain::items::Verified;
use domain::profile::{Rename, Target, Verify};
use domain::{Deadline, ErrorClass, Failure, Midstate};
use serde::{Deserialize, Serialize};
use sftp::Session;
use sha2::{Digest, Sha256};

/// What the target has to hold.
pub(crate) struct Expected<'a> {
    pub(crate) bytes: u64,
    /// Hex.
    pub(crate) sha256: &'a str,
}

/// A path at the target and what it has to hold.
pub(crate) struct Check<'a> {
    pub(crate) session: &'a Session,
    pub(crate) path: &'a str,
    pub(crate) expected: &'a Expected<'a>,
    /// When reading back has to be left to the next invocation.
    pub(crate) deadline: Deadline,
}

/// How far a file was read back.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct ReadBack {
    bytes: u64,
    /// SHA-256 of that much.
    sha256: Option<Midstate>,
}

/// Verifies what was just written; `None` when the deadline came first. A server that takes a file
/// away the moment it is closed leaves nothing to verify where no temporary name is used.
pub(crate) async fn verify_written(
    check: &Check<'_>,
    target: &Target,
    back: &mut ReadBack,
) -> Result<Option<Verified>, Failure> {
    if target.rename == Rename::Direct && check.session.stat(check.path).await?.is_none() {
        return Ok(Some(Verified::Size));
    }
    verify_path(check, target.verify, back).await
}

/// Verifies what a path holds; `None` when the deadline came first, and `back` tells how far it was
/// read. `auto` takes the strongest that the server allows: reading back, then the server's own hash,
/// then the size. `server_hash` reads back where the server has no hash to rely on, which proves more.
pub(crate) async fn verify_path(
    check: &Check<'_>,
    level: Verify,
    back: &mut ReadBack,
) -> Result<Option<Verified>, Failure> {
    let Check { session, path, expected, .. } = check;
    match session.stat(path).await? {
        None => return Err(mismatch(path, "it is not there")),
        Some(found) if found.size != expected.bytes => {
            return Err(mismatch(
                path,
                &format!("it has {} bytes instead of {}", found.size, expected.bytes),
            ));
        }
        Some(_) => {}
    }
    if level == Verify::Size {
        return Ok(Some(Verified::Size));
    }
    if level == Verify::ServerHash
        && let Some(verified) = server_hash(session, path, expected).await?
    {
        return Ok(Some(verified));
    }
    match read_back(check, back).await {
        Ok(None) => Ok(None),
        Ok(Some(hash)) if hash == expected.sha256 => Ok(Some(Verified::ReadBack)),
        Ok(Some(_)) => Err(mismatch(path, "its SHA-256 differs")),
        Err(error) => {
            let failure = lost_source(error.into());
            let drop_box = failure.code == "sftp.permission_denied" && level == Verify::Auto;
            if !drop_box {
                return Err(failure);
            }
            // A drop box forbids reading, and may all the same tell what it holds.
            let verified = server_hash(session, path, expected).await?;
            Ok(Some(verified.unwrap_or(Verified::Size)))
        }
    }
}

/// Reads on, to the end or until the deadline is near; gives the SHA-256 in hex at the end.
async fn read_back(check: &Check<'_>, back: &mut ReadBack) -> Result<Option<String>, sftp::Error> {
    let kept = back.sha256.as_ref().and_then(Midstate::hash);
    let (mut bytes, mut hash) = kept.map_or_else(|| (0, Sha256::new()), |hash| (back.bytes, hash));
    let mut reader = check.session.reader(check.path, bytes).await?;
    while let Some(chunk) = reader.next().await? {
        bytes += chunk.len() as u64;
        hash.update(&chunk);
        if bytes < check.expected.bytes && check.deadline.is_near() {
            *back = ReadBack { bytes, sha256: Some(Midstate::of(&hash)) };
            return Ok(None);
        }
    }
    Ok(Some(hex::encode(hash.finalize())))
}

/// Compares the server's own hash, if it has one.
async fn server_hash(
    session: &Session,
    path: &str,
    expected: &Expected<'_>,
) -> Result<Option<Verified>, Failure> {
    let found = session.server_hash(path, expected.bytes).await;
    match found.map_err(|error| lost_source(error.into()))? {
        None => Ok(None),
        Some(hash) if hex::encode(hash) == expected.sha256 => Ok(Some(Verified::ServerHash)),
        Some(_) => Err(mismatch(path, "the SHA-256 that the server tells differs")),
    }
}

/// A temporary file that vanished is no change of the partner's source: it is sent again.
pub(crate) fn lost_source(failure: Failure) -> Failure {
    if failure.class == ErrorClass::SourceChanged {
        return Failure { class: ErrorClass::Transient, ..failure };
    }
    failure
}

pub(crate) const MISMATCH: &str = "upload.mismatch";

pub(crate) fn mismatch(path: &str, how: &str) -> Failure {
    Failure::transient(
        MISMATCH,
        format!("{path} on the target is not what was sent: {how}. It is sent again."),
    )
}

#[cfg(test)]
mod tests;
