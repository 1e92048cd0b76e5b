//! Why an archive is refused, in words for a person and codes for tools.

use std::io;

use domain::Failure;

use crate::Job;
use crate::source::Fault;

/// Letters of a name that a sentence shows. An attacker's names have 65,535 bytes.
const NAME_LETTERS: usize = 200;

/// Why unpacking ended without an outcome.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The archive breaks a rule; trying again would not help.
    #[error("{}", sentence(archive, entry.as_deref(), reason))]
    Refused {
        /// The archive's file name.
        archive: String,
        /// The entry's name, where one is to blame.
        entry: Option<String>,
        /// The rule.
        reason: Reason,
    },
    /// The source could not be read.
    #[error("Archive {archive} could not be read")]
    Read {
        /// The archive's file name.
        archive: String,
        /// What the source said.
        source: io::Error,
    },
    /// The sink did not take a member.
    #[error("Entry [{entry}] of {archive} could not be written")]
    Write {
        /// The archive's file name.
        archive: String,
        /// The member's path.
        entry: String,
        /// What the sink said.
        source: io::Error,
    },
}

/// The rule that an archive breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// Bytes that contradict the format or each other.
    #[error("is corrupt: {0}; ask the partner to send it again")]
    Corrupt(String),
    /// The bytes end too early.
    #[error("is truncated; ask the partner to send it again")]
    Truncated,
    /// A checksum or authentication code does not match.
    #[error("has content that does not match its checksum; ask the partner to send it again")]
    Checksum,
    /// The path leaves its folder.
    #[error("has a path that leaves its folder (..); ask the partner to repack it")]
    Traversal,
    /// The path starts at a root or a drive.
    #[error("has an absolute path; ask the partner to repack it with relative paths")]
    Absolute,
    /// A symbolic or hard link.
    #[error("is a link; ask the partner to pack the file itself")]
    Link,
    /// A device, a pipe or another thing that is no file.
    #[error("is no regular file; ask the partner to leave it out")]
    Special,
    /// A path that occurs twice.
    #[error("occurs more than once; ask the partner to repack it")]
    Duplicate,
    /// A path that would end up where another one, this one, already is.
    #[error(
        "would be put in one place with [{name}] by servers that know no upper and lower case, or is \
         a file and a folder at once; ask the partner to repack it",
        name = shown(.0)
    )]
    Alike(String),
    /// Two entries share bytes.
    #[error("shares bytes with another entry, as archive bombs do")]
    Overlap,
    /// Encrypted, and the profile has no password.
    #[error("is encrypted; set unpack.password in the profile")]
    Encrypted,
    /// The password does not open it.
    #[error("does not open with the password that unpack.password names, or is damaged")]
    WrongPassword,
    /// Too many bytes come out of too few.
    #[error("expands more than {0} times; raise unpack.max_ratio if that is expected")]
    Ratio(u64),
    /// Too many entries.
    #[error("has more than {0} entries; raise unpack.max_entries if that is expected")]
    Entries(u64),
    /// Too many bytes.
    #[error("holds more than {0} bytes; raise unpack.max_bytes if that is expected")]
    Bytes(u64),
    /// A name that is empty, too long, too deep or holds control characters.
    #[error("has a name that is refused: {0}")]
    Name(String),
    /// A sparse file.
    #[error("is a sparse file; ask the partner to pack it without --sparse")]
    Sparse,
    /// A feature that this library does not read.
    #[error("uses {0}, which is not supported; ask the partner for zip deflate or tar.gz")]
    Unsupported(String),
    /// A name that the charset cannot read.
    #[error("has a name that is not valid {0}; set unpack.name_charset in the profile")]
    Charset(&'static str),
    /// Unpacking it takes longer than a call has, and it cannot be entered in the middle.
    #[error(
        "takes too long: {0} bytes of it came out in one invocation, and such compression cannot be \
         entered in the middle; ask the partner for a zip or .gz of single files, or give Unpack more \
         memory and time"
    )]
    TooLong(u64),
    /// No format that can be unpacked.
    #[error("is no archive that can be unpacked")]
    NotAnArchive,
}

