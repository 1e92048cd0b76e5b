//! Everything that can go wrong with a partner's server, as sentences that name place and fix.

use std::fmt;

use domain::{ErrorClass, Failure};

use crate::link::LinkError;
use crate::wire::{Reply, status};

/// What was being done when the server refused or fell silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Logging in and starting SFTP.
    Connect,
    /// Listing a directory.
    List,
    /// Asking for size and time.
    Stat,
    /// Reading a file.
    Read,
    /// Writing a file.
    Write,
    /// Renaming or moving.
    Rename,
    /// Deleting a file.
    Remove,
    /// Creating a directory.
    MakeDirectory,
    /// Resolving a path.
    RealPath,
    /// Reading a symbolic link.
    ReadLink,
    /// Setting the modification time.
    SetTimes,
    /// Asking for free space.
    FreeSpace,
    /// Asking the server for a hash.
    Hash,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connecting to",
            Self::List => "listing",
            Self::Stat => "looking at",
            Self::Read => "reading",
            Self::Write => "writing",
            Self::Rename => "renaming",
            Self::Remove => "deleting",
            Self::MakeDirectory => "creating the directory",
            Self::RealPath => "resolving",
            Self::ReadLink => "reading the link",
            Self::SetTimes => "setting the time of",
            Self::FreeSpace => "asking for free space at",
            Self::Hash => "asking for the hash of",
        })
    }
}

