//! The partner's side: programs that open a sealed file with a private key.

use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// Bytes that do not compress and hold every value.
pub fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..bytes).map(|_| next()).collect()
}

/// gpg or sq with one private key.
pub struct Opener {
    gnupg: Option<TempDir>,
    private: PathBuf,
}

impl Opener {
    pub fn new(program: &str, private: &Path) -> Self {
        // The agent's socket lies in the home; its path may have about 100 characters.
        let gnupg = (program == "gpg").then(|| {
            tempfile::Builder::new()
                .prefix("pgp")
                .permissions(Permissions::from_mode(0o700))
                .tempdir_in("/tmp")
                .unwrap()
        });
        Self { gnupg, private: private.to_owned() }
    }

    /// The plaintext, or what the program says about it.
    pub fn open(&self, ciphertext: &[u8]) -> Result<Vec<u8>, String> {
        if self.gnupg.is_none() {
            let mut sq = Command::new("sq");
            return run(sq.args(["decrypt", "--recipient-key"]).arg(&self.private), ciphertext);
        }
        run(self.gpg(&["--import"]).arg(&self.private), b"")?;
        run(&mut self.gpg(&["--decrypt"]), ciphertext)
    }

    fn gpg(&self, args: &[&str]) -> Command {
        let mut command = Command::new("gpg");
        if let Some(home) = &self.gnupg {
            command.arg("--homedir").arg(home.path());
        }
        command
            .args(["--batch", "--no-tty", "--quiet", "--trust-model", "always"])
            .args(["--pinentry-mode", "loopback", "--passphrase", ""])
            .args(args);
        command
    }
}

impl Drop for Opener {
    fn drop(&mut self) {
        if let Some(home) = &self.gnupg {
            let mut command = Command::new("gpgconf");
            drop(command.arg("--homedir").arg(home.path()).args(["--kill", "all"]).output());
        }
    }
}

fn run(command: &mut Command, input: &[u8]) -> Result<Vec<u8>, String> {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().expect("gpg and sq are needed: `make tools`");
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feeder = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    drop(feeder.join());
    let words = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(output.stdout) } else { Err(format!("{command:?}: {words}")) }
}
