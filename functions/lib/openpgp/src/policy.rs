//! Which algorithms are good enough, and why one key is not.

use std::time::SystemTime;

use jiff::Timestamp;
use sequoia_openpgp as pgp;

use pgp::crypto::mpi::PublicKey;
use pgp::packet::Signature;
use pgp::packet::key::{Key, KeyParts, KeyRole};
use pgp::policy::{AsymmetricAlgorithm, Policy, StandardPolicy};
use pgp::types::{HashAlgorithm, RevocationStatus};

/// What a certificate is judged by, as of one moment.
pub(crate) struct Rules {
    pub(crate) now: SystemTime,
    pub(crate) policy: StandardPolicy<'static>,
    for_revocations: StandardPolicy<'static>,
}

impl Rules {
    pub(crate) fn at(now: SystemTime) -> Self {
        let mut for_revocations = at(now);
        // Ignoring a revocation leaks a file; believing one too readily only stops it.
        for hash in [HashAlgorithm::MD5, HashAlgorithm::RipeMD, HashAlgorithm::SHA1] {
            for_revocations.accept_hash(hash);
        }
        Self { now, policy: at(now), for_revocations }
    }

    /// The revocations of a part of the certificate, whatever hash signed them.
    pub(crate) fn revocations<'a>(
        &self,
        status: impl Fn(&dyn Policy, SystemTime) -> RevocationStatus<'a>,
    ) -> Option<Vec<&'a Signature>> {
        // Both, for a weak self-signature must not outdo a sound revocation.
        [&self.policy, &self.for_revocations].into_iter().find_map(|policy| {
            match status(policy, self.now) {
                RevocationStatus::Revoked(signatures) => Some(signatures),
                _ => None,
            }
        })
    }
}

/// Sequoia's policy as of `now`, and no DSA or ElGamal at any size.
///
/// RSA below 2048 bits, SHA-1 and MD5 self-signatures are refused by the standard policy already.
pub(crate) fn at(now: SystemTime) -> StandardPolicy<'static> {
    let mut policy = StandardPolicy::at(now);
    for algorithm in [
        AsymmetricAlgorithm::RSA1024,
        AsymmetricAlgorithm::DSA1024,
        AsymmetricAlgorithm::DSA2048,
        AsymmetricAlgorithm::DSA3072,
        AsymmetricAlgorithm::DSA4096,
        AsymmetricAlgorithm::ElGamal1024,
        AsymmetricAlgorithm::ElGamal2048,
        AsymmetricAlgorithm::ElGamal3072,
        AsymmetricAlgorithm::ElGamal4096,
    ] {
        policy.reject_asymmetric_algo(algorithm);
    }
    policy
}

/// Whether the crypto backend can compute with this key, curve included.
pub(crate) fn is_supported<P: KeyParts, R: KeyRole>(key: &Key<P, R>) -> bool {
    let curve_known = match key.mpis() {
        PublicKey::EdDSA { curve, .. }
        | PublicKey::ECDSA { curve, .. }
        | PublicKey::ECDH { curve, .. } => curve.is_supported(),
        _ => true,
    };
    key.pk_algo().is_supported() && curve_known
}

/// Whether this key is too weak by its kind and size alone, whatever signed it.
#[expect(deprecated, reason = "old algorithms must be named to be refused")]
pub(crate) fn is_weak<P: KeyParts, R: KeyRole>(key: &Key<P, R>) -> bool {
    use pgp::types::PublicKeyAlgorithm as Algorithm;
    match key.pk_algo() {
        Algorithm::DSA | Algorithm::ElGamalEncrypt | Algorithm::ElGamalEncryptSign => true,
        Algorithm::RSAEncryptSign | Algorithm::RSAEncrypt | Algorithm::RSASign => {
            key.mpis().bits().is_none_or(|bits| bits < 2048)
        }
        _ => false,
    }
}

/// A key's algorithm with its size or curve, as people name it: `RSA-2048`, `ECDH NIST P-256`.
pub(crate) fn algorithm<P: KeyParts, R: KeyRole>(key: &Key<P, R>) -> String {
    match key.mpis() {
        PublicKey::EdDSA { curve, .. }
        | PublicKey::ECDSA { curve, .. }
        | PublicKey::ECDH { curve, .. } => format!("{} {curve}", short_name(key)),
        PublicKey::RSA { .. } | PublicKey::DSA { .. } | PublicKey::ElGamal { .. } => {
            format!("{}-{}", short_name(key), key.mpis().bits().unwrap_or(0))
        }
        _ => key.pk_algo().to_string(),
    }
}

fn short_name<P: KeyParts, R: KeyRole>(key: &Key<P, R>) -> &'static str {
    match key.mpis() {
        PublicKey::RSA { .. } => "RSA",
        PublicKey::DSA { .. } => "DSA",
        PublicKey::ElGamal { .. } => "ElGamal",
        PublicKey::EdDSA { .. } => "EdDSA",
        PublicKey::ECDSA { .. } => "ECDSA",
        _ => "ECDH",
    }
}

/// OpenPGP times are whole seconds since 1970 and always fit.
pub(crate) fn timestamp(time: SystemTime) -> Timestamp {
    Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH)
}
