//! One partner: two servers, their keys, secrets and a profile that fits them.

use std::collections::BTreeMap;
use std::fs::FileTimes;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use sftp::server::{Options, Quirks, SftpServer};
use tempfile::TempDir;

use crate::wait::on_servers;
use crate::{Api, Sample, Sshd};

/// What kind of SFTP servers a partner has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// OpenSSH.
    OpenSsh,
    /// OpenSSH at the target; at the source one that heeds file permissions.
    OpenSshUnprivileged,
    /// OpenSSH that lets two log in at a time, and opens one session for each connection.
    OpenSshNarrow,
    /// The embedded server: starts at once, source by key, target by password.
    Embedded,
}

/// A partner and its running servers.
pub struct Partner {
    /// The partner's name.
    pub name: String,
    /// A valid profile with `settle_seconds` 0, counting CSV with one header; tests may spoil it.
    pub profile: Value,
    /// The source server.
    pub source: Server,
    /// The target server.
    pub target: Server,
}

/// One SFTP server of a partner.
pub struct Server {
    /// The directory that a profile names, as a folder here.
    pub folder: PathBuf,
    running: Running,
    _root: Option<TempDir>,
}

enum Running {
    OpenSsh(Box<Sshd>),
    Embedded(SftpServer),
}

impl Server {
    /// The OpenSSH server behind it.
    ///
    /// # Panics
    /// When it is the embedded one.
    #[must_use]
    pub fn sshd(&self) -> &Sshd {
        match &self.running {
            Running::OpenSsh(sshd) => sshd,
            Running::Embedded(_) => panic!("this partner's servers are embedded"),
        }
    }

    /// The embedded server behind it.
    ///
    /// # Panics
    /// When it is OpenSSH.
    #[must_use]
    pub fn embedded(&self) -> &SftpServer {
        match &self.running {
            Running::OpenSsh(_) => panic!("this partner's servers are OpenSSH"),
            Running::Embedded(server) => server,
        }
    }

    /// Names and bytes of everything in the folder.
    ///
    /// # Panics
    /// When the folder cannot be read.
    #[must_use]
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let read = |path: &PathBuf| std::fs::read(path).expect("a file of the test");
        self.paths().iter().map(|path| (file_name(path), read(path))).collect()
    }

    /// Names of everything in the folder, which may be changing.
    ///
    /// # Panics
    /// When the folder cannot be read.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.paths().iter().map(|path| file_name(path)).collect()
    }

    /// Everything in the folder, in order of names.
    ///
    /// # Panics
    /// When the folder cannot be read.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.folder).expect("a folder of the test");
        let mut paths: Vec<PathBuf> =
            entries.map(|entry| entry.expect("an entry").path()).collect();
        paths.sort();
        paths
    }

    /// Names, sizes and modification times of everything in the folder.
    ///
    /// # Panics
    /// When the folder cannot be read.
    #[must_use]
    pub fn marks(&self) -> BTreeMap<String, (u64, SystemTime)> {
        let mark = |path: &PathBuf| match std::fs::metadata(path) {
            // The server may still be about what a killed client asked for.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            metadata => {
                let metadata = metadata.expect("a file of the test");
                let modified = metadata.modified().expect("a modification time");
                Some((file_name(path), (metadata.len(), modified)))
            }
        };
        self.paths().iter().filter_map(mark).collect()
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().expect("a name").to_string_lossy().into_owned()
}

