//! What unit tests need: a target, what a profile says of it, and a receipt.

use domain::ids::Name;
use domain::items::{FileRef, Receipt, Verified};
use domain::profile::{OnExisting, Rename, SshAuth, Target, Verify};
use jiff::Timestamp;
use sftp::server::{Options, Quirks, SftpServer};
use sftp::{Algorithms, Credentials, Endpoint, REKEY_BYTES, Session, Timeouts};
use tempfile::TempDir;

/// A server with these quirks, its folder and a session there.
pub(crate) async fn target(quirks: Quirks) -> (SftpServer, TempDir, Session) {
    let folder = tempfile::tempdir().unwrap();
    let mut options = Options::new(folder.path(), "relay");
    options.password = Some("right".into());
    options.quirks = quirks;
    let server = SftpServer::start(options).await.unwrap();
    let endpoint = Endpoint {
        host: "127.0.0.1".to_owned(),
        port: server.port(),
        username: "relay".to_owned(),
        host_keys: vec![server.host_key_fingerprint().to_owned()],
        algorithms: Algorithms::Default,
        timeouts: Timeouts::default(),
        rekey_bytes: REKEY_BYTES,
    };
    let session = Session::connect(&endpoint, &Credentials::password("right")).await.unwrap();
    (server, folder, session)
}

/// A target as a profile describes it that says no more than it must.
pub(crate) fn profile() -> Target {
    Target {
        host: "sftp.example.com".to_owned(),
        port: 22,
        username: "relay".to_owned(),
        auth: SshAuth { private_key: None, passphrase: None, password: None },
        host_keys: Vec::new(),
        algorithms: domain::profile::Algorithms::default(),
        directory: "/".to_owned(),
        max_connections: 1,
        transfers_per_connection: 1,
        temporary_suffix: ".part".to_owned(),
        rename: Rename::Auto,
        on_existing: OnExisting::Fail,
        verify: Verify::Auto,
        name: "{member}".to_owned(),
        manifest: None,
        acknowledgement: None,
    }
}

/// Of a member that is `sealed_bytes` long under `remote_path`.
pub(crate) fn receipt(remote_path: &str, sealed_bytes: u64) -> Receipt {
    Receipt {
        partner: "acme".to_owned(),
        run: "run-1".to_owned(),
        file: FileRef::new("acme", "a.csv", 6, 0),
        member: "a.csv".to_owned(),
        name: Name::new(6, "0123456789"),
        bytes: 6,
        sha256: "00".to_owned(),
        records: None,
        remote_path: remote_path.to_owned(),
        sealed_bytes,
        sealed_sha256: "11".to_owned(),
        certificate: "CERTIFICATE".to_owned(),
        verified: Verified::Size,
        remote_mtime_seconds: None,
        claimed_at: Timestamp::UNIX_EPOCH,
        delivered_at: Timestamp::UNIX_EPOCH,
        adopted: false,
        resend: None,
    }
}