/// A failed operation on one server. The text is for people; [`Error::code`] is for tools.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the sentence of each variant is its documentation")]
pub enum Error {
    #[error(
        "The name of the SFTP server {server} was not resolved: {reason}. If it stays so, check \
         `host` in the profile and the DNS of this network."
    )]
    Dns { server: String, reason: String },
    #[error(
        "{server} refused the TCP connection. The server may be down; else check `port` and \
         whether the partner allows this address."
    )]
    ConnectRefused { server: String },
    #[error(
        "{server} did not accept a TCP connection within {seconds} s. A firewall may drop it: ask \
         the partner whether this address is allowed."
    )]
    ConnectTimeout { server: String, seconds: u64 },
    #[error("{server} cannot be reached: {reason}.")]
    Unreachable { server: String, reason: String },
    #[error("No usable host key is pinned for {server}: {reason}. {HOW_TO_PIN}")]
    HostKeyMissing { server: String, reason: String },
    #[error(
        "{server} proved itself with host key {}, but pinned are {}. If the partner announced a \
         new key, confirm it by another way and add it to `host_keys`; if not, somebody may be in \
         between, and nothing was sent.", offered.join(" and "), pinned.join(" and ")
    )]
    HostKeyChanged { server: String, offered: Vec<String>, pinned: Vec<String> },
    #[error("What listens at {server} does not speak SSH ({reason}). Check `host` and `port`.")]
    NotSsh { server: String, reason: String },
    #[error(
        "{server} and this client share no {kind} algorithm. The server offers {}; this client \
         accepts {}. {fix}", theirs.join(", "), ours.join(", ")
    )]
    NoCommonAlgorithm {
        server: String,
        kind: String,
        ours: Vec<String>,
        theirs: Vec<String>,
        fix: &'static str,
    },
    #[error(
        "{server} turned the connection away ({reason}). Most often there are too many at a time: \
         lower `max_connections`, or ask the partner for more; a block of this address looks the \
         same."
    )]
    TooManyConnections { server: String, reason: String },
    #[error(
        "{server} refused the login of {username:?}. Tried: {}. The server offers: {}. Check the \
         username and the secret, and whether the partner has installed the public key.{hint}",
        list(tried),
        list(offered)
    )]
    LoginRefused {
        server: String,
        username: String,
        tried: Vec<String>,
        offered: Vec<String>,
        hint: &'static str,
    },
    #[error(
        "The private key for {server} is not readable: {reason}. Store the whole text of an \
         OpenSSH or PEM private key (ed25519, ECDSA or RSA) in the secret."
    )]
    KeyUnreadable { server: String, reason: String },
    #[error("The private key for {server} is encrypted and {reason}. Check the passphrase secret.")]
    KeyPassphrase { server: String, reason: String },
    #[error(
        "{server} accepted the login of {username:?} but gives no SFTP ({reason}). Ask the partner \
         to enable SFTP for this account."
    )]
    NoSftp { server: String, username: String, reason: String },
    #[error("The connection to {server} was lost while {operation} {path}: {reason}.")]
    ConnectionLost { server: String, operation: Operation, path: String, reason: String },
    #[error("{server} did not answer for {seconds} s while {operation} {path}.")]
    Timeout { server: String, operation: Operation, path: String, seconds: u64 },
    #[error(
        "The {seconds} s for this connection to {server} were over while {operation} {path}; the \
         next attempt goes on."
    )]
    Deadline { server: String, operation: Operation, path: String, seconds: u64 },
    #[error("{server} broke the SFTP protocol while {operation} {path}: {reason}.")]
    Protocol { server: String, operation: Operation, path: String, reason: String },
    #[error("{path} does not exist on {server} ({operation}).")]
    NoSuchFile { server: String, operation: Operation, path: String },
    #[error(
        "The directory {path} does not exist on {server} ({operation}). Check `directory` in the \
         profile; with a jailed account it is relative to the jail."
    )]
    NoSuchDirectory { server: String, operation: Operation, path: String },
    #[error(
        "{server} denies permission for {operation} {path}. The partner has to grant it to this \
         account."
    )]
    PermissionDenied { server: String, operation: Operation, path: String },
    #[error("{path} exists already on {server} and is not overwritten.")]
    TargetExists { server: String, path: String },
    #[error("The disk of {server} is full ({operation} {path}: {reason}).")]
    DiskFull { server: String, operation: Operation, path: String, reason: String },
    #[error("The account's quota on {server} is used up ({operation} {path}: {reason}).")]
    Quota { server: String, operation: Operation, path: String, reason: String },
    #[error(
        "{server} allows no more open files ({operation} {path}: {reason}). Lower the number of \
         parallel transfers."
    )]
    TooManyOpenFiles { server: String, operation: Operation, path: String, reason: String },
    #[error("{server} does not support {feature} ({operation} {path}).")]
    Unsupported { server: String, operation: Operation, path: String, feature: String },
    #[error(
        "{path} on {server} holds more than {limit} entries. Name a narrower directory in the \
         profile or have old files cleared away."
    )]
    TooManyEntries { server: String, path: String, limit: usize },
    #[error(
        "{path} on {server} holds {size_bytes} bytes, so writing cannot go on at byte \
         {offset_bytes}."
    )]
    ResumeGap { server: String, path: String, size_bytes: u64, offset_bytes: u64 },
    #[error("{server} failed at {operation} {path}: {reason} (status {status}).")]
    Refused { server: String, operation: Operation, path: String, status: u32, reason: String },
}

const HOW_TO_PIN: &str = "Put the server's fingerprint, `SHA256:…`, into `host_keys`: ask the \
    partner for it, or compare what `ssh-keyscan HOST | ssh-keygen -lf -` prints.";

/// Ways out where no algorithm is common.
pub(crate) const ENABLE_ONE: &str = "The partner has to enable one of these.";
pub(crate) const USE_LEGACY: &str = "Ask the partner to enable one of these; until then, \
    `\"algorithms\": \"legacy\"` beside this `host` in the profile accepts old ones too.";
/// Where an RSA key was refused.
pub(crate) const RSA_IS_OLD: &str = " An old server may take RSA keys with SHA-1 only: an ed25519 \
    or ECDSA key helps, or `\"algorithms\": \"legacy\"` beside this `host` in the profile.";

fn list(words: &[String]) -> String {
    if words.is_empty() { "nothing".to_owned() } else { words.join(", ") }
}

