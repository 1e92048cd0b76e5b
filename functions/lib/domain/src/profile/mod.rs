//! The profile: everything the pipeline knows about one partner, as people write it.
//!
//! A value such as `acme/source-key` names a secret; a profile never holds one. The JSON Schema is
//! generated from these types, and [`Profile::parse`] reports every problem at once.

mod algorithms;
mod check;
mod defaults;
mod expect;
mod links;
mod spark;
mod target;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use algorithms::Algorithms;
pub use check::{Problem, Problems, is_partner_name, schema};
pub use expect::{Calendar, Day, Expectation, FilesOf};
pub use links::Symlinks;
pub use target::{Acknowledgement, Manifest, ManifestFormat, OnExisting, Rename, Target, Verify};

/// One partner: where files come from, what is done with them and where they go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The partner's name: lower-case letters, digits and dashes; part of every storage key.
    pub partner: String,
    /// Where files are picked up.
    pub source: Source,
    /// Limits and options for opening archives.
    #[serde(default)]
    pub unpack: Unpack,
    /// How records are counted.
    #[serde(default)]
    pub records: Records,
    /// Spark's size for this partner's large files.
    #[serde(default)]
    pub spark: Spark,
    /// The API that is told about every member before it is sealed.
    pub report: Report,
    /// Whom files are sealed to.
    pub encryption: Encryption,
    /// Where sealed files are delivered.
    pub target: Target,
    /// Files that have to come, and by when.
    #[serde(default)]
    pub expects: Vec<Expectation>,
}

/// The source SFTP endpoint and what to take from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
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
    /// Directory that is listed.
    pub directory: String,
    /// Globs, relative to the directory, of which a file must match one.
    #[serde(default = "defaults::include")]
    pub include: Vec<String>,
    /// Globs of files to leave alone.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Whether subdirectories are listed as well.
    #[serde(default)]
    pub recursive: bool,
    /// What becomes of symbolic links. A directory is never a file.
    #[serde(default)]
    pub symlinks: Symlinks,
    /// Seconds between two looks that must agree before a file counts as complete; 0 looks once.
    #[serde(default = "defaults::settle_seconds")]
    pub settle_seconds: u64,
    /// Suffix of a marker file (`.done`) that must stand beside a file before it is taken.
    #[serde(default)]
    pub done_file: Option<String>,
    /// Most connections held to this server at once.
    #[serde(default = "defaults::max_connections")]
    pub max_connections: u32,
    /// Most files transferred at once over one connection, 1 to 16.
    #[serde(default = "defaults::transfers_per_connection")]
    #[schemars(range(min = 1, max = 16))]
    pub transfers_per_connection: u32,
    /// What happens to a source file after its last member has a receipt.
    #[serde(default)]
    pub after_delivery: AfterDelivery,
    /// Directory for `"after_delivery": "move"`; relative to `directory` unless absolute.
    #[serde(default)]
    pub move_to: Option<String>,
}

/// What happens to a delivered source file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AfterDelivery {
    /// It stays.
    #[default]
    Keep,
    /// It is renamed into `move_to`.
    Move,
    /// It is deleted.
    Delete,
}

/// How to log in to an SFTP server; a key and a password together when the server wants both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SshAuth {
    /// Name of the secret that holds a private key (OpenSSH or PEM text).
    #[serde(default)]
    pub private_key: Option<String>,
    /// Name of the secret that holds the key's passphrase.
    #[serde(default)]
    pub passphrase: Option<String>,
    /// Name of the secret that holds a password.
    #[serde(default)]
    pub password: Option<String>,
}

/// Limits and options for opening archives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Unpack {
    /// Most bytes that one compressed byte may become.
    pub max_ratio: u64,
    /// Most members in one archive.
    pub max_entries: u64,
    /// Most bytes that one archive may become.
    pub max_bytes: u64,
    /// Name of the secret that holds the archives' password.
    pub password: Option<String>,
    /// Charset of zip names that are not marked as UTF-8: `utf-8`, `cp437`, `cp932`, `cp1252`.
    pub name_charset: String,
}

