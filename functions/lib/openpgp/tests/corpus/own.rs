//! Rows that neither gpg 2.2 nor sq 0.27 can make: version 6, X448, post-quantum keys, and
//! signatures put together by hand. The OpenPGP library itself is the maker here.

use std::io::Cursor;
use std::time::{Duration, SystemTime};

use domain::{ErrorClass, Failure};
use jiff::{SignedDuration, Timestamp};
use openpgp::{
    Format, GenerateOptions, KeyKind, Recipient, SealOptions, generate, open, prove, seal,
};
use sequoia_openpgp as pgp;

use pgp::cert::{CertBuilder, CertRevocationBuilder, CipherSuite};
use pgp::crypto::mpi::{MPI, PublicKey};
use pgp::packet::key::{Key4, PrimaryRole, SecretParts, SubordinateRole};
use pgp::packet::signature::SignatureBuilder;
use pgp::packet::signature::subpacket::NotationDataFlags;
use pgp::packet::{Key, UserID};
use pgp::serialize::SerializeInto;
use pgp::types::{
    Curve, HashAlgorithm, KeyFlags, PublicKeyAlgorithm, ReasonForRevocation, SignatureType,
};
use pgp::{Cert, Packet, Profile};

use crate::openers::noise;

const DAY: Duration = Duration::from_secs(86_400);
const USER: &str = "Own <own@corpus>";

fn at(day: &str) -> SystemTime {
    moment(day).into()
}

fn moment(day: &str) -> Timestamp {
    format!("{day}T00:00:00Z").parse().unwrap()
}

fn public(cert: &Cert) -> Vec<u8> {
    cert.armored().to_vec().unwrap()
}

/// Accepted, with this many keys whose algorithms contain the word; sealed, proven, opened.
fn good(what: &str, cert: &Cert, keys: usize, word: &str, format: Format) {
    let recipient = Recipient::parse(&public(cert), Timestamp::now())
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    let subkeys = recipient.subkeys();
    println!("{what:28} {} {subkeys:?}", recipient.fingerprint());
    assert_eq!(recipient.fingerprint(), cert.fingerprint().to_hex(), "{what}");
    assert_eq!(subkeys.len(), keys, "{what}: {subkeys:?}");
    assert!(subkeys.iter().any(|subkey| subkey.algorithm.contains(word)), "{what}: {subkeys:?}");
    let plaintext = noise(70_000);
    let mut ciphertext = Vec::new();
    let options = SealOptions::default();
    let sealed = seal(&[&recipient], &options, &mut plaintext.as_slice(), &mut ciphertext).unwrap();
    assert_eq!(sealed.format, format, "{what}");
    prove(&sealed, &[&recipient], &mut Cursor::new(&ciphertext)).unwrap();
    let secret = cert.as_tsk().to_vec().unwrap();
    let mut opened = Vec::new();
    open(&secret, None, &mut Cursor::new(&ciphertext), &mut opened).unwrap();
    assert!(opened == plaintext, "{what}");
    refused(&format!("{what}, private"), &secret, "openpgp.secret_key", &["rotate"]);
}

fn refused(what: &str, certificate: &[u8], code: &str, words: &[&str]) {
    refused_at(Timestamp::now(), what, certificate, code, words);
}

fn refused_at(now: Timestamp, what: &str, certificate: &[u8], code: &str, words: &[&str]) {
    let failure = match Recipient::parse(certificate, now) {
        Err(error) => Failure::from(error),
        Ok(recipient) => panic!("{what}: {code} was expected, found {recipient:?}"),
    };
    println!("{what:28} {}", failure.message);
    assert_eq!(failure.code, code, "{what}: {failure}");
    assert_eq!(failure.class, ErrorClass::Misconfigured, "{what}: {failure}");
    for word in words {
        assert!(failure.message.contains(word), "{what}: {word:?} missing in: {}", failure.message);
    }
}

fn v6(suite: CipherSuite) -> CertBuilder<'static> {
    CertBuilder::new().set_profile(Profile::RFC9580).unwrap().set_cipher_suite(suite)
}

fn made(builder: CertBuilder<'_>) -> Cert {
    builder.generate().unwrap().0
}

