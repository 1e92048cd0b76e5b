//! Certificates built to order from a few bytes, and what is true of them: bytes that libFuzzer
//! changes would never carry a valid signature.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use fuzz::random::Random;
use jiff::Timestamp;
use sequoia_openpgp as pgp;

use pgp::Packet;
use pgp::crypto::KeyPair;
use pgp::packet::key::{Key4, SecretParts, SubordinateRole};
use pgp::packet::signature::SignatureBuilder;
use pgp::packet::{Key, Signature, UserID};
use pgp::serialize::Serialize;
use pgp::serialize::stream::{Armorer, Message};
use pgp::types::{Features, KeyFlags, ReasonForRevocation, SignatureType};

use crate::NOW;

/// What a recipe begins with; a certificate never does.
pub const MAGIC: &[u8] = b"RCP!";
const DAY: u64 = 86_400;
/// Days before today on which the primary key was made.
const PRIMARY_AGE: i64 = 700;
const SUBKEYS: usize = 3;

/// Scalars of the keys: constants, so that a recipe always gives the same certificate.
static ENCRYPTING: LazyLock<Vec<Key<SecretParts, SubordinateRole>>> = LazyLock::new(|| {
    let key = |scalar| Key4::import_secret_cv25519(&[scalar; 32], None, None, None);
    (1..4).map(|scalar| key(scalar << 3).expect("a key").into()).collect()
});
static SIGNING: LazyLock<Vec<Key<SecretParts, SubordinateRole>>> = LazyLock::new(|| {
    let key = |scalar| Key4::import_secret_ed25519(&[scalar; 32], None);
    (5..10).map(|scalar| key(scalar).expect("a key").into()).collect()
});

/// The bytes behind [`MAGIC`].
#[derive(Clone, Debug)]
pub struct Recipe {
    flags: u8,
    validity: u8,
    revocation: u8,
    subkeys: Vec<[u8; 4]>,
}

/// A certificate and the truth about it.
pub struct Built {
    /// As a partner sends it.
    pub bytes: Vec<u8>,
    fit: bool,
    end: Option<SystemTime>,
    subkeys: Vec<Subkey>,
}

struct Subkey {
    fingerprint: String,
    good: bool,
    from: SystemTime,
    end: Option<SystemTime>,
}

fn now() -> SystemTime {
    (*NOW).into()
}

fn days(count: i64) -> SystemTime {
    let length = Duration::from_secs(count.unsigned_abs() * DAY);
    if count < 0 { now() - length } else { now() + length }
}

/// A revocation: when, and whether nothing signed by the key was ever good.
fn revoked(byte: u8, from: SystemTime) -> (SystemTime, ReasonForRevocation, bool) {
    let at = from + Duration::from_secs((u64::from(byte & 0x7f) * 6 + 1) * DAY);
    match byte & 0x80 {
        0 => (at, ReasonForRevocation::KeySuperseded, at <= now()),
        _ => (at, ReasonForRevocation::KeyCompromised, true),
    }
}

/// Changes a recipe field by field; `None` if it is none.
pub fn mutate(input: &[u8], random: &mut Random) -> Option<Vec<u8>> {
    Recipe::read(input)?;
    let mut made = input.to_vec();
    for _ in 0..=random.below(3) {
        let at = MAGIC.len() + random.below(made.len() - MAGIC.len());
        match random.below(6) {
            0 if made.len() < MAGIC.len() + 3 + 4 * SUBKEYS => {
                made.extend((0..4).map(|_| random.below(256) as u8));
            }
            1 if made.len() > MAGIC.len() + 7 => made.truncate(made.len() - 4),
            2 => made[at] = random.below(256) as u8,
            3 => made[at] = made[at].wrapping_add(random.below(5) as u8).wrapping_sub(2),
            _ => made[at] ^= 1 << random.below(8),
        }
    }
    Some(made)
}

impl Recipe {
    /// The recipe, if the input is one.
    pub fn read(data: &[u8]) -> Option<Self> {
        let (&[flags, validity, revocation], rest) =
            data.strip_prefix(MAGIC)?.split_first_chunk::<3>()?;
        let subkeys = rest.chunks_exact(4).take(SUBKEYS).filter_map(|b| b.try_into().ok());
        Some(Self { flags, validity, revocation, subkeys: subkeys.collect() })
    }

    fn flag(&self, bit: u8) -> bool {
        self.flags & (1 << bit) != 0
    }

    /// Builds the certificate.
    pub fn build(&self) -> Built {
        self.made().expect("a recipe can be built")
    }

