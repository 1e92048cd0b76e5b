//! The certificate table: what gpg makes, and our verdict with its reason.

use std::collections::BTreeSet;

use domain::{ErrorClass, Failure};
use jiff::Timestamp;
use openpgp::{Error, GenerateOptions, KeyKind, Recipient, generate};

use crate::world::Gnupg;

const LONG_AGO: &[&str] = &["--faked-system-time", "20200101T000000!"];
const IN_THE_FUTURE: &[&str] = &["--faked-system-time", "20900101T000000!"];
/// gpg itself refuses to use keys from the future; making them is enough.
const NEVER: &str = "never";

fn refused(verdict: Result<Recipient, Error>, code: &str, words: &[&str]) {
    let error = verdict.expect_err(code);
    let failure = Failure::from(error);
    assert_eq!(failure.code, code, "{failure}");
    assert_eq!(failure.class, ErrorClass::Misconfigured);
    for word in words {
        assert!(failure.message.contains(word), "{word:?} is missing in: {}", failure.message);
    }
}

fn parse(bytes: &[u8]) -> Result<Recipient, Error> {
    Recipient::parse(bytes, Timestamp::now())
}

#[test]
fn good_keys_of_every_kind_are_accepted() {
    let gnupg = Gnupg::new();
    for (user, primary, subkey, named) in [
        ("rsa2048@x", "rsa2048", "rsa2048", "RSA-2048"),
        ("rsa3072@x", "rsa3072", "rsa3072", "RSA-3072"),
        ("rsa4096@x", "rsa2048", "rsa4096", "RSA-4096"),
        ("cv25519@x", "ed25519", "cv25519", "ECDH"),
        ("nistp256@x", "nistp256", "nistp256", "P-256"),
        ("nistp384@x", "nistp384", "nistp384", "P-384"),
        ("nistp521@x", "nistp521", "nistp521", "P-521"),
    ] {
        gnupg.make(&[], user, primary, "sign", NEVER);
        gnupg.add(&[], user, subkey, "encr", NEVER);
        for certificate in [gnupg.export(user), gnupg.export_armored(user)] {
            let recipient = parse(&certificate).unwrap();
            assert_eq!(recipient.fingerprint(), gnupg.fingerprint(user));
            assert_eq!(recipient.user_id(), Some(user));
            assert_eq!(recipient.expires(), None);
            let subkeys = recipient.subkeys();
            let ids: Vec<_> = subkeys.iter().map(|subkey| subkey.key_id.clone()).collect();
            assert_eq!(ids, gnupg.encryption_key_ids(user));
            assert!(subkeys.iter().all(|subkey| subkey.algorithm.contains(named)), "{subkeys:?}");
        }
    }
}

#[test]
fn a_primary_key_that_encrypts_by_itself_is_used() {
    let gnupg = Gnupg::new();
    gnupg.make(&[], "old@x", "rsa2048", "cert,sign,encr", NEVER);
    let recipient = gnupg.recipient("old@x").unwrap();
    let subkeys = recipient.subkeys();
    assert_eq!(subkeys.first().unwrap().fingerprint, recipient.fingerprint());
}

#[test]
fn only_keys_that_are_valid_today_are_chosen() {
    let gnupg = Gnupg::new();
    gnupg.make(LONG_AGO, "rotated@x", "ed25519", "sign", NEVER);
    gnupg.add(LONG_AGO, "rotated@x", "cv25519", "encr", "1y");
    gnupg.add(&[], "rotated@x", "cv25519", "encr", "2y");
    gnupg.add(&[], "rotated@x", "cv25519", "encr", NEVER);
    gnupg.add(&[], "rotated@x", "rsa1024", "encr", NEVER);
    gnupg.add(&[], "rotated@x", "brainpoolP256r1", "encr", NEVER);
    let all = gnupg.encryption_key_ids("rotated@x");
    let chosen = gnupg.recipient("rotated@x").unwrap().subkeys();
    let chosen: BTreeSet<_> = chosen.into_iter().map(|subkey| subkey.key_id).collect();
    assert_eq!(chosen, all.get(1..3).unwrap().iter().cloned().collect());
}

