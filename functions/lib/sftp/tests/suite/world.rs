//! The servers of the tests: a real OpenSSH `sshd`, a real ProFTPD and the embedded one, each on a
//! random loopback port over a temporary folder, with keys made for this run.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sftp::server::{Options, SftpServer};
use sftp::{Algorithms, Credentials, Endpoint, REKEY_BYTES, Session, Timeouts};
use tempfile::TempDir;

pub const SSHD: &str = "/usr/sbin/sshd";

/// Whose server it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The reference.
    OpenSsh,
    /// `mod_sftp`: its own SSH, its own SFTP, chrooted.
    ProFtpd,
    /// Green End's SFTP server behind OpenSSH's SSH: answers from several threads.
    GreenEnd,
    /// Python, its own SSH and SFTP.
    AsyncSsh,
    /// Ours, built on `russh-sftp`.
    Embedded,
    /// Ours without any extension: what version 3 alone has.
    Bare,
}

/// A server of any kind, with what a client needs to reach it.
pub struct World {
    pub kind: Kind,
    pub endpoint: Endpoint,
    pub credentials: Credentials,
    /// The folder that the test may fill and look into.
    pub folder: PathBuf,
    /// How that folder is called by the server.
    pub remote: String,
    pub server: Server,
    /// Removed with the world.
    pub _temporary: TempDir,
}

pub enum Server {
    Program(Daemon),
    Embedded(SftpServer),
}

/// A running server program; killed with its connections when dropped.
pub struct Daemon {
    pub child: Child,
    pub log: PathBuf,
    pub home: PathBuf,
}

impl Daemon {
    /// Waits until it listens.
    pub fn await_port(&mut self, port: u16) {
        wait_until("the server listens", || {
            assert!(self.child.try_wait().unwrap().is_none(), "the server ended at once");
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
        });
    }

    /// Every process that serves a connection.
    fn workers(&self) -> Vec<String> {
        let children = |id: &str| {
            let output = Command::new("pgrep").args(["-P", id]).output().expect("pgrep runs");
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            text.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        let mut found = children(&self.child.id().to_string());
        let below = found.iter().flat_map(|id| children(id)).collect::<Vec<_>>();
        found.extend(below);
        found
    }

    /// Stops every connection as it is, without closing it.
    pub fn pause(&self) {
        self.workers().iter().for_each(|id| signal(id, "-STOP"));
    }

    /// Ends the listener and every connection.
    pub fn kill(&mut self) {
        let workers = self.workers();
        let _ = self.child.kill();
        let _ = self.child.wait();
        workers.iter().for_each(|id| signal(id, "-KILL"));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            eprintln!("the server said:\n{log}");
        }
    }
}

/// Sends a signal to a process that may have ended by itself meanwhile.
fn signal(id: &str, signal: &str) {
    let _ = Command::new("kill").args([signal, id]).stderr(Stdio::null()).status();
}

pub fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Makes a key pair with ssh-keygen and returns the text of the private key.
pub fn ssh_keygen(path: &Path, arguments: &[&str], passphrase: &str) -> String {
    run(Command::new("ssh-keygen")
        .args(["-q", "-N", passphrase, "-C", "test", "-f"])
        .arg(path)
        .args(arguments));
    std::fs::read_to_string(path).unwrap()
}

pub fn fingerprint(public: &Path) -> String {
    let output = Command::new("ssh-keygen").arg("-lf").arg(public).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().nth(1).unwrap().to_owned()
}

pub fn username() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// Host keys of these types, in the temporary home.
pub fn host_keys(home: &Path, types: &[&str]) -> (String, Vec<String>) {
    let mut lines = String::new();
    let mut fingerprints = Vec::new();
    for kind in types {
        let path = home.join(format!("host_{kind}"));
        ssh_keygen(&path, &["-t", kind], "");
        lines += &format!("HostKey {}\n", path.display());
        fingerprints.push(fingerprint(&path.with_extension("pub")));
    }
    (lines, fingerprints)
}

impl World {
    pub fn openssh() -> Self {
        Self::openssh_with(&["ed25519"], &["-t", "ed25519"], "", "")
    }

