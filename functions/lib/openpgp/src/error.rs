//! What can be wrong with a certificate, a seal or a proof, in words that name the fix.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use domain::Failure;
use jiff::Timestamp;
use sequoia_openpgp::Cert;

/// User ids are written by strangers; longer ones are cut at this many characters.
const USER_ID_MAX_CHARS: usize = 100;

/// Whose certificate a sentence talks about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The fingerprint of the primary key, upper-case hex without spaces.
    pub fingerprint: String,
    /// The primary user id, or the first one, stripped of control characters.
    pub user_id: Option<String>,
}

impl Holder {
    pub(crate) fn of(cert: &Cert, user_id: Option<&[u8]>) -> Self {
        let first = || cert.userids().next().map(|user| user.userid().value());
        let user_id = user_id.or_else(first).map(printable);
        Self { fingerprint: cert.fingerprint().to_hex(), user_id }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "certificate {}", self.fingerprint)?;
        self.user_id.as_ref().map_or(Ok(()), |user_id| write!(f, " ({user_id})"))
    }
}

/// Text from a certificate as it may appear in a log line.
pub(crate) fn printable(text: &[u8]) -> String {
    String::from_utf8_lossy(text)
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .take(USER_ID_MAX_CHARS)
        .collect()
}

/// Why a certificate was refused, a file was not sealed, or a seal was not proven.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are no OpenPGP certificate, or a damaged one.
    #[error(
        "The partner's certificate cannot be read: {reason}. Ask the partner for an OpenPGP public \
         key, binary or armored, and store the whole file."
    )]
    Unreadable {
        /// What was found instead.
        reason: String,
    },
    /// Someone stored a private key where a public certificate belongs.
    #[error(
        "{} is a private key: ask the partner for the public certificate and rotate the key, for \
         its private part has left the partner's hands.",
        sentence_start(holder.as_ref())
    )]
    SecretKey {
        /// Whose key it is, if it could be read.
        holder: Option<Holder>,
    },
    /// More than one certificate in one file: which one to use is not ours to guess.
    #[error(
        "The file holds several certificates ({count}, the first is {first}). Keep only the one \
         to seal for."
    )]
    SeveralCertificates {
        /// How many were found.
        count: usize,
        /// What the first one is.
        first: String,
    },
    /// The certificate, or its last encryption key, has expired.
    #[error(
        "The {part}{holder} expired on {}. The partner must send a new certificate, or the same \
         one with a later expiry date.",
        day(*since)
    )]
    Expired {
        /// Whose certificate.
        holder: Holder,
        /// When it expired.
        since: Timestamp,
        /// `""` for the whole certificate, or words for a subkey.
        part: String,
    },
    /// The certificate, or its last encryption key, was revoked by its owner.
    #[error(
        "The {part}{holder} was revoked{}: {reason}. The partner must send a new certificate.",
        at.map(|at| format!(" on {}", day(at))).unwrap_or_default()
    )]
    Revoked {
        /// Whose certificate.
        holder: Holder,
        /// When, if the revocation says so.
        at: Option<Timestamp>,
        /// The owner's reason.
        reason: String,
        /// `""` for the whole certificate, or words for a subkey.
        part: String,
    },
    /// The certificate, or its first encryption key, starts in the future.
    #[error(
        "The {part}{holder} is not valid before {}. Wait until then, or ask the partner for one \
         that is valid today.",
        day(*from)
    )]
    NotYetValid {
        /// Whose certificate.
        holder: Holder,
        /// When it becomes valid.
        from: Timestamp,
        /// `""` for the whole certificate, or words for a subkey.
        part: String,
    },
    /// Key or self-signature use algorithms that no longer protect anything.
    #[error(
        "The {holder} is too weak: {reason}. The partner must send a certificate with RSA of 2048 \
         bits or more, or with Curve25519 or NIST keys, signed with SHA-256 or better."
    )]
    TooWeak {
        /// Whose certificate.
        holder: Holder,
        /// The weak part.
        reason: String,
    },
    /// A sound algorithm that this build cannot compute.
    #[error(
        "The {holder} uses {reason}, which is not supported here. Ask the partner for a \
         certificate with RSA, Curve25519 or NIST keys."
    )]
    Unsupported {
        /// Whose certificate.
        holder: Holder,
        /// The algorithm or curve.
        reason: String,
    },
    /// The certificate can sign, but nothing can be encrypted to it.
    #[error(
        "The {holder} has no key for encryption. Ask the partner for a certificate with an \
         encryption subkey."
    )]
    NoEncryptionKey {
        /// Whose certificate.
        holder: Holder,
    },
    /// Nobody to seal for.
    #[error("No certificate was given to seal for. Set encryption.certificate in the profile.")]
    NoRecipient,
    /// The profile forces a format that a recipient cannot have.
    #[error("{reason}. Set encryption.format to \"auto\".")]
    Format {
        /// Which format, which recipient.
        reason: String,
    },
    /// Our own signing key cannot sign.
    #[error("The signing key cannot be used: {reason}")]
    Signer {
        /// What is wrong and what to do.
        reason: String,
    },
    /// The library could not seal; not the stream's fault.
    #[error("The file could not be sealed: {reason}.")]
    Seal {
        /// The library's words.
        reason: String,
    },
    /// The plaintext or the stored ciphertext could not be read.
    #[error("Reading {what} failed: {source}.")]
    Read {
        /// `the plaintext` or `the ciphertext`.
        what: &'static str,
        /// The stream's own error.
        #[source]
        source: io::Error,
    },
    /// The ciphertext, or an opened plaintext, could not be written.
    #[error("Writing {what} failed: {source}.")]
    Write {
        /// `the plaintext` or `the ciphertext`.
        what: &'static str,
        /// The stream's own error.
        #[source]
        source: io::Error,
    },
    /// What storage holds is not what was sealed.
    #[error(
        "The stored ciphertext is not the file that was sealed: {reason}. It must be sealed again."
    )]
    ProofFailed {
        /// The first difference found.
        reason: String,
    },
    /// A throw-away key could not be made, or a sealed file could not be opened with one.
    #[cfg(feature = "generate")]
    #[error("The key could not be made or used: {reason}.")]
    Generate {
        /// The library's words.
        reason: String,
    },
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        if let Some(failure) = carried(&error) {
            return failure;
        }
        let message = error.to_string();
        let code = match &error {
            Error::Read { .. } => return Self::transient("openpgp.read", message),
            Error::Write { .. } => return Self::transient("openpgp.write", message),
            Error::Seal { .. } => return Self::transient("openpgp.seal", message),
            Error::ProofFailed { .. } => return Self::transient("openpgp.proof_failed", message),
            Error::Unreadable { .. } => "openpgp.unreadable",
            Error::SecretKey { .. } => "openpgp.secret_key",
            Error::SeveralCertificates { .. } => "openpgp.several_certificates",
            Error::Expired { .. } => "openpgp.expired",
            Error::Revoked { .. } => "openpgp.revoked",
            Error::NotYetValid { .. } => "openpgp.not_yet_valid",
            Error::TooWeak { .. } => "openpgp.too_weak",
            Error::Unsupported { .. } => "openpgp.unsupported",
            Error::NoEncryptionKey { .. } => "openpgp.no_encryption_key",
            Error::NoRecipient => "openpgp.no_recipient",
            Error::Format { .. } => "openpgp.format",
            Error::Signer { .. } => "openpgp.signer",
            #[cfg(feature = "generate")]
            Error::Generate { .. } => "openpgp.generate",
        };
        Self::misconfigured(code, message)
    }
}

