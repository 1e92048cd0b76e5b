//! Where a symbolic link leads, found out step by step, so that nothing outside of a directory is
//! ever taken for something inside, and no circle is walked for ever.

use std::collections::VecDeque;

use domain::names::from_bytes;

use crate::attributes::{Attributes, Kind};
use crate::error::{Error, Operation};
use crate::session::Session;
use crate::wire::{Reply, Request};

/// Links behind each other that are followed; systems have limits like this.
const MAX_LINKS: usize = 16;

/// Where a path leads that may hold links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leads {
    /// To a regular file inside the directory.
    ToFile(Attributes),
    /// To a directory inside the directory, or the directory itself.
    ToDirectory,
    /// To a device, a pipe or the like.
    ToOther,
    /// To nothing that exists.
    Nowhere,
    /// Out of the directory: the link's own text.
    Out(String),
    /// Through more links than any honest name has.
    InCircles,
}

impl Session {
    /// Follows every link on the way from `directory` to `path`, which is relative to it.
    ///
    /// # Errors
    /// [`Error::PermissionDenied`], [`Error::Unsupported`] on servers that do not read links, and what
    /// a connection can suffer.
    pub async fn follow(&self, directory: &str, path: &str) -> Result<Leads, Error> {
        let bases = [directory.to_owned(), self.real_path(directory).await?];
        let base = directory.trim_end_matches('/');
        let mut pending: VecDeque<String> = path.split('/').map(str::to_owned).collect();
        let mut at: Vec<String> = Vec::new();
        let mut links = 0;
        while let Some(part) = pending.pop_front() {
            match part.as_str() {
                "" | "." => continue,
                // Only real directories stand in `at`, so the one above is the one before.
                ".." if at.pop().is_some() => continue,
                ".." => return Ok(Leads::Out(path.to_owned())),
                _ => at.push(part),
            }
            let here = format!("{base}/{}", at.join("/"));
            // Asked first: there are servers whose LSTAT follows links.
            let text = self.read_link(&here).await?;
            if let Ok(text) = text {
                links += 1;
                if links > MAX_LINKS {
                    return Ok(Leads::InCircles);
                }
                at.pop();
                let Some(way) = inside(&text, &bases) else { return Ok(Leads::Out(text)) };
                if text.starts_with('/') {
                    at.clear();
                }
                way.split('/').rev().for_each(|part| pending.push_front(part.to_owned()));
                continue;
            }
            let Some(found) = self.inner.look(&here, Request::Lstat { path: &here }).await? else {
                return Ok(Leads::Nowhere);
            };
            match (found.kind, text) {
                (Kind::Symlink, Err(refusal)) => return Err(refusal),
                (Kind::Directory, _) => {}
                _ if pending.iter().any(|part| !part.is_empty()) => return Ok(Leads::Nowhere),
                (Kind::File, _) => return Ok(Leads::ToFile(found)),
                _ => return Ok(Leads::ToOther),
            }
        }
        Ok(Leads::ToDirectory)
    }

    /// The text of a link, or what the server says of a path that is none.
    async fn read_link(&self, path: &str) -> Result<Result<String, Error>, Error> {
        let context = self.inner.context(Operation::ReadLink, path);
        Ok(match self.inner.ask(context, Request::ReadLink { path }).await? {
            Reply::Names(names) if names.len() == 1 => {
                Ok(names.first().map(|name| from_bytes(&name.filename)).unwrap_or_default())
            }
            other => Err(context.unexpected(other)),
        })
    }
}

/// A link's text without the directory that it begins with; `None` when it begins elsewhere. One
/// that begins nowhere is relative to where the link stands.
fn inside<'a>(text: &'a str, bases: &[String]) -> Option<&'a str> {
    if !text.starts_with('/') {
        return Some(text);
    }
    bases.iter().find_map(|base| {
        let rest = text.strip_prefix(base.trim_end_matches('/'))?;
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absolute_link_is_inside_only_below_the_directory() {
        let bases = ["/out/".to_owned(), "/data/out".to_owned()];
        for (text, expected) in [
            ("a.csv", Some("a.csv")),
            ("../a.csv", Some("../a.csv")),
            ("/out/a.csv", Some("/a.csv")),
            ("/data/out", Some("")),
            ("/outside/a.csv", None),
            ("/etc/passwd", None),
        ] {
            assert_eq!(inside(text, &bases), expected, "{text}");
        }
    }
}
