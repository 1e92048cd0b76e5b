//! The recipient policy: which certificates may be sealed for, and to which of their keys.

use std::time::SystemTime;

use jiff::{SignedDuration, Timestamp};
use sequoia_openpgp as pgp;

use pgp::Cert;
use pgp::cert::amalgamation::key::{ErasedKeyAmalgamation, ValidErasedKeyAmalgamation};
use pgp::cert::prelude::*;
use pgp::packet::Signature;
use pgp::packet::key::{Key, PublicParts, UnspecifiedRole};
use pgp::policy::Policy;
use pgp::types::RevocationStatus;

use crate::error::{Error, Holder, day, printable, words};
use crate::guard::guarded;
use crate::parse::public_certificate;
use crate::policy::{self, algorithm, is_supported, is_weak, timestamp};

/// How many days before the end a certificate starts to be talked about.
pub const WARN_BEFORE_EXPIRY_DAYS: i64 = 30;

/// A certificate that passed the policy, and the keys of it that files are sealed to.
#[derive(Clone, Debug)]
pub struct Recipient {
    holder: Holder,
    chosen: Vec<Chosen>,
    expires: Option<Timestamp>,
    announces_v2: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Chosen {
    pub(crate) key: Key<PublicParts, UnspecifiedRole>,
    expires: Option<Timestamp>,
}

/// One key that files are sealed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subkey {
    /// Upper-case hex without spaces.
    pub fingerprint: String,
    /// The key id that a version 4 message names, upper-case hex.
    pub key_id: String,
    /// `RSA-3072`, `ECDH Curve25519`.
    pub algorithm: String,
    /// When this key stops, if ever.
    pub expires: Option<Timestamp>,
}

/// Something that works today and will not for long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Stable: `openpgp.expires_soon`.
    pub code: &'static str,
    /// A whole sentence with the date and the fix.
    pub message: String,
    /// Whole days that are left.
    pub days_left: i64,
}

impl Recipient {
    /// Reads one certificate, binary or armored, and applies the policy as of `now`.
    ///
    /// # Errors
    ///
    /// Every way a certificate can be unfit: see [`Error`]; all of them are `Misconfigured`.
    pub fn parse(certificate: &[u8], now: Timestamp) -> Result<Self, Error> {
        guarded(|| judge(&public_certificate(certificate)?, now.into())).unwrap_or_else(|| {
            Err(Error::Unreadable { reason: "it is damaged beyond reading".to_owned() })
        })
    }

    /// The fingerprint of the primary key, upper-case hex without spaces.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.holder.fingerprint
    }

    /// The primary user id, if the certificate has any.
    #[must_use]
    pub fn user_id(&self) -> Option<&str> {
        self.holder.user_id.as_deref()
    }

    /// The keys that files are sealed to, in the library's canonical order.
    #[must_use]
    pub fn subkeys(&self) -> Vec<Subkey> {
        self.chosen
            .iter()
            .map(|Chosen { key, expires }| Subkey {
                fingerprint: key.fingerprint().to_hex(),
                key_id: key.keyid().to_hex(),
                algorithm: algorithm(key),
                expires: *expires,
            })
            .collect()
    }

    /// When sealing for this certificate stops being possible, if ever.
    #[must_use]
    pub const fn expires(&self) -> Option<Timestamp> {
        self.expires
    }

    /// What people should hear while everything still works: expiry within 30 days.
    #[must_use]
    pub fn warnings(&self, now: Timestamp) -> Vec<Warning> {
        let soon = SignedDuration::from_hours(24 * WARN_BEFORE_EXPIRY_DAYS);
        let Some(expires) = self.expires else { return Vec::new() };
        let left = expires.duration_since(now);
        if left > soon {
            return Vec::new();
        }
        let days_left = left.as_hours() / 24;
        let message = format!(
            "The {} expires on {}, in {days_left} days. Ask the partner for a new certificate, or \
             for the same one with a later expiry date.",
            self.holder,
            day(expires),
        );
        vec![Warning { code: "openpgp.expires_soon", message, days_left }]
    }

    pub(crate) const fn holder(&self) -> &Holder {
        &self.holder
    }

    pub(crate) fn chosen(&self) -> &[Chosen] {
        &self.chosen
    }

    /// Whether the certificate says that its owner can read SEIPD version 2.
    pub(crate) const fn announces_v2(&self) -> bool {
        self.announces_v2
    }

    /// Whether one of the keys can only be reached by SEIPD version 2.
    pub(crate) fn requires_v2(&self) -> bool {
        self.chosen.iter().any(|chosen| chosen.key.version() >= 6)
    }
}

