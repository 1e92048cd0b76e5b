//! What was sealed opens in GnuPG 2.2, byte for byte, and looks as promised.

use std::collections::BTreeSet;
use std::io::Cursor;

use jiff::Timestamp;
use openpgp::{
    Error, Format, GenerateOptions, KeyKind, Recipient, SealOptions, Sealed, Signer, generate,
    open, prove, seal, suffix,
};

use crate::world::Gnupg;

const MIB: usize = 1024 * 1024;

pub fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut plaintext = Vec::with_capacity(bytes + 8);
    while plaintext.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        plaintext.extend_from_slice(&state.to_le_bytes());
    }
    plaintext.truncate(bytes);
    plaintext
}

fn sealed(
    recipient: &Recipient,
    options: &SealOptions<'_>,
    mut plaintext: &[u8],
) -> (Sealed, Vec<u8>) {
    let mut ciphertext = Vec::new();
    let sealed = seal(&[recipient], options, &mut plaintext, &mut ciphertext).unwrap();
    prove(&sealed, &[recipient], &mut Cursor::new(&ciphertext)).unwrap();
    (sealed, ciphertext)
}

#[test]
fn gpg_opens_every_size_binary_and_armored() {
    let gnupg = Gnupg::new();
    gnupg.make(&[], "acme@x", "future-default", "default", "never");
    let recipient = gnupg.recipient("acme@x").unwrap();
    for bytes in [0, 1, 100 * 1024, 5 * MIB] {
        for armor in [false, true] {
            let plaintext = noise(bytes);
            let options = SealOptions { armor, ..SealOptions::default() };
            let (sealed, ciphertext) = sealed(&recipient, &options, &plaintext);
            assert_eq!(ciphertext.starts_with(b"-----BEGIN PGP MESSAGE-----"), armor);
            assert_eq!(sealed.ciphertext_bytes, ciphertext.len() as u64);
            assert!(gnupg.gpg(&["--decrypt"], &ciphertext) == plaintext, "{bytes} {armor}");
        }
    }
}

#[test]
fn gpg_sees_the_promised_packets() {
    let gnupg = Gnupg::new();
    gnupg.make(&[], "acme@x", "ed25519", "sign", "never");
    gnupg.add(&[], "acme@x", "cv25519", "encr", "never");
    gnupg.add(&[], "acme@x", "cv25519", "encr", "never");
    let recipient = gnupg.recipient("acme@x").unwrap();
    let text = "the same line, again and again\n".repeat(1000);
    let (sealed, ciphertext) = sealed(&recipient, &SealOptions::default(), text.as_bytes());
    let packets = String::from_utf8(gnupg.gpg(&["--list-packets"], &ciphertext)).unwrap();
    assert!(!packets.contains(":compressed packet:"), "{packets}");
    assert!(packets.contains("mdc_method: 2"), "{packets}");
    assert!(packets.contains("mode b (62), created 0, name=\"\""), "{packets}");
    let ids = gnupg.encryption_key_ids("acme@x");
    assert_eq!(ids.len(), 2);
    for id in &ids {
        assert!(packets.contains(&format!("keyid {id}")), "{id}: {packets}");
    }
    assert_eq!(packets.matches(":pubkey enc packet:").count(), 2);
    let told: BTreeSet<_> = sealed.recipients.into_iter().map(|one| one.key_id).collect();
    assert_eq!(told, ids.into_iter().collect());
    let listed = gnupg.attempt(&["--verbose", "--decrypt"], &ciphertext);
    let words = String::from_utf8_lossy(&listed.stderr);
    assert!(words.contains("AES256"), "{words}");
}

#[test]
fn gpg_refuses_what_was_tampered_with() {
    let gnupg = Gnupg::new();
    gnupg.make(&[], "acme@x", "future-default", "default", "never");
    let recipient = gnupg.recipient("acme@x").unwrap();
    let (_, mut ciphertext) = sealed(&recipient, &SealOptions::default(), &noise(5000));
    let last = ciphertext.len() - 100;
    *ciphertext.get_mut(last).unwrap() ^= 1;
    assert!(!gnupg.attempt(&["--decrypt"], &ciphertext).status.success());
}

