//! Throw-away key pairs, and opening with them: the partner's side of the demo and of tests.

use std::fmt;
use std::io::{Read, Write};
use std::time::Duration;

use jiff::Timestamp;
use sequoia_openpgp as pgp;

use pgp::Cert;
use pgp::cert::{CertBuilder, CipherSuite};
use pgp::crypto::{Password, SessionKey};
use pgp::packet::{PKESK, SKESK};
use pgp::parse::Parse;
use pgp::parse::stream::{
    DecryptionHelper, DecryptorBuilder, MessageStructure, VerificationHelper,
};
use pgp::policy::StandardPolicy;
use pgp::serialize::SerializeInto;
use pgp::types::{Features, SymmetricAlgorithm};
use pgp::{KeyHandle, Profile, anyhow};

use crate::error::{Error, words};
use crate::streams::{Source, read_some};

/// Which kind of key to make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyKind {
    /// Ed25519 and X25519, version 4: quick to make, opens in GnuPG 2.2.
    #[default]
    Cv25519,
    /// RSA of 2048, 3072 or 4096 bits; slow to make.
    Rsa(u32),
    /// NIST P-256.
    NistP256,
    /// NIST P-384.
    NistP384,
    /// NIST P-521.
    NistP521,
    /// Ed25519 and X25519, version 6 (RFC 9580).
    V6,
}

/// What key to make.
#[derive(Clone, Copy, Debug)]
pub struct GenerateOptions<'a> {
    /// `Acme <files@acme.example>`.
    pub user_id: &'a str,
    /// Algorithm and size.
    pub kind: KeyKind,
    /// When it starts; a minute ago if not given.
    pub created: Option<Timestamp>,
    /// How long it is valid from its start; for ever if not given.
    pub valid_for: Option<Duration>,
    /// How many encryption subkeys.
    pub encryption_subkeys: usize,
    /// Whether a version 4 certificate announces SEIPD version 2.
    pub announces_v2: bool,
    /// Locks the secret key.
    pub passphrase: Option<&'a str>,
}

impl<'a> GenerateOptions<'a> {
    /// A plain Cv25519 key with one encryption subkey that never expires.
    #[must_use]
    pub const fn new(user_id: &'a str) -> Self {
        Self {
            user_id,
            kind: KeyKind::Cv25519,
            created: None,
            valid_for: None,
            encryption_subkeys: 1,
            announces_v2: false,
            passphrase: None,
        }
    }
}

/// A key pair, armored.
#[derive(Clone)]
pub struct Generated {
    /// The certificate, to give away.
    pub public: String,
    /// The secret key, to keep.
    pub secret: String,
    /// Upper-case hex.
    pub fingerprint: String,
}

impl fmt::Debug for Generated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generated").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

/// Makes a key pair that can certify, sign, and be encrypted to.
///
/// # Errors
///
/// [`Error::Generate`] when the kind or size is not supported.
pub fn generate(options: &GenerateOptions<'_>) -> Result<Generated, Error> {
    let make = || -> pgp::Result<Generated> {
        let mut builder = CertBuilder::new()
            .add_userid(options.user_id)
            .set_cipher_suite(suite(options.kind)?)
            .add_signing_subkey();
        if options.kind == KeyKind::V6 {
            builder = builder.set_profile(Profile::RFC9580)?;
        } else if !options.announces_v2 {
            builder = builder.set_features(Features::empty().set_seipdv1())?;
        }
        for _ in 0..options.encryption_subkeys {
            builder = builder.add_transport_encryption_subkey();
        }
        builder = builder
            .set_creation_time(options.created.map(std::time::SystemTime::from))
            .set_validity_period(options.valid_for)
            .set_password(options.passphrase.map(Password::from));
        let (cert, _revocation) = builder.generate()?;
        Ok(Generated {
            public: String::from_utf8(cert.armored().to_vec()?)?,
            secret: String::from_utf8(cert.as_tsk().armored().to_vec()?)?,
            fingerprint: cert.fingerprint().to_hex(),
        })
    };
    make().map_err(|error| Error::Generate { reason: words(&error) })
}