impl Partner {
    /// Starts the servers and writes the secrets, except for the certificate, to `secrets`.
    pub(crate) fn start(name: &str, kind: Kind, secrets: &Path, api_url: &str) -> Self {
        let secret = |what: &str, text: &str| write(&secrets.join(name).join(what), text);
        let (source, source_end) = Server::start(kind, true);
        let (target, target_end) = Server::start(
            if kind == Kind::OpenSshUnprivileged { Kind::OpenSsh } else { kind },
            false,
        );
        secret("source-key", &source_end.credential);
        secret(
            if kind == Kind::Embedded { "target-password" } else { "target-key" },
            &target_end.credential,
        );
        secret("api-token", Api::TOKEN);
        let target_auth = match kind {
            Kind::Embedded => json!({"password": format!("{name}/target-password")}),
            Kind::OpenSsh | Kind::OpenSshUnprivileged | Kind::OpenSshNarrow => {
                json!({"private_key": format!("{name}/target-key")})
            }
        };
        let mut profile = json!({
            "partner": name,
            "source": source_end.profile,
            "records": {"model": "csv", "header_records": 1},
            "report": {"url": api_url, "auth": {"bearer": format!("{name}/api-token")}},
            "encryption": {"certificate": format!("{name}/recipient-cert")},
            "target": target_end.profile,
        });
        profile["source"]["auth"] = json!({"private_key": format!("{name}/source-key")});
        profile["source"]["settle_seconds"] = 0.into();
        profile["target"]["auth"] = target_auth;
        Self { name: name.to_owned(), profile, source, target }
    }

    /// Moves the target to an embedded server with those peculiarities.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn move_target(&mut self, quirks: Quirks, secrets: &Path) {
        let (server, end) = Server::start_embedded(false, quirks);
        write(&secrets.join(&self.name).join("target-password"), &end.credential);
        for (field, value) in end.profile.as_object().expect("an object") {
            self.profile["target"][field] = value.clone();
        }
        self.target = server;
    }

    /// Lays a file into the source. Its time is a whole second in the past, as at a partner's.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let path = self.source.folder.join(name);
        std::fs::write(&path, bytes).expect("a file at the source");
        let minute_ago = SystemTime::now() - Duration::from_secs(60);
        let file = std::fs::File::options().write(true).open(&path).expect("that file");
        file.set_times(FileTimes::new().set_modified(minute_ago)).expect("its time");
    }

    /// Lays samples into the source.
    ///
    /// # Panics
    /// When one cannot be written.
    pub fn put_all(&self, samples: &[Sample]) {
        for sample in samples {
            self.put(&sample.name, &sample.bytes);
        }
    }
}

/// What a profile says about a server, and the secret that opens it.
struct End {
    profile: Value,
    credential: String,
}

impl Server {
    fn start(kind: Kind, is_source: bool) -> (Self, End) {
        if kind == Kind::Embedded {
            return Self::start_embedded(is_source, Quirks::default());
        }
        let sshd = match kind {
            Kind::OpenSshUnprivileged => Sshd::start_unprivileged(),
            Kind::OpenSshNarrow => Sshd::start_narrow(),
            Kind::OpenSsh | Kind::Embedded => Sshd::start(),
        };
        let profile = json!({
            "host": "127.0.0.1", "port": sshd.port, "username": sshd.username,
            "host_keys": [sshd.host_key], "directory": sshd.folder,
        });
        let end = End { profile, credential: sshd.client_key.clone() };
        let folder = sshd.folder.clone();
        (Self { folder, running: Running::OpenSsh(Box::new(sshd)), _root: None }, end)
    }

    fn start_embedded(is_source: bool, quirks: Quirks) -> (Self, End) {
        let root = tempfile::tempdir().expect("a folder for the server");
        let directory = if is_source { "outbound" } else { "inbound" };
        let folder = root.path().join(directory);
        std::fs::create_dir(&folder).expect("a folder for files");
        let mut options = Options::new(root.path(), "relay");
        options.quirks = quirks;
        let credential = if is_source {
            let (key, line) = sftp::keys::generate_ed25519().expect("a key");
            options.authorized_key = Some(line);
            key.expose().to_owned()
        } else {
            let password = format!("right-{:?}", SystemTime::now());
            options.password = Some(password.as_str().into());
            password
        };
        let server = on_servers(SftpServer::start(options)).expect("an SFTP server");
        let profile = json!({
            "host": "127.0.0.1", "port": server.port(), "username": "relay",
            "host_keys": [server.host_key_fingerprint()], "directory": format!("/{directory}"),
        });
        let end = End { profile, credential };
        (Self { folder, running: Running::Embedded(server), _root: Some(root) }, end)
    }
}

/// Writes a secret, for us alone.
pub(crate) fn write(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    let folder = path.parent().expect("a folder");
    std::fs::create_dir_all(folder).expect("a folder of secrets");
    std::fs::write(path, text).expect("a secret");
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).expect("chmod");
}
