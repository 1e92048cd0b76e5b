//! The recipient policy: which certificates may be sealed for, and to which of their keys.

use std::time::SystemTime;

use jiff::{SignedDuration, Timestamp};
use sequoia_openpgp as pgp;

use pgp::Cert;
use pgp::cert::amalgamation::key::{ErasedKeyAmalgamation, ValidErasedKeyAmalgamation};
use pgp::cert::prelude::*;
use pgp::packet::Signature;
use pgp::packet::key::{Key, PublicParts, UnspecifiedRole};

use crate::error::{Error, Holder, day, printable, words};
use crate::guard::guarded;
use crate::parse::public_certificate;
use crate::policy::{Rules, algorithm, is_supported, is_weak, timestamp};

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
    let rules = Rules::at(now);
    let holder = Holder::of(cert, None);
    primary_is_usable(cert, &holder, &rules)?;
    let valid = cert
        .with_policy(&rules.policy, now)
        .map_err(|error| no_binding(cert, holder.clone(), &error, now))?;
    let primary_user = valid.primary_userid().ok();
    let holder = Holder::of(cert, primary_user.as_ref().map(|user| user.userid().value()));
    alive(valid.alive(), &holder, "", valid.primary_key().key_expiration_time())?;
    users_not_all_revoked(cert, &holder, &rules)?;

    let chosen: Vec<Chosen> = valid
        .keys()
        .alive()
        .for_transport_encryption()
        .for_storage_encryption()
        // A flag is only a claim: a key that can merely sign would fail when it is sealed for.
        .filter(|key| key.key().pk_algo().for_encryption())
        .filter(|key| is_supported(key.key()) && !is_weak(key.key()))
        .filter(|key| subkey_revocations(cert, key.key(), &rules).is_none())
        .map(|key| Chosen {
            key: key.key().clone(),
            expires: key.key_expiration_time().map(timestamp),
        })
        .collect();
    if chosen.is_empty() {
        return Err(why_no_key(cert, holder, &rules));
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
fn primary_is_usable(cert: &Cert, holder: &Holder, rules: &Rules) -> Result<(), Error> {
    let key = cert.primary_key().key();
    if is_weak(key) {
        let reason = format!("its primary key is {}", algorithm(key));
        return Err(Error::TooWeak { holder: holder.clone(), reason });
    }
    if !is_supported(key) {
        let reason = format!("a primary key of {}", algorithm(key));
        return Err(Error::Unsupported { holder: holder.clone(), reason });
    }
    if let Some(signatures) = rules.revocations(|policy, at| cert.revocation_status(policy, at)) {
        return Err(revoked(holder.clone(), &signatures, String::new()));
    }
    if key.creation_time() > rules.now {
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
    let signatures: Vec<_> = cert.primary_key().self_signatures().chain(users).collect();
    let starts = signatures.iter().filter_map(|signature| signature.signature_creation_time());
    if let Some(first) = starts.min().filter(|first| *first > now) {
        return Error::NotYetValid { holder, from: timestamp(first), part: String::new() };
    }
    match lapsed(signatures, now) {
        Some(since) => Error::Expired { holder, since, part: "self-signature of ".to_owned() },
        None => Error::Unreadable {
            reason: format!("the {holder} carries no valid self-signature ({reason})"),
        },
    }
}

/// When the last of these signatures ended: one may end before its key does.
fn lapsed<'a>(
    signatures: impl IntoIterator<Item = &'a Signature>,
    now: SystemTime,
) -> Option<Timestamp> {
    let ends = signatures.into_iter().filter_map(|one| one.signature_expiration_time());
    ends.filter(|end| *end <= now).max().map(timestamp)
}

/// Whether an algorithm was too weak. A critical notation that nobody knows is the other thing that
/// the policy rejects, and the library tells them apart by their words only.
fn violates_policy(error: &pgp::anyhow::Error) -> bool {
    error.chain().any(|link| match link.downcast_ref::<pgp::Error>() {
        Some(pgp::Error::PolicyViolation(what, _)) => !what.starts_with("Critical notation"),
        _ => false,
    })
}

/// Turns the library's word about a lifetime into ours. That it has begun was seen before, so what
/// is not alive has ended.
fn alive(
    verdict: pgp::Result<()>,
    holder: &Holder,
    part: &str,
    end: Option<SystemTime>,
) -> Result<(), Error> {
    verdict.map_err(|_| Error::Expired {
        holder: holder.clone(),
        since: end.map(timestamp).unwrap_or_default(),
        part: part.to_owned(),
    })
}

/// A certificate whose every user id was revoked belongs to nobody any more.
fn users_not_all_revoked(cert: &Cert, holder: &Holder, rules: &Rules) -> Result<(), Error> {
    let mut revocation = None;
    for user in cert.userids() {
        let found = rules.revocations(|policy, at| user.revocation_status(policy, at));
        let Some(signatures) = found else { return Ok(()) };
        revocation = Some(revoked(holder.clone(), &signatures, "last user id of ".into()));
    }
    revocation.map_or(Ok(()), Err)
}

/// Why a subkey was revoked; the primary key's revocation is the whole certificate's.
fn subkey_revocations<'a>(
    cert: &'a Cert,
    key: &Key<PublicParts, UnspecifiedRole>,
    rules: &Rules,
) -> Option<Vec<&'a Signature>> {
    let fingerprint = key.fingerprint();
    let subkey = cert.keys().subkeys().find(|subkey| subkey.key().fingerprint() == fingerprint)?;
    rules.revocations(|policy, at| subkey.bundle().revocation_status(policy, at))
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
fn why_no_key(cert: &Cert, holder: Holder, rules: &Rules) -> Error {
    let reasons = cert
        .keys()
        .filter(|key| key.key().pk_algo().for_encryption())
        .filter_map(|key| why_not_this_key(cert, &key, &holder, rules));
    reasons.max_by_key(telling).unwrap_or(Error::NoEncryptionKey { holder })
}

