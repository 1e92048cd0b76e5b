//! Tampering, judged with and without the comparison to what was written.

use std::io::Cursor;

use domain::{ErrorClass, Failure};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::*;
use crate::{GenerateOptions, KeyKind, SealOptions, Signer, generate, seal};

struct Case {
    recipient: Recipient,
    sealed: Sealed,
    ciphertext: Vec<u8>,
}

fn recipient(options: &GenerateOptions<'_>) -> Recipient {
    let pair = generate(options).unwrap();
    Recipient::parse(pair.public.as_bytes(), Timestamp::now()).unwrap()
}

fn case(plaintext: &[u8], options: &SealOptions<'_>) -> Case {
    let recipient = recipient(&GenerateOptions::new("acme"));
    let mut ciphertext = Vec::new();
    let sealed = seal(&[&recipient], options, &mut &plaintext[..], &mut ciphertext).unwrap();
    Case { recipient, sealed, ciphertext }
}

impl Case {
    fn prove(&self, bytes: &[u8]) -> Result<Proof, Error> {
        prove(&self.sealed, &[&self.recipient], &mut Cursor::new(bytes))
    }

    fn refuses(&self, bytes: &[u8], what: &str) {
        match self.prove(bytes) {
            Err(error @ Error::ProofFailed { .. }) => {
                assert_eq!(Failure::from(error).class, ErrorClass::Transient);
            }
            other => panic!("{what}: {other:?}"),
        }
    }
}

/// Every seal that must behave alike.
fn variants() -> Vec<SealOptions<'static>> {
    let mut all = Vec::new();
    for armor in [false, true] {
        for format in [Format::V1, Format::V2] {
            all.push(SealOptions { armor, format, signer: None });
        }
    }
    all
}

fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..bytes).map(|_| next()).collect()
}

