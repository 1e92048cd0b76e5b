//! Secrets as files: `acme/source-key` is the file `acme/source-key` below one folder.

use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use domain::{Failure, SecretBytes, SecretStore};

use crate::error::Error;
use crate::name;

/// Far above any key; keeps a wrong path from being read into memory.
const SECRET_MAX_BYTES: u64 = 1024 * 1024;

/// Secrets in a folder, read anew each time.
#[derive(Clone, Debug)]
pub struct FolderSecrets {
    folder: PathBuf,
}

impl FolderSecrets {
    /// Secrets below `folder`, which need not exist yet.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    async fn read(&self, name: &str) -> Result<SecretBytes, Error> {
        name::check(name)?;
        let path = self.folder.join(name);
        let told = |error| explain(name, &path, error);
        let metadata = tokio::fs::metadata(&path).await.map_err(told)?;
        let unusable = |reason: &str| Error::Unusable {
            name: name.to_owned(),
            place: path.display().to_string(),
            reason: reason.to_owned(),
        };
        if metadata.is_dir() {
            return Err(unusable("is a folder, and a secret is one file"));
        }
        if !metadata.is_file() {
            return Err(unusable("is no regular file"));
        }
        if metadata.len() > SECRET_MAX_BYTES {
            return Err(unusable("is larger than 1 MiB"));
        }
        warn_if_others_can_read(&path, &metadata);
        let bytes = tokio::fs::read(&path).await.map_err(told)?;
        let secret = SecretBytes::new(name, bytes);
        if secret.bytes().iter().all(u8::is_ascii_whitespace) {
            return Err(Error::Empty { name: name.to_owned(), place: path.display().to_string() });
        }
        Ok(secret)
    }
}

#[async_trait]
impl SecretStore for FolderSecrets {
    async fn secret(&self, name: &str) -> Result<SecretBytes, Failure> {
        Ok(self.read(name).await?)
    }
}

#[cfg(unix)]
fn warn_if_others_can_read(path: &Path, metadata: &Metadata) {
    use std::os::unix::fs::PermissionsExt;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o044 != 0 {
        tracing::warn!(
            code = "secrets.readable_by_others",
            path = %path.display(),
            mode = %format_args!("{mode:o}"),
            "others on this machine can read this secret: chmod 600 it",
        );
    }
}

#[cfg(not(unix))]
fn warn_if_others_can_read(_path: &Path, _metadata: &Metadata) {}

fn explain(name: &str, path: &Path, source: io::Error) -> Error {
    let (name, place) = (name.to_owned(), path.display().to_string());
    match source.kind() {
        // A file where a folder of the name should be: the path does not exist either.
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            Error::Missing { name, place: format!("the file {place}") }
        }
        io::ErrorKind::PermissionDenied => {
            Error::Denied { name, place, reason: source.to_string() }
        }
        _ => Error::Read { name, place, source },
    }
}
