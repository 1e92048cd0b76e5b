//! Lists directories of any size without following links or trusting names.

use std::collections::VecDeque;

use domain::names;

use crate::attributes::Kind;
use crate::error::{Error, Operation};
use crate::inner::Inner;
use crate::wire::{Name, Reply, Request, status};

/// READDIRs in flight: a server answers each with about a hundred names.
const DEPTH: usize = 4;

/// How far a listing goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListOptions {
    /// Descends into directories.
    pub recursive: bool,
    /// More entries than this are [`Error::TooManyEntries`].
    pub max_entries: usize,
    /// Directories below each other that are entered when recursive.
    pub max_depth: usize,
}

impl Default for ListOptions {
    fn default() -> Self {
        Self { recursive: false, max_entries: 1_000_000, max_depth: 32 }
    }
}

/// One row of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Relative to the listed directory, separated by `/`; what is not UTF-8 as [`domain::names`]
    /// writes it.
    pub path: String,
    /// In bytes.
    pub size: u64,
    /// Last modification in seconds since 1970.
    pub mtime: i64,
    /// File, directory, link or other.
    pub kind: Kind,
}

pub(crate) async fn list(
    inner: &Inner,
    directory: &str,
    options: ListOptions,
) -> Result<Vec<Entry>, Error> {
    let mut entries = Vec::new();
    let mut queue = VecDeque::from([(String::new(), 0)]);
    while let Some((below, depth)) = queue.pop_front() {
        let path = match below.as_str() {
            "" => directory.to_owned(),
            below => format!("{}/{below}", directory.trim_end_matches('/')),
        };
        let first_new = entries.len();
        one(inner, &path, &below, options.max_entries, &mut entries).await?;
        if options.recursive && depth < options.max_depth {
            let found = entries.iter().skip(first_new);
            let directories = found.filter(|entry| entry.kind == Kind::Directory);
            queue.extend(directories.map(|entry| (entry.path.clone(), depth + 1)));
        }
    }
    Ok(entries)
}

async fn one(
    inner: &Inner,
    path: &str,
    below: &str,
    max_entries: usize,
    entries: &mut Vec<Entry>,
) -> Result<(), Error> {
    let context = inner.context(Operation::List, path);
    let opened = inner.open(context, Request::OpenDir { path }).await?;
    let link = &opened.line.link;
    let mut in_flight = VecDeque::new();
    loop {
        while in_flight.len() < DEPTH {
            in_flight.push_back(link.send(Request::ReadDir { handle: opened.handle() }));
        }
        let Some(mut first) = in_flight.pop_front() else { return Ok(()) };
        match first.answer().await.map_err(|error| context.link(error))? {
            Reply::Names(names) => {
                entries.extend(names.iter().filter_map(|name| entry(name, below, path)));
            }
            Reply::Status { code: status::EOF, .. } => return Ok(()),
            other => return Err(context.unexpected(other)),
        }
        if entries.len() > max_entries {
            return Err(Error::TooManyEntries {
                server: inner.server.clone(),
                path: path.to_owned(),
                limit: max_entries,
            });
        }
    }
}

/// A row for us, or nothing for what is no plain name.
fn entry(name: &Name, below: &str, directory: &str) -> Option<Entry> {
    let text = names::from_bytes(&name.filename);
    if matches!(text.as_str(), "" | "." | "..") {
        return None;
    }
    if text.contains(['/', '\0']) {
        tracing::warn!(directory, name = ?text, "the server listed a name that is a path");
        return None;
    }
    Some(Entry {
        path: if below.is_empty() { text } else { format!("{below}/{text}") },
        size: name.attributes.size.unwrap_or(0),
        mtime: i64::from(name.attributes.mtime.unwrap_or(0)),
        kind: Kind::of(&name.attributes, &name.longname),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::RawAttributes;
    use bytes::Bytes;

    fn row(filename: &[u8]) -> Name {
        Name {
            filename: Bytes::copy_from_slice(filename),
            longname: Bytes::new(),
            attributes: RawAttributes {
                size: Some(7),
                permissions: Some(0o100_600),
                mtime: Some(9),
            },
        }
    }

    #[test]
    fn names_that_are_paths_are_dropped() {
        for name in [&b""[..], b".", b"..", b"../../etc/passwd", b"/etc", b"a/b", b"a\0b"] {
            assert_eq!(entry(&row(name), "", "/in"), None, "{name:?}");
        }
    }

    #[test]
    fn plain_names_are_relative_to_the_listed_directory() {
        let entry = |name: &[u8], below| entry(&row(name), below, "/in").unwrap();
        assert_eq!(entry(b"a b.csv", "").path, "a b.csv");
        assert_eq!(entry("ü.csv".as_bytes(), "x/y").path, "x/y/ü.csv");
        assert_eq!(entry(b"...", "").kind, Kind::File);
        let odd = entry(b"caf\xe9.csv", "x");
        assert_eq!((odd.path.as_str(), odd.kind), ("x/caf\u{10FEE9}.csv", Kind::File));
    }
}
