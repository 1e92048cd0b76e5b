//! The sealed proof: what storage gives back is the file that was sealed, for these keys only.
//!
//! Opened with the session key from memory, so every byte of the encryption is checked as the
//! partner's software will check it. The one thing this cannot open is the session key wrapped for
//! the partner, for that takes the partner's private key: that much of the ciphertext was hashed
//! when it was written, and is hashed again here.

use std::io::{self, Read};

use sequoia_openpgp as pgp;

use pgp::crypto::SessionKey;
use pgp::packet::{PKESK, SKESK, Tag};
use pgp::parse::stream::{
    DecryptionHelper, DecryptorBuilder, MessageLayer, MessageStructure, VerificationHelper,
};
use pgp::parse::{PacketParser, Parse};
use pgp::policy::StandardPolicy;
use pgp::types::SymmetricAlgorithm;
use pgp::{Cert, KeyHandle, anyhow};

use crate::armor::Dearmor;
use crate::error::{Error, words};
use crate::guard::guarded;
use crate::recipient::Recipient;
use crate::seal::{CIPHER, Format, Sealed, distinct, handle};
use crate::streams::{Source, Tally, fill, read_some};

mod strict;

/// How much plaintext the library holds back until it has seen more. Another number proves the same, at
/// another speed.
const BUFFER_BYTES: usize = 256 * 1024;

/// What was found in storage; equal to what was sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// SHA-256 of the plaintext inside.
    pub plaintext_sha256: [u8; 32],
    /// Length of the plaintext inside.
    pub plaintext_bytes: u64,
    /// SHA-256 of the stored ciphertext.
    pub ciphertext_sha256: [u8; 32],
    /// Length of the stored ciphertext.
    pub ciphertext_bytes: u64,
    /// The key ids (version 1) or fingerprints (version 2) that the message names, sorted.
    pub recipients: Vec<String>,
}

impl Proof {
    /// SHA-256 of the stored ciphertext, lower-case hex.
    #[must_use]
    pub fn ciphertext_sha256_hex(&self) -> String {
        hex::encode(self.ciphertext_sha256)
    }
}

/// Reads the ciphertext as stored and checks it against what was sealed.
///
/// `recipients` are those given to [`crate::seal`]: the message must name exactly their chosen
/// keys.
///
/// # Errors
///
/// [`Error::ProofFailed`] on any difference, [`Error::Read`] when storage fails.
pub fn prove(
    sealed: &Sealed,
    recipients: &[&Recipient],
    ciphertext: &mut (dyn Read + Send),
) -> Result<Proof, Error> {
    let proof = examine(sealed, ciphertext)?;
    let mut expected: Vec<String> = distinct(recipients)
        .iter()
        .flat_map(|recipient| recipient.chosen())
        .map(|chosen| handle(sealed.format, &chosen.key).to_hex())
        .collect();
    expected.sort_unstable();
    if proof.recipients != expected {
        let found = proof.recipients.join(", ");
        return Err(failed(format!("it names {found} and not {}", expected.join(", "))));
    }
    if proof.plaintext_bytes != sealed.plaintext_bytes {
        let (is, was) = (proof.plaintext_bytes, sealed.plaintext_bytes);
        return Err(failed(format!("{is} bytes are inside, {was} were sealed")));
    }
    if proof.plaintext_sha256 != sealed.plaintext_sha256 {
        return Err(failed("the bytes inside have another SHA-256"));
    }
    if proof.ciphertext_bytes != sealed.ciphertext_bytes {
        let (is, was) = (proof.ciphertext_bytes, sealed.ciphertext_bytes);
        return Err(failed(format!("{is} bytes are stored, {was} were written")));
    }
    Ok(proof)
}

/// Opens the message, checking its structure and integrity, and tells what it holds.
fn examine(sealed: &Sealed, ciphertext: &mut (dyn Read + Send)) -> Result<Proof, Error> {
    let mut source = Source::new(ciphertext, sealed.written.head_bytes);
    let opened = guarded(|| open(sealed, &mut source))
        .unwrap_or_else(|| Err(failed("it is cut off or damaged beyond reading")));
    // Whatever the parser left unread belongs to the stored bytes as well.
    let drained = opened.is_ok().then(|| io::copy(&mut source, &mut io::sink()));
    if let Some(source) = source.failure() {
        return Err(Error::Read { what: "the ciphertext", source });
    }
    let (plaintext, mut recipients) = opened?;
    if let Some(Err(source)) = drained {
        return Err(Error::Read { what: "the ciphertext", source });
    }
    if source.head_sha256() != Some(sealed.written.head_sha256) {
        return Err(failed("the stored bytes are not the written bytes"));
    }
    recipients.sort_unstable();
    let (plaintext_sha256, plaintext_bytes) = plaintext.finish();
    let (ciphertext_sha256, ciphertext_bytes) = source.tally.finish();
    Ok(Proof { plaintext_sha256, plaintext_bytes, ciphertext_sha256, ciphertext_bytes, recipients })
}

