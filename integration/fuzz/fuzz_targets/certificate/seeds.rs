//! First inputs: certificates of every kind our own library makes, recipes, old and odd algorithms,
//! and what people store by mistake.

use std::time::Duration;

use openpgp::{GenerateOptions, KeyKind, generate};
use sequoia_openpgp as pgp;

use pgp::Packet;
use pgp::crypto::mpi::{MPI, PublicKey};
use pgp::packet::key::{Key4, PrimaryRole, PublicParts, SubordinateRole};
use pgp::packet::{Key, UserID};
use pgp::serialize::Serialize;
use pgp::types::{Curve, HashAlgorithm, PublicKeyAlgorithm, SymmetricAlgorithm};

use crate::NOW;
use crate::recipe::{MAGIC, Recipe};

const DAY: Duration = Duration::from_secs(86_400);

/// All of them.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut made = recipes();
    made.extend(recipes().iter().filter_map(|recipe| Some(Recipe::read(recipe)?.build().bytes)));
    made.extend(generated());
    made.extend(old());
    let texts: [&[u8]; 10] = [
        b"",
        b" \n",
        b"\xff\xfe-\0",
        b"\xef\xbb\xbf",
        b"ssh-ed25519 AAAA",
        b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
        b"-----BEGIN PGP MESSAGE-----\n\nAAAA\n-----END PGP MESSAGE-----\n",
        b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nAAAA\n",
        b"\x94\x01\x02",
        b"\xc6\xff\xff\xff\xff\xff",
    ];
    made.extend(texts.map(<[u8]>::to_vec));
    made
}

/// A good certificate, and one change each.
pub fn recipes() -> Vec<Vec<u8>> {
    let good = [0x0c, 190, 0, 0];
    let recipe = |head: [u8; 3], keys: &[[u8; 4]]| {
        [MAGIC, head.as_slice(), keys.concat().as_slice()].concat()
    };
    vec![
        recipe([0, 0, 0], &[good]),
        recipe([1, 0, 0], &[good, [0x08, 180, 0, 0]]),
        recipe([2, 20, 0], &[good]),
        recipe([2, 176, 0], &[good]),
        recipe([2, 255, 0], &[good]),
        recipe([4, 0, 0x80], &[good]),
        recipe([4, 0, 3], &[good]),
        recipe([8, 0, 0], &[good]),
        recipe([0x18, 0, 0], &[good]),
        recipe([0x20, 0, 0], &[good]),
        recipe([0x40, 0, 0], &[good]),
        recipe([0x80, 0, 0], &[good]),
        recipe([0x81, 0, 0], &[good]),
        recipe([0, 0, 0], &[]),
        recipe([0, 0, 0], &[[0x1c, 190, 1, 0]]),
        recipe([0, 0, 0], &[[0x1c, 190, 10, 0], [0x1c, 150, 200, 0]]),
        recipe([0, 0, 0], &[[0x2c, 190, 0, 0x80]]),
        recipe([0, 0, 0], &[[0x2c, 190, 0, 2]]),
        recipe([0, 0, 0], &[[0x0c, 250, 0, 0]]),
        recipe([0, 0, 0], &[[0x40, 190, 0, 0]]),
        recipe([0, 0, 0], &[[0x8c, 190, 0, 0]]),
    ]
}

