//! What an archive may cost and how its names are read: the caller's choices, taken from a profile.

use std::str::FromStr;

/// Bounds on what one archive may make of itself. Exceeding one refuses the whole archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that come out per byte that is stored, at most. Archives that yield no more than 1 MiB
    /// are never refused for their ratio.
    pub max_ratio: u64,
    /// Entries, folders included, at most.
    pub max_entries: u64,
    /// Bytes of all members together, at most.
    pub max_bytes: u64,
    /// Bytes of one entry's path in UTF-8, at most.
    pub max_name_bytes: usize,
    /// Folders above a member in its path, at most.
    pub max_nesting: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_ratio: 200,
            max_entries: 10_000,
            max_bytes: 1 << 40,
            max_name_bytes: 1024,
            max_nesting: 32,
        }
    }
}

impl Limits {
    /// Bytes that `stored` bytes may become: the ratio, never less than the floor of 1 MiB.
    pub(crate) fn allowance(&self, stored: u64) -> u64 {
        const FLOOR_BYTES: u64 = 1 << 20;
        stored.saturating_mul(self.max_ratio).max(FLOOR_BYTES)
    }
}

/// How to read an archive.
#[derive(Clone)]
pub struct Options<'a> {
    /// The password of encrypted zip entries.
    pub password: Option<&'a str>,
    /// The charset of names that do not say they are UTF-8.
    pub name_charset: NameCharset,
    /// Members of a zip that are unpacked at the same time, at most. Other formats are one stream.
    pub parallelism: usize,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self { password: None, name_charset: NameCharset::Utf8, parallelism: 1 }
    }
}

impl std::fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("password", &self.password.map(|_| "(redacted)"))
            .field("name_charset", &self.name_charset)
            .field("parallelism", &self.parallelism)
            .finish()
    }
}

/// The charset of entry names that carry no flag of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NameCharset {
    /// UTF-8; a zip name that is not valid UTF-8 is read as CP437, which the zip format prescribes.
    #[default]
    Utf8,
    /// The original IBM PC charset.
    Cp437,
    /// Japanese Windows (Shift JIS with its extensions).
    Cp932,
    /// Western European Windows.
    Cp1252,
}

/// The charset's name is none of the supported ones.
#[derive(Debug, thiserror::Error)]
#[error("unknown name charset {0:?}: use utf-8, cp437, cp932 or cp1252")]
pub struct UnknownCharset(String);

impl FromStr for NameCharset {
    type Err = UnknownCharset;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_lowercase().as_str() {
            "utf-8" | "utf8" => Ok(Self::Utf8),
            "cp437" | "ibm437" => Ok(Self::Cp437),
            "cp932" | "shift_jis" | "shift-jis" | "windows-31j" => Ok(Self::Cp932),
            "cp1252" | "windows-1252" => Ok(Self::Cp1252),
            _ => Err(UnknownCharset(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_allowance_is_the_ratio_and_never_less_than_a_mebibyte() {
        let limits = Limits { max_ratio: 200, ..Limits::default() };
        let rows = [
            (0, 1 << 20),
            (5242, 1 << 20),
            (5243, 1_048_600),
            (1 << 30, 200 << 30),
            (u64::MAX, u64::MAX),
        ];
        for (stored, allowance) in rows {
            assert_eq!(limits.allowance(stored), allowance, "{stored}");
        }
    }

    #[test]
    fn charsets_have_the_names_that_profiles_use() {
        let rows = [
            ("utf-8", NameCharset::Utf8),
            ("UTF8", NameCharset::Utf8),
            ("cp437", NameCharset::Cp437),
            ("IBM437", NameCharset::Cp437),
            ("cp932", NameCharset::Cp932),
            ("Shift_JIS", NameCharset::Cp932),
            ("shift-jis", NameCharset::Cp932),
            ("windows-31j", NameCharset::Cp932),
            ("cp1252", NameCharset::Cp1252),
            ("Windows-1252", NameCharset::Cp1252),
        ];
        for (name, charset) in rows {
            assert_eq!(name.parse::<NameCharset>().unwrap(), charset);
        }
        let unknown = "latin-1".parse::<NameCharset>().unwrap_err().to_string();
        assert!(unknown.contains("\"latin-1\"") && unknown.contains("cp1252"), "{unknown}");
    }

    #[test]
    fn a_password_is_not_shown() {
        let options = Options { password: Some("secret-42"), ..Options::default() };
        let shown = format!("{options:?}");
        assert!(shown.contains("redacted") && shown.contains("parallelism"), "{shown}");
        assert!(!shown.contains("secret-42"), "{shown}");
    }
}