#[test]
fn version_6_keys_are_accepted() {
    let with = |suite| v6(suite).add_userid(USER).add_transport_encryption_subkey();
    good("v6 X25519", &made(with(CipherSuite::Cv25519)), 1, "X25519", Format::V2);
    good("v6 X448", &made(with(CipherSuite::Cv448)), 1, "X448", Format::V2);
    good("v6 P-384", &made(with(CipherSuite::P384)), 1, "P-384", Format::V2);
    good("v6 RSA-2048", &made(with(CipherSuite::RSA2k)), 1, "RSA-2048", Format::V2);
    let storage = v6(CipherSuite::Cv25519).add_storage_encryption_subkey();
    good("v6 storage, no user id", &made(storage), 1, "X25519", Format::V2);
    let two = with(CipherSuite::Cv25519).add_storage_encryption_subkey();
    good("v6 two keys", &made(two), 2, "X25519", Format::V2);
}

#[test]
fn post_quantum_keys_are_accepted() {
    for (suite, word) in [
        (CipherSuite::MLDSA65_Ed25519, "ML-KEM-768+X25519"),
        (CipherSuite::MLDSA87_Ed448, "ML-KEM-1024+X448"),
    ] {
        let cert = made(v6(suite).add_userid(USER).add_transport_encryption_subkey());
        good(word, &cert, 1, word, Format::V2);
    }
}

#[test]
fn new_keys_below_an_old_primary_are_accepted() {
    for (what, subkey, word) in [
        ("v4 X25519", Key4::generate_x25519().unwrap(), "X25519"),
        ("v4 X448", Key4::generate_x448().unwrap(), "X448"),
        ("v4 ML-KEM-768+X25519", Key4::generate_mlkem768_x25519().unwrap(), "ML-KEM-768+X25519"),
    ] {
        let cert = bound(subkey, |signature| signature, |signature| signature);
        good(what, &cert, 1, word, Format::V1);
    }
}

#[test]
fn unfit_version_6_keys_are_refused_by_name_and_date() {
    let sound = || v6(CipherSuite::Cv25519).add_userid(USER);
    let cert = made(
        sound()
            .add_transport_encryption_subkey()
            .set_creation_time(at("2024-01-01"))
            .set_validity_period(DAY * 366),
    );
    let name = cert.fingerprint().to_hex();
    let words = [name.as_str(), USER, "expired on 2025-01-01"];
    refused("v6 expired", &public(&cert), "openpgp.expired", &words);

    for flags in
        [KeyFlags::empty().set_transport_encryption(), KeyFlags::empty().set_storage_encryption()]
    {
        let built = sound().set_creation_time(at("2024-01-01")).add_subkey(flags, DAY * 31, None);
        let words = ["encryption key", USER, "expired on 2024-02-01"];
        refused("v6 subkey expired", &public(&made(built)), "openpgp.expired", &words);
    }

    let built = sound().add_transport_encryption_subkey().set_creation_time(at("2090-01-01"));
    let words = [USER, "not valid before 2090-01-01"];
    refused("v6 not yet valid", &public(&made(built)), "openpgp.not_yet_valid", &words);

    let signs = made(sound().add_signing_subkey().add_authentication_subkey());
    refused("v6 sign-only", &public(&signs), "openpgp.no_encryption_key", &[USER, "subkey"]);

    let cert = made(sound().add_transport_encryption_subkey());
    let signer = cert.primary_key().key().clone().parts_into_secret().unwrap();
    let revocation = CertRevocationBuilder::new()
        .set_reason_for_revocation(ReasonForRevocation::KeyCompromised, b"laptop\nstolen")
        .unwrap()
        .build(&mut signer.into_keypair().unwrap(), &cert, None)
        .unwrap();
    let (cert, _) = cert.insert_packets(vec![revocation]).unwrap();
    let today = Timestamp::now().strftime("%Y-").to_string();
    let words = [USER, "laptop\u{fffd}stolen", "revoked on", &today];
    refused("v6 revoked", &public(&cert), "openpgp.revoked", &words);
}

/// A version 4 certificate with one subkey, its self-signature and its binding changed at will.
fn bound(
    subkey: Key4<SecretParts, SubordinateRole>,
    user_signature: impl FnOnce(SignatureBuilder) -> SignatureBuilder,
    binding: impl FnOnce(SignatureBuilder) -> SignatureBuilder,
) -> Cert {
    bound_since("2023-01-01", subkey, user_signature, binding)
}

