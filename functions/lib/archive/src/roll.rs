//! The roll of one archive's entries: counts them, numbers the members, and refuses two that would
//! end up in one place.

use std::collections::BTreeMap;

use crate::error::Reason;
use crate::limits::Limits;

/// What stands in a place.
struct Node {
    path: String,
    folder: bool,
}

/// Every path met so far.
///
/// Places are compared as the least exact of the usual servers does: upper and lower case are one, and
/// dots and blanks at the end of a part do not count. Different Unicode forms of a letter are
/// different names there, and so they are here.
#[derive(Default)]
pub(crate) struct Roll {
    places: BTreeMap<String, Node>,
    files: u32,
    entries: u64,
}

impl Roll {
    /// Counts any entry, folders included.
    pub(crate) fn count(&mut self, limits: &Limits) -> Result<(), Reason> {
        self.entries = self.entries.saturating_add(1);
        if self.entries > limits.max_entries {
            return Err(Reason::Entries(limits.max_entries));
        }
        Ok(())
    }

    /// Takes a regular file's path; gives its index.
    pub(crate) fn admit(&mut self, path: &str) -> Result<u32, Reason> {
        if path.is_empty() {
            return Err(Reason::Name("it is empty".to_owned()));
        }
        let place = place(path);
        if let Some(node) = self.places.get(&place) {
            let twice = node.path == path && !node.folder;
            return Err(if twice { Reason::Duplicate } else { alike(node) });
        }
        self.only_folders_above(&place)?;
        let below = format!("{place}/");
        if let Some((inner, node)) = self.places.range(below.clone()..).next()
            && inner.starts_with(&below)
        {
            return Err(alike(node));
        }
        let index = self.files;
        self.files = index.checked_add(1).ok_or(Reason::Entries(u64::from(u32::MAX)))?;
        self.places.insert(place, Node { path: path.to_owned(), folder: false });
        Ok(index)
    }

    /// Takes a folder's path, which may come any number of times, but not where a file stands.
    pub(crate) fn admit_folder(&mut self, path: &str) -> Result<(), Reason> {
        let place = place(path);
        match self.places.get(&place) {
            Some(node) if !node.folder => return Err(alike(node)),
            _ => self.only_folders_above(&place)?,
        }
        self.places.entry(place).or_insert_with(|| Node { path: path.to_owned(), folder: true });
        Ok(())
    }

    fn only_folders_above(&self, place: &str) -> Result<(), Reason> {
        let above = place.match_indices('/').filter_map(|(at, _)| place.get(..at));
        match above.filter_map(|folder| self.places.get(folder)).find(|node| !node.folder) {
            Some(node) => Err(alike(node)),
            None => Ok(()),
        }
    }
}

fn alike(node: &Node) -> Reason {
    Reason::Alike(node.path.clone())
}

fn place(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').map(|part| part.trim_end_matches(['.', ' '])).collect();
    parts.join("/").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_entries_never_end_up_in_one_place() {
        let rows: [(&[&str], &str, Option<Reason>); 16] = [
            (&["a"], "b", None),
            (&["a"], "a", Some(Reason::Duplicate)),
            (&["a.csv"], "A.CSV", Some(Reason::Alike("a.csv".to_owned()))),
            (&["É"], "é", Some(Reason::Alike("É".to_owned()))),
            (&["e\u{301}"], "\u{e9}", None),
            (&["a.csv"], "a.csv. .", Some(Reason::Alike("a.csv".to_owned()))),
            (&["d./a"], "d/a", Some(Reason::Alike("d./a".to_owned()))),
            (&["a"], "a/b", Some(Reason::Alike("a".to_owned()))),
            (&["a"], "A/b/c", Some(Reason::Alike("a".to_owned()))),
            (&["a/b"], "a", Some(Reason::Alike("a/b".to_owned()))),
            (&["a/b/c"], "a", Some(Reason::Alike("a/b/c".to_owned()))),
            (&["a-b", "a.b", "a0b"], "a", None),
            (&["d/", "d/"], "d/a", None),
            (&["d/"], "d", Some(Reason::Alike("d".to_owned()))),
            (&["d"], "d/", Some(Reason::Alike("d".to_owned()))),
            (&["d"], "d/e/", Some(Reason::Alike("d".to_owned()))),
        ];
        for (before, path, refusal) in rows {
            let mut roll = Roll::default();
            let mut admit = |path: &str| match path.strip_suffix('/') {
                Some(folder) => roll.admit_folder(folder),
                None => roll.admit(path).map(drop),
            };
            before.iter().for_each(|path| admit(path).unwrap());
            assert_eq!(admit(path).err(), refusal, "{before:?} then {path}");
        }
    }

    #[test]
    fn members_are_numbered_and_entries_are_counted() {
        let mut roll = Roll::default();
        assert_eq!(roll.admit("a"), Ok(0));
        assert_eq!(roll.admit_folder("d"), Ok(()));
        assert_eq!(roll.admit("d/b"), Ok(1));
        assert_eq!(roll.admit("").unwrap_err().code(), "archive.name");
        let two = Limits { max_entries: 2, ..Limits::default() };
        assert!(roll.count(&two).is_ok());
        assert!(roll.count(&two).is_ok());
        assert_eq!(roll.count(&two), Err(Reason::Entries(2)));
    }
}
