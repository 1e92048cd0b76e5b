//! Sealing a file to a key that GnuPG made.

use std::path::{Path, PathBuf};
use std::process::Command;

use integration::Gpg;

use crate::measure::{Contender, alternate};
use crate::rows::{Row, Scale, compare, join};
use crate::world::{hop, noise, python, succeed, text};

const KEYS: [(&str, &str); 2] = [
    ("RSA-4096", "Key-Type: RSA\nKey-Length: 4096\nSubkey-Type: RSA\nSubkey-Length: 4096\n"),
    ("Cv25519", "Key-Type: EDDSA\nKey-Curve: Ed25519\nSubkey-Type: ECDH\nSubkey-Curve: Cv25519\n"),
];

/// python-gnupg seals this part of the file: it is slow, and as slow in a larger one.
const PART_FOR_SLOW: u64 = 4;

/// All rows of sealing.
pub fn rows(bytes: u64) -> Vec<Row> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("plain");
    noise(&file, bytes);
    noise(&part_of(&file), bytes / PART_FOR_SLOW);
    KEYS.iter()
        .flat_map(|(name, parameters)| one(folder.path(), &file, bytes, name, parameters))
        .collect()
}

fn part_of(file: &Path) -> PathBuf {
    file.with_extension("part")
}

fn one(folder: &Path, file: &Path, bytes: u64, key: &str, parameters: &str) -> Vec<Row> {
    let gpg = Gpg::with_parameters(parameters);
    let certificate = folder.join(format!("{key}.asc"));
    std::fs::write(&certificate, &gpg.certificate).expect("room");
    opens(&gpg, &certificate, file);
    let ours = |file| hop(&["seal", text(&certificate), text(file), "/dev/null"]);
    let mut contenders = [
        Contender::new("ours", || ours(file)),
        Contender::new("gpg", || by_gpg(gpg.home(), file)),
        Contender::new("sq", || by_sq(&certificate, file)),
        Contender::new("openssl", || cipher_alone(file)),
    ];
    alternate(&mut contenders, 3, true);
    let what = format!("seal to {key}");
    let scale = Scale::mib(bytes);
    let bars = [("gpg", 1.5), ("sq", 1.0)];
    let mut rows = compare(&what, scale, &contenders, Some("openssl"), &bars);
    let (part, output) = (part_of(file), folder.join("python.asc"));
    let mut slow = [
        Contender::new("ours", || ours(part.as_path())),
        Contender::new("python-gnupg", || {
            let mut command = python("gnupg_seal.py");
            command.arg("--home").arg(gpg.home()).args(["--recipient", Gpg::USER]);
            command.arg(&part).arg(&output);
            command
        }),
    ];
    alternate(&mut slow, 1, false);
    std::fs::remove_file(&output).expect("the sealed file");
    let scale = Scale::mib(bytes / PART_FOR_SLOW);
    join(&mut rows, compare(&what, scale, &slow, None, &[("python-gnupg", 3.0)]));
    rows
}

/// What we sealed opens with GnuPG, before anything is measured.
fn opens(gpg: &Gpg, certificate: &Path, file: &Path) {
    let sealed = file.with_extension("pgp");
    succeed(&mut hop(&["seal", text(certificate), text(file), text(&sealed)]));
    let opened = gpg.open(std::slice::from_ref(&sealed));
    assert!(opened["plain"] == std::fs::read(file).expect("the file"), "gpg opens something else");
    std::fs::remove_file(&sealed).expect("the sealed file");
}

fn by_gpg(home: &Path, file: &Path) -> Command {
    let mut command = Command::new("gpg");
    command.args(["--batch", "--quiet", "--yes", "--trust-model", "always", "--homedir"]);
    command.arg(home).args(["--compress-algo", "none", "--cipher-algo", "AES256"]);
    command.args(["--recipient", Gpg::USER, "--output", "/dev/null", "--encrypt"]).arg(file);
    command
}

fn by_sq(certificate: &Path, file: &Path) -> Command {
    let mut command = Command::new("sq");
    command.args(["--force", "encrypt", "--binary", "--compression", "none"]);
    command.arg("--recipient-cert").arg(certificate).args(["--output", "/dev/null"]).arg(file);
    command
}

/// The cipher without hashes and packets: each block of CFB waits for the one before it, so no
/// second processor helps.
fn cipher_alone(file: &Path) -> Command {
    let (key, start) = ("00".repeat(32), "00".repeat(16));
    let mut command = Command::new("openssl");
    command.args(["enc", "-aes-256-cfb", "-K", &key, "-iv", &start, "-in"]);
    command.arg(file).args(["-out", "/dev/null"]);
    command
}
