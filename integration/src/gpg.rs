//! GnuPG as the partner: makes the key, opens what was delivered.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// A GnuPG home of its own; its agent ends when this is dropped.
pub struct Gpg {
    /// The public certificate of the key that opens what is delivered, armored.
    pub certificate: String,
    home: TempDir,
}

impl Gpg {
    /// The user id of its key.
    pub const USER: &str = "partner@example.com";

    /// A home with one key, shared by the tests that run in this process at this time.
    ///
    /// # Panics
    /// When gpg is missing or makes no key.
    #[must_use]
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Gpg>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = shared.upgrade() {
            return found;
        }
        let made = Arc::new(Self::new());
        *shared = Arc::downgrade(&made);
        made
    }

    /// A home with a new key.
    ///
    /// # Panics
    /// When gpg is missing or makes no key.
    #[must_use]
    pub fn new() -> Self {
        let mut gpg = Self::empty();
        gpg.gpg(&["--quick-generate-key", Self::USER, "future-default", "default", "never"]);
        gpg.certificate = gpg.export(Self::USER);
        gpg
    }

    /// A home with a new key of that kind: lines of gpg's parameter file for key and subkey.
    ///
    /// # Panics
    /// When gpg is missing or makes no key.
    #[must_use]
    pub fn with_parameters(kind: &str) -> Self {
        let mut gpg = Self::empty();
        let file = gpg.home().join("parameters");
        let user = Self::USER;
        let text = format!("{kind}Name-Email: {user}\nExpire-Date: 0\n%no-protection\n%commit\n");
        std::fs::write(&file, text).expect("gpg's parameters");
        gpg.gpg(&["--generate-key", &file.display().to_string()]);
        gpg.certificate = gpg.export(user);
        gpg
    }

    /// Its folder, for other programs that call gpg.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// A home that opens with a secret key made elsewhere.
    ///
    /// # Panics
    /// When gpg is missing or does not take the key.
    #[must_use]
    pub fn with_key(secret_key: &Path) -> Self {
        let gpg = Self::empty();
        gpg.gpg(&["--import", &secret_key.display().to_string()]);
        gpg
    }

    /// A certificate that gpg made in 2020 and that expired in 2021.
    ///
    /// # Panics
    /// When gpg is missing or makes no key.
    #[must_use]
    pub fn expired_certificate() -> String {
        let gpg = Self::empty();
        let user = "expired@example.com";
        gpg.gpg(&[
            "--faked-system-time",
            "20200101T000000",
            "--quick-generate-key",
            user,
            "future-default",
            "default",
            "1y",
        ]);
        gpg.export(user)
    }

    fn empty() -> Self {
        // The agent's socket lies below; its path may have about 100 characters.
        let home = tempfile::Builder::new()
            .prefix("pgp")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in("/tmp")
            .expect("a home for gpg");
        Self { certificate: String::new(), home }
    }

    /// Opens every file and returns the plaintexts by the files' names without their last suffix.
    ///
    /// # Panics
    /// When gpg does not open each of them.
    #[must_use]
    pub fn open(&self, files: &[PathBuf]) -> BTreeMap<String, Vec<u8>> {
        if files.is_empty() {
            return BTreeMap::new();
        }
        // gpg writes each plaintext beside the ciphertext; the target must stay as it is.
        let room = tempfile::tempdir().expect("a folder to open files in");
        let mut copies = Vec::new();
        for file in files {
            let copy = room.path().join(file.file_name().expect("a name"));
            std::fs::copy(file, &copy).expect("a copy of the sealed file");
            copies.push(copy.display().to_string());
        }
        let arguments: Vec<&str> =
            ["--decrypt-files"].into_iter().chain(copies.iter().map(String::as_str)).collect();
        self.gpg(&arguments);
        let opened = copies.iter().map(|copy| {
            let plain = PathBuf::from(copy).with_extension("");
            let bytes = std::fs::read(&plain)
                .unwrap_or_else(|error| panic!("gpg left no {}: {error}", plain.display()));
            let name = plain.file_name().expect("a name").to_string_lossy().into_owned();
            (name, bytes)
        });
        opened.collect()
    }

    /// Opens a file of any size and returns the plaintext's SHA-256 in hex.
    ///
    /// # Panics
    /// When gpg does not open it.
    #[must_use]
    pub fn hash(&self, file: &Path) -> String {
        let mut gpg = self.command(&["--decrypt"]);
        let mut running =
            gpg.arg(file).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("gpg starts");
        let mut plain = running.stdout.take().expect("its output");
        let mut hash = Sha256::new();
        let mut piece = vec![0; 1 << 20];
        loop {
            let read = plain.read(&mut piece).expect("plaintext");
            if read == 0 {
                break;
            }
            hash.update(&piece[..read]);
        }
        assert!(
            running.wait().expect("gpg ends").success(),
            "gpg does not open {}",
            file.display()
        );
        hex::encode(hash.finalize())
    }

    fn export(&self, user: &str) -> String {
        String::from_utf8(self.gpg(&["--armor", "--export", user])).expect("armor is ASCII")
    }

    /// Runs gpg, which must succeed, and returns its standard output.
    fn gpg(&self, arguments: &[&str]) -> Vec<u8> {
        let output = self
            .command(arguments)
            .output()
            .expect("gpg is missing: install gnupg, the tests open what was delivered with it");
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "gpg {:?}: {words}", arguments.first());
        output.stdout
    }
}

impl Gpg {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut gpg = Command::new("gpg");
        gpg.env("GNUPGHOME", self.home.path())
            .env("LC_ALL", "C")
            .args(["--batch", "--no-tty", "--yes", "--quiet", "--trust-model", "always"])
            .args(["--pinentry-mode", "loopback", "--passphrase", ""])
            .args(arguments)
            .stdin(Stdio::null());
        gpg
    }
}

impl Default for Gpg {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let killed = Command::new("gpgconf")
            .env("GNUPGHOME", self.home.path())
            .args(["--kill", "all"])
            .stderr(Stdio::null())
            .status();
        // Without gpgconf there is no gpg either, and the test has said so.
        drop(killed);
    }
}