impl Error {
    /// Stable, dotted name of the cause.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.row().0
    }

    /// What the state machine does about it.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        self.row().1
    }

    fn row(&self) -> (&'static str, ErrorClass) {
        use ErrorClass::{Misconfigured, Rejected, SourceChanged, Throttled, Transient};
        match self {
            Self::Dns { .. } => ("sftp.dns", Transient),
            Self::ConnectRefused { .. } => ("sftp.connect_refused", Transient),
            Self::ConnectTimeout { .. } => ("sftp.connect_timeout", Transient),
            Self::Unreachable { .. } => ("sftp.unreachable", Transient),
            Self::HostKeyMissing { .. } => ("sftp.host_key_missing", Misconfigured),
            Self::HostKeyChanged { .. } => ("sftp.host_key_changed", Misconfigured),
            Self::NotSsh { .. } => ("sftp.not_ssh", Misconfigured),
            Self::NoCommonAlgorithm { .. } => ("sftp.no_common_algorithm", Misconfigured),
            Self::TooManyConnections { .. } => ("sftp.too_many_connections", Throttled),
            Self::LoginRefused { .. } => ("sftp.login_refused", Misconfigured),
            Self::KeyUnreadable { .. } => ("sftp.key_unreadable", Misconfigured),
            Self::KeyPassphrase { .. } => ("sftp.key_passphrase", Misconfigured),
            Self::NoSftp { .. } => ("sftp.no_sftp", Misconfigured),
            Self::ConnectionLost { .. } => ("sftp.connection_lost", Transient),
            Self::Timeout { .. } => ("sftp.timeout", Transient),
            Self::Deadline { .. } => ("sftp.deadline", Transient),
            Self::Protocol { .. } => ("sftp.protocol", Transient),
            // It was there when it was listed.
            Self::NoSuchFile { .. } => ("sftp.no_such_file", SourceChanged),
            Self::NoSuchDirectory { .. } => ("sftp.no_such_directory", Misconfigured),
            Self::PermissionDenied {
                operation: Operation::Read | Operation::Stat | Operation::Hash,
                ..
            } => ("sftp.permission_denied", Rejected),
            Self::PermissionDenied { .. } => ("sftp.permission_denied", Misconfigured),
            Self::TargetExists { .. } => ("sftp.target_exists", Rejected),
            Self::DiskFull { .. } => ("sftp.disk_full", Transient),
            Self::Quota { .. } => ("sftp.quota", Transient),
            Self::TooManyOpenFiles { .. } => ("sftp.too_many_open_files", Throttled),
            Self::Unsupported { .. } => ("sftp.unsupported", Misconfigured),
            Self::TooManyEntries { .. } => ("sftp.too_many_entries", Misconfigured),
            Self::ResumeGap { .. } => ("sftp.resume_gap", Transient),
            Self::Refused { .. } => ("sftp.failure", Transient),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(error.class(), error.code(), error.to_string())
    }
}

/// Where an answer belongs, for turning it into an [`Error`].
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) server: &'a str,
    pub(crate) operation: Operation,
    pub(crate) path: &'a str,
}