    /// OpenSSH with its own SFTP side and more lines of configuration.
    pub fn openssh_with(
        host_key_types: &[&str],
        user_key: &[&str],
        passphrase: &str,
        config: &str,
    ) -> Self {
        let config = format!("Subsystem sftp internal-sftp\n{config}");
        Self::sshd(host_key_types, user_key, passphrase, &config)
    }

    /// An sshd with these host keys, one user key, and more lines of configuration, among them the
    /// SFTP subsystem.
    pub fn sshd(
        host_key_types: &[&str],
        user_key: &[&str],
        passphrase: &str,
        config: &str,
    ) -> Self {
        assert!(
            Path::new(SSHD).exists(),
            "{SSHD} is missing: install openssh-server, the conformance tests need a real one"
        );
        // Where sshd separates privileges when root starts it.
        let _ = std::fs::create_dir_all("/run/sshd");
        let temporary = tempfile::tempdir().unwrap();
        let home = temporary.path().to_owned();
        let folder = home.join("files");
        std::fs::create_dir(&folder).unwrap();
        let (host_key_lines, fingerprints) = host_keys(&home, host_key_types);
        let key = ssh_keygen(&home.join("user"), user_key, passphrase);
        std::fs::copy(home.join("user.pub"), home.join("authorized")).unwrap();
        std::fs::set_permissions(home.join("authorized"), PermissionsExt::from_mode(0o600))
            .unwrap();
        let port = free_port();
        let text = format!(
            "ListenAddress 127.0.0.1\nPort {port}\n{host_key_lines}AuthorizedKeysFile {home}/authorized\n\
             StrictModes no\nUsePAM no\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nPermitRootLogin yes\nPidFile none\n\
             MaxStartups 100\n{config}\n",
            home = home.display(),
        );
        std::fs::write(home.join("config"), text).unwrap();
        let log = home.join("log");
        let child = Command::new(SSHD)
            .args(["-D", "-e", "-f"])
            .arg(home.join("config"))
            .stderr(std::fs::File::create(&log).unwrap())
            .stdout(Stdio::null())
            .spawn()
            .expect("sshd starts");
        let mut server = Daemon { child, log, home };
        server.await_port(port);
        Self {
            kind: Kind::OpenSsh,
            endpoint: endpoint(port, &username(), fingerprints),
            credentials: Credentials::private_key(&key),
            remote: folder.display().to_string(),
            folder,
            server: Server::Program(server),
            _temporary: temporary,
        }
    }

    pub async fn embedded() -> Self {
        Self::embedded_with(|_| {}).await
    }

    /// The embedded server with password `right`, changed by the test.
    pub async fn embedded_with(change: impl FnOnce(&mut Options)) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join("files");
        std::fs::create_dir(&folder).unwrap();
        let mut options = Options::new(temporary.path(), "relay");
        options.password = Some("right".into());
        change(&mut options);
        let server = SftpServer::start(options).await.unwrap();
        let pins = vec![server.host_key_fingerprint().to_owned()];
        Self {
            kind: Kind::Embedded,
            endpoint: endpoint(server.port(), "relay", pins),
            credentials: Credentials::password("right"),
            folder,
            remote: "/files".to_owned(),
            server: Server::Embedded(server),
            _temporary: temporary,
        }
    }

    pub async fn connect(&self) -> Session {
        Session::connect(&self.endpoint, &self.credentials).await.unwrap()
    }

    pub fn remote(&self, name: &str) -> String {
        format!("{}/{name}", self.remote)
    }

    pub fn kill(&mut self) {
        match &mut self.server {
            Server::Program(daemon) => daemon.kill(),
            Server::Embedded(server) => server.stop(),
        }
    }
}

pub fn endpoint(port: u16, username: &str, host_keys: Vec<String>) -> Endpoint {
    Endpoint {
        host: "127.0.0.1".to_owned(),
        port,
        username: username.to_owned(),
        host_keys,
        algorithms: Algorithms::Default,
        timeouts: Timeouts::default(),
        rekey_bytes: REKEY_BYTES,
    }
}

/// Polls a state; the limit only ends a test that would hang.
pub fn wait_until(what: &str, mut ready: impl FnMut() -> bool) {
    let start = Instant::now();
    while !ready() {
        assert!(start.elapsed() < Duration::from_secs(60), "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Bytes that repeat nowhere near, the same for the same seed.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}
