//! What a path names, read from what servers tell: mode bits, or else the letter that begins a
//! listing's line.

use crate::wire::RawAttributes;

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link, which is not followed.
    Symlink,
    /// A device, a pipe, or something the server does not say.
    Other,
}

impl Kind {
    pub(crate) fn of(attributes: &RawAttributes, longname: &[u8]) -> Self {
        match attributes.permissions.map(|mode| mode & 0o170_000) {
            Some(0o100_000) => Self::File,
            Some(0o040_000) => Self::Directory,
            Some(0o120_000) => Self::Symlink,
            Some(kind) if kind != 0 => Self::Other,
            _ => match longname.first() {
                Some(b'-') => Self::File,
                Some(b'd') => Self::Directory,
                Some(b'l') => Self::Symlink,
                _ => Self::Other,
            },
        }
    }
}

/// What the server tells about one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// In bytes; zero when the server does not say.
    pub size: u64,
    /// Last modification in seconds since 1970; zero when the server does not say.
    pub mtime: i64,
    /// File, directory, link or other.
    pub kind: Kind,
    /// Unix mode with type bits, when the server tells it.
    pub permissions: Option<u32>,
}

impl From<RawAttributes> for Attributes {
    fn from(raw: RawAttributes) -> Self {
        Self {
            size: raw.size.unwrap_or(0),
            mtime: i64::from(raw.mtime.unwrap_or(0)),
            kind: Kind::of(&raw, b""),
            permissions: raw.permissions,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_comes_from_mode_and_else_from_the_long_name() {
        let mode = |permissions| RawAttributes { permissions, ..RawAttributes::default() };
        assert_eq!(Kind::of(&mode(Some(0o100_644)), b"d"), Kind::File);
        assert_eq!(Kind::of(&mode(Some(0o040_755)), b""), Kind::Directory);
        assert_eq!(Kind::of(&mode(Some(0o120_777)), b""), Kind::Symlink);
        assert_eq!(Kind::of(&mode(Some(0o010_644)), b"-"), Kind::Other);
        assert_eq!(Kind::of(&mode(Some(0o644)), b"-rw-"), Kind::File);
        assert_eq!(Kind::of(&mode(None), b"drwx"), Kind::Directory);
        assert_eq!(Kind::of(&mode(None), b""), Kind::Other);
    }
}
