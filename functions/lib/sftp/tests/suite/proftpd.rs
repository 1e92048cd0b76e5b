//! A real ProFTPD with mod_sftp: another hand's server, which hashes files and splits its answers
//! its own way.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::servers::Kind;
use crate::world::{Daemon, Server, World, endpoint, fingerprint, free_port, ssh_keygen, username};
use sftp::Credentials;

const PROFTPD: &str = "/usr/sbin/proftpd";
const NOBODY: &str = "65534";

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn private(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
}

fn settings(home: &Path, port: u16, group: &str, more: &str) -> String {
    let (place, user) = (home.display(), username());
    format!(
        "LoadModule mod_sftp.c\nServerType standalone\nServerName test\n\
         DefaultAddress 127.0.0.1\nSocketBindTight on\nPort {port}\nUser {user}\n\
         Group {group}\nPidFile {place}/pid\nScoreboardFile {place}/score\nDelayEngine off\n\
         WtmpLog off\nUseReverseDNS off\nRequireValidShell off\nRootLogin on\n\
         AuthOrder mod_auth_file.c\nAuthUserFile {place}/passwd\nAuthGroupFile {place}/group\n\
         SystemLog {place}/log\nTransferLog none\nAllowOverwrite on\nAllowStoreRestart on\n\
         MaxInstances none\nSFTPEngine on\nSFTPLog {place}/sftp.log\n\
         SFTPAuthorizedUserKeys file:{place}/authorized\n{more}\n",
    )
}

fn start(home: PathBuf, port: u16) -> Daemon {
    let log = home.join("sftp.log");
    let child = Command::new(PROFTPD)
        .args(["-n", "-q", "-c"])
        .arg(home.join("config"))
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(home.join("errors")).unwrap())
        .spawn()
        .expect("proftpd starts");
    let mut server = Daemon { child, log, home };
    server.await_port(port);
    server
}

struct Setup<'a> {
    host_key_types: &'a [&'a str],
    user_key: &'a [&'a str],
    methods: &'a str,
    /// Sees its home as `/`.
    rooted: bool,
    /// Has no rights.
    nobody: bool,
}

impl World {
    /// A ProFTPD that takes a key.
    pub fn proftpd() -> Self {
        Self::proftpd_with(&["rsa", "ecdsa"], &["-t", "ed25519"], "publickey password", "")
    }

    /// A ProFTPD with these host keys, one user key beside the password `right`, these methods and
    /// more lines of configuration.
    pub fn proftpd_with(
        host_key_types: &[&str],
        user_key: &[&str],
        methods: &str,
        config: &str,
    ) -> Self {
        let setup = Setup { host_key_types, user_key, methods, rooted: true, nobody: false };
        Self::proftpd_of(&setup, config)
    }

    /// A ProFTPD that is chrooted or not, for our account or for one without rights.
    pub fn proftpd_as(rooted: bool, nobody: bool, config: &str) -> Self {
        let setup = Setup {
            host_key_types: &["rsa", "ecdsa"],
            user_key: &["-t", "ed25519"],
            methods: "publickey password",
            rooted,
            nobody,
        };
        Self::proftpd_of(&setup, config)
    }

    fn proftpd_of(setup: &Setup<'_>, config: &str) -> Self {
        let Setup { host_key_types, user_key, methods, rooted, nobody } = *setup;
        assert!(
            Path::new(PROFTPD).exists(),
            "{PROFTPD} is missing: install proftpd-core and proftpd-mod-crypto"
        );
        let temporary = tempfile::tempdir().unwrap();
        let home = temporary.path().to_owned();
        let folder = home.join("files");
        std::fs::create_dir(&folder).unwrap();
        let mut fingerprints = Vec::new();
        let mut host_keys = String::new();
        for kind in host_key_types {
            let path = home.join(format!("host_{kind}"));
            ssh_keygen(&path, &["-t", kind, "-m", "PEM"], "");
            host_keys += &format!("SFTPHostKey {}\n", path.display());
            fingerprints.push(fingerprint(&path.with_extension("pub")));
        }
        let key = ssh_keygen(&home.join("user"), user_key, "");
        let public = home.join("user.pub");
        let rfc4716 =
            output(Command::new("ssh-keygen").args(["-e", "-m", "RFC4716", "-f"]).arg(&public));
        private(&home.join("authorized"), &format!("{rfc4716}\n"));
        let password = output(Command::new("openssl").args(["passwd", "-6", "right"]));
        let own =
            |what| if nobody { NOBODY.to_owned() } else { output(Command::new("id").arg(what)) };
        let (user_id, group_id) = (own("-u"), own("-g"));
        let group = output(Command::new("id").arg("-gn"));
        let place = home.display();
        private(
            &home.join("passwd"),
            &format!("relay:{password}:{user_id}:{group_id}::{place}:/bin/sh\n"),
        );
        private(&home.join("group"), &format!("relay:x:{group_id}:\n"));
        let port = free_port();
        let root = if rooted { format!("DefaultRoot {place}") } else { String::new() };
        let text = settings(
            &home,
            port,
            &group,
            &format!("{host_keys}SFTPAuthMethods {methods}\n{root}\n{config}"),
        );
        private(&home.join("config"), &text);
        let server = start(home, port);
        Self {
            kind: Kind::ProFtpd,
            endpoint: endpoint(port, "relay", fingerprints),
            credentials: Credentials::private_key(&key),
            remote: if rooted { "/files".to_owned() } else { folder.display().to_string() },
            folder,
            server: Server::Program(server),
            _temporary: temporary,
        }
    }
}
