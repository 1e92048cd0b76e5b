//! What the comparisons share: folders, sshd and the keys that each peer wants in its own way.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::hop::Server;
use integration::Sshd;

/// The peers' Python programs.
const PEERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers");
/// Their interpreter, made by `make bench`.
const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../.venv-bench/bin/python");

/// sshd and what its clients need.
pub struct World {
    /// The server.
    pub sshd: Sshd,
    /// The files are here, and everything that is made.
    pub folder: PathBuf,
    /// The private key.
    pub key: PathBuf,
    /// The server's host key, by every name that a client looks it up.
    pub known_hosts: PathBuf,
}

impl World {
    /// A server in the folder for temporary files.
    pub fn start() -> Self {
        let sshd = Sshd::start();
        Self {
            folder: sshd.folder.clone(),
            key: sshd.client_key_file(),
            known_hosts: sshd.known_hosts(),
            sshd,
        }
    }

    /// The file that tells a hop of ours where to connect.
    pub fn server_file(&self, port: u16) -> PathBuf {
        let server = Server {
            port,
            username: self.sshd.username.clone(),
            host_key: self.sshd.host_key.clone(),
            key: self.sshd.client_key.clone(),
        };
        let path = self.key.with_file_name(format!("server-{port}.json"));
        std::fs::write(&path, serde_json::to_string(&server).expect("JSON")).expect("room");
        path
    }

    /// The same server answers on this port too.
    pub fn known_at(&self, port: u16) {
        let known = std::fs::read_to_string(&self.known_hosts).expect("the known hosts");
        let key = known.lines().next().and_then(|line| line.strip_prefix("127.0.0.1 "));
        let line = format!("{known}[127.0.0.1]:{port} {}\n", key.expect("a host key"));
        std::fs::write(&self.known_hosts, line).expect("the known hosts");
    }

    /// A folder that is new and empty.
    pub fn empty(&self, name: &str) -> PathBuf {
        empty(&self.folder.join(name))
    }

    /// `ssh` or `sftp`, up to the host's name.
    pub fn openssh(&self, program: &str, port: u16) -> Command {
        let mut command = Command::new(program);
        let flag = if program == "ssh" { "-p" } else { "-P" };
        command.args(["-F", "none", "-o", "BatchMode=yes", flag, &port.to_string(), "-i"]);
        command.arg(&self.key);
        // The host key is checked under its own name, whatever the port.
        command.args(["-o", "HostKeyAlias=127.0.0.1", "-o"]);
        command.arg(format!("UserKnownHostsFile={}", self.known_hosts.display()));
        command
    }

    /// `user@host` for OpenSSH.
    pub fn login(&self) -> String {
        format!("{}@127.0.0.1", self.sshd.username)
    }

    /// rclone's name for a path of the server. Its hashing on the server by a shell, which costs a
    /// process for each file, is off.
    pub fn rclone(&self, port: u16, path: &Path) -> String {
        format!(
            ":sftp,host=127.0.0.1,port={port},user={},key_file={},known_hosts_file={},disable_hashcheck=true:{}",
            self.sshd.username,
            self.key.display(),
            self.known_hosts.display(),
            path.display()
        )
    }

    /// A program of pysftp with its connection's arguments.
    pub fn pysftp(&self, program: &str, threads: usize) -> Command {
        let mut command = python(program);
        command.args(["--host", "127.0.0.1", "--port", &self.sshd.port.to_string()]);
        command.args(["--user", &self.sshd.username, "--threads", &threads.to_string(), "--key"]);
        command.arg(&self.key).arg("--known-hosts").arg(&self.known_hosts);
        command
    }
}

/// A folder that is new and empty.
pub fn empty(folder: &Path) -> PathBuf {
    drop(std::fs::remove_dir_all(folder));
    std::fs::create_dir_all(folder).expect("a folder");
    folder.to_path_buf()
}

/// One hop of ours.
pub fn hop(words: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.arg("hop").args(words);
    command
}

/// One of the peers' programs.
pub fn python(program: &str) -> Command {
    let mut command = Command::new(PYTHON);
    command.arg(format!("{PEERS}/{program}"));
    command
}

/// The text of a path that we made.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("a name in UTF-8")
}

/// Bytes that no packer makes smaller.
pub fn noise(path: &Path, bytes: u64) {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path).expect("a file"));
    let mut state = 88_172_645_463_325_252_u64 ^ bytes;
    for _ in 0..bytes / 8 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        file.write_all(&state.to_le_bytes()).expect("room");
    }
    file.flush().expect("room");
}

/// Says that a command worked.
pub fn succeed(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed: {said}");
}