fn bound_since(
    day: &str,
    subkey: Key4<SecretParts, SubordinateRole>,
    user_signature: impl FnOnce(SignatureBuilder) -> SignatureBuilder,
    binding: impl FnOnce(SignatureBuilder) -> SignatureBuilder,
) -> Cert {
    let mut primary = Key4::<SecretParts, PrimaryRole>::generate_ecc(true, Curve::Ed25519).unwrap();
    primary.set_creation_time(at(day)).unwrap();
    let primary = Key::from(primary);
    let mut signer = primary.clone().into_keypair().unwrap();
    let cert = Cert::try_from(Packet::from(primary)).unwrap();
    let user = UserID::from(USER);
    let signature = SignatureBuilder::new(SignatureType::PositiveCertification)
        .set_key_flags(KeyFlags::empty().set_certification())
        .unwrap();
    let user_signature = user.bind(&mut signer, &cert, user_signature(signature)).unwrap();
    let subkey = Key::from(subkey);
    let signature = SignatureBuilder::new(SignatureType::SubkeyBinding)
        .set_key_flags(KeyFlags::empty().set_transport_encryption())
        .unwrap();
    let binding = subkey.bind(&mut signer, &cert, binding(signature)).unwrap();
    let packets: Vec<Packet> =
        vec![user.into(), user_signature.into(), subkey.into(), binding.into()];
    cert.insert_packets(packets).unwrap().0
}

/// An encryption key from before the signatures above it.
fn aged() -> Key4<SecretParts, SubordinateRole> {
    let mut subkey = curve25519();
    subkey.set_creation_time(at("2023-01-01")).unwrap();
    subkey
}

fn curve25519() -> Key4<SecretParts, SubordinateRole> {
    Key4::generate_ecc(false, Curve::Cv25519).unwrap()
}

fn demand(signature: SignatureBuilder) -> SignatureBuilder {
    let flags = NotationDataFlags::empty().set_human_readable();
    signature.set_notation("unknown@corpus.example", "x", flags, true).unwrap()
}

#[test]
fn signatures_by_hand_get_their_verdicts() {
    let same = |signature: SignatureBuilder| signature;
    good("by hand", &bound(curve25519(), same, same), 1, "Curve25519", Format::V1);

    let cert = bound(curve25519(), demand, same);
    let name = cert.fingerprint().to_hex();
    let words = [name.as_str(), USER, "self-signature", "unknown@corpus.example"];
    refused("critical notation", &public(&cert), "openpgp.unreadable", &words);

    let cert = bound(curve25519(), same, demand);
    refused("subkey with notation", &public(&cert), "openpgp.no_encryption_key", &[USER]);

    let mute = |signature: SignatureBuilder| signature.set_key_flags(KeyFlags::empty()).unwrap();
    let cert = bound(curve25519(), same, mute);
    refused("subkey without flags", &public(&cert), "openpgp.no_encryption_key", &[USER]);

    let signing = Key4::generate_ecc(true, Curve::Ed25519).unwrap();
    let cert = bound(signing, same, same);
    refused("signing key with the flag", &public(&cert), "openpgp.no_encryption_key", &[USER]);
}

fn since(day: &'static str) -> impl Fn(SignatureBuilder) -> SignatureBuilder {
    move |signature| signature.set_signature_creation_time(at(day)).unwrap()
}

#[test]
fn a_certificate_lives_from_its_first_second_to_its_last() {
    let second = SignedDuration::from_secs(1);
    let (start, end) = (moment("2024-01-01"), moment("2024-02-01"));
    let options = GenerateOptions {
        created: Some(start),
        valid_for: Some(DAY * 31),
        ..GenerateOptions::new("acme")
    };
    let public = generate(&options).unwrap().public.into_bytes();
    for now in [start, end - second] {
        let recipient = Recipient::parse(&public, now).unwrap();
        assert_eq!(recipient.expires(), Some(end));
    }
    let words = ["acme", "not valid before 2024-01-01"];
    refused_at(start - second, "too early", &public, "openpgp.not_yet_valid", &words);
    let words = ["acme", "expired on 2024-02-01"];
    refused_at(end, "too late", &public, "openpgp.expired", &words);
}