fn judge(cert: &Cert, now: SystemTime) -> Result<Recipient, Error> {
    let policy = policy::at(now);
    let holder = Holder::of(cert, None);
    primary_is_usable(cert, &holder, &policy, now)?;
    let valid = cert
        .with_policy(&policy, now)
        .map_err(|error| no_binding(cert, holder.clone(), &error, now))?;
    let primary_user = valid.primary_userid().ok();
    let holder = Holder::of(cert, primary_user.as_ref().map(|user| user.userid().value()));
    alive(valid.alive(), &holder, "", valid.primary_key().key_expiration_time())?;
    users_not_all_revoked(cert, &holder, &policy, now)?;

    let chosen: Vec<Chosen> = valid
        .keys()
        .alive()
        .revoked(false)
        .for_transport_encryption()
        .for_storage_encryption()
        .filter(|key| is_supported(key.key()) && !is_weak(key.key()))
        .map(|key| Chosen {
            key: key.key().clone(),
            expires: key.key_expiration_time().map(timestamp),
        })
        .collect();
    if chosen.is_empty() {
        return Err(why_no_key(cert, holder, &policy, now));
    }
    // A key without an end outlives all others; the certificate itself ends them all.
    let keys_end = chosen.iter().map(|chosen| chosen.expires).collect::<Option<Vec<_>>>();
    let keys_end = keys_end.and_then(|ends| ends.into_iter().max());
    let own_end = valid.primary_key().key_expiration_time().map(timestamp);
    let expires = own_end.into_iter().chain(keys_end).min();
    let announces_v2 = valid.features().is_some_and(|features| features.supports_seipdv2());
    Ok(Recipient { holder, chosen, expires, announces_v2 })
}

/// What the primary key alone tells, before any signature is believed.
fn primary_is_usable(
    cert: &Cert,
    holder: &Holder,
    policy: &dyn Policy,
    now: SystemTime,
) -> Result<(), Error> {
    let key = cert.primary_key().key();
    if is_weak(key) {
        let reason = format!("its primary key is {}", algorithm(key));
        return Err(Error::TooWeak { holder: holder.clone(), reason });
    }
    if !is_supported(key) {
        let reason = format!("a primary key of {}", algorithm(key));
        return Err(Error::Unsupported { holder: holder.clone(), reason });
    }
    if let RevocationStatus::Revoked(signatures) = cert.revocation_status(policy, now) {
        return Err(revoked(holder.clone(), &signatures, String::new()));
    }
    if key.creation_time() > now {
        let from = timestamp(key.creation_time());
        return Err(Error::NotYetValid { holder: holder.clone(), from, part: String::new() });
    }
    Ok(())
}

/// No self-signature that holds at `now`: weak, from the future, or missing.
fn no_binding(cert: &Cert, holder: Holder, error: &pgp::anyhow::Error, now: SystemTime) -> Error {
    let reason = words(error);
    if violates_policy(error) {
        return Error::TooWeak { holder, reason: format!("its self-signature fails ({reason})") };
    }
    let users = cert.userids().flat_map(|user| user.self_signatures().collect::<Vec<_>>());
    let starts = cert
        .primary_key()
        .self_signatures()
        .chain(users)
        .filter_map(|signature| signature.signature_creation_time());
    match starts.min() {
        Some(first) if first > now => {
            Error::NotYetValid { holder, from: timestamp(first), part: String::new() }
        }
        _ => Error::Unreadable {
            reason: format!("the {holder} carries no valid self-signature ({reason})"),
        },
    }
}

fn violates_policy(error: &pgp::anyhow::Error) -> bool {
    error.chain().any(|link| {
        matches!(link.downcast_ref::<pgp::Error>(), Some(pgp::Error::PolicyViolation(..)))
    })
}

