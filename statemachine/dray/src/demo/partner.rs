//! One partner of the demo: two SFTP servers, keys, secrets, files and a profile.

use std::path::{Path, PathBuf};

use anyhow::Context;
use domain::Profile;
use openpgp::{GenerateOptions, generate};
use serde_json::json;
use sftp::server::{Options, SftpServer};

use super::api::ReportApi;
use super::{files, write, write_secret};
use crate::view::say;

/// A partner and its running servers.
pub(super) struct DemoPartner {
    profile: Profile,
    folder: PathBuf,
    _source: SftpServer,
    _target: SftpServer,
}

impl DemoPartner {
    pub(super) async fn start(root: &Path, name: &str, api: &ReportApi) -> anyhow::Result<Self> {
        let folder = root.join("partners").join(name);
        let (outbound, inbound) = (folder.join("source/outbound"), folder.join("target/inbound"));
        std::fs::create_dir_all(&inbound)?;
        for (file, bytes) in files::of(name)? {
            write(&outbound.join(file), &bytes)?;
        }
        let (login_key, login_line) = sftp::keys::generate_ed25519()?;
        let password = uuid::Uuid::new_v4().simple().to_string();
        let user_id = format!("{name} (demo) <{name}@example.com>");
        let pgp = generate(&GenerateOptions::new(&user_id))?;
        let secrets = root.join("secrets").join(name);
        write_secret(&secrets.join("source-key"), login_key.expose().as_bytes())?;
        write_secret(&secrets.join("target-password"), password.as_bytes())?;
        write_secret(&secrets.join("recipient-cert"), pgp.public.as_bytes())?;
        write_secret(&secrets.join("api-token"), api.token().as_bytes())?;
        write_secret(&folder.join("secret-key.asc"), pgp.secret.as_bytes())?;
        let mut options = Options::new(folder.join("source"), "relay");
        options.authorized_key = Some(login_line);
        let source = SftpServer::start(options).await?;
        let mut options = Options::new(folder.join("target"), "relay");
        options.password = Some(password.as_str().into());
        let target = SftpServer::start(options).await?;
        let profile = profile(name, &source, &target, api);
        let text = serde_json::to_string_pretty(&profile)?;
        write(&root.join("profiles").join(format!("{name}.json")), text.as_bytes())?;
        let profile = Profile::parse(&text).context("the demo's own profile")?;
        Ok(Self { profile, folder, _source: source, _target: target })
    }

    pub(super) fn name(&self) -> &str {
        &self.profile.partner
    }

    pub(super) const fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Where the sealed files are and how the partner would open them.
    pub(super) fn explain(&self) {
        let inbound = self.folder.join("target/inbound");
        say(&format!("\n{}'s sealed files: {}", self.name(), inbound.display()));
        say("open them as the partner would:");
        say(&format!(
            "  export GNUPGHOME=$(mktemp -d); gpg --import {}",
            self.folder.join("secret-key.asc").display()
        ));
        say(&format!("  gpg --decrypt-files {}/*.pgp", inbound.display()));
    }
}

fn profile(
    name: &str,
    source: &SftpServer,
    target: &SftpServer,
    api: &ReportApi,
) -> serde_json::Value {
    let model = if name == "acme" { "csv" } else { "lines" };
    json!({
        "partner": name,
        "source": {
            "host": "127.0.0.1", "port": source.port(), "username": "relay",
            "auth": {"private_key": format!("{name}/source-key")},
            "host_keys": [source.host_key_fingerprint()],
            "directory": "/outbound", "settle_seconds": 0,
        },
        "records": {"model": model, "header_records": 1},
        "report": {"url": api.url(), "auth": {"bearer": format!("{name}/api-token")}},
        "encryption": {"certificate": format!("{name}/recipient-cert")},
        "target": {
            "host": "127.0.0.1", "port": target.port(), "username": "relay",
            "auth": {"password": format!("{name}/target-password")},
            "host_keys": [target.host_key_fingerprint()],
            "directory": "/inbound",
        },
    })
}