#[test]
fn a_subkey_lives_from_its_first_second() {
    let second = SignedDuration::from_secs(1);
    let start = moment("2024-05-01");
    let subkey = || {
        let mut subkey = curve25519();
        subkey.set_creation_time(at("2024-05-01")).unwrap();
        subkey
    };
    let cert = public(&bound(subkey(), since("2023-01-01"), since("2024-05-01")));
    Recipient::parse(&cert, start).unwrap();
    let words = ["encryption key", "not valid before 2024-05-01"];
    refused_at(start - second, "too early", &cert, "openpgp.not_yet_valid", &words);
    let unknown = |signature| demand(since("2024-05-01")(signature));
    let cert = public(&bound(subkey(), since("2023-01-01"), unknown));
    refused_at(start, "in its first second", &cert, "openpgp.no_encryption_key", &[]);
    let unknown = |signature| demand(since("2024-05-01")(signature));
    let cert = public(&bound(subkey(), unknown, since("2024-05-01")));
    refused_at(start, "in its first second", &cert, "openpgp.unreadable", &["self-signature"]);
    let cert = public(&bound(subkey(), since("2024-05-01"), since("2024-05-01")));
    let words = ["not valid before 2024-05-01"];
    refused_at(start - second, "no self-signature yet", &cert, "openpgp.not_yet_valid", &words);
}

#[test]
fn a_signature_that_ends_before_its_key_is_told_by_its_date() {
    let brief = |signature: SignatureBuilder| {
        let signature = since("2024-01-01")(signature);
        signature.set_signature_validity_period(DAY * 31).unwrap()
    };
    let (end, old) = (moment("2024-02-01"), since("2023-01-01"));
    let words = ["binding of encryption key", USER, "expired on 2024-02-01"];
    let cert = public(&bound(aged(), &old, brief));
    refused_at(end, "binding expired", &cert, "openpgp.expired", &words);
    let words = ["self-signature", USER, "expired on 2024-02-01"];
    let cert = public(&bound(aged(), brief, &old));
    refused_at(end, "self-signature expired", &cert, "openpgp.expired", &words);
    Recipient::parse(&cert, end - SignedDuration::from_secs(1)).unwrap();
}

#[test]
fn the_warning_starts_thirty_days_before_the_end() {
    let start = moment("2024-01-01");
    let flags = || KeyFlags::empty().set_transport_encryption();
    let sound = || v6(CipherSuite::Cv25519).add_userid(USER).set_creation_time(at("2024-01-01"));
    let parsed = |cert: CertBuilder<'_>| Recipient::parse(&public(&made(cert)), start).unwrap();

    let recipient = parsed(sound().add_subkey(flags(), DAY * 60, None));
    let end = moment("2024-03-01");
    assert_eq!(recipient.expires(), Some(end));
    let days = |days: i64| end - SignedDuration::from_hours(24 * days);
    assert_eq!(recipient.warnings(days(30) - SignedDuration::from_secs(1)), []);
    for left in [30, 29, 1, 0] {
        let [warning] = recipient.warnings(days(left)).try_into().unwrap();
        assert_eq!((warning.code, warning.days_left), ("openpgp.expires_soon", left));
        for word in [USER, "expires on 2024-03-01", &format!("in {left} days")] {
            assert!(warning.message.contains(word), "{warning:?}");
        }
    }

    let two = sound().add_subkey(flags(), DAY * 60, None).add_subkey(flags(), DAY * 90, None);
    assert_eq!(parsed(two).expires(), Some(moment("2024-03-31")), "the last key counts");
    let endless = sound().add_subkey(flags(), DAY * 60, None).add_subkey(flags(), None, None);
    assert_eq!(parsed(endless).expires(), None);
    let outlived = sound().add_subkey(flags(), None, None).set_validity_period(DAY * 31);
    assert_eq!(parsed(outlived).expires(), Some(moment("2024-02-01")), "with the whole one");
}

