//! Makes key pairs for the demo and for tests.

use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, PrivateKey};

use crate::endpoint::Secret;

/// A key pair could not be made.
#[derive(Debug, thiserror::Error)]
#[error("no key pair was made: {0}")]
pub struct KeyError(String);

pub(crate) fn new_ed25519() -> Result<PrivateKey, KeyError> {
    PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519)
        .map_err(|error| KeyError(error.to_string()))
}

/// A new ed25519 key pair: the private key as OpenSSH text, and the public key as one line for
/// `authorized_keys`.
///
/// # Errors
/// When the system gives no randomness.
pub fn generate_ed25519() -> Result<(Secret, String), KeyError> {
    let key = new_ed25519()?;
    let text = |error: russh::keys::ssh_key::Error| KeyError(error.to_string());
    let private = key.to_openssh(LineEnding::LF).map_err(text)?;
    let public = key.public_key().to_openssh().map_err(text)?;
    Ok((Secret::from(private.as_str()), public))
}