/// A key that was good and ended tells more than one that never was; the latest end and the
/// earliest start tell most.
fn telling(error: &Error) -> (u8, i64) {
    match error {
        Error::Expired { since, .. } => (4, since.as_second()),
        Error::Revoked { at, .. } => (3, at.unwrap_or_default().as_second()),
        Error::NotYetValid { from, .. } => (2, -from.as_second()),
        Error::TooWeak { .. } => (1, 0),
        _ => (0, 0),
    }
}

fn why_not_this_key(
    cert: &Cert,
    key: &ErasedKeyAmalgamation<'_, PublicParts>,
    holder: &Holder,
    rules: &Rules,
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
    if key.key().creation_time() > rules.now {
        let from = timestamp(key.key().creation_time());
        return Some(Error::NotYetValid { holder: holder.clone(), from, part });
    }
    match key.clone().with_policy(&rules.policy, rules.now) {
        Ok(valid) => why_not_this_valid_key(cert, &valid, holder, rules, part),
        Err(error) if violates_policy(&error) => Some(Error::TooWeak {
            holder: holder.clone(),
            reason: format!("{named}, and its binding fails ({})", words(&error)),
        }),
        Err(_) => lapsed(key.self_signatures(), rules.now).map(|since| Error::Expired {
            holder: holder.clone(),
            since,
            part: format!("binding of {part}"),
        }),
    }
}

fn why_not_this_valid_key(
    cert: &Cert,
    key: &ValidErasedKeyAmalgamation<'_, PublicParts>,
    holder: &Holder,
    rules: &Rules,
    part: String,
) -> Option<Error> {
    if !key.for_transport_encryption() && !key.for_storage_encryption() {
        return None;
    }
    if let Some(signatures) = subkey_revocations(cert, key.key(), rules) {
        return Some(revoked(holder.clone(), &signatures, part));
    }
    alive(key.alive(), holder, &part, key.key_expiration_time()).err()
}