fn generated() -> Vec<Vec<u8>> {
    let now = *NOW;
    let ago = |days: u32| now.checked_sub(DAY * days).ok();
    let base = GenerateOptions { created: ago(100), ..GenerateOptions::new("Acme <a@b.example>") };
    let kinds = [
        KeyKind::Cv25519,
        KeyKind::Rsa(2048),
        KeyKind::NistP256,
        KeyKind::NistP384,
        KeyKind::NistP521,
        KeyKind::V6,
    ];
    let mut options: Vec<GenerateOptions<'_>> =
        kinds.into_iter().map(|kind| GenerateOptions { kind, ..base }).collect();
    options.extend([
        GenerateOptions { valid_for: Some(DAY * 50), ..base },
        GenerateOptions { valid_for: Some(DAY * 110), ..base },
        GenerateOptions { created: now.checked_add(DAY * 9).ok(), ..base },
        GenerateOptions { encryption_subkeys: 0, ..base },
        GenerateOptions { encryption_subkeys: 3, announces_v2: true, ..base },
        GenerateOptions { user_id: "", ..base },
    ]);
    let keys: Vec<_> = options.iter().filter_map(|options| generate(options).ok()).collect();
    let mut made: Vec<Vec<u8>> = keys.iter().map(|key| key.public.clone().into()).collect();
    if let [first, second, ..] = keys.as_slice() {
        made.push(first.secret.clone().into());
        made.push([first.public.as_bytes(), second.public.as_bytes()].concat());
        made.push([b"\xef\xbb\xbf", first.public.as_bytes()].concat());
        made.push(first.public.as_bytes()[..first.public.len() / 2].to_vec());
    }
    made
}

/// Keys that nobody can sign with here: their numbers are noise, their algorithms count.
#[expect(deprecated, reason = "old algorithms must be named to be refused")]
fn old() -> Vec<Vec<u8>> {
    use PublicKeyAlgorithm as Algorithm;
    let number = |bits: usize| MPI::new(&vec![0xc5; bits / 8]);
    let rsa = |bits| PublicKey::RSA { e: MPI::new(&[1, 0, 1]), n: number(bits) };
    let dsa =
        |bits| PublicKey::DSA { p: number(bits), q: number(256), g: number(bits), y: number(bits) };
    let elgamal = PublicKey::ElGamal { p: number(2048), g: number(8), y: number(2048) };
    let unknown = Curve::Unknown(vec![1, 2, 3].into());
    let ecdsa = |curve| PublicKey::ECDSA { curve, q: number(256) };
    let ecdh = |curve| PublicKey::ECDH {
        curve,
        q: number(256),
        hash: HashAlgorithm::SHA256,
        sym: SymmetricAlgorithm::AES256,
    };
    let primaries = [
        (Algorithm::RSAEncryptSign, rsa(1024)),
        (Algorithm::RSAEncryptSign, rsa(2048)),
        (Algorithm::DSA, dsa(1024)),
        (Algorithm::ECDSA, ecdsa(unknown.clone())),
        (Algorithm::ECDSA, ecdsa(Curve::BrainpoolP256)),
        (Algorithm::ECDSA, ecdsa(Curve::NistP256)),
    ];
    let subkeys = [
        (Algorithm::ElGamalEncrypt, elgamal),
        (Algorithm::ECDH, ecdh(unknown)),
        (Algorithm::RSAEncrypt, rsa(1024)),
    ];
    let from = std::time::SystemTime::UNIX_EPOCH + DAY * 15_000;
    let mut made = Vec::new();
    for (algorithm, numbers) in &primaries {
        let key = Key4::<PublicParts, PrimaryRole>::new(from, *algorithm, numbers.clone());
        made.extend(key.ok().and_then(|key| certificate(key.into(), &[])));
    }
    for (algorithm, numbers) in subkeys {
        let subkey = Key4::<PublicParts, SubordinateRole>::new(from, algorithm, numbers);
        let Some(recipe) = recipes().first().and_then(|bytes| Recipe::read(bytes)) else {
            continue;
        };
        if let (Ok(subkey), Ok(mut bytes)) = (subkey, Ok::<_, ()>(recipe.build().bytes)) {
            let written = Packet::PublicSubkey(subkey.into()).serialize(&mut bytes);
            made.extend(written.is_ok().then_some(bytes));
        }
    }
    made
}

fn certificate(key: Key<PublicParts, PrimaryRole>, more: &[Packet]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    Packet::PublicKey(key).serialize(&mut bytes).ok()?;
    Packet::from(UserID::from("Old <o@example.org>")).serialize(&mut bytes).ok()?;
    more.iter().try_for_each(|packet| packet.serialize(&mut bytes)).ok()?;
    Some(bytes)
}
