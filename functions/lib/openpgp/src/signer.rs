//! Our own signing key: optional, checked once, kept in memory only.

use std::fmt;

use jiff::Timestamp;
use sequoia_openpgp as pgp;

use pgp::Cert;
use pgp::crypto::{KeyPair, Password};

use crate::error::{Error, words};
use crate::guard::guarded;
use crate::{parse, policy};

/// A key that may sign sealed files.
#[derive(Clone)]
pub struct Signer {
    cert: Cert,
    pair: KeyPair,
}

impl Signer {
    /// Reads one secret key, binary or armored, and unlocks its signing key.
    ///
    /// # Errors
    ///
    /// [`Error::Signer`] when the file is no secret key, holds several, cannot sign as of `now`, or
    /// when the passphrase is missing or wrong.
    pub fn parse(
        secret_key: &[u8],
        passphrase: Option<&str>,
        now: Timestamp,
    ) -> Result<Self, Error> {
        guarded(|| Self::unlock(secret_key, passphrase, now))
            .unwrap_or_else(|| Err(refuse("the file is damaged beyond reading".to_owned())))
    }

    fn unlock(bytes: &[u8], passphrase: Option<&str>, now: Timestamp) -> Result<Self, Error> {
        let keys = parse::keys(bytes)
            .map_err(|error| refuse(format!("the file is no secret key ({error})")))?;
        let cert = keys.cert;
        let name = cert.fingerprint().to_hex();
        if keys.count > 1 {
            return Err(refuse(format!("the file holds {} keys; keep only {name}", keys.count)));
        }
        if !cert.is_tsk() {
            return Err(refuse(format!("{name} is a public certificate; store the private key")));
        }
        let policy = policy::at(now.into());
        let time: std::time::SystemTime = now.into();
        let valid = cert.with_policy(&policy, time).map_err(|error| {
            refuse(format!("{name} has no valid self-signature ({})", words(&error)))
        })?;
        let key = valid
            .keys()
            .alive()
            .revoked(false)
            .for_signing()
            .supported()
            .secret()
            .next()
            .ok_or_else(|| refuse(format!("{name} has no signing key that is valid today")))?;
        let key = key.key().clone();
        let key = match (key.has_unencrypted_secret(), passphrase) {
            (true, _) => key,
            (false, None) => return Err(refuse(format!("{name} needs a passphrase"))),
            (false, Some(passphrase)) => key
                .decrypt_secret(&Password::from(passphrase))
                .map_err(|_| refuse(format!("the passphrase does not open {name}")))?,
        };
        let pair = key.into_keypair().map_err(|error| refuse(words(&error)))?;
        Ok(Self { cert: cert.strip_secret_key_material(), pair })
    }

    /// The fingerprint of the primary key, upper-case hex without spaces.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.cert.fingerprint().to_hex()
    }

    pub(crate) const fn cert(&self) -> &Cert {
        &self.cert
    }

    pub(crate) fn pair(&self) -> KeyPair {
        self.pair.clone()
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("fingerprint", &self.fingerprint()).finish_non_exhaustive()
    }
}

fn refuse(reason: String) -> Error {
    Error::Signer { reason }
}
