//! A GnuPG home of its own, gone with its agent when dropped.

use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

use jiff::Timestamp;
use openpgp::{Error, Recipient};
use tempfile::TempDir;

pub struct Gnupg {
    home: TempDir,
}

impl Gnupg {
    pub fn new() -> Self {
        // The agent's socket lies below; its path may have about 100 characters.
        let home = tempfile::Builder::new()
            .prefix("pgp")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in("/tmp")
            .unwrap();
        Self { home }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("GNUPGHOME", self.home.path()).env("LC_ALL", "C");
        command
    }

    /// Runs gpg with the given input and returns whatever came of it.
    pub fn attempt(&self, args: &[&str], input: &[u8]) -> Output {
        let mut child = self
            .command("gpg")
            .args(["--batch", "--no-tty", "--yes", "--quiet", "--trust-model", "always"])
            .args(["--pinentry-mode", "loopback", "--passphrase", ""])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("GnuPG (gpg) must be installed for these tests: apt-get install gnupg");
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let feeder = std::thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output().unwrap();
        drop(feeder.join());
        output
    }

    /// Runs gpg and returns its standard output; it must succeed.
    pub fn gpg(&self, args: &[&str], input: &[u8]) -> Vec<u8> {
        let output = self.attempt(args, input);
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "gpg {args:?}: {words}");
        output.stdout
    }

    /// Makes a key and returns its fingerprint. `options` come first, such as a faked time.
    pub fn make(&self, options: &[&str], user: &str, algorithm: &str, usage: &str, expires: &str) {
        let args = [options, &["--quick-generate-key", user, algorithm, usage, expires]].concat();
        self.gpg(&args, b"");
    }

    pub fn add(&self, options: &[&str], user: &str, algorithm: &str, usage: &str, expires: &str) {
        let fingerprint = self.fingerprint(user);
        let args =
            [options, &["--quick-add-key", &fingerprint, algorithm, usage, expires]].concat();
        self.gpg(&args, b"");
    }

    /// The primary fingerprint of a user's key.
    pub fn fingerprint(&self, user: &str) -> String {
        self.column(user, "fpr", 9).remove(0)
    }

    /// The key ids of a user's encryption subkeys.
    pub fn encryption_key_ids(&self, user: &str) -> Vec<String> {
        let listing = self.listing(user);
        let rows = listing.lines().map(|line| line.split(':').collect::<Vec<_>>());
        rows.filter(|row| {
            row.first() == Some(&"sub") && row.get(11).is_some_and(|u| u.contains('e'))
        })
        .map(|row| (*row.get(4).unwrap()).to_owned())
        .collect()
    }

    fn column(&self, user: &str, kind: &str, column: usize) -> Vec<String> {
        let listing = self.listing(user);
        let rows = listing.lines().map(|line| line.split(':').collect::<Vec<_>>());
        rows.filter(|row| row.first() == Some(&kind))
            .map(|row| (*row.get(column).unwrap()).to_owned())
            .collect()
    }

    fn listing(&self, user: &str) -> String {
        let args = ["--with-colons", "--list-keys", user];
        String::from_utf8_lossy(&self.gpg(&args, b"")).into_owned()
    }

    /// The certificate, binary.
    pub fn export(&self, user: &str) -> Vec<u8> {
        self.gpg(&["--export", user], b"")
    }

    pub fn recipient(&self, user: &str) -> Result<Recipient, Error> {
        Recipient::parse(&self.export(user), Timestamp::now())
    }
}

impl Drop for Gnupg {
    fn drop(&mut self) {
        drop(self.command("gpgconf").args(["--kill", "all"]).output());
    }
}
