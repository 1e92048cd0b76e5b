//! Sealing: one pass from plaintext to ciphertext, in flat memory.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{Read, Write};

use sequoia_openpgp as pgp;

use pgp::crypto::SessionKey;
use pgp::packet::PKESK;
use pgp::packet::key::{Key, PublicParts, UnspecifiedRole};
use pgp::packet::pkesk::PKESK3;
use pgp::serialize::Serialize;
use pgp::serialize::stream::{
    Encryptor, LiteralWriter, Message, Recipient as WireRecipient, Signer as WireSigner,
};
use pgp::types::{AEADAlgorithm, DataFormat, Features, SymmetricAlgorithm};
use pgp::{Cert, KeyHandle, Packet};

use crate::armor::Armor;
use crate::container::{self, CHUNK_BYTES, Outlet};
use crate::error::{Error, words};
use crate::library::{self, Outbox};
use crate::recipient::Recipient;
use crate::signer::Signer;
use crate::streams::{Sink, Tally, Written};

/// The one cipher that files are sealed with.
pub(crate) const CIPHER: SymmetricAlgorithm = SymmetricAlgorithm::AES256;
/// The key length of [`CIPHER`].
const SESSION_KEY_BYTES: usize = 32;

/// Which encryption container to write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Version 1, unless every certificate announces version 2.
    #[default]
    Auto,
    /// SEIPD version 1 (AES-256 CFB with MDC): opens everywhere, GnuPG 2.2 included.
    V1,
    /// SEIPD version 2 (AES-256 OCB), RFC 9580.
    V2,
}

/// How to seal.
#[derive(Clone, Copy, Debug, Default)]
pub struct SealOptions<'a> {
    /// Text (`.asc`) instead of binary (`.pgp`).
    pub armor: bool,
    /// The encryption container.
    pub format: Format,
    /// Sign inside the encryption, if given.
    pub signer: Option<&'a Signer>,
}

/// The session key of one sealed file: lives in memory only.
///
/// Cannot be cloned, printed or serialised, and is overwritten when dropped.
pub struct SessionProof(SessionKey);

impl SessionProof {
    pub(crate) const fn key(&self) -> &SessionKey {
        &self.0
    }
}

impl fmt::Debug for SessionProof {
    // The library prints its key bytes in debug builds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionProof(redacted)")
    }
}

/// One key that a file was sealed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedRecipient {
    /// The certificate's fingerprint, upper-case hex.
    pub certificate: String,
    /// The subkey's fingerprint, upper-case hex.
    pub subkey: String,
    /// The subkey's id, upper-case hex.
    pub key_id: String,
}

/// What [`seal`] made, and what [`crate::prove`] needs to check it.
#[derive(Debug)]
pub struct Sealed {
    /// SHA-256 of the plaintext.
    pub plaintext_sha256: [u8; 32],
    /// Length of the plaintext.
    pub plaintext_bytes: u64,
    /// Length of the ciphertext as written, armor included.
    pub ciphertext_bytes: u64,
    /// Opens this one file.
    pub session_key: SessionProof,
    /// Every key that can open the file.
    pub recipients: Vec<SealedRecipient>,
    /// The container that was written; never `Auto`.
    pub format: Format,
    pub(crate) signed_by: Option<Cert>,
    pub(crate) written: Written,
}

impl Sealed {
    /// SHA-256 of the plaintext, lower-case hex.
    #[must_use]
    pub fn plaintext_sha256_hex(&self) -> String {
        hex::encode(self.plaintext_sha256)
    }
}

/// Encrypts everything that `plaintext` yields to every chosen key of all recipients.
///
/// Binary literal data without name or date, no compression, AES-256.
///
/// # Errors
///
/// [`Error::NoRecipient`] or [`Error::Format`] before the first byte; [`Error::Read`],
/// [`Error::Write`] or [`Error::Seal`] later, when what was written is worthless.
pub fn seal(
    recipients: &[&Recipient],
    options: &SealOptions<'_>,
    plaintext: &mut dyn Read,
    ciphertext: &mut (dyn Write + Send),
) -> Result<Sealed, Error> {
    let recipients = distinct(recipients);
    if recipients.is_empty() {
        return Err(Error::NoRecipient);
    }
    let format = resolve(options.format, &recipients)?;
    let session_key = SessionKey::new(SESSION_KEY_BYTES).map_err(|error| by_library(&error))?;
    let mut sink = Sink::new(ciphertext);
    let plaintext = write_message(&recipients, options, format, &session_key, plaintext, &mut sink);
    if let Some(source) = sink.failure() {
        return Err(Error::Write { what: "the ciphertext", source });
    }
    let (plaintext_sha256, plaintext_bytes) = plaintext?.finish();
    let written = sink.finish();
    Ok(Sealed {
        plaintext_sha256,
        plaintext_bytes,
        ciphertext_bytes: written.bytes,
        session_key: SessionProof(session_key),
        recipients: recipients.iter().flat_map(|recipient| sealed_recipients(recipient)).collect(),
        format,
        signed_by: options.signer.map(|signer| signer.cert().clone()),
        written,
    })
}

