//! Finds secrets in what a run left, also where they are written as hexadecimal, base64 or a list of
//! numbers.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use memchr::memmem::Finder;

/// Shorter pieces would be found by chance.
const LEAST_BYTES: usize = 12;

/// What becomes of a secret that leaks.
type Shape = fn(&[u8]) -> Vec<u8>;

/// Ways to leak a secret, some of them in the middle of something else.
pub(crate) const SHAPES: [Shape; 8] = [
    |secret| [b"said: ", secret, b"."].concat(),
    |secret| hex::encode(secret).into_bytes(),
    |secret| hex::encode_upper(secret).into_bytes(),
    |secret| STANDARD.encode(secret).into_bytes(),
    |secret| STANDARD.encode([b"u", secret, b"x"].concat()).into_bytes(),
    |secret| STANDARD.encode([b"uv", secret, b"xy"].concat()).into_bytes(),
    |secret| URL_SAFE.encode(secret).into_bytes(),
    |secret| format!("{secret:?}").into_bytes(),
];

/// What to look for.
#[derive(Default)]
pub(crate) struct Planted(Vec<(String, Finder<'static>)>);

impl Planted {
    /// Texts that are secret, each by itself.
    pub(crate) fn text(&mut self, what: &str, texts: &[&str]) {
        for text in texts {
            self.bytes(what, text.as_bytes());
        }
    }

    /// The text of an OpenSSH private key, and the 32 bytes that it is there for.
    pub(crate) fn private_key(&mut self, text: &str) {
        let lines = lines_of(text);
        self.text("private key", &lines);
        let bytes = STANDARD.decode(lines.concat()).expect("an OpenSSH key");
        // The pair of an ed25519 key: 64 bytes, of which the first half is secret.
        let mark = [0, 0, 0, 64];
        let pair = memchr::memmem::rfind(&bytes, &mark).expect("a key pair") + mark.len();
        self.bytes("private key's number", &bytes[pair..pair + 32]);
    }

    /// A name and a password as HTTP's basic authentication carries them.
    pub(crate) fn basic(&mut self, username: &str, password: &str) {
        self.text("basic pair", &[&STANDARD.encode(format!("{username}:{password}"))]);
    }

    fn bytes(&mut self, what: &str, secret: &[u8]) {
        assert!(secret.len() >= LEAST_BYTES, "{what} is too short to be looked for");
        let numbers = format!("{secret:?}");
        let forms = [
            secret.to_vec(),
            hex::encode(secret).into_bytes(),
            hex::encode_upper(secret).into_bytes(),
            numbers.trim_matches(['[', ']']).as_bytes().to_vec(),
        ];
        for form in forms.into_iter().chain(base64_of(secret)) {
            self.0.push((what.to_owned(), Finder::new(&form).into_owned()));
        }
    }

    /// Complaints about each secret that is there.
    pub(crate) fn found(&self, place: &str, bytes: &[u8]) -> Vec<String> {
        let here = self.0.iter().filter_map(|(what, finder)| {
            let at = finder.find(bytes)?;
            let context = &bytes[at.saturating_sub(200)..(at + 100).min(bytes.len())];
            Some(format!("{what} in {place}: … {} …", String::from_utf8_lossy(context)))
        });
        here.collect()
    }

    /// Complaints about every file below a folder, and its path.
    pub(crate) fn found_below(&self, folder: &Path) -> Vec<String> {
        let mut complaints = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                let name = path.display().to_string();
                complaints.extend(self.found("a file's name", name.as_bytes()));
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let bytes = std::fs::read(&path).expect("a file of the run");
                    complaints.extend(self.found(&name, &bytes));
                }
            }
        }
        complaints
    }
}

/// What base64 makes of it wherever it begins: the letters that depend on nothing else.
fn base64_of(secret: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    for before in 0..3 {
        let bytes = [&[0; 2][..before], secret].concat();
        let whole = (before * 8).div_ceil(6)..bytes.len() * 8 / 6;
        forms.push(STANDARD.encode(&bytes)[whole.clone()].as_bytes().to_vec());
        forms.push(URL_SAFE.encode(&bytes)[whole].as_bytes().to_vec());
    }
    forms
}

/// The lines of an armored key that say something of it.
pub(crate) fn lines_of(armored: &str) -> Vec<&str> {
    let is_content = |line: &&str| line.len() > 40 && !line.contains([' ', '-', ':']);
    armored.lines().filter(is_content).collect()
}

/// The same OpenSSH key with a passphrase.
pub(crate) fn lock(key: &str, passphrase: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("key");
    std::fs::write(&path, key).expect("a key");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("chmod");
    let output = Command::new("ssh-keygen")
        .args(["-q", "-p", "-P", "", "-N", passphrase, "-f"])
        .arg(&path)
        .output()
        .expect("ssh-keygen runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read_to_string(path).expect("a locked key")
}