/// A failure that a caller's stream wrapped into its `io::Error`.
///
/// `io::Error::source` skips the wrapped error itself, so each link is looked into by hand.
fn carried(error: &(dyn StdError + 'static)) -> Option<Failure> {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return Some(failure.clone());
    }
    let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    match inner {
        Some(inner) => carried(inner),
        None => error.source().and_then(carried),
    }
}

/// A date as people write it, in UTC.
pub(crate) fn day(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d").to_string()
}

/// The library's errors are chains; a sentence wants all links on one line.
pub(crate) fn words(error: &sequoia_openpgp::anyhow::Error) -> String {
    printable_line(&format!("{error:#}"))
}

fn printable_line(text: &str) -> String {
    text.trim_end_matches('.').replace(['\n', '\r'], " ")
}

fn sentence_start(holder: Option<&Holder>) -> String {
    holder.map_or_else(|| "The file".to_owned(), |holder| format!("The file of {holder}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_inside_a_stream_error_comes_back_unchanged() {
        let failure = Failure::throttled("storage.slow_down", "S3 asked to slow down.");
        let inner = io::Error::other(io::Error::other(failure.clone()));
        let error = Error::Read { what: "the plaintext", source: inner };
        assert_eq!(Failure::from(error), failure);
    }

    #[test]
    fn user_ids_cannot_forge_log_lines() {
        assert_eq!(printable(b"a\nb\x1b[0m"), "a\u{fffd}b\u{fffd}[0m");
        assert_eq!(printable(&[b'x'; 500]).len(), USER_ID_MAX_CHARS);
    }
}