/// How records are counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Records {
    /// What a record is.
    pub model: RecordModel,
    /// Leading records that are not data.
    pub header_records: u64,
    /// Trailing records that are not data.
    pub trailer_records: u64,
    /// CSV quote character; one ASCII character, or empty for files that quote nothing.
    pub quote: String,
    /// CSV escape character inside quotes, when it is not a doubled quote.
    pub escape: Option<String>,
    /// CSV delimiter; one ASCII character.
    pub delimiter: String,
    /// Record length in bytes for the `fixed` model.
    pub record_bytes: Option<u64>,
    /// A count that the file itself declares; a mismatch rejects the file.
    pub declared: Option<Declared>,
    /// Members above this size are counted by Spark instead of a Lambda.
    pub large_above_bytes: u64,
}

/// What a record is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordModel {
    /// One per line.
    #[default]
    Lines,
    /// RFC 4180: a quoted newline does not end a record.
    Csv,
    /// One JSON value per line; blank lines are none.
    Jsonl,
    /// Records of `record_bytes` bytes.
    Fixed,
    /// From the file's metadata.
    Parquet,
    /// From the block headers.
    Avro,
    /// Not counted.
    None,
}

/// A record count declared by the file itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Declared {
    /// Which line holds it.
    pub place: DeclaredPlace,
    /// Regular expression whose first group is the number.
    pub pattern: String,
}

/// Which line holds the declared count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeclaredPlace {
    /// The first line.
    Header,
    /// The last line.
    Trailer,
}

/// Spark's size for one partner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Spark {
    /// Executors.
    pub executors: u32,
    /// Cores per executor.
    pub cores: u32,
    /// Gigabytes per executor, overhead included.
    pub memory_gb: u32,
}

/// The API that is told about every member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Where to POST.
    pub url: String,
    /// How to authenticate; none when absent.
    #[serde(default)]
    pub auth: ReportAuth,
    /// Seconds until an unanswered request counts as failed.
    #[serde(default = "defaults::report_timeout")]
    pub timeout_seconds: u64,
}

/// How the report authenticates: at most one of these.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReportAuth {
    /// Name of the secret sent as `Authorization: Bearer`.
    pub bearer: Option<String>,
    /// A secret sent in a header of its own.
    pub header: Option<HeaderAuth>,
    /// HTTP basic authentication.
    pub basic: Option<BasicAuth>,
    /// OAuth 2 client credentials.
    pub oauth2: Option<OAuth2Auth>,
    /// An HMAC-SHA-256 signature of the body.
    pub hmac: Option<HmacAuth>,
}

/// A secret in a header of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeaderAuth {
    /// Header name, such as `X-Api-Key`.
    pub name: String,
    /// Name of the secret.
    pub value: String,
}

/// HTTP basic authentication.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BasicAuth {
    /// User name.
    pub username: String,
    /// Name of the secret that holds the password.
    pub password: String,
}

/// OAuth 2 client credentials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OAuth2Auth {
    /// Token endpoint.
    pub token_url: String,
    /// Client id.
    pub client_id: String,
    /// Name of the secret that holds the client secret.
    pub client_secret: String,
    /// Scope, when the server wants one.
    #[serde(default)]
    pub scope: Option<String>,
}

/// An HMAC-SHA-256 signature of timestamp and body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HmacAuth {
    /// Name of the secret that holds the key.
    pub secret: String,
    /// Header that carries `t=<unix seconds>,v1=<hex>` over `<unix seconds>.<body>`.
    #[serde(default = "defaults::signature_header")]
    pub header: String,
}

/// Whom files are sealed to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Encryption {
    /// Name of the secret that holds the partner's public OpenPGP certificate.
    pub certificate: String,
    /// ASCII armor (`.asc`) instead of binary (`.pgp`).
    #[serde(default)]
    pub armor: bool,
    /// Packet format.
    #[serde(default)]
    pub format: SealFormat,
    /// Name of the secret that holds our signing key.
    #[serde(default)]
    pub sign_with: Option<String>,
}

/// Which encrypted-data packet is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SealFormat {
    /// Version 1 unless the certificate announces version 2.
    #[default]
    Auto,
    /// SEIPDv1, which every OpenPGP program opens.
    V1,
    /// SEIPDv2 (RFC 9580).
    V2,
}