/// The same certificate given twice counts once.
pub(crate) fn distinct<'a>(recipients: &[&'a Recipient]) -> Vec<&'a Recipient> {
    let mut seen = BTreeSet::new();
    recipients.iter().copied().filter(|one| seen.insert(one.fingerprint().to_owned())).collect()
}

/// How a message of this format names the key.
pub(crate) fn handle(format: Format, key: &Key<PublicParts, UnspecifiedRole>) -> KeyHandle {
    if format == Format::V2 { key.fingerprint().into() } else { key.keyid().into() }
}

fn resolve(wanted: Format, recipients: &[&Recipient]) -> Result<Format, Error> {
    let requires_v2 = recipients.iter().find(|recipient| recipient.requires_v2());
    let all_read_v2 =
        recipients.iter().all(|recipient| recipient.announces_v2() || recipient.requires_v2());
    match (wanted, requires_v2) {
        (Format::V1, Some(recipient)) => Err(Error::Format {
            reason: format!("Format v1 cannot reach the version 6 {}", recipient.holder()),
        }),
        (Format::Auto, Some(recipient)) if !all_read_v2 => Err(Error::Format {
            reason: format!(
                "Only format v2 reaches {}, and another cannot read it",
                recipient.holder()
            ),
        }),
        (Format::Auto, _) if all_read_v2 => Ok(Format::V2),
        (Format::Auto | Format::V1, _) => Ok(Format::V1),
        (Format::V2, _) => Ok(Format::V2),
    }
}

fn write_message(
    recipients: &[&Recipient],
    options: &SealOptions<'_>,
    format: Format,
    session_key: &SessionKey,
    plaintext: &mut dyn Read,
    sink: &mut Sink<'_>,
) -> Result<Tally, Error> {
    let outlet = if options.armor {
        let armor = Armor::new(sink, format != Format::V2);
        Outlet::Armored(armor.map_err(|error| failed(error.to_string()))?)
    } else {
        Outlet::Binary(sink)
    };
    let tally = if format == Format::V1 && options.signer.is_none() {
        let wrapped = wrapped_keys(recipients, session_key).map_err(|error| by_library(&error))?;
        container::write(&wrapped, session_key, plaintext, outlet, CHUNK_BYTES)?
    } else {
        let open = |outbox| open(outbox, recipients, options.signer, format, session_key);
        library::write(open, plaintext, outlet)?
    };
    sink.flush().map_err(|source| Error::Write { what: "the ciphertext", source })?;
    Ok(tally)
}

/// The session key once for every chosen key: the packets that stand before the container.
fn wrapped_keys(recipients: &[&Recipient], session_key: &SessionKey) -> pgp::Result<Vec<u8>> {
    let mut packets = Vec::new();
    for chosen in recipients.iter().flat_map(|recipient| recipient.chosen()) {
        let mut packet = PKESK3::for_recipient(CIPHER, session_key, &chosen.key)?;
        packet.set_recipient(Some(chosen.key.keyid()));
        Packet::from(PKESK::from(packet)).serialize(&mut packets)?;
    }
    Ok(packets)
}

/// Opens a message of the library's on top of `outbox`.
fn open<'a>(
    outbox: Outbox,
    recipients: &'a [&Recipient],
    signer: Option<&Signer>,
    format: Format,
    session_key: &SessionKey,
) -> pgp::Result<Message<'a>> {
    // Features and handle decide the packet versions; they are ours to set, not the certificate's.
    let features = match format {
        Format::V2 => Features::empty().set_seipdv1().set_seipdv2(),
        Format::Auto | Format::V1 => Features::empty().set_seipdv1(),
    };
    let keys = recipients.iter().flat_map(|recipient| recipient.chosen());
    let wire = keys.map(|chosen| {
        WireRecipient::new(features.clone(), handle(format, &chosen.key), &chosen.key)
    });
    let message = Message::new(outbox);
    let mut encryptor =
        Encryptor::with_session_key(message, CIPHER, session_key.clone())?.add_recipients(wire);
    if format == Format::V2 {
        encryptor = encryptor.aead_algo(AEADAlgorithm::OCB);
    }
    let mut message = encryptor.build()?;
    if let Some(signer) = signer {
        message = WireSigner::new(message, signer.pair())?.build()?;
    }
    LiteralWriter::new(message).format(DataFormat::Binary).build()
}

fn sealed_recipients(recipient: &Recipient) -> impl Iterator<Item = SealedRecipient> {
    let certificate = recipient.fingerprint().to_owned();
    recipient.subkeys().into_iter().map(move |subkey| SealedRecipient {
        certificate: certificate.clone(),
        subkey: subkey.fingerprint,
        key_id: subkey.key_id,
    })
}

fn by_library(error: &pgp::anyhow::Error) -> Error {
    failed(words(error))
}

fn failed(reason: String) -> Error {
    Error::Seal { reason }
}