/// Turns the library's word about a lifetime into ours.
fn alive(
    verdict: pgp::Result<()>,
    holder: &Holder,
    part: &str,
    expiry: Option<SystemTime>,
) -> Result<(), Error> {
    let Err(error) = verdict else { return Ok(()) };
    let (holder, part) = (holder.clone(), part.to_owned());
    Err(match error.downcast_ref::<pgp::Error>() {
        Some(pgp::Error::NotYetLive(from)) => {
            Error::NotYetValid { holder, from: timestamp(*from), part }
        }
        Some(pgp::Error::Expired(since)) => {
            Error::Expired { holder, since: timestamp(*since), part }
        }
        _ => Error::Expired { holder, since: expiry.map(timestamp).unwrap_or_default(), part },
    })
}

/// A certificate whose every user id was revoked belongs to nobody any more.
fn users_not_all_revoked(
    cert: &Cert,
    holder: &Holder,
    policy: &dyn Policy,
    now: SystemTime,
) -> Result<(), Error> {
    let mut revocation = None;
    for user in cert.userids() {
        match user.revocation_status(policy, now) {
            RevocationStatus::Revoked(signatures) => {
                revocation = Some(revoked(holder.clone(), &signatures, "every user id of ".into()));
            }
            _ => return Ok(()),
        }
    }
    revocation.map_or(Ok(()), Err)
}

fn revoked(holder: Holder, signatures: &[&Signature], part: String) -> Error {
    let first = signatures.first();
    let reason = first.and_then(|signature| signature.reason_for_revocation()).map_or_else(
        || "no reason given".to_owned(),
        |(code, text)| match printable(text) {
            text if text.is_empty() => code.to_string(),
            text => format!("{code}, {text}"),
        },
    );
    let at = first.and_then(|signature| signature.signature_creation_time()).map(timestamp);
    Error::Revoked { holder, at, reason, part }
}

/// The most telling reason why none of the keys can be sealed to.
fn why_no_key(cert: &Cert, holder: Holder, policy: &dyn Policy, now: SystemTime) -> Error {
    let reasons = cert
        .keys()
        .filter(|key| key.key().pk_algo().for_encryption())
        .filter_map(|key| why_not_this_key(&key, &holder, policy, now));
    reasons.max_by_key(telling).unwrap_or(Error::NoEncryptionKey { holder, detail: String::new() })
}

/// A key that was good and ended tells more than one that never was; the latest end tells most.
fn telling(error: &Error) -> (u8, Timestamp) {
    match error {
        Error::Expired { since, .. } => (4, *since),
        Error::Revoked { at, .. } => (3, at.unwrap_or_default()),
        Error::NotYetValid { from, .. } => (2, *from),
        Error::TooWeak { .. } => (1, Timestamp::UNIX_EPOCH),
        _ => (0, Timestamp::UNIX_EPOCH),
    }
}

fn why_not_this_key(
    key: &ErasedKeyAmalgamation<'_, PublicParts>,
    holder: &Holder,
    policy: &dyn Policy,
    now: SystemTime,
) -> Option<Error> {
    let part = format!("encryption key {} of ", key.key().keyid().to_hex());
    let named = format!("encryption key {} is {}", key.key().keyid(), algorithm(key.key()));
    if is_weak(key.key()) {
        return Some(Error::TooWeak { holder: holder.clone(), reason: named });
    }
    if !is_supported(key.key()) {
        let reason = format!("an encryption key of {}", algorithm(key.key()));
        return Some(Error::Unsupported { holder: holder.clone(), reason });
    }
    if key.key().creation_time() > now {
        let from = timestamp(key.key().creation_time());
        return Some(Error::NotYetValid { holder: holder.clone(), from, part });
    }
    match key.clone().with_policy(policy, now) {
        Ok(valid) => why_not_this_valid_key(&valid, holder, part),
        Err(error) if violates_policy(&error) => Some(Error::TooWeak {
            holder: holder.clone(),
            reason: format!("{named}, and its binding fails ({})", words(&error)),
        }),
        Err(_) => None,
    }
}

fn why_not_this_valid_key(
    key: &ValidErasedKeyAmalgamation<'_, PublicParts>,
    holder: &Holder,
    part: String,
) -> Option<Error> {
    if !key.for_transport_encryption() && !key.for_storage_encryption() {
        return None;
    }
    if let RevocationStatus::Revoked(signatures) = key.revocation_status() {
        return Some(revoked(holder.clone(), &signatures, part));
    }
    alive(key.alive(), holder, &part, key.key_expiration_time()).err()
}
