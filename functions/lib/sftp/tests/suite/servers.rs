//! The servers that the suite runs against, and what each of them does otherwise than the others.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use sftp::Credentials;
use sftp::server::Quirks;

pub use crate::world::Kind;
use crate::world::{Daemon, Server, World, endpoint, free_port, host_keys, ssh_keygen, username};

const GREEN_END: &str = "/usr/libexec/gesftpserver";
const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../.venv/bin/python");
const ASYNCSSH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite/asyncssh_server.py");
/// The account that may do least, for servers that root starts.
const NOBODY: &str = "setpriv --reuid=65534 --regid=65534 --clear-groups";
/// Bytes that a file may have on the embedded server's full disk.
const ROOM: (u64, &str) = (0, "No space left on device");

/// How a server is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// It may do whatever the test may.
    Plain,
    /// Its administrator allows no change.
    ReadOnly,
    /// File permissions hold, also when root runs the tests.
    Unprivileged,
    /// Its disk is full for the file `full`.
    Full,
}

/// Something that a server does not do as the reference does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// `posix-rename@openssh.com` is not offered.
    NoPosixRename,
    /// `fsync@openssh.com` is not offered.
    NoFsync,
    /// `statvfs@openssh.com` is not offered.
    NoStatvfs,
    /// `limits@openssh.com` is not offered.
    NoLimits,
    /// It hashes files.
    Hashes,
    /// Names that are not UTF-8 do not come through.
    OnlyUtf8,
    /// A link's text is made absolute before it is told.
    AbsoluteLinks,
    /// A full disk has words, so that it is told from any other failure.
    TellsFull,
}

/// Every difference with its reason. A check asserts the difference where one stands here, and the
/// reference's behaviour where none does: a row that is not true fails as well.
const DIFFERENCES: &[(Kind, Difference, &str)] = &[
    (Kind::ProFtpd, Difference::NoLimits, "mod_sftp of 1.3.8 does not know the extension"),
    (Kind::ProFtpd, Difference::Hashes, "mod_sftp answers check-file-name, though unannounced"),
    (Kind::ProFtpd, Difference::AbsoluteLinks, "mod_sftp tells what a link means in its chroot"),
    (Kind::GreenEnd, Difference::NoLimits, "Green End's server is older than the extension"),
    (Kind::GreenEnd, Difference::TellsFull, "Green End's server sends the system's words"),
    (Kind::AsyncSsh, Difference::TellsFull, "AsyncSSH turns ENOSPC into a status of its own"),
    (Kind::Embedded, Difference::NoStatvfs, "it tells of free space as a quirk alone"),
    (Kind::Embedded, Difference::OnlyUtf8, "names are text in russh-sftp"),
    (Kind::Bare, Difference::OnlyUtf8, "names are text in russh-sftp"),
    (Kind::Embedded, Difference::TellsFull, "the quirk says what is usually said"),
    (Kind::Bare, Difference::NoPosixRename, "version 3 has no rename that replaces"),
    (Kind::Bare, Difference::NoFsync, "version 3 cannot ask for the disk"),
    (Kind::Bare, Difference::NoStatvfs, "version 3 cannot ask for free space"),
    (Kind::Bare, Difference::NoLimits, "version 3 has no sizes but its own 32 KiB"),
    (Kind::Bare, Difference::TellsFull, "the quirk says what is usually said"),
];

impl Kind {
    /// Whether this server is known to differ in that.
    pub fn differs(self, what: Difference) -> bool {
        DIFFERENCES.iter().any(|(kind, difference, _)| (*kind, *difference) == (self, what))
    }

    /// A running server of that kind.
    pub async fn start(self, case: Case) -> World {
        match self {
            Self::OpenSsh => subsystem(self, case, "internal-sftp", "/usr/lib/openssh/sftp-server"),
            Self::GreenEnd => subsystem(self, case, GREEN_END, GREEN_END),
            Self::ProFtpd => proftpd(case),
            Self::AsyncSsh => asyncssh(case),
            Self::Embedded | Self::Bare => {
                let mut world = World::embedded_with(|options| {
                    options.extensions = self == Self::Embedded;
                    options.quirks = Quirks {
                        read_only: case == Case::ReadOnly,
                        heeds_modes: case == Case::Unprivileged,
                        room: (case == Case::Full).then_some(ROOM),
                        ..Quirks::default()
                    };
                })
                .await;
                world.kind = self;
                world
            }
        }
    }
}

