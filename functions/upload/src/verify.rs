//! Proving that the target holds what was sent, as far as the server lets anybody see.

use domain::items::Verified;
use domain::profile::{Rename, Target, Verify};
use domain::{ErrorClass, Failure};
use sftp::Session;

/// What the target has to hold.
pub(crate) struct Expected<'a> {
    pub(crate) bytes: u64,
    /// Hex.
    pub(crate) sha256: &'a str,
}

/// Verifies what was just written. A server that takes a file away the moment it is closed leaves
/// nothing to verify where no temporary name is used.
pub(crate) async fn verify_written(
    session: &Session,
    target: &Target,
    path: &str,
    expected: &Expected<'_>,
) -> Result<Verified, Failure> {
    if target.rename == Rename::Direct && session.stat(path).await?.is_none() {
        return Ok(Verified::Size);
    }
    verify_path(session, target.verify, path, expected).await
}

/// Verifies what a path holds. `auto` takes the strongest that the server allows: reading back, then
/// the server's own hash, then the size. `server_hash` reads back where the server has no hash to
/// rely on, which proves more.
pub(crate) async fn verify_path(
    session: &Session,
    level: Verify,
    path: &str,
    expected: &Expected<'_>,
) -> Result<Verified, Failure> {
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
        return Ok(Verified::Size);
    }
    if level == Verify::ServerHash
        && let Some(verified) = server_hash(session, path, expected).await?
    {
        return Ok(verified);
    }
    match session.hash(path).await {
        Ok(hash) if hex::encode(hash) == expected.sha256 => Ok(Verified::ReadBack),
        Ok(_) => Err(mismatch(path, "its SHA-256 differs")),
        Err(error) => {
            let failure = lost_source(error.into());
            let drop_box = failure.code == "sftp.permission_denied" && level == Verify::Auto;
            if !drop_box {
                return Err(failure);
            }
            // A drop box forbids reading, and may all the same tell what it holds.
            let verified = server_hash(session, path, expected).await?;
            Ok(verified.unwrap_or(Verified::Size))
        }
    }
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