#[test]
fn the_policy_is_that_of_the_given_day() {
    let sha1 = |day| {
        move |signature| {
            let signature: SignatureBuilder = since(day)(signature);
            signature.set_hash_algo(HashAlgorithm::SHA1)
        }
    };
    let cert = public(&bound_since("2010-01-01", aged(), sha1("2010-01-01"), sha1("2023-01-01")));
    let day = moment("2012-01-01");
    refused_at(day, "SHA-1, then", &cert, "openpgp.not_yet_valid", &["2023-01-01"]);
    refused("SHA-1, now", &cert, "openpgp.too_weak", &["SHA1", USER]);
}

#[test]
fn a_revocation_counts_whatever_the_hashes_around_it() {
    let revoked = |reason, hash, later: Option<SignatureBuilder>| {
        let cert = bound(aged(), since("2023-01-01"), since("2023-01-01"));
        let key = cert.primary_key().key().clone().parts_into_secret().unwrap();
        let mut signer = key.into_keypair().unwrap();
        let mut signatures: Vec<Packet> = Vec::new();
        if let Some(later) = later {
            let user = UserID::from(USER);
            let signature = user.bind(&mut signer, &cert, later).unwrap();
            signatures.extend([user.into(), signature.into()]);
        }
        let revocation = CertRevocationBuilder::new()
            .set_signature_creation_time(at("2024-05-06"))
            .unwrap()
            .set_reason_for_revocation(reason, b"www")
            .unwrap()
            .build(&mut signer, &cert, hash)
            .unwrap();
        signatures.push(revocation.into());
        public(&cert.insert_packets(signatures).unwrap().0)
    };
    let words = ["revoked on 2024-05-06", "www", USER];
    let weak = revoked(ReasonForRevocation::KeyCompromised, HashAlgorithm::SHA1, None);
    for day in ["2026-01-01", "2036-01-01"] {
        refused_at(moment(day), "revoked with SHA-1", &weak, "openpgp.revoked", &words);
    }
    // A newer self-signature undoes a soft revocation, but not one with SHA-1.
    let newer = |hash| {
        let newer = SignatureBuilder::new(SignatureType::PositiveCertification)
            .set_key_flags(KeyFlags::empty().set_certification())
            .unwrap();
        Some(since("2025-01-01")(newer).set_hash_algo(hash))
    };
    let (soft, sound) = (ReasonForRevocation::KeySuperseded, HashAlgorithm::SHA256);
    let day = moment("2026-01-01");
    Recipient::parse(&revoked(soft, sound, newer(sound)), day).unwrap();
    let weak = revoked(soft, sound, newer(HashAlgorithm::SHA1));
    refused_at(day, "outdone with SHA-1", &weak, "openpgp.revoked", &words);
}

#[test]
fn an_unknown_curve_is_named() {
    let point = MPI::new(&[0x40; 33]);
    let curve = Curve::Unknown(vec![0x2b, 6, 1].into_boxed_slice());
    let eddsa = PublicKey::EdDSA { curve: curve.clone(), q: point.clone() };
    let ecdsa = PublicKey::ECDSA { curve, q: point };
    for (algorithm, mpis, word) in
        [(PublicKeyAlgorithm::EdDSA, eddsa, "EdDSA"), (PublicKeyAlgorithm::ECDSA, ecdsa, "ECDSA")]
    {
        let key = Key4::<_, PrimaryRole>::new(at("2023-01-01"), algorithm, mpis).unwrap();
        let cert = Cert::try_from(Packet::from(Key::from(key))).unwrap();
        refused(word, &public(&cert), "openpgp.unsupported", &[&format!("primary key of {word}")]);
    }
}

#[test]
fn our_own_generated_keys_pass() {
    for kind in [
        KeyKind::Cv25519,
        KeyKind::NistP256,
        KeyKind::NistP384,
        KeyKind::NistP521,
        KeyKind::V6,
        KeyKind::Rsa(2048),
    ] {
        let pair = generate(&GenerateOptions { kind, ..GenerateOptions::new("acme") }).unwrap();
        let recipient = Recipient::parse(pair.public.as_bytes(), Timestamp::now()).unwrap();
        assert_eq!(recipient.fingerprint(), pair.fingerprint);
        assert_eq!(recipient.user_id(), Some("acme"));
        let secret = pair.secret.as_bytes();
        refused("generated, private", secret, "openpgp.secret_key", &["rotate", "acme"]);
        assert!(!format!("{pair:?}").contains("PRIVATE"));
    }
}