#[test]
fn expired_keys_are_refused_with_the_date() {
    let gnupg = Gnupg::new();
    gnupg.make(LONG_AGO, "Acme <expired@x>", "ed25519", "sign", "2021-05-06");
    gnupg.add(LONG_AGO, "Acme <expired@x>", "cv25519", "encr", NEVER);
    let fingerprint = gnupg.fingerprint("expired@x");
    let words = ["expired on 2021-05-06", &fingerprint, "Acme <expired@x>", "must send"];
    refused(gnupg.recipient("expired@x"), "openpgp.expired", &words);

    gnupg.make(LONG_AGO, "subkey@x", "ed25519", "sign", NEVER);
    gnupg.add(LONG_AGO, "subkey@x", "cv25519", "encr", "2021-01-02");
    gnupg.add(LONG_AGO, "subkey@x", "cv25519", "encr", "2022-03-04");
    let words = ["encryption key", "expired on 2022-03-04"];
    refused(gnupg.recipient("subkey@x"), "openpgp.expired", &words);

    gnupg.gpg(&["--quick-set-expire", &gnupg.fingerprint("expired@x"), "1y"], b"");
    gnupg.recipient("expired@x").expect("its owner has prolonged it");
}

#[test]
fn a_key_that_ends_soon_is_told_in_time() {
    let gnupg = Gnupg::new();
    gnupg.make(&[], "soon@x", "ed25519", "sign", "2y");
    gnupg.add(&[], "soon@x", "cv25519", "encr", "20d");
    let recipient = gnupg.recipient("soon@x").unwrap();
    let now = Timestamp::now();
    let [warning] = recipient.warnings(now).try_into().unwrap();
    assert_eq!(warning.code, "openpgp.expires_soon");
    assert!((19..=20).contains(&warning.days_left), "{warning:?}");
    assert!(warning.message.contains("soon@x"), "{warning:?}");
    let end = recipient.expires().unwrap();
    let days = |days: i64| end - jiff::SignedDuration::from_hours(24 * days);
    assert_eq!(recipient.warnings(days(30)).len(), 1);
    assert_eq!(recipient.warnings(days(31)).len(), 0);

    gnupg.add(&[], "soon@x", "cv25519", "encr", "1y");
    let recipient = gnupg.recipient("soon@x").unwrap();
    assert!(recipient.warnings(now).is_empty(), "another key lives on");
    assert!(recipient.expires() > Some(end));
}

#[test]
fn revoked_keys_are_refused_with_the_date() {
    let gnupg = Gnupg::new();
    let today = Timestamp::now().strftime("%Y-%m-%d").to_string();
    gnupg.make(&[], "revoked@x", "future-default", "default", NEVER);
    gnupg.revoke("revoked@x");
    refused(gnupg.recipient("revoked@x"), "openpgp.revoked", &["revoked on", &today, "revoked@x"]);

    gnupg.make(&[], "subkey@x", "future-default", "default", NEVER);
    gnupg.edit("subkey@x", &["key 1", "revkey", "y", "1", "stolen", "", "y"]);
    let words = ["encryption key", "stolen", &today];
    refused(gnupg.recipient("subkey@x"), "openpgp.revoked", &words);
    gnupg.add(&[], "subkey@x", "cv25519", "encr", NEVER);
    gnupg.recipient("subkey@x").expect("the new subkey is good");
}

#[test]
fn revoked_and_expired_is_called_revoked() {
    let gnupg = Gnupg::new();
    gnupg.make(LONG_AGO, "both@x", "ed25519", "sign", "1y");
    gnupg.add(LONG_AGO, "both@x", "cv25519", "encr", "1y");
    gnupg.revoke("both@x");
    refused(gnupg.recipient("both@x"), "openpgp.revoked", &["both@x"]);
}

#[test]
fn a_certificate_without_a_user_id_left_is_refused() {
    let gnupg = Gnupg::new();
    gnupg.make(LONG_AGO, "gone@x", "future-default", "default", NEVER);
    gnupg.gpg(&["--quick-add-uid", "gone@x", "here@x"], b"");
    gnupg.gpg(&["--quick-revoke-uid", "here@x", "gone@x"], b"");
    let left = gnupg.recipient("here@x").unwrap();
    assert_eq!(left.user_id(), Some("here@x"));
    // gpg never revokes the last one, so the last one is left out.
    let filter = ["--export-filter", "keep-uid=uid =~ gone@x", "--export", "here@x"];
    refused(parse(&gnupg.gpg(&filter, b"")), "openpgp.revoked", &["every user id", "gone@x"]);
}

