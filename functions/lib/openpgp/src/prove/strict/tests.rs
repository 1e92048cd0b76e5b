//! Messages that were made with the right session key and a right MDC, and are still not ours.

use jiff::Timestamp;

use super::*;
use crate::cfb::Encryption;
use crate::{Format, GenerateOptions, Recipient, SealOptions, generate, seal};

const PREFIX: [u8; PREFIX_BYTES] = *b"0123456789abcdefef";

struct Case {
    key: SessionKey,
    wrapped_key: Vec<u8>,
    key_id: String,
}

impl Case {
    fn new() -> Self {
        let pair = generate(&GenerateOptions::new("acme")).unwrap();
        let recipient = Recipient::parse(pair.public.as_bytes(), Timestamp::now()).unwrap();
        let (sealed, message) = sealed(&recipient, Format::V1);
        let key = sealed.session_key.key().clone();
        let key_id = recipient.subkeys().remove(0).key_id;
        Self { key, wrapped_key: first_packet(&message).to_vec(), key_id }
    }

    /// A container with these bytes, the given header of an MDC, and the MDC itself.
    fn container(&self, inside: &[&[u8]], mut mdc_header: [u8; 2]) -> Vec<u8> {
        let mut inside = inside.concat();
        let mut digest = [0; 20];
        let mut encryption = Encryption::new(&self.key).unwrap();
        encryption.apply(&mut inside);
        encryption.finish(&mut mdc_header, &mut digest);
        packet(CONTAINER_TAG, &[&[CONTAINER_VERSION], &*inside, &mdc_header, &digest].concat())
    }

    fn open(&self, message: &[u8]) -> Result<[u8; 32], String> {
        let open = |bytes| match open(&self.key, bytes, &mut &*message) {
            Ok((tally, recipients)) => {
                assert_eq!(recipients, [&*self.key_id]);
                Ok(tally.finish().0)
            }
            Err(Error::ProofFailed { reason }) => Err(reason),
            Err(error) => panic!("{error}"),
        };
        let alone = open(0);
        assert_eq!(alone, open(u64::MAX), "a second thread makes no difference");
        alone
    }

    fn refuses(&self, message: &[u8], word: &str) {
        let reason = self.open(message).unwrap_err();
        assert!(reason.contains(word), "{word}: {reason}");
    }
}

fn sealed(recipient: &Recipient, format: Format) -> (crate::Sealed, Vec<u8>) {
    let options = SealOptions { format, ..SealOptions::default() };
    let mut message = Vec::new();
    let sealed = seal(&[recipient], &options, &mut &b"abc"[..], &mut message).unwrap();
    (sealed, message)
}

/// A packet below 192 bytes.
fn first_packet(bytes: &[u8]) -> &[u8] {
    &bytes[..2 + usize::from(bytes[1])]
}

fn packet(tag: u8, body: &[u8]) -> Vec<u8> {
    [&[tag, 0xff], &u32::try_from(body.len()).unwrap().to_be_bytes()[..], body].concat()
}

fn literal(header: &[u8]) -> Vec<u8> {
    packet(LITERAL_TAG, &[header, b"abc"].concat())
}

#[test]
fn what_is_made_by_hand_opens_when_it_is_right() {
    let case = Case::new();
    let container = case.container(&[&PREFIX, &literal(&LITERAL_HEADER)], MDC_HEADER);
    case.open(&[&*case.wrapped_key, &container].concat()).unwrap();
    let parts = [
        &PREFIX[..],
        &[LITERAL_TAG, 0xe3],
        &LITERAL_HEADER,
        b"ab",
        &[0xe0],
        b"c",
        &[0xe0, b'd', 192, 0],
        &[b'e'; 192],
    ];
    let in_parts = case.container(&parts, MDC_HEADER);
    case.open(&[&*case.wrapped_key, &in_parts].concat()).unwrap();
    // The body of the container from here on.
    let (_, body) = container.split_at(6);
    let mut pieces = vec![CONTAINER_TAG];
    for byte in body {
        pieces.extend([0xe0, *byte]);
    }
    pieces.push(0);
    case.open(&[&*case.wrapped_key, &pieces].concat()).unwrap();
}

