//! What is offered to a server for key exchange, host keys, ciphers and integrity, best first.
//!
//! The default is what OpenSSH's client offers today (`myproposal.h` of its version 10), as far as
//! `russh` has it, without the SHA-1 MACs that OpenSSH still carries.

use std::borrow::Cow;

use domain::profile::Algorithms;
use russh::keys::ssh_encoding::Decode;
use russh::keys::{Algorithm, EcdsaCurve, HashAlg};
use russh::{Preferred, cipher, compression, kex, mac};

const KEX: [kex::Name; 10] = [
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::ECDH_SHA2_NISTP256,
    kex::ECDH_SHA2_NISTP384,
    kex::ECDH_SHA2_NISTP521,
    kex::DH_GEX_SHA256,
    kex::DH_G16_SHA512,
    kex::DH_G18_SHA512,
    kex::DH_G14_SHA256,
];
const LEGACY_KEX: [kex::Name; 3] = [kex::DH_G14_SHA1, kex::DH_GEX_SHA1, kex::DH_G1_SHA1];
/// No algorithms: what both sides can do beyond the RFCs.
const KEX_EXTENSIONS: [kex::Name; 2] =
    [kex::EXTENSION_SUPPORT_AS_CLIENT, kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT];

const HOST_KEYS: [Algorithm; 6] = [
    Algorithm::Ed25519,
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
    Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
    Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
];
/// RSA with SHA-1, `ssh-rsa`.
const LEGACY_HOST_KEYS: [Algorithm; 1] = [Algorithm::Rsa { hash: None }];

const CIPHERS: [cipher::Name; 6] = [
    cipher::AES_256_GCM,
    cipher::CHACHA20_POLY1305,
    cipher::AES_128_GCM,
    cipher::AES_256_CTR,
    cipher::AES_192_CTR,
    cipher::AES_128_CTR,
];
const LEGACY_CIPHERS: [cipher::Name; 3] =
    [cipher::AES_256_CBC, cipher::AES_192_CBC, cipher::AES_128_CBC];

const MACS: [mac::Name; 4] =
    [mac::HMAC_SHA512_ETM, mac::HMAC_SHA256_ETM, mac::HMAC_SHA512, mac::HMAC_SHA256];
const LEGACY_MACS: [mac::Name; 2] = [mac::HMAC_SHA1_ETM, mac::HMAC_SHA1];

/// The kinds of host key that a server may prove itself with.
pub(crate) fn host_keys(algorithms: Algorithms) -> Vec<Algorithm> {
    list(algorithms, &HOST_KEYS, &LEGACY_HOST_KEYS)
}

/// The hashes that an RSA key of ours signs with; none means SHA-1.
pub(crate) fn rsa_hashes(algorithms: Algorithms) -> Vec<Option<HashAlg>> {
    list(algorithms, &[Some(HashAlg::Sha512), Some(HashAlg::Sha256)], &[None])
}

/// Everything that is offered, with these kinds of host key.
pub(crate) fn offer(algorithms: Algorithms, host_keys: &[Algorithm]) -> Preferred {
    let mut kex = list(algorithms, &KEX, &LEGACY_KEX);
    kex.extend(KEX_EXTENSIONS);
    Preferred {
        kex: Cow::Owned(kex),
        key: Cow::Owned(host_keys.to_vec()),
        host_key_certificates: Cow::Borrowed(&[]),
        cipher: Cow::Owned(list(algorithms, &CIPHERS, &LEGACY_CIPHERS)),
        mac: Cow::Owned(list(algorithms, &MACS, &LEGACY_MACS)),
        compression: Cow::Borrowed(&[compression::NONE]),
    }
}

/// Whether the profile's `legacy` would add this name.
pub(crate) fn is_legacy(name: &str) -> bool {
    LEGACY_KEX.iter().any(|one| one.as_ref() == name)
        || LEGACY_HOST_KEYS.iter().any(|one| one.as_str() == name)
        || LEGACY_CIPHERS.iter().any(|one| one.as_ref() == name)
        || LEGACY_MACS.iter().any(|one| one.as_ref() == name)
}

/// The algorithm of a signature as SSH packs it: its name first.
pub(crate) fn signed_with(signature: &[u8]) -> Option<String> {
    let mut rest = signature;
    String::decode(&mut rest).ok()
}

fn list<T: Clone>(algorithms: Algorithms, safe: &[T], legacy: &[T]) -> Vec<T> {
    match algorithms {
        Algorithms::Default => safe.to_vec(),
        Algorithms::Legacy => [safe, legacy].concat(),
    }
}