#[test]
fn keys_from_the_future_are_refused_with_the_date() {
    let gnupg = Gnupg::new();
    gnupg.make(IN_THE_FUTURE, "future@x", "future-default", "default", NEVER);
    let words = ["not valid before", "2090-01-01"];
    refused(gnupg.recipient("future@x"), "openpgp.not_yet_valid", &words);

    gnupg.make(&[], "subkey@x", "ed25519", "sign", NEVER);
    gnupg.add(IN_THE_FUTURE, "subkey@x", "cv25519", "encr", NEVER);
    let words = ["encryption key", "not valid before 2090-01-01"];
    refused(gnupg.recipient("subkey@x"), "openpgp.not_yet_valid", &words);
}

#[test]
fn weak_keys_are_refused_by_name() {
    let gnupg = Gnupg::new();
    gnupg.make(&[], "rsa1024@x", "rsa1024", "sign", NEVER);
    gnupg.add(&[], "rsa1024@x", "rsa2048", "encr", NEVER);
    refused(gnupg.recipient("rsa1024@x"), "openpgp.too_weak", &["RSA-1024", "rsa1024@x"]);

    gnupg.make(&[], "weaksub@x", "ed25519", "sign", NEVER);
    gnupg.add(&[], "weaksub@x", "rsa1024", "encr", NEVER);
    refused(gnupg.recipient("weaksub@x"), "openpgp.too_weak", &["RSA-1024"]);

    let parameters = "%no-protection\nKey-Type: DSA\nKey-Length: 2048\nSubkey-Type: ELG-E\n\
                      Subkey-Length: 2048\nName-Email: dsa@x\nExpire-Date: 0\n%commit\n";
    gnupg.gpg(&["--gen-key"], parameters.as_bytes());
    refused(gnupg.recipient("dsa@x"), "openpgp.too_weak", &["DSA-2048"]);

    gnupg.make(&["--cert-digest-algo", "SHA1"], "sha1@x", "ed25519", "sign", NEVER);
    gnupg.add(&["--cert-digest-algo", "SHA1"], "sha1@x", "cv25519", "encr", NEVER);
    refused(gnupg.recipient("sha1@x"), "openpgp.too_weak", &["SHA1", "SHA-256 or better"]);
}

#[test]
fn curves_that_cannot_be_computed_are_named() {
    let gnupg = Gnupg::new();
    gnupg.make(&[], "brainpool@x", "brainpoolP256r1", "sign", NEVER);
    refused(gnupg.recipient("brainpool@x"), "openpgp.unsupported", &["brainpoolP256r1"]);
    gnupg.make(&[], "bitcoin@x", "secp256k1", "sign", NEVER);
    refused(gnupg.recipient("bitcoin@x"), "openpgp.unsupported", &["bitcoin@x"]);
    gnupg.make(&[], "subkey@x", "ed25519", "sign", NEVER);
    gnupg.add(&[], "subkey@x", "brainpoolP384r1", "encr", NEVER);
    refused(gnupg.recipient("subkey@x"), "openpgp.unsupported", &["brainpoolP384r1"]);
}

#[test]
fn a_key_that_only_signs_is_refused() {
    let gnupg = Gnupg::new();
    gnupg.make(&[], "sign@x", "rsa2048", "sign", NEVER);
    refused(gnupg.recipient("sign@x"), "openpgp.no_encryption_key", &["sign@x", "subkey"]);
}

#[test]
fn a_private_key_is_refused_in_every_dress() {
    let gnupg = Gnupg::new();
    gnupg.make(&[], "secret@x", "future-default", "default", NEVER);
    let binary = gnupg.gpg(&["--export-secret-keys", "secret@x"], b"");
    let armored = gnupg.gpg(&["--armor", "--export-secret-keys", "secret@x"], b"");
    let both = [gnupg.export_armored("secret@x"), armored.clone()].concat();
    let half = armored.get(..armored.len() / 2).unwrap();
    let half_binary = binary.get(..binary.len() / 2).unwrap();
    gnupg.make(&[], "other@x", "future-default", "default", NEVER);
    let behind = [gnupg.export("other@x"), binary.clone()].concat();
    for bytes in [&binary, &armored, &both, half, half_binary, &behind] {
        refused(parse(bytes), "openpgp.secret_key", &["private key", "rotate"]);
    }
    refused(parse(&binary), "openpgp.secret_key", &[&gnupg.fingerprint("secret@x"), "secret@x"]);
}