fn is_root() -> bool {
    username() == "root"
}

/// Lets an account without rights come through to the folder of the test.
fn open_up(world: &World) {
    let home = world.folder.parent().unwrap();
    std::fs::set_permissions(home, Permissions::from_mode(0o755)).unwrap();
    std::fs::set_permissions(&world.folder, Permissions::from_mode(0o777)).unwrap();
}

/// Whatever is written there meets a disk without room.
fn fill(folder: &Path) {
    std::os::unix::fs::symlink("/dev/full", folder.join("full")).unwrap();
}

/// An SFTP program behind OpenSSH's SSH.
fn subsystem(kind: Kind, case: Case, usual: &str, program: &str) -> World {
    assert!(
        Path::new(program).exists(),
        "{program} is missing: install openssh-sftp-server and gesftpserver"
    );
    let command = match case {
        Case::ReadOnly => format!("{usual} -R"),
        Case::Unprivileged if is_root() => format!("{NOBODY} {program}"),
        Case::Plain | Case::Full | Case::Unprivileged => usual.to_owned(),
    };
    let mut world =
        World::sshd(&["ed25519"], &["-t", "ed25519"], "", &format!("Subsystem sftp {command}"));
    open_up(&world);
    if case == Case::Full {
        fill(&world.folder);
    }
    world.kind = kind;
    world
}

fn proftpd(case: Case) -> World {
    let config = match case {
        Case::ReadOnly => "<Limit WRITE>\nDenyAll\n</Limit>",
        Case::Plain | Case::Unprivileged | Case::Full => "",
    };
    // What leads out of its root is not there for a chrooted server.
    let (root, account) = (case != Case::Full, case == Case::Unprivileged && is_root());
    let world = World::proftpd_as(root, account, config);
    open_up(&world);
    if case == Case::Full {
        fill(&world.folder);
    }
    world
}

fn asyncssh(case: Case) -> World {
    let temporary = tempfile::tempdir().unwrap();
    let home = temporary.path().to_owned();
    let folder = home.join("files");
    std::fs::create_dir(&folder).unwrap();
    let (_, fingerprints) = host_keys(&home, &["ed25519"]);
    let key = ssh_keygen(&home.join("user"), &["-t", "ed25519"], "");
    let port = free_port();
    let log = home.join("log");
    let case_word = match case {
        Case::ReadOnly => "read_only",
        Case::Unprivileged => "unprivileged",
        Case::Plain | Case::Full => "plain",
    };
    let child = Command::new(PYTHON)
        .arg(ASYNCSSH)
        .args([&port.to_string()])
        .args([home.join("host_ed25519"), home.join("user.pub")])
        .arg(case_word)
        .stderr(std::fs::File::create(&log).unwrap())
        .stdout(Stdio::null())
        .spawn()
        .expect("the test environment is missing: run `make tools`");
    let mut server = Daemon { child, log, home };
    server.await_port(port);
    let world = World {
        kind: Kind::AsyncSsh,
        endpoint: endpoint(port, &username(), fingerprints),
        credentials: Credentials::private_key(&key),
        remote: folder.display().to_string(),
        folder,
        server: Server::Program(server),
        _temporary: temporary,
    };
    open_up(&world);
    if case == Case::Full {
        fill(&world.folder);
    }
    world
}

#[test]
fn every_difference_has_a_reason_and_stands_once() {
    for (index, (kind, what, why)) in DIFFERENCES.iter().enumerate() {
        assert!(why.len() > 20, "{kind:?} {what:?}: say why");
        let again = DIFFERENCES[..index].iter().any(|row| (row.0, row.1) == (*kind, *what));
        assert!(!again && *kind != Kind::OpenSsh, "{kind:?} {what:?}");
    }
}
