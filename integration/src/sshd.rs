//! Debian's OpenSSH server as a partner's server: started by the test, on loopback, with keys made
//! for it.

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::wait_until;

const SSHD: &str = "/usr/sbin/sshd";
/// Of the account that may do least, when root runs the tests.
const NOBODY: &str = "65534";

/// A running sshd; it ends, with its connections, when dropped.
pub struct Sshd {
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// Its host key as a profile pins it.
    pub host_key: String,
    /// The only account that the tests use: whoever runs them.
    pub username: String,
    /// The private key that it lets in, as text.
    pub client_key: String,
    /// The folder that the test may fill and look into.
    pub folder: PathBuf,
    child: Child,
    log: PathBuf,
    home: TempDir,
}

impl Sshd {
    /// A server that may read and write whatever the test may.
    ///
    /// # Panics
    /// When sshd is missing or does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with("Subsystem sftp internal-sftp")
    }

    /// A server that lets two log in at a time, and opens one session for each connection.
    ///
    /// # Panics
    /// When sshd is missing or does not start.
    #[must_use]
    pub fn start_narrow() -> Self {
        Self::start_with("Subsystem sftp internal-sftp\nMaxStartups 2:100:2\nMaxSessions 1")
    }

    /// A server whose SFTP side heeds file permissions even when root runs the tests.
    ///
    /// # Panics
    /// When sshd is missing or does not start.
    #[must_use]
    pub fn start_unprivileged() -> Self {
        if username() != "root" {
            return Self::start();
        }
        let server = "/usr/lib/openssh/sftp-server";
        Self::start_with(&format!(
            "Subsystem sftp setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups {server}"
        ))
    }

    fn start_with(subsystem: &str) -> Self {
        assert!(
            Path::new(SSHD).exists(),
            "{SSHD} is missing: install openssh-server, these tests deliver to a real one"
        );
        // Where sshd separates privileges when root starts it.
        drop(std::fs::create_dir_all("/run/sshd"));
        let home = tempfile::tempdir().expect("a folder for sshd");
        // An account without rights must be able to come through.
        std::fs::set_permissions(home.path(), PermissionsExt::from_mode(0o755)).expect("chmod");
        let folder = home.path().join("files");
        std::fs::create_dir(&folder).expect("a folder for files");
        std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o777)).expect("chmod");
        make_key(&home.path().join("host"));
        let client_key = make_key(&home.path().join("user"));
        let log = home.path().join("log");
        let (child, port) = listening(home.path(), &log, subsystem);
        Self {
            port,
            host_key: fingerprint(&home.path().join("host.pub")),
            username: username(),
            client_key,
            folder,
            child,
            log,
            home,
        }
    }

    /// The file of the private key that it lets in, for other clients.
    #[must_use]
    pub fn client_key_file(&self) -> PathBuf {
        self.home.path().join("user")
    }

    /// A file with its host key for other clients, of which some look for the port and some do not.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn known_hosts(&self) -> PathBuf {
        let public = std::fs::read_to_string(self.home.path().join("host.pub")).expect("a key");
        let path = self.home.path().join("known_hosts");
        let lines = format!("127.0.0.1 {public}[127.0.0.1]:{} {public}", self.port);
        std::fs::write(&path, lines).expect("the known hosts");
        path
    }

    /// How many logins it saw so far, granted or refused.
    #[must_use]
    pub fn logins(&self) -> usize {
        let granted = |line: &str| line.starts_with("Accepted publickey ");
        self.count(granted) + self.refused_logins()
    }

    /// How many logins it refused so far.
    #[must_use]
    pub fn refused_logins(&self) -> usize {
        // Of a user that it does not know, the failed attempt may be logged or not.
        let known = |line: &str| line.starts_with("Failed ") && !line.contains(" invalid user ");
        let unknown = |line: &str| line.starts_with("Invalid user ");
        self.count(|line| known(line) || unknown(line))
    }

    fn count(&self, is_one: impl Fn(&str) -> bool) -> usize {
        read_log(&self.log).lines().filter(|line| is_one(line)).count()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let connections = children(self.child.id());
        let below: Vec<u32> = connections.iter().flat_map(|id| children(*id)).collect();
        drop(self.child.kill());
        drop(self.child.wait());
        for id in connections.into_iter().chain(below) {
            // It may have ended by itself meanwhile.
            drop(Command::new("kill").arg(id.to_string()).stderr(Stdio::null()).status());
        }
        if std::thread::panicking() {
            let log = read_log(&self.log);
            let end: Vec<&str> = log.lines().rev().take(20).collect();
            eprintln!("sshd on port {} said at last, newest first:\n{}", self.port, end.join("\n"));
        }
    }
}

/// Starts sshd on a free port and waits until it listens; another port if somebody was faster.
fn listening(home: &Path, log: &Path, subsystem: &str) -> (Child, u16) {
    for _ in 0..10 {
        let port = free_port();
        let own = subsystem.contains("MaxStartups");
        let limits = if own { "" } else { "MaxStartups 100\nMaxSessions 100\n" };
        let config = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {home}/host\n\
             AuthorizedKeysFile {home}/user.pub\nStrictModes no\nUsePAM no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n\
             PidFile none\nLogLevel VERBOSE\n{limits}{subsystem}\n",
            home = home.display(),
        );
        std::fs::write(home.join("config"), config).expect("sshd's configuration");
        let mut child = Command::new(SSHD)
            .args(["-D", "-e", "-f"])
            .arg(home.join("config"))
            .stderr(std::fs::File::create(log).expect("sshd's log"))
            .stdout(Stdio::null())
            .spawn()
            .expect("sshd starts");
        let mut ended = false;
        wait_until("sshd listens", || {
            ended = child.try_wait().expect("sshd's state").is_some();
            ended || read_log(log).contains("Server listening on")
        });
        if !ended {
            return (child, port);
        }
    }
    panic!("sshd does not start: {}", read_log(log));
}

/// Makes a key pair and returns the private key's text.
pub(crate) fn make_key(path: &Path) -> String {
    let output = Command::new("ssh-keygen")
        .args(["-q", "-N", "", "-t", "ed25519", "-C", "test", "-f"])
        .arg(path)
        .output()
        .expect("ssh-keygen is missing: install openssh-client");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read_to_string(path).expect("a private key")
}

fn fingerprint(public: &Path) -> String {
    let output = Command::new("ssh-keygen").arg("-lf").arg(public).output().expect("ssh-keygen");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace().nth(1).expect("a fingerprint").to_owned()
}

fn username() -> String {
    let output = Command::new("id").arg("-un").output().expect("id runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port on loopback");
    listener.local_addr().expect("its number").port()
}

/// File names in it need not be UTF-8.
fn read_log(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The processes that a process has started and that still run.
fn children(parent: u32) -> Vec<u32> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().filter_map(|id| id.parse().ok()).collect()
}
