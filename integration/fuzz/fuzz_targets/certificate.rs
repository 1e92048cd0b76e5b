//! Any bytes as a partner's certificate, and certificates built to order: what is accepted can be
//! sealed for and proven, and only keys that are good today are chosen.

#![no_main]

use std::io::Cursor;
use std::sync::LazyLock;

use fuzz::random::Random;
use jiff::Timestamp;
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use openpgp::{Error, Format, Recipient, SealOptions, prove, seal};

#[path = "certificate/recipe.rs"]
mod recipe;
#[path = "certificate/seeds.rs"]
mod seeds;

use recipe::Recipe;

/// The day on which every input is judged.
static NOW: LazyLock<Timestamp> = LazyLock::new(|| "2026-06-01T12:00:00Z".parse().expect("a time"));

fuzz_target!(init: fuzz::start(seeds::seeds, |_, bytes| bytes.to_vec()), |data: &[u8]| fuzz::run(|| judge(data)));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let input = data.get(..size).unwrap_or_default();
    let mut random = Random::new(seed.into());
    // A corpus soon holds few recipes among many damaged certificates.
    let fresh = seeds::recipes();
    let input = if random.once_in(2) { random.of(&fresh) } else { input };
    let made = if random.once_in(3) { None } else { recipe::mutate(input, &mut random) };
    made.and_then(|made| fuzz::place(data, size, max_size, &made))
        .unwrap_or_else(|| fuzzer_mutate(data, size, max_size))
});

fn judge(data: &[u8]) {
    match Recipe::read(data) {
        None => {
            if let Some(recipient) = parse(data) {
                useful(&recipient);
            }
        }
        Some(recipe) => {
            let built = recipe.build();
            let answer = parse(&built.bytes);
            let expected = built.chosen(*NOW);
            match (&answer, &expected) {
                (None, None) => {}
                (Some(recipient), Some((keys, end))) => {
                    let mut found: Vec<String> =
                        recipient.subkeys().into_iter().map(|key| key.fingerprint).collect();
                    found.sort();
                    assert_eq!(&found, keys, "{recipe:?}");
                    assert_eq!(recipient.expires(), *end, "{recipe:?}");
                    useful(recipient);
                }
                _ => panic!("{recipe:?}: {answer:?} and not {expected:?}"),
            }
        }
    }
}

fn parse(data: &[u8]) -> Option<Recipient> {
    match Recipient::parse(data, *NOW) {
        Ok(recipient) => Some(recipient),
        Err(error) => {
            let failure = domain::Failure::from(error);
            assert!(failure.code.starts_with("openpgp."), "{failure:?}");
            assert_eq!(failure.class, domain::ErrorClass::Misconfigured, "{failure:?}");
            None
        }
    }
}

/// An accepted certificate has keys that live, and files can be sealed for it and proven.
fn useful(recipient: &Recipient) {
    let keys = recipient.subkeys();
    assert!(!keys.is_empty(), "accepted without a key");
    assert!(keys.iter().all(|key| key.expires.is_none_or(|end| end > *NOW)), "{keys:?}");
    assert!(recipient.expires().is_none_or(|end| end > *NOW));
    assert!(recipient.fingerprint().bytes().all(|byte| byte.is_ascii_hexdigit()));
    for warning in recipient.warnings(*NOW) {
        assert!((0..=30).contains(&warning.days_left), "{warning:?}");
    }
    let text = b"id,name\n1,Ada\n";
    let mut sealed = Vec::new();
    let options =
        SealOptions { armor: keys.len().is_multiple_of(2), format: Format::Auto, signer: None };
    let written = match seal(&[recipient], &options, &mut text.as_slice(), &mut sealed) {
        Ok(written) => written,
        // A key may be well-formed and no point of its curve: nothing is sealed for it then.
        Err(Error::Seal { .. }) => return assert!(!keys.is_empty()),
        Err(error) => panic!("it was accepted, and {error}"),
    };
    let proof = prove(&written, &[recipient], &mut Cursor::new(&sealed)).expect("it was sealed");
    assert_eq!(proof.plaintext_bytes, text.len() as u64);
    assert_eq!(proof.ciphertext_bytes, sealed.len() as u64);
    assert_eq!(proof.recipients.len(), keys.len());
}