fn open(sealed: &Sealed, source: &mut Source<'_>) -> Result<(Tally, Vec<String>), Error> {
    let mut first = [0];
    let count = fill(source, &mut first).map_err(|error| failed(error.to_string()))?;
    let first = first.get(..count).unwrap_or_default();
    // Of a packet's first byte the highest bit is set; armor is text.
    let binary = first.iter().all(|byte| byte & 0x80 != 0);
    let message = first.chain(source);
    if binary {
        open_binary(sealed, message)
    } else {
        open_binary(sealed, Dearmor::new(message, sealed.format != Format::V2))
    }
}

fn open_binary(
    sealed: &Sealed,
    mut message: impl Read + Send + Sync,
) -> Result<(Tally, Vec<String>), Error> {
    if sealed.format == Format::V1 && sealed.signed_by.is_none() {
        strict::open(sealed.session_key.key(), sealed.ciphertext_bytes, &mut message)
    } else {
        open_by_library(sealed, message)
    }
}

fn open_by_library(
    sealed: &Sealed,
    message: impl Read + Send + Sync,
) -> Result<(Tally, Vec<String>), Error> {
    let policy = StandardPolicy::new();
    let examiner = Examiner {
        session_key: sealed.session_key.key(),
        format: sealed.format,
        signer: sealed.signed_by.as_ref(),
        recipients: Vec::new(),
        containers: 0,
        literals: 0,
    };
    let mut decryptor = DecryptorBuilder::from_reader(message)
        .map(|builder| builder.buffer_size(BUFFER_BYTES))
        .and_then(|builder| builder.with_policy(&policy, None, examiner))
        .map_err(|error| failed(words(&error)))?;
    let mut tally = Tally::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count =
            read_some(&mut decryptor, &mut buffer).map_err(|error| failed(error.to_string()))?;
        let data = buffer.get(..count).unwrap_or_default();
        if data.is_empty() {
            break;
        }
        tally.add(data);
    }
    if !decryptor.message_processed() {
        return Err(failed("it ends early"));
    }
    Ok((tally, decryptor.into_helper().recipients))
}

/// Watches the packets go by and answers the library's questions.
struct Examiner<'a> {
    session_key: &'a SessionKey,
    format: Format,
    signer: Option<&'a Cert>,
    recipients: Vec<String>,
    containers: u32,
    literals: u32,
}

impl Examiner<'_> {
    fn version_is(&self, version: Option<u8>, v1: u8, v2: u8) -> bool {
        version == Some(if self.format == Format::V2 { v2 } else { v1 })
    }
}

impl VerificationHelper for Examiner<'_> {
    /// `PKESK* SEIP( OPS? Literal Signature? MDC? )` and nothing before, between or after.
    fn inspect(&mut self, parser: &PacketParser<'_>) -> pgp::Result<()> {
        let packet = &parser.packet;
        let (depth, tag) = (parser.recursion_depth(), packet.tag());
        // The library's grammar refuses what comes in the wrong number or order, too; the proof
        // does not rest on that.
        let fits = match (depth, tag) {
            (0, Tag::PKESK) => self.containers == 0 && self.version_is(packet.version(), 3, 6),
            (0, Tag::SEIP) => {
                self.containers += 1;
                self.containers == 1 && self.version_is(packet.version(), 1, 2)
            }
            (1, Tag::Literal) => {
                self.literals += 1;
                self.literals == 1
            }
            (1, Tag::OnePassSig | Tag::Signature) => self.signer.is_some(),
            (1, Tag::MDC) => self.format != Format::V2,
            _ => false,
        };
        if fits { Ok(()) } else { Err(anyhow::anyhow!("a {tag} was found where none belongs")) }
    }

    fn get_certs(&mut self, _ids: &[KeyHandle]) -> pgp::Result<Vec<Cert>> {
        Ok(self.signer.into_iter().cloned().collect())
    }

    fn check(&mut self, structure: MessageStructure<'_>) -> pgp::Result<()> {
        let mut good_signatures = 0;
        for layer in structure {
            match layer {
                MessageLayer::Encryption { .. } => {}
                MessageLayer::SignatureGroup { results } => {
                    for result in results {
                        result.map_err(|error| anyhow::anyhow!("its signature is bad: {error}"))?;
                        good_signatures += 1;
                    }
                }
                other => return Err(anyhow::anyhow!("a layer does not belong: {other:?}")),
            }
        }
        if self.signer.is_some() != (good_signatures == 1) {
            return Err(anyhow::anyhow!("it carries {good_signatures} good signatures"));
        }
        Ok(())
    }
}

impl DecryptionHelper for Examiner<'_> {
    fn decrypt(
        &mut self,
        pkesks: &[PKESK],
        skesks: &[SKESK],
        _cipher: Option<SymmetricAlgorithm>,
        decrypt: &mut dyn FnMut(Option<SymmetricAlgorithm>, &SessionKey) -> bool,
    ) -> pgp::Result<Option<Cert>> {
        if !skesks.is_empty() {
            return Err(anyhow::anyhow!("a password can open it"));
        }
        self.recipients = pkesks
            .iter()
            .map(|pkesk| pkesk.recipient().map_or_else(|| "nobody".to_owned(), |id| id.to_hex()))
            .collect();
        if decrypt(Some(CIPHER), self.session_key) {
            Ok(None)
        } else {
            Err(anyhow::anyhow!("its session key does not open it"))
        }
    }
}

fn failed(reason: impl Into<String>) -> Error {
    Error::ProofFailed { reason: reason.into() }
}

#[cfg(test)]
mod tests;