impl Context<'_> {
    /// The session gave no answer.
    pub(crate) fn link(&self, error: LinkError) -> Error {
        let Self { operation, .. } = *self;
        let (server, path) = (self.server.to_owned(), self.path.to_owned());
        match error {
            LinkError::Closed(reason) => Error::ConnectionLost { server, operation, path, reason },
            LinkError::Idle(idle) => {
                Error::Timeout { server, operation, path, seconds: idle.as_secs() }
            }
            LinkError::Over(whole) => {
                Error::Deadline { server, operation, path, seconds: whole.as_secs() }
            }
            LinkError::Malformed(reason) => Error::Protocol { server, operation, path, reason },
        }
    }

    /// The answer is of a kind that does not fit the question, or a refusal.
    pub(crate) fn unexpected(&self, reply: Reply) -> Error {
        match reply {
            Reply::Status { code, message } if code != status::OK => self.status(code, message),
            _ => Error::Protocol {
                server: self.server.to_owned(),
                operation: self.operation,
                path: self.path.to_owned(),
                reason: "the answer does not fit the question".to_owned(),
            },
        }
    }

    /// The server refused.
    pub(crate) fn status(&self, code: u32, message: String) -> Error {
        let Self { operation, .. } = *self;
        let (server, path) = (self.server.to_owned(), self.path.to_owned());
        let reason = if message.is_empty() { "no reason given".to_owned() } else { message };
        let said = reason.to_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
        let of_directory =
            matches!(operation, Operation::List | Operation::Write | Operation::MakeDirectory);
        match code {
            status::NO_SUCH_FILE | status::NO_SUCH_PATH if of_directory => {
                let path = if operation == Operation::Write { parent(&path) } else { path };
                Error::NoSuchDirectory { server, operation, path }
            }
            status::NO_SUCH_FILE | status::NO_SUCH_PATH => {
                Error::NoSuchFile { server, operation, path }
            }
            status::PERMISSION_DENIED | status::WRITE_PROTECT => {
                Error::PermissionDenied { server, operation, path }
            }
            status::NO_CONNECTION | status::CONNECTION_LOST => {
                Error::ConnectionLost { server, operation, path, reason }
            }
            status::UNSUPPORTED => {
                Error::Unsupported { server, operation, path, feature: "this operation".to_owned() }
            }
            status::ALREADY_EXISTS => Error::TargetExists { server, path },
            status::QUOTA => Error::Quota { server, operation, path, reason },
            status::NO_SPACE => Error::DiskFull { server, operation, path, reason },
            _ if says(&["quota"]) => Error::Quota { server, operation, path, reason },
            _ if says(&["no space", "disk full", "disk is full", "enospc"]) => {
                Error::DiskFull { server, operation, path, reason }
            }
            _ if says(&["too many open", "too many handle", "handle limit", "emfile"]) => {
                Error::TooManyOpenFiles { server, operation, path, reason }
            }
            _ => Error::Refused { server, operation, path, status: code, reason },
        }
    }
}

/// The directory part of a path.
pub(crate) fn parent(path: &str) -> String {
    match path.trim_end_matches('/').rsplit_once('/') {
        Some(("", _)) => "/".to_owned(),
        Some((directory, _)) => directory.to_owned(),
        None => ".".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(operation: Operation) -> Context<'static> {
        Context { server: "h:22", operation, path: "/in/a.csv" }
    }

    #[test]
    fn a_status_becomes_class_and_code() {
        use ErrorClass::{Misconfigured, Rejected, SourceChanged, Throttled, Transient};
        use Operation::{List, Read, Rename, Write};
        let table = [
            (Read, 2, "", "sftp.no_such_file", SourceChanged),
            (List, 2, "", "sftp.no_such_directory", Misconfigured),
            (Write, 2, "", "sftp.no_such_directory", Misconfigured),
            (Write, 10, "", "sftp.no_such_directory", Misconfigured),
            (Read, 3, "", "sftp.permission_denied", Rejected),
            (List, 3, "", "sftp.permission_denied", Misconfigured),
            (Write, 3, "", "sftp.permission_denied", Misconfigured),
            (Write, 12, "", "sftp.permission_denied", Misconfigured),
            (Write, 4, "No space left on device", "sftp.disk_full", Transient),
            (Write, 4, "Disk quota exceeded", "sftp.quota", Transient),
            (Write, 14, "", "sftp.disk_full", Transient),
            (Write, 15, "", "sftp.quota", Transient),
            (Read, 4, "Too many open files", "sftp.too_many_open_files", Throttled),
            (Rename, 11, "", "sftp.target_exists", Rejected),
            (Rename, 8, "", "sftp.unsupported", Misconfigured),
            (Read, 7, "", "sftp.connection_lost", Transient),
            (Read, 4, "Failure", "sftp.failure", Transient),
            (Read, 99, "odd", "sftp.failure", Transient),
        ];
        for (operation, status, message, code, class) in table {
            let failure = Failure::from(context(operation).status(status, message.to_owned()));
            assert_eq!((failure.code.as_ref(), failure.class), (code, class), "{status} {message}");
            assert!(failure.message.contains("h:22"), "{}", failure.message);
            assert!(failure.message.contains("/in"), "{}", failure.message);
        }
    }

    #[test]
    fn parents() {
        let table = [("/a/b", "/a"), ("/a", "/"), ("a", "."), ("a/b/", "a"), ("a/b/c", "a/b")];
        for (path, expected) in table {
            assert_eq!(parent(path), expected);
        }
    }
}