fn suite(kind: KeyKind) -> pgp::Result<CipherSuite> {
    Ok(match kind {
        KeyKind::Cv25519 | KeyKind::V6 => CipherSuite::Cv25519,
        KeyKind::Rsa(2048) => CipherSuite::RSA2k,
        KeyKind::Rsa(3072) => CipherSuite::RSA3k,
        KeyKind::Rsa(4096) => CipherSuite::RSA4k,
        KeyKind::Rsa(bits) => return Err(anyhow::anyhow!("RSA of {bits} bits is not offered")),
        KeyKind::NistP256 => CipherSuite::P256,
        KeyKind::NistP384 => CipherSuite::P384,
        KeyKind::NistP521 => CipherSuite::P521,
    })
}

/// Opens a sealed file with a secret key, as the partner would. Returns the plaintext's length.
///
/// Signatures are not checked: a partner of the demo does not know our key.
///
/// # Errors
///
/// [`Error::Generate`] when the key does not open it or the file is damaged, [`Error::Read`] and
/// [`Error::Write`] for the streams.
pub fn open(
    secret_key: &[u8],
    passphrase: Option<&str>,
    ciphertext: &mut (dyn Read + Send),
    plaintext: &mut dyn Write,
) -> Result<u64, Error> {
    let fail = |error: &anyhow::Error| Error::Generate { reason: words(error) };
    let cert = Cert::from_bytes(secret_key).map_err(|error| fail(&error))?;
    let policy = StandardPolicy::new();
    let holder = KeyHolder { cert, passphrase: passphrase.map(Password::from) };
    let mut source = Source::new(ciphertext, 0);
    let copied = DecryptorBuilder::from_reader(&mut source)
        .and_then(|builder| builder.with_policy(&policy, None, holder))
        .map_err(|error| fail(&error))
        .and_then(|mut decryptor| copy(&mut decryptor, plaintext));
    match source.failure() {
        Some(source) => Err(Error::Read { what: "the ciphertext", source }),
        None => copied,
    }
}

fn copy(decryptor: &mut impl Read, plaintext: &mut dyn Write) -> Result<u64, Error> {
    let mut buffer = vec![0; 64 * 1024];
    let mut total = 0;
    loop {
        let count = read_some(decryptor, &mut buffer)
            .map_err(|error| Error::Generate { reason: error.to_string() })?;
        let data = buffer.get(..count).unwrap_or_default();
        if data.is_empty() {
            return Ok(total);
        }
        plaintext
            .write_all(data)
            .map_err(|source| Error::Write { what: "the plaintext", source })?;
        total += data.len() as u64;
    }
}

/// Someone with a private key.
struct KeyHolder {
    cert: Cert,
    passphrase: Option<Password>,
}

impl VerificationHelper for KeyHolder {
    fn get_certs(&mut self, _ids: &[KeyHandle]) -> pgp::Result<Vec<Cert>> {
        Ok(Vec::new())
    }

    fn check(&mut self, _structure: MessageStructure<'_>) -> pgp::Result<()> {
        Ok(())
    }
}

impl DecryptionHelper for KeyHolder {
    fn decrypt(
        &mut self,
        pkesks: &[PKESK],
        _skesks: &[SKESK],
        cipher: Option<SymmetricAlgorithm>,
        decrypt: &mut dyn FnMut(Option<SymmetricAlgorithm>, &SessionKey) -> bool,
    ) -> pgp::Result<Option<Cert>> {
        for pkesk in pkesks {
            for key in self.cert.keys().secret().key_handles(pkesk.recipient()) {
                let mut key = key.key().clone();
                if let (false, Some(passphrase)) = (key.has_unencrypted_secret(), &self.passphrase)
                {
                    key = key.decrypt_secret(passphrase)?;
                }
                let mut pair = key.into_keypair()?;
                if pkesk
                    .decrypt(&mut pair, cipher)
                    .is_some_and(|(cipher, session_key)| decrypt(cipher, &session_key))
                {
                    return Ok(None);
                }
            }
        }
        Err(anyhow::anyhow!("none of the keys opens it"))
    }
}
