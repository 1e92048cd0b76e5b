//! Ids: what makes a file or member itself, so that every run names it alike.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The id of a source file: 32 hex digits from partner, path, size and modification time.
#[must_use]
pub fn file_id(partner: &str, path: &str, size_bytes: u64, mtime_seconds: i64) -> String {
    digest(&["file", partner, path, &size_bytes.to_string(), &mtime_seconds.to_string()])
}

/// The id of a member: 32 hex digits from its file's id and its path inside the archive.
#[must_use]
pub fn member_id(file_id: &str, member_path: &str) -> String {
    digest(&["member", file_id, member_path])
}

/// A short id of any text, where the text itself cannot be a key.
#[must_use]
pub fn text_id(kind: &str, text: &str) -> String {
    digest(&[kind, text])
}

/// Hashes the parts with separators that cannot occur inside them.
fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let mut text = hex::encode(hash.finalize());
    text.truncate(32);
    text
}

/// The name of an item inside an inbox: `<inverted size>-<id>`.
///
/// An inbox that is listed in key order therefore yields the largest first, and each name tells its
/// size without opening the item.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Name(String);

impl Name {
    /// The name of an item of that size and id.
    #[must_use]
    pub fn new(size_bytes: u64, id: &str) -> Self {
        Self(format!("{:016x}-{id}", u64::MAX - size_bytes))
    }

    /// Reads a name back from the last segment of a key, with or without `.json`.
    #[must_use]
    pub fn from_key(key: &str) -> Option<Self> {
        let last = key.rsplit('/').next()?;
        let stem = last.strip_suffix(".json").unwrap_or(last);
        let (size, id) = stem.split_once('-')?;
        (size.len() == 16 && u64::from_str_radix(size, 16).is_ok() && !id.is_empty())
            .then(|| Self(stem.to_owned()))
    }

    /// The id.
    #[must_use]
    pub fn id(&self) -> &str {
        self.0.split_once('-').map_or(self.0.as_str(), |(_, id)| id)
    }

    /// The size in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        let hex = self.0.split_once('-').map_or("", |(hex, _)| hex);
        u64::MAX - u64::from_str_radix(hex, 16).unwrap_or(u64::MAX)
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_largest_first_and_tell_size_and_id() {
        let small = Name::new(1, "aa");
        let large = Name::new(1 << 40, "bb");
        assert!(large < small);
        assert_eq!((large.size_bytes(), large.id()), (1 << 40, "bb"));
        assert_eq!(Name::from_key(&format!("runs/x/{large}.json")), Some(large));
        assert_eq!(Name::from_key("runs/x/readme.json"), None);
    }

    #[test]
    fn an_id_depends_on_every_part_and_on_their_borders() {
        let id = file_id("acme", "a/b.zip", 10, 99);
        assert_eq!(id.len(), 32);
        for other in [
            file_id("acme2", "a/b.zip", 10, 99),
            file_id("acme", "a/b.zi", 10, 99),
            file_id("acme", "a/b.zip", 1, 99),
            file_id("acme", "a/b.zip", 10, 100),
            file_id("acmea", "/b.zip", 10, 99),
        ] {
            assert_ne!(id, other);
        }
    }
}
