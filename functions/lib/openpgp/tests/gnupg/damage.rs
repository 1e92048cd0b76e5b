//! A certificate with a hole in it: never accepted as another, and never a panic.

use jiff::Timestamp;
use openpgp::{Error, Recipient};

use crate::world::Gnupg;

fn parse(bytes: &[u8]) -> Result<Recipient, Error> {
    Recipient::parse(bytes, Timestamp::now())
}

#[test]
fn damage_never_passes_and_never_panics() {
    let gnupg = Gnupg::new();
    gnupg.make(&[], "damaged@x", "future-default", "default", "never");
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