impl Reason {
    /// The stable code of the rule.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Corrupt(_) => "archive.corrupt",
            Self::Truncated => "archive.truncated",
            Self::Checksum => "archive.crc",
            Self::Traversal => "archive.traversal",
            Self::Absolute => "archive.absolute",
            Self::Link => "archive.link",
            Self::Special => "archive.special",
            Self::Duplicate | Self::Alike(_) => "archive.duplicate",
            Self::Overlap => "archive.overlap",
            Self::Encrypted => "archive.encrypted",
            Self::WrongPassword => "archive.wrong_password",
            Self::Ratio(_) => "archive.ratio",
            Self::Entries(_) => "archive.entries",
            Self::Bytes(_) => "archive.bytes",
            Self::Name(_) => "archive.name",
            Self::Sparse => "archive.sparse",
            Self::Unsupported(_) | Self::NotAnArchive => "archive.unsupported",
            Self::Charset(_) => "archive.charset",
            Self::TooLong(_) => "archive.too_long",
        }
    }

    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt(what.into())
    }

    /// The reason inside a decoder's error: our own if one travelled in it, else the nearest one.
    pub(crate) fn from_decoder(error: &io::Error) -> Self {
        let inner = error.get_ref();
        if let Some(reason) = inner.and_then(|inner| inner.downcast_ref::<Self>()) {
            return reason.clone();
        }
        let text = error.to_string();
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Truncated,
            _ if text.contains("checksum") => Self::Checksum,
            // The words of zstd and of liblzma.
            _ if text.contains("too much memory") || text.contains("memory limit") => {
                Self::Unsupported("a window of more than 128 MiB".to_owned())
            }
            _ if text.contains("Dictionary mismatch") => {
                Self::Unsupported("a zstd dictionary".to_owned())
            }
            _ if text.contains("check support") => {
                Self::Unsupported("an unknown xz check".to_owned())
            }
            _ => Self::Corrupt(text),
        }
    }
}

impl From<Reason> for io::Error {
    fn from(reason: Reason) -> Self {
        Self::new(io::ErrorKind::InvalidData, reason)
    }
}

/// A name for a sentence: one line, and no longer than a sentence bears.
fn shown(name: &str) -> String {
    let mut letters = name.chars();
    let start: String = letters.by_ref().take(NAME_LETTERS).collect();
    let more = if letters.next().is_some() { "…" } else { "" };
    format!("{}{more}", start.escape_debug())
}

fn sentence(archive: &str, entry: Option<&str>, reason: &Reason) -> String {
    match entry {
        Some(entry) => format!("Entry [{}] of {archive} {reason}.", shown(entry)),
        None => format!("Archive {archive} {reason}."),
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        let (code, source) = match error {
            Error::Refused { reason, .. } => return Self::rejected(reason.code(), message),
            Error::Read { source, .. } => ("archive.read", source),
            Error::Write { source, .. } => ("archive.write", source),
        };
        match source.get_ref().and_then(|inner| inner.downcast_ref::<Self>()) {
            Some(failure) => failure.clone(),
            None => Self::transient(code, format!("{message}: {source}.")),
        }
    }
}

impl Job<'_> {
    /// The archive, or one of its entries, breaks a rule.
    pub(crate) fn refuse(&self, entry: Option<&str>, reason: Reason) -> Error {
        Error::Refused { archive: self.name.to_owned(), entry: entry.map(str::to_owned), reason }
    }

    /// Whether all the call's time went into passing over `bytes` bytes that the sink has.
    pub(crate) fn refuse_exhausted(&self, entry: Option<&str>, bytes: u64) -> Result<(), Error> {
        if self.sink.exhausted() {
            return Err(self.refuse(entry, Reason::TooLong(bytes)));
        }
        Ok(())
    }

    /// The source failed.
    pub(crate) fn unreadable(&self, source: io::Error) -> Error {
        Error::Read { archive: self.name.to_owned(), source }
    }

    /// The sink failed.
    pub(crate) fn unwritable(&self, entry: &str, source: io::Error) -> Error {
        Error::Write { archive: self.name.to_owned(), entry: entry.to_owned(), source }
    }

    /// A read through decoders failed: the source's fault if it has one, else the archive's.
    pub(crate) fn undecodable(
        &self,
        entry: Option<&str>,
        error: &io::Error,
        fault: &Fault,
    ) -> Error {
        match fault.take() {
            Some(source) => self.unreadable(source),
            // Only our own frames say so: there is no room for another large window.
            None if error.kind() == io::ErrorKind::ResourceBusy => {
                self.unreadable(io::Error::new(error.kind(), error.to_string()))
            }
            None => self.refuse(entry, Reason::from_decoder(error)),
        }
    }
}