#[test]
fn gpg_accepts_our_signature() {
    let gnupg = Gnupg::new();
    gnupg.make(&[], "acme@x", "future-default", "default", "never");
    let recipient = gnupg.recipient("acme@x").unwrap();
    let us = GenerateOptions { passphrase: Some("open sesame"), ..GenerateOptions::new("us@x") };
    let us = generate(&us).unwrap();
    gnupg.gpg(&["--import"], us.public.as_bytes());
    let now = Timestamp::now();
    let signer = Signer::parse(us.secret.as_bytes(), Some("open sesame"), now).unwrap();
    let options = SealOptions { signer: Some(&signer), ..SealOptions::default() };
    let plaintext = noise(3 * MIB);
    let (_, ciphertext) = sealed(&recipient, &options, &plaintext);
    let output = gnupg.attempt(&["--status-fd", "2", "--decrypt"], &ciphertext);
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.stdout == plaintext && words.contains("GOODSIG"), "{words}");
}

#[test]
fn our_signing_key_may_come_from_gpg_and_bad_ones_are_named() {
    let gnupg = Gnupg::new();
    gnupg.make(&[], "us@x", "rsa2048", "sign", "never");
    let secret = gnupg.gpg(&["--armor", "--export-secret-keys", "us@x"], b"");
    let parameters = "%no-protection\nKey-Type: DSA\nKey-Length: 2048\nName-Email: dsa@x\n\
                      Expire-Date: 0\n%commit\n";
    gnupg.gpg(&["--generate-key"], parameters.as_bytes());
    let dsa = gnupg.gpg(&["--export-secret-keys", "dsa@x"], b"");
    let now = Timestamp::now();
    let signer = Signer::parse(&secret, None, now).unwrap();
    assert_eq!(signer.fingerprint(), gnupg.fingerprint("us@x"));
    assert_eq!(
        format!("{signer:?}"),
        format!("Signer {{ fingerprint: {:?}, .. }}", signer.fingerprint())
    );
    let locked = GenerateOptions { passphrase: Some("right"), ..GenerateOptions::new("locked") };
    let locked = generate(&locked).unwrap().secret;
    let two = [secret, locked.clone().into_bytes()].concat();
    for (key, passphrase, word) in [
        (gnupg.export("us@x"), None, "public certificate"),
        (two, None, "holds 2 keys"),
        (b"nonsense".to_vec(), None, "no secret key"),
        (dsa, None, "DSA2048"),
        (locked.clone().into_bytes(), None, "needs a passphrase"),
        (locked.into_bytes(), Some("wrong"), "passphrase does not open"),
    ] {
        let error = Signer::parse(&key, passphrase, now).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
        assert_eq!(domain::Failure::from(error).code, "openpgp.signer");
    }
}

#[test]
fn our_own_keys_open_their_files_in_both_formats() {
    let plaintext = noise(MIB + 1);
    for kind in [KeyKind::Cv25519, KeyKind::Rsa(2048), KeyKind::NistP521, KeyKind::V6] {
        let us = GenerateOptions { kind, passphrase: Some("x"), ..GenerateOptions::new("acme") };
        let pair = generate(&us).unwrap();
        let recipient = Recipient::parse(pair.public.as_bytes(), Timestamp::now()).unwrap();
        for format in [Format::Auto, Format::V2] {
            let options = SealOptions { format, armor: true, signer: None };
            let (_, ciphertext) = sealed(&recipient, &options, &plaintext);
            let mut opened = Vec::new();
            let secret = pair.secret.as_bytes();
            open(secret, Some("x"), &mut Cursor::new(&ciphertext), &mut opened).unwrap();
            assert!(opened == plaintext, "{kind:?} {format:?}");
            let stranger = generate(&GenerateOptions::new("stranger")).unwrap();
            let secret = stranger.secret.as_bytes();
            let denied = open(secret, None, &mut Cursor::new(&ciphertext), &mut Vec::new());
            assert!(matches!(denied, Err(Error::Generate { .. })), "{denied:?}");
        }
    }
}

#[test]
fn the_suffix_follows_the_armor() {
    assert_eq!((suffix(false), suffix(true)), (".pgp", ".asc"));
}
