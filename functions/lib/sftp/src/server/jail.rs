//! Maps what a client calls a path to a path below the root, whatever dots and links say.

use std::io;
use std::path::{Path, PathBuf};

/// A folder that no path leads out of.
pub(super) struct Jail {
    root: PathBuf,
}

impl Jail {
    /// `root` is canonical.
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The absolute path as the client sees it, without dots; `..` stops at the root.
    pub(super) fn virtual_path(path: &str) -> String {
        let mut parts = Vec::new();
        for part in path.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop();
                }
                part => parts.push(part),
            }
        }
        format!("/{}", parts.join("/"))
    }

    /// A link's text as the client sees it: what lies inside begins at the root.
    pub(super) fn seen(&self, text: &Path) -> String {
        match text.strip_prefix(&self.root) {
            Ok(inside) => format!("/{}", inside.display()),
            Err(_) => text.display().to_string(),
        }
    }

    /// Where a path leads when links are followed. What does not exist yet stands in a directory
    /// that does.
    pub(super) fn follow(&self, path: &str) -> io::Result<PathBuf> {
        let place = self.place(path)?;
        match place.canonicalize() {
            Ok(real) => self.inside(real),
            // A link to nowhere must not be created through.
            Err(_) if place.symlink_metadata().is_ok() => Err(outside()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(place),
            Err(error) => Err(error),
        }
    }

    /// Where a path stands, its last part not followed if it is a link.
    pub(super) fn place(&self, path: &str) -> io::Result<PathBuf> {
        let path = Self::virtual_path(path);
        let relative = Path::new(path.trim_start_matches('/'));
        let (Some(parent), Some(name)) = (relative.parent(), relative.file_name()) else {
            return Ok(self.root.clone());
        };
        Ok(self.inside(self.root.join(parent).canonicalize()?)?.join(name))
    }

    fn inside(&self, real: PathBuf) -> io::Result<PathBuf> {
        if real.starts_with(&self.root) { Ok(real) } else { Err(outside()) }
    }
}

fn outside() -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, "this path leads out of the served folder")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_stop_at_the_root() {
        let table = [
            (".", "/"),
            ("", "/"),
            ("../../etc", "/etc"),
            ("/a/./b/../c//d/", "/a/c/d"),
            ("a/../../..", "/"),
        ];
        for (path, expected) in table {
            assert_eq!(Jail::virtual_path(path), expected);
        }
    }

    #[test]
    fn no_link_leads_out() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "x").unwrap();
        let root = tempfile::tempdir().unwrap();
        let link = |target: &Path, name: &str| {
            std::os::unix::fs::symlink(target, root.path().join(name)).unwrap();
        };
        link(outside.path(), "dir");
        link(&outside.path().join("secret"), "file");
        link(&outside.path().join("absent"), "dangling");
        std::fs::write(root.path().join("plain"), "x").unwrap();
        link(&root.path().join("plain"), "good");
        let jail = Jail::new(root.path().canonicalize().unwrap());
        for path in ["dir", "dir/secret", "dir/new", "file", "dangling"] {
            assert!(jail.follow(path).is_err(), "{path}");
        }
        assert!(jail.place("dir/secret").is_err());
        assert!(jail.place("file").is_ok(), "the link itself may be looked at and removed");
        assert!(jail.follow("good").is_ok());
        assert!(jail.follow("new").is_ok());
        assert!(jail.follow("../../../plain").is_ok());
    }
}