#[test]
fn the_real_one_is_proven_at_every_size() {
    for options in variants() {
        for bytes in [0, 1, 2, 4095, 4096, 4097, 262_143, 262_144, 262_145, 600_000, 3_000_000] {
            let plaintext = noise(bytes);
            let case = case(&plaintext, &options);
            let proof = case.prove(&case.ciphertext).unwrap();
            assert_eq!(proof.plaintext_bytes, bytes as u64);
            assert_eq!(hex::encode(proof.plaintext_sha256), case.sealed.plaintext_sha256_hex());
            let stored: [u8; 32] = Sha256::digest(&case.ciphertext).into();
            assert_eq!(proof.ciphertext_sha256, stored);
            assert_eq!(proof.ciphertext_sha256_hex(), hex::encode(stored));
            assert_eq!(proof.ciphertext_bytes, case.ciphertext.len() as u64);
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_is_refused() {
    for options in variants() {
        let case = case(&noise(700), &options);
        for at in 0..case.ciphertext.len() {
            let mut bytes = case.ciphertext.clone();
            bytes[at] ^= 0x04;
            case.refuses(&bytes, &format!("{options:?} flipped at {at}"));
        }
    }
}

#[test]
fn a_flipped_bit_in_a_length_of_the_container_is_refused() {
    let case = case(&noise(600_000), &SealOptions { format: Format::V1, ..Default::default() });
    let mut at = case.sealed.written.head_bytes as usize;
    let mut lengths = Vec::new();
    while let Some(&first) = case.ciphertext.get(at) {
        let (header, body) = match first {
            0xe0..0xff => (1, 1 << (first & 0x1f)),
            0xff => (5, u32::from_be_bytes(case.ciphertext[at + 1..at + 5].try_into().unwrap())),
            _ => panic!("600,000 bytes end with a part of {first:#x}"),
        };
        lengths.extend(at..at + header);
        at += header + body as usize;
    }
    assert_eq!(at, case.ciphertext.len());
    assert!(lengths.len() > 5, "there are several parts");
    for (at, bit) in lengths.into_iter().flat_map(|at| (0..8).map(move |bit| (at, 1 << bit))) {
        let mut bytes = case.ciphertext.clone();
        bytes[at] ^= bit;
        case.refuses(&bytes, &format!("the length at {at} with bit {bit:#x} flipped"));
    }
}

#[test]
fn the_encryption_alone_detects_flips_inside_the_container() {
    for format in [Format::V1, Format::V2] {
        let options = SealOptions { format, ..SealOptions::default() };
        let case = case(&noise(700), &options);
        let total = case.ciphertext.len();
        // The last 700 bytes are container; what precedes them is also the wrapped session key.
        for at in total - 700..total {
            let mut bytes = case.ciphertext.clone();
            bytes[at] ^= 0x80;
            let opened = examine(&case.sealed, &mut Cursor::new(&bytes));
            assert!(matches!(opened, Err(Error::ProofFailed { .. })), "{format:?} at {at}");
        }
    }
}

#[test]
fn a_truncated_one_is_refused_at_every_length() {
    for options in variants() {
        let case = case(&noise(700), &options);
        for keep in 0..case.ciphertext.len() {
            case.refuses(&case.ciphertext[..keep], &format!("{options:?} cut to {keep}"));
        }
    }
}

#[test]
fn the_encryption_alone_detects_truncation() {
    for format in [Format::V1, Format::V2] {
        let options = SealOptions { format, ..SealOptions::default() };
        let case = case(&noise(9000), &options);
        for keep in (0..case.ciphertext.len()).step_by(37) {
            let mut stored = Cursor::new(&case.ciphertext[..keep]);
            let opened = examine(&case.sealed, &mut stored);
            assert!(matches!(opened, Err(Error::ProofFailed { .. })), "{format:?} cut to {keep}");
        }
    }
}

#[test]
fn bytes_after_the_end_are_refused() {
    for options in variants() {
        let case = case(&noise(700), &options);
        let packet = [0xca, 0x03, b'P', b'G', b'P'];
        for tail in [&b"\n"[..], b"\0", b"x", &packet, &case.ciphertext, &noise(5000)] {
            let bytes = [&case.ciphertext, tail].concat();
            case.refuses(&bytes, &format!("{options:?} with {} more bytes", tail.len()));
        }
    }
}

/// A packet below 192 bytes: one of tag, one of length, and its body.
fn first_packet(bytes: &[u8]) -> &[u8] {
    let length = usize::from(bytes[1]);
    assert!(bytes[0] & 0x40 != 0 && length < 192);
    &bytes[..2 + length]
}

#[test]
fn the_structure_alone_refuses_packets_around_the_container() {
    let marker = [0xca, 0x03, b'P', b'G', b'P'];
    for format in [Format::V1, Format::V2] {
        let options = SealOptions { format, ..SealOptions::default() };
        let case = case(&noise(700), &options);
        let wrapped_key = first_packet(&case.ciphertext);
        let container = &case.ciphertext[wrapped_key.len()..];
        for bytes in [
            [&case.ciphertext[..], wrapped_key].concat(),
            [&case.ciphertext[..], container].concat(),
            [&marker[..], &case.ciphertext].concat(),
            [&case.ciphertext[..], &marker].concat(),
            [&case.ciphertext[..], &case.ciphertext].concat(),
        ] {
            let opened = examine(&case.sealed, &mut Cursor::new(&bytes));
            assert!(matches!(opened, Err(Error::ProofFailed { .. })), "{format:?} {opened:?}");
        }
    }
}

#[test]
fn the_structure_alone_refuses_the_other_format() {
    for (format, claimed) in [(Format::V1, Format::V2), (Format::V2, Format::V1)] {
        let mut case = case(&noise(700), &SealOptions { format, ..SealOptions::default() });
        case.sealed.format = claimed;
        let opened = examine(&case.sealed, &mut Cursor::new(&case.ciphertext));
        assert!(matches!(opened, Err(Error::ProofFailed { .. })), "{format:?} {opened:?}");
    }
}

/// Whether the proof's own look takes that packet, counted from the first one of the message.
fn fits(examiner: &mut Examiner<'_>, message: &[u8], number: usize) -> bool {
    let first = PacketParser::from_bytes(message).unwrap();
    let packet = (0..number).fold(first, |packet, _| packet.unwrap().next().unwrap().1);
    examiner.inspect(&packet.unwrap()).is_ok()
}

#[test]
fn each_packet_is_looked_at_without_the_help_of_the_library() {
    let both = [Format::V1, Format::V2];
    for (format, claimed) in both.into_iter().flat_map(|one| both.map(|other| (one, other))) {
        let case = case(b"x", &SealOptions { format, ..SealOptions::default() });
        let mut examiner = Examiner {
            session_key: case.sealed.session_key.key(),
            format: claimed,
            signer: None,
            recipients: Vec::new(),
            containers: 0,
            literals: 0,
        };
        // A wrapped key and a container fit once and in this order, if they have the right version.
        let found = [0, 0, 1, 0, 1].map(|number| fits(&mut examiner, &case.ciphertext, number));
        let right = format == claimed;
        assert_eq!(found, [right, right, right, false, false], "{format:?} as {claimed:?}");
    }
}

#[test]
fn another_file_of_the_same_partner_is_refused() {
    for options in variants() {
        let case = case(b"one", &options);
        let mut other = Vec::new();
        seal(&[&case.recipient], &options, &mut &b"one"[..], &mut other).unwrap();
        case.refuses(&other, "another seal of the same bytes");
        case.refuses(b"one", "the plaintext itself");
        case.refuses(b"", "nothing");
    }
}

#[test]
fn one_recipient_more_or_less_is_refused() {
    let [one, two] = ["one", "two"].map(|name| recipient(&GenerateOptions::new(name)));
    for format in [Format::V1, Format::V2] {
        let options = SealOptions { format, ..SealOptions::default() };
        let mut ciphertext = Vec::new();
        let sealed = seal(&[&one, &two], &options, &mut &b"x"[..], &mut ciphertext).unwrap();
        let prove =
            |recipients: &[&Recipient]| prove(&sealed, recipients, &mut Cursor::new(&ciphertext));
        assert!(matches!(prove(&[&one]), Err(Error::ProofFailed { .. })), "an extra recipient");
        assert!(matches!(prove(&[]), Err(Error::ProofFailed { .. })), "nobody expected");
        prove(&[&two, &one]).unwrap();
        assert_eq!(sealed.recipients.len(), 2);
    }
}

#[test]
fn every_chosen_subkey_is_named() {
    let options = GenerateOptions { encryption_subkeys: 3, ..GenerateOptions::new("acme") };
    let acme = recipient(&options);
    let mut ciphertext = Vec::new();
    let sealed =
        seal(&[&acme, &acme], &SealOptions::default(), &mut &b"x"[..], &mut ciphertext).unwrap();
    let proof = prove(&sealed, &[&acme], &mut Cursor::new(&ciphertext)).unwrap();
    let mut ids: Vec<_> = acme.subkeys().into_iter().map(|subkey| subkey.key_id).collect();
    ids.sort();
    assert_eq!(proof.recipients, ids);
    assert_eq!(ids.len(), 3);
}

#[test]
fn a_signature_is_checked_too() {
    let now = Timestamp::now();
    let pair = generate(&GenerateOptions::new("us")).unwrap();
    let signer = Signer::parse(pair.secret.as_bytes(), None, now).unwrap();
    for format in [Format::V1, Format::V2] {
        let options = SealOptions { format, signer: Some(&signer), armor: false };
        let mut case = case(&noise(300_000), &options);
        case.prove(&case.ciphertext).unwrap();
        case.sealed.signed_by = None;
        case.refuses(&case.ciphertext, "a signature nobody ordered");
        let unsigned = super::tests::case(b"x", &SealOptions { signer: None, ..options });
        let mut sealed = unsigned.sealed;
        sealed.signed_by = Some(signer.cert().clone());
        let proven = prove(&sealed, &[&unsigned.recipient], &mut Cursor::new(unsigned.ciphertext));
        assert!(matches!(proven, Err(Error::ProofFailed { .. })), "a missing signature");
    }
}

#[test]
fn the_format_follows_the_certificates() {
    let old = recipient(&GenerateOptions::new("old"));
    let new = recipient(&GenerateOptions { announces_v2: true, ..GenerateOptions::new("new") });
    let v6 = recipient(&GenerateOptions { kind: KeyKind::V6, ..GenerateOptions::new("v6") });
    let sealed = |recipients: &[&Recipient], format| {
        let options = SealOptions { format, ..SealOptions::default() };
        let mut ciphertext = Vec::new();
        let sealed = seal(recipients, &options, &mut &b"x"[..], &mut ciphertext)?;
        prove(&sealed, recipients, &mut Cursor::new(&ciphertext))?;
        Ok::<_, Error>(sealed.format)
    };
    assert_eq!(sealed(&[&old], Format::Auto).unwrap(), Format::V1);
    assert_eq!(sealed(&[&new], Format::Auto).unwrap(), Format::V2);
    assert_eq!(sealed(&[&new], Format::V1).unwrap(), Format::V1);
    assert_eq!(sealed(&[&old], Format::V2).unwrap(), Format::V2);
    assert_eq!(sealed(&[&old, &new], Format::Auto).unwrap(), Format::V1);
    assert_eq!(sealed(&[&v6], Format::Auto).unwrap(), Format::V2);
    assert_eq!(sealed(&[&v6, &new], Format::Auto).unwrap(), Format::V2);
    assert!(matches!(sealed(&[&v6], Format::V1), Err(Error::Format { .. })));
    assert!(matches!(sealed(&[&v6, &old], Format::Auto), Err(Error::Format { .. })));
    assert!(matches!(sealed(&[], Format::Auto), Err(Error::NoRecipient)));
}

#[test]
fn the_session_key_is_never_printed() {
    let case = case(b"x", &SealOptions::default());
    let key = case.sealed.session_key.key();
    let printed = format!("{:?} {:#?}", case.sealed, case.sealed.session_key);
    assert!(printed.contains("redacted"));
    let decimal = format!("{:?}", &key[..8]);
    let spaced = decimal.trim_matches(['[', ']']);
    assert!(!printed.contains(spaced), "{printed}");
    assert!(!printed.to_lowercase().contains(&hex::encode(&key[..4])));
}

/// Fails after some bytes, with a failure that its caller wants back.
struct Broken {
    good: Cursor<Vec<u8>>,
}

fn storage_is_down() -> Failure {
    Failure::throttled("storage.slow_down", "S3 asked to slow down.")
}

impl Read for Broken {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.good.read(buffer)? {
            0 => Err(io::Error::other(storage_is_down())),
            count => Ok(count),
        }
    }
}

impl io::Write for Broken {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if data.len() > 3 { Err(io::Error::other(storage_is_down())) } else { Ok(data.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn failures_of_the_streams_come_back_unchanged() {
    for options in variants() {
        let case = case(&noise(9_000_000), &options);
        for keep in [
            0,
            1,
            40,
            115,
            125,
            140,
            700,
            300_000,
            case.ciphertext.len() - 1,
            case.ciphertext.len(),
        ] {
            let mut broken = Broken { good: Cursor::new(case.ciphertext[..keep].to_vec()) };
            let error = prove(&case.sealed, &[&case.recipient], &mut broken).unwrap_err();
            assert_eq!(Failure::from(error), storage_is_down(), "{options:?} read {keep}");
        }
        for keep in [0, 700, 9_000_000] {
            let mut broken = Broken { good: Cursor::new(noise(keep)) };
            let error =
                seal(&[&case.recipient], &options, &mut broken, &mut Vec::new()).unwrap_err();
            assert_eq!(Failure::from(error), storage_is_down(), "{options:?} plaintext {keep}");
        }
        for bytes in [0, 700, 9_000_000] {
            let mut broken = Broken { good: Cursor::new(Vec::new()) };
            let error = seal(&[&case.recipient], &options, &mut &noise(bytes)[..], &mut broken)
                .unwrap_err();
            assert_eq!(Failure::from(error), storage_is_down(), "{options:?} write {bytes}");
        }
    }
}

#[test]
fn a_plain_stream_error_is_worth_another_try() {
    let error = Error::Read { what: "the plaintext", source: io::ErrorKind::TimedOut.into() };
    let failure = Failure::from(error);
    assert_eq!((failure.class, &*failure.code), (ErrorClass::Transient, "openpgp.read"));
}
