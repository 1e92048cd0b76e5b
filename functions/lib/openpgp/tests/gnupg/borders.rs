//! Messages of every length that may be cut in an odd place open everywhere.

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::Command;

use jiff::Timestamp;
use openpgp::{Format, GenerateOptions, Recipient, SealOptions, generate, prove, seal};
use tempfile::TempDir;

use crate::sealing::noise;
use crate::world::Gnupg;

const MIB: usize = 1024 * 1024;
/// What the writer takes at once.
const CHUNK_BYTES: usize = 256 * 1024;
/// Where the writer's carried rest has become a part of its own.
const LONG_BYTES: usize = 126 * MIB;

/// A partner with gpg and with sq.
struct Partner {
    gnupg: Gnupg,
    folder: TempDir,
    private: PathBuf,
    recipient: Recipient,
}

impl Partner {
    fn new() -> Self {
        let pair = generate(&GenerateOptions::new("acme@x")).unwrap();
        let gnupg = Gnupg::new();
        gnupg.gpg(&["--import"], pair.secret.as_bytes());
        let folder = tempfile::tempdir().unwrap();
        let private = folder.path().join("private.asc");
        std::fs::write(&private, &pair.secret).unwrap();
        let recipient = Recipient::parse(pair.public.as_bytes(), Timestamp::now()).unwrap();
        Self { gnupg, folder, private, recipient }
    }

    fn sealed(&self, plaintext: &[u8], armor: bool) -> Vec<u8> {
        let options = SealOptions { armor, format: Format::V1, signer: None };
        let mut ciphertext = Vec::new();
        let sealed = seal(&[&self.recipient], &options, &mut &*plaintext, &mut ciphertext).unwrap();
        let proof = prove(&sealed, &[&self.recipient], &mut Cursor::new(&ciphertext)).unwrap();
        assert_eq!(proof.plaintext_bytes, plaintext.len() as u64);
        assert_eq!(proof.plaintext_sha256, sealed.plaintext_sha256);
        ciphertext
    }

    fn opened_by_sq(&self, ciphertext: &[u8]) -> Vec<u8> {
        let path = |name| -> PathBuf { Path::new(self.folder.path()).join(name) };
        std::fs::write(path("sealed"), ciphertext).unwrap();
        let mut sq = Command::new("sq");
        sq.arg("--force").args(["decrypt", "--recipient-key"]).arg(&self.private);
        let output = sq.arg("--output").arg(path("opened")).arg(path("sealed")).output();
        let output = output.expect("sq must be installed for these tests: apt-get install sq");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::read(path("opened")).unwrap()
    }
}

#[test]
fn gpg_and_sq_open_what_is_cut_at_any_border() {
    let partner = Partner::new();
    let plaintext = noise(5 * MIB + 3);
    let around = |border: usize| [border - 1, border, border + 1];
    let header_bytes = 6;
    let sizes = [vec![0, 1], around(512).to_vec(), around(16 * 1024).to_vec()]
        .into_iter()
        .chain((1..=5).map(|chunks| around(chunks * CHUNK_BYTES).to_vec()))
        .chain((1..=5).map(|chunks| around(chunks * CHUNK_BYTES - header_bytes).to_vec()))
        .flatten()
        .chain([plaintext.len()]);
    for bytes in sizes {
        let plaintext = plaintext.get(..bytes).unwrap();
        for armor in [false, true] {
            let ciphertext = partner.sealed(plaintext, armor);
            assert!(partner.gnupg.gpg(&["--decrypt"], &ciphertext) == plaintext, "gpg {bytes}");
            assert!(partner.opened_by_sq(&ciphertext) == plaintext, "sq {bytes}");
        }
    }
}

#[test]
fn gpg_and_sq_open_a_long_one() {
    let partner = Partner::new();
    let plaintext = noise(LONG_BYTES);
    let ciphertext = partner.sealed(&plaintext, false);
    assert!(partner.gnupg.gpg(&["--decrypt"], &ciphertext) == plaintext, "gpg");
    assert!(partner.opened_by_sq(&ciphertext) == plaintext, "sq");
}

#[test]
fn gpg_lists_the_same_packets_at_any_length() {
    let partner = Partner::new();
    let plaintext = noise(2 * MIB);
    for (bytes, container, literal) in
        [(0, "length: 49", "raw data: 0 bytes"), (2 * MIB, "length: unknown", "raw data: unknown")]
    {
        let ciphertext = partner.sealed(plaintext.get(..bytes).unwrap(), false);
        let listing = partner.gnupg.gpg(&["--list-packets"], &ciphertext);
        let listing = String::from_utf8(listing).unwrap();
        let packets = listing.lines().filter(|line| line.starts_with(':')).collect::<Vec<_>>();
        let [wrapped_key, encrypted, data] = &*packets else { panic!("{listing}") };
        assert!(wrapped_key.starts_with(":pubkey enc packet: version 3, algo 18"), "{listing}");
        assert_eq!(*encrypted, ":encrypted data packet:");
        assert_eq!(*data, ":literal data packet:");
        for words in ["mdc_method: 2", "mode b (62), created 0, name=\"\"", container, literal] {
            assert!(listing.contains(words), "{words}: {listing}");
        }
    }
}