#[test]
fn what_stands_in_the_container_must_be_ours() {
    let case = Case::new();
    let good = literal(&LITERAL_HEADER);
    let marker = [0xca, 3, b'P', b'G', b'P'];
    let mdc = [&[0xd3, 0x14], &[0; 20][..]].concat();
    let inside = |parts: &[&[u8]], header| {
        [&*case.wrapped_key, &case.container(&[&[&PREFIX[..]], parts].concat(), header)].concat()
    };
    case.refuses(&inside(&[&marker, &good], MDC_HEADER), "no literal packet");
    case.refuses(&inside(&[&packet(0xc8, b"\0abc")], MDC_HEADER), "no literal packet");
    case.refuses(&inside(&[&good, &good], MDC_HEADER), "no MDC");
    case.refuses(&inside(&[&good, &mdc], MDC_HEADER), "its MDC does not match");
    case.refuses(&inside(&[&good], [0xd3, 0x15]), "no MDC");
    case.refuses(&inside(&[&good], [0xd5, 0x14]), "no MDC");
    for header in [b"t\0\0\0\0\0", b"b\x01x\0\0\0", b"b\0\0\0\0\x01", b"u\0\0\0\0\0"] {
        case.refuses(&inside(&[&literal(header)], MDC_HEADER), "a name, a date");
    }
    case.refuses(&inside(&[&packet(LITERAL_TAG, b"b\0\0\0\0")], MDC_HEADER), "a name, a date");
    case.refuses(&inside(&[], MDC_HEADER), "no literal packet");
    case.refuses(&inside(&[&[LITERAL_TAG, 100], &LITERAL_HEADER], MDC_HEADER), "ends early");
}

#[test]
fn the_key_is_tried_before_anything_is_believed() {
    let mut case = Case::new();
    let good = literal(&LITERAL_HEADER);
    let container = case.container(&[b"0123456789abcdefex", &good], MDC_HEADER);
    case.refuses(&[&*case.wrapped_key, &container].concat(), "does not open it");
    let container = case.container(&[&PREFIX, &good], MDC_HEADER);
    case.key = vec![7; 32].into();
    case.refuses(&[&*case.wrapped_key, &container].concat(), "does not open it");
}

#[test]
fn nothing_may_follow_the_mdc() {
    let case = Case::new();
    let mut inside = [&PREFIX[..], &literal(&LITERAL_HEADER)].concat();
    let (mut header, mut digest) = (MDC_HEADER, [0; 20]);
    let mut more = *b"more";
    let mut encryption = Encryption::new(&case.key).unwrap();
    encryption.apply(&mut inside);
    encryption.finish(&mut header, &mut digest);
    encryption.apply(&mut more);
    let body = [&[CONTAINER_VERSION], &*inside, &header, &digest, &more].concat();
    let message = [&*case.wrapped_key, &packet(CONTAINER_TAG, &body)].concat();
    case.refuses(&message, "follows its MDC");
}

#[test]
fn what_stands_before_the_container_must_be_ours() {
    let case = Case::new();
    let container = case.container(&[&PREFIX, &literal(&LITERAL_HEADER)], MDC_HEADER);
    let wrapped_key = &case.wrapped_key;
    let pair = generate(&GenerateOptions::new("new")).unwrap();
    let recipient = Recipient::parse(pair.public.as_bytes(), Timestamp::now()).unwrap();
    let (_, other) = sealed(&recipient, Format::V2);
    let (body, mut odd) = (&wrapped_key[2..], container.clone());
    odd[6] = 2;
    let split = body.split_at(64);
    let in_parts =
        [&[WRAPPED_KEY_TAG, 0xe6], split.0, &[u8::try_from(split.1.len()).unwrap()], split.1];
    for (start, container, word) in [
        (Vec::new(), &container, "belongs"),
        (first_packet(&other).to_vec(), &container, "belongs"),
        ([&[0xca, 3, b'P', b'G', b'P'], &**wrapped_key].concat(), &container, "belongs"),
        (packet(0xc3, b"\x04\x09\0\x02"), &container, "belongs"),
        (in_parts.concat(), &container, "comes in parts"),
        (packet(WRAPPED_KEY_TAG, &[3; 65_537]), &container, "has 65537 bytes"),
        (wrapped_key.clone(), &odd, "another version"),
        (wrapped_key.clone(), &[&*container, b"x"].concat(), "follows its container"),
    ] {
        case.refuses(&[&*start, container].concat(), word);
    }
}

#[test]
fn no_length_of_it_is_enough() {
    let case = Case::new();
    let container = case.container(&[&PREFIX, &literal(&LITERAL_HEADER)], MDC_HEADER);
    let message = [&*case.wrapped_key, &container].concat();
    for keep in 0..message.len() {
        case.refuses(&message[..keep], "ends early");
    }
}
