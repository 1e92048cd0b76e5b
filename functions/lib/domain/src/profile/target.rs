//! The target: where files are delivered, under which names, and what proves it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::Found;
use super::{Algorithms, SshAuth, defaults};

/// The target SFTP endpoint and how files appear there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// DNS name or address.
    pub host: String,
    /// TCP port.
    #[serde(default = "defaults::ssh_port")]
    pub port: u16,
    /// Login name.
    pub username: String,
    /// How to log in.
    pub auth: SshAuth,
    /// Pinned SHA-256 fingerprints (`SHA256:…`) of the server's host key; several for rotation.
    pub host_keys: Vec<String>,
    /// Which SSH algorithms are offered.
    #[serde(default)]
    pub algorithms: Algorithms,
    /// Directory that receives the files.
    pub directory: String,
    /// Most connections held to this server at once.
    #[serde(default = "defaults::max_connections")]
    pub max_connections: u32,
    /// Most files transferred at once over one connection, 1 to 16.
    #[serde(default = "defaults::transfers_per_connection")]
    #[schemars(range(min = 1, max = 16))]
    pub transfers_per_connection: u32,
    /// Suffix of a file that is still being written.
    #[serde(default = "defaults::temporary_suffix")]
    pub temporary_suffix: String,
    /// How the finished file gets its name.
    #[serde(default)]
    pub rename: Rename,
    /// What happens when the name is taken by other content.
    #[serde(default)]
    pub on_existing: OnExisting,
    /// How the upload is verified before it gets its name.
    #[serde(default)]
    pub verify: Verify,
    /// Name of a delivered member: `{file}` is the source file without its archive suffix,
    /// `{member}` the path inside the archive; `/` becomes `_`. A file that is no archive keeps
    /// its own name.
    #[serde(default = "defaults::target_name")]
    pub name: String,
    /// A list of what a run delivered, itself delivered last.
    #[serde(default)]
    pub manifest: Option<Manifest>,
    /// The file by which the partner says that a delivery arrived.
    #[serde(default)]
    pub acknowledgement: Option<Acknowledgement>,
}

impl Target {
    /// Whether other content under a name gives way to ours.
    #[must_use]
    pub fn overwrites(&self) -> bool {
        self.on_existing == OnExisting::Replace || self.rename == Rename::Replace
    }

    /// Names of what is at the target besides the delivered files.
    pub(super) fn other_names(&self, found: &mut Found) {
        if let Some(manifest) = &self.manifest {
            found.check(
                is_name(&manifest.name, &["{partner}", "{run}"]),
                "target.manifest.name",
                "must be a file name; it may use the placeholders {partner} and {run}, and no slash.",
            );
        }
        let Some(acknowledgement) = &self.acknowledgement else { return };
        let name = &acknowledgement.name;
        found.check(
            is_name(name, &["{name}", "{manifest}", "{partner}", "{run}"]),
            "target.acknowledgement.name",
            "must be a file name; it may use the placeholders {name}, {manifest}, {partner} and \
             {run}, and no slash.",
        );
        found.check(
            self.manifest.is_some() || !name.contains("{manifest}"),
            "target.acknowledgement.name",
            "uses {manifest}, and target.manifest is not set.",
        );
        found.check(
            !["{name}", "{manifest}"].contains(&name.as_str())
                || acknowledgement.directory.is_some(),
            "target.acknowledgement.name",
            "is the name of what we deliver; add something such as \".ack\", or name a directory.",
        );
        found.check(
            acknowledgement.directory.as_deref().is_none_or(|path| !path.trim().is_empty()),
            "target.acknowledgement.directory",
            "must name a directory; leave it out for the target's own.",
        );
        found.check(
            (1..=86_400).contains(&acknowledgement.within_seconds),
            "target.acknowledgement.within_seconds",
            "must be between 1 and 86400.",
        );
    }
}

/// Whether a template makes a file name of those placeholders.
fn is_name(template: &str, placeholders: &[&str]) -> bool {
    // Something stays in a placeholder's place, or what stood around it could become another one.
    let rest = placeholders.iter().fold(template.to_owned(), |rest, one| rest.replace(one, "-"));
    !rest.is_empty() && !rest.contains(['{', '}', '/']) && ![".", ".."].contains(&rest.as_str())
}

/// How a finished upload gets its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rename {
    /// `posix` where the server offers it, else `fresh`.
    #[default]
    Auto,
    /// posix-rename@openssh.com.
    Posix,
    /// Plain rename, which fails when the name is taken.
    Fresh,
    /// Remove, then rename; takes the name whatever has it.
    Replace,
    /// No temporary name: for servers that forbid renaming.
    Direct,
}

/// What happens when a name at the target is taken by other content. The same content is adopted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnExisting {
    /// It stays, and the member is quarantined.
    #[default]
    Fail,
    /// It is replaced.
    Replace,
    /// It stays, and the member gets the next free name: `orders-2.csv.pgp`.
    Rename,
}

/// How far a delivery is proven.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verify {
    /// The strongest that the server allows.
    #[default]
    Auto,
    /// The whole hash of what the server holds.
    ReadBack,
    /// The server's own hash (check-file).
    ServerHash,
    /// The size only.
    Size,
}

/// A list of what one run delivered: names, sizes, hashes and record counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Manifest {
    /// Its name at the target; `{partner}` and `{run}` stand for themselves.
    pub name: String,
    /// How it is written.
    pub format: ManifestFormat,
}

/// How a manifest is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ManifestFormat {
    /// One JSON object with a list of files.
    #[default]
    Json,
    /// RFC 4180 with a header.
    Csv,
}

/// The file by which the partner says that a delivery arrived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Acknowledgement {
    /// Its name: one for each delivered file where it says `{name}`, else one for the run;
    /// `{manifest}`, `{partner}` and `{run}` stand for themselves.
    #[serde(default = "defaults::acknowledgement_name")]
    pub name: String,
    /// Where it appears; the target's directory when left out.
    #[serde(default)]
    pub directory: Option<String>,
    /// Seconds after the delivery until its absence is an alarm, at most a day.
    #[serde(default = "defaults::acknowledgement_seconds")]
    #[schemars(range(min = 1, max = 86_400))]
    pub within_seconds: u64,
}