    fn made(&self) -> pgp::Result<Built> {
        let from = days(-PRIMARY_AGE);
        let mut primary = SIGNING[0].clone().role_into_primary();
        primary.set_creation_time(from)?;
        let mut signer = primary.clone().into_keypair()?;
        let public = primary.clone().parts_into_public();
        let valid =
            self.flag(1).then(|| Duration::from_secs((u64::from(self.validity) + 1) * 4 * DAY));
        let mut packets: Vec<Packet> = vec![if self.flag(7) {
            Packet::SecretKey(primary)
        } else {
            Packet::PublicKey(public.clone())
        }];
        let mut fit = !(self.flag(5) || self.flag(7));
        if self.flag(2) {
            let (at, reason, holds) = revoked(self.revocation, from);
            fit &= !holds;
            let builder = signature(SignatureType::KeyRevocation, at)?;
            let builder = builder.set_reason_for_revocation(reason, b"gone")?;
            packets.push(builder.sign_direct_key(&mut signer, Some(&public))?.into());
        }
        let users = if self.flag(4) { 2 } else { 1 };
        for number in 0..users {
            let user = UserID::from(format!("Partner {number} <p{number}@example.org>"));
            let mut builder = signature(SignatureType::PositiveCertification, from)?
                .set_key_flags(KeyFlags::empty().set_certification())?
                .set_key_validity_period(valid)?;
            if self.flag(6) {
                builder = builder.set_features(Features::empty().set_seipdv1().set_seipdv2())?;
            }
            let binding = builder.sign_userid_binding(&mut signer, Some(&public), &user)?;
            packets.push(user.clone().into());
            packets.push(binding.into());
            if self.flag(3) && number == 0 {
                let builder = signature(SignatureType::CertificationRevocation, days(-9))?;
                let builder =
                    builder.set_reason_for_revocation(ReasonForRevocation::UIDRetired, b"left")?;
                let gone = builder.sign_userid_binding(&mut signer, Some(&public), &user)?;
                packets.push(gone.into());
                fit &= users > 1;
            }
        }
        let mut subkeys = Vec::new();
        for (number, &fields) in self.subkeys.iter().enumerate() {
            subkeys.push(subkey(fields, number, &mut signer, &public, &mut packets)?);
        }
        if self.flag(5) {
            let other = SIGNING[4].clone().role_into_primary().parts_into_public();
            packets.push(Packet::PublicKey(other));
        }
        let bytes = written(&packets, self.flag(0))?;
        Ok(Built { bytes, fit, end: valid.map(|valid| from + valid), subkeys })
    }
}

fn signature(kind: SignatureType, at: SystemTime) -> pgp::Result<SignatureBuilder> {
    SignatureBuilder::new(kind).set_signature_creation_time(at)
}

/// Adds one subkey with its signatures: what it is for, from when to when, and its revocation.
fn subkey(
    [how, from, valid, gone]: [u8; 4],
    number: usize,
    signer: &mut KeyPair,
    primary: &Key<pgp::packet::key::PublicParts, pgp::packet::key::PrimaryRole>,
    packets: &mut Vec<Packet>,
) -> pgp::Result<Subkey> {
    let bit = |bit: u8| how & (1 << bit) != 0;
    let encrypts = how & 3 != 2;
    let key = if encrypts { &ENCRYPTING[number] } else { &SIGNING[number + 1] };
    let mut key = key.clone().parts_into_public();
    let from = days((i64::from(from) - 200) * 3);
    key.set_creation_time(from)?;
    let valid = bit(4).then(|| Duration::from_secs((u64::from(valid) + 1) * 4 * DAY));
    let mut flags = KeyFlags::empty();
    if bit(2) {
        flags = flags.set_transport_encryption();
    }
    if bit(3) {
        flags = flags.set_storage_encryption();
    }
    if bit(6) {
        flags = flags.set_authentication();
    }
    packets.push(Packet::PublicSubkey(key.clone()));
    let mut good = encrypts && (bit(2) || bit(3)) && !bit(7);
    if !bit(7) {
        let builder = signature(SignatureType::SubkeyBinding, from)?
            .set_key_flags(flags)?
            .set_key_validity_period(valid)?;
        let binding: Signature = builder.sign_subkey_binding(signer, Some(primary), &key)?;
        packets.push(binding.into());
    }
    if bit(5) {
        let (at, reason, holds) = revoked(gone, from);
        good &= !holds;
        let builder = signature(SignatureType::SubkeyRevocation, at)?;
        let builder = builder.set_reason_for_revocation(reason, b"lost")?;
        packets.push(builder.sign_subkey_binding(signer, Some(primary), &key)?.into());
    }
    let fingerprint = key.fingerprint().to_hex();
    Ok(Subkey { fingerprint, good, from, end: valid.map(|valid| from + valid) })
}

fn written(packets: &[Packet], armor: bool) -> pgp::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if armor {
        let armorer = Armorer::new(Message::new(&mut bytes));
        let mut message = armorer.kind(pgp::armor::Kind::PublicKey).build()?;
        packets.iter().try_for_each(|packet| packet.serialize(&mut message))?;
        message.finalize()?;
    } else {
        packets.iter().try_for_each(|packet| packet.serialize(&mut bytes))?;
    }
    Ok(bytes)
}

impl Built {
    /// The keys that may be sealed to at `now`, sorted, and when that ends; `None` if there are none.
    pub fn chosen(&self, now: Timestamp) -> Option<(Vec<String>, Option<Timestamp>)> {
        let now = SystemTime::from(now);
        let good =
            |key: &&Subkey| key.good && key.from <= now && key.end.is_none_or(|end| now < end);
        let keys: Vec<&Subkey> = self.subkeys.iter().filter(good).collect();
        if !self.fit || keys.is_empty() || self.end.is_some_and(|end| end <= now) {
            return None;
        }
        let last = keys.iter().map(|key| key.end).collect::<Option<Vec<_>>>();
        let last = last.and_then(|ends| ends.into_iter().max());
        let end = self.end.into_iter().chain(last).min();
        let end = end.map(|end| Timestamp::try_from(end).expect("a time"));
        let mut names: Vec<String> = keys.iter().map(|key| key.fingerprint.clone()).collect();
        names.sort();
        Some((names, end))
    }
}