#[test]
fn several_certificates_are_refused() {
    let gnupg = Gnupg::new();
    for user in ["one@x", "two@x"] {
        gnupg.make(&[], user, "future-default", "default", NEVER);
    }
    let [one, two] = ["one@x", "two@x"].map(|user| gnupg.export_armored(user));
    let binary = [gnupg.export("one@x"), gnupg.export("two@x")].concat();
    let one_block = gnupg.gpg(&["--armor", "--export"], b"");
    for bytes in [[one, two].concat(), binary, one_block] {
        refused(parse(&bytes), "openpgp.several_certificates", &["(2, the first is"]);
    }
}

#[test]
fn an_armored_file_survives_editors() {
    let gnupg = Gnupg::new();
    gnupg.make(&[], "edited@x", "future-default", "default", NEVER);
    let armored = String::from_utf8(gnupg.export_armored("edited@x")).unwrap();
    for edited in [
        armored.replace('\n', "\r\n"),
        format!("\u{feff}{armored}"),
        format!("\n\n{armored}\n\n\n"),
        format!("Here is our key:\n\n{armored}\nRegards"),
        armored.trim_end().to_owned(),
    ] {
        parse(edited.as_bytes()).unwrap_or_else(|error| panic!("{error}: {edited}"));
    }
}

#[test]
fn what_is_no_certificate_is_named() {
    let gnupg = Gnupg::new();
    gnupg.make(&[], "strange@x", "future-default", "default", NEVER);
    let signature = gnupg.gpg(&["--armor", "--detach-sign"], b"x");
    let message = gnupg.gpg(&["--armor", "--encrypt", "-r", "strange@x"], b"x");
    let binary_message = gnupg.gpg(&["--encrypt", "-r", "strange@x"], b"x");
    let cases: [(&[u8], &str); 9] = [
        (b"", "empty"),
        (b" \r\n", "empty"),
        (b"certificate goes here", "no OpenPGP key"),
        (&[0xff, 0xfe, b'-', 0, b'-', 0], "UTF-16"),
        (b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA me@x", "SSH key"),
        (b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", "PEM"),
        (&signature, "signature"),
        (&message, "message"),
        (&binary_message, "OpenPGP"),
    ];
    for (bytes, word) in cases {
        refused(parse(bytes), "openpgp.unreadable", &[word, "Ask the partner"]);
    }
}

#[test]
fn damage_never_passes_and_never_panics() {
    let gnupg = Gnupg::new();
    gnupg.make(&[], "damaged@x", "future-default", "default", NEVER);
    let good = gnupg.export("damaged@x");
    for keep in 0..good.len() {
        let verdict = parse(good.get(..keep).unwrap());
        assert!(verdict.is_err(), "cut to {keep} bytes");
    }
    for at in 0..good.len() {
        let mut bytes = good.clone();
        *bytes.get_mut(at).unwrap() ^= 0x10;
        // Some bits are not signed, such as packet headers; what is accepted must be the same key.
        if let Ok(recipient) = parse(&bytes) {
            let fingerprint = gnupg.fingerprint("damaged@x");
            assert_eq!(recipient.fingerprint(), fingerprint, "flipped at {at}");
            assert_eq!(recipient.subkeys(), parse(&good).unwrap().subkeys(), "flipped at {at}");
        }
    }
}

#[test]
fn our_own_generated_keys_pass() {
    for kind in [KeyKind::Cv25519, KeyKind::NistP256, KeyKind::V6, KeyKind::Rsa(2048)] {
        let pair = generate(&GenerateOptions { kind, ..GenerateOptions::new("acme") }).unwrap();
        let recipient = parse(pair.public.as_bytes()).unwrap();
        assert_eq!(recipient.fingerprint(), pair.fingerprint);
        refused(parse(pair.secret.as_bytes()), "openpgp.secret_key", &["rotate"]);
        assert!(!format!("{pair:?}").contains("PRIVATE"));
    }
    let day = std::time::Duration::from_secs(86_400);
    let expired = GenerateOptions {
        created: Some("2024-01-01T00:00:00Z".parse().unwrap()),
        valid_for: Some(day * 366),
        ..GenerateOptions::new("old <old@x>")
    };
    let pair = generate(&expired).unwrap();
    refused(parse(pair.public.as_bytes()), "openpgp.expired", &["2025-01-01", "old <old@x>"]);
    let signing = GenerateOptions { encryption_subkeys: 0, ..GenerateOptions::new("signer") };
    let pair = generate(&signing).unwrap();
    refused(parse(pair.public.as_bytes()), "openpgp.no_encryption_key", &["signer"]);
}
