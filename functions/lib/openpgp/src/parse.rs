//! From bytes that someone stored to exactly one certificate, or to the reason why not.

use sequoia_openpgp as pgp;

use pgp::Cert;
use pgp::cert::CertParser;
use pgp::parse::Parse;

use crate::error::{Error, Holder, words};

const UTF8_BOM: &[u8] = b"\xef\xbb\xbf";
/// Stands at offset 8 of GnuPG's `pubring.kbx`.
const KEYBOX_MAGIC: &[u8] = b"KBXf";
const ARMOR_BEGIN: &str = "-----BEGIN PGP ";

/// What a file of keys holds.
pub(crate) struct Keys {
    /// The first certificate.
    pub(crate) cert: Cert,
    /// How many there are.
    pub(crate) count: usize,
    /// Whether any of them has a private part.
    pub(crate) any_secret: bool,
}

/// Reads one certificate or key, binary or armored.
pub(crate) fn keys(bytes: &[u8]) -> Result<Keys, Error> {
    let bytes = bytes.strip_prefix(UTF8_BOM).unwrap_or(bytes);
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(unreadable("the file is empty"));
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(unreadable("it is UTF-16 text; save it as plain ASCII"));
    }
    let blocks = armored_blocks(bytes);
    if let Some(other) = blocks.iter().find(|kind| !kind.ends_with("KEY BLOCK")) {
        return Err(unreadable(&format!("it is a PGP {}, not a public key", other.to_lowercase())));
    }
    if blocks.is_empty() {
        refuse_known_strangers(bytes)?;
    }
    let mut parser = CertParser::from_bytes(bytes).map_err(|error| damaged(&error))?;
    let Some(first) = parser.next() else {
        return Err(unreadable("no OpenPGP key was found in it"));
    };
    let cert = first.map_err(|error| damaged(&error))?;
    let mut count = 1;
    let mut any_secret = cert.is_tsk();
    for other in parser {
        any_secret |= other.map_err(|error| damaged(&error))?.is_tsk();
        count += 1;
    }
    // The parser stops at the end of the first armored block.
    Ok(Keys { cert, count: count.max(blocks.len()), any_secret })
}

/// Exactly one public certificate.
pub(crate) fn public_certificate(bytes: &[u8]) -> Result<Cert, Error> {
    let Keys { cert, count, any_secret } = match keys(bytes) {
        Err(_) if looks_secret(bytes) => return Err(Error::SecretKey { holder: None }),
        parsed => parsed?,
    };
    let holder = Holder::of(&cert, None);
    if any_secret || looks_secret(bytes) {
        return Err(Error::SecretKey { holder: Some(holder) });
    }
    if count > 1 {
        return Err(Error::SeveralCertificates { count, first: holder.to_string() });
    }
    Ok(cert)
}

/// Damaged or not, a private key is named as one: its owner must hear of it.
fn looks_secret(bytes: &[u8]) -> bool {
    // Tag 5 in the old packet format, with any length of length, and in the new one.
    let binary = matches!(bytes.first(), Some(0x94..=0x97 | 0xc5));
    binary || armored_blocks(bytes).iter().any(|kind| kind.starts_with("PRIVATE"))
}

/// The kinds of all armored blocks: `PUBLIC KEY BLOCK`, `MESSAGE`.
fn armored_blocks(bytes: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(bytes)
        .lines()
        .filter_map(|line| line.trim().strip_prefix(ARMOR_BEGIN)?.strip_suffix("-----"))
        .map(str::to_owned)
        .collect()
}

/// Files that people store by mistake deserve a better word than `malformed packet`.
fn refuse_known_strangers(bytes: &[u8]) -> Result<(), Error> {
    if bytes.get(8..12) == Some(KEYBOX_MAGIC) {
        return Err(unreadable("it is GnuPG's keybox; use what gpg --export prints"));
    }
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_start();
    if text.starts_with("ssh-") || text.starts_with("ecdsa-sha2-") {
        return Err(unreadable("it is an SSH key, not an OpenPGP key"));
    }
    if text.starts_with("-----BEGIN ") {
        return Err(unreadable("it is a PEM file (X.509 or SSH), not an OpenPGP key"));
    }
    Ok(())
}

fn damaged(error: &pgp::anyhow::Error) -> Error {
    unreadable(&format!("it is damaged or no OpenPGP key ({})", words(error)))
}

fn unreadable(reason: &str) -> Error {
    Error::Unreadable { reason: reason.to_owned() }
}
