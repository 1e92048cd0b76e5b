//! A logged-in SFTP session: everything but moving bytes and listing.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Buf;
use russh::Disconnect;
use russh::client::Handle;
use sha2::{Digest, Sha256};

use crate::connect::{self, Gate};
use crate::endpoint::{Credentials, Endpoint};
use crate::error::{Context, Error, Operation};
use crate::link::Link;
use crate::listing::{self, Entry, ListOptions};
use crate::login;
use crate::reader::Reader;
use crate::start::{self, Capabilities};
use crate::wire::{Attributes, Reply, Request, status};
use crate::writer::{WriteMode, Writer};

/// The longest wait for an orderly end.
const GOODBYE: Duration = Duration::from_secs(2);

/// How a finished file gets its final name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RenamePolicy {
    /// `posix-rename@openssh.com`: one step, replaces what is there.
    Posix,
    /// Plain rename; fails with [`Error::TargetExists`] when the target exists.
    Fresh,
    /// Deletes the target, then renames: the target is gone for a moment.
    Replace,
    /// No rename: the file is written under its final name.
    Direct,
}

/// One login on one server. Cheap to clone; all clones share the connection.
#[derive(Clone)]
pub struct Session {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) server: String,
    pub(crate) link: Link,
    pub(crate) capabilities: Capabilities,
    handle: tokio::sync::Mutex<Option<Handle<Gate>>>,
}

impl Inner {
    pub(crate) fn context<'a>(&'a self, operation: Operation, path: &'a str) -> Context<'a> {
        Context { server: &self.server, operation, path }
    }

    async fn ask(&self, context: Context<'_>, request: Request<'_>) -> Result<Reply, Error> {
        self.link.ask(request).await.map_err(|error| context.link(error))
    }

    async fn done(&self, context: Context<'_>, request: Request<'_>) -> Result<(), Error> {
        match self.ask(context, request).await? {
            Reply::Status { code: status::OK, .. } => Ok(()),
            other => Err(context.unexpected(other)),
        }
    }

    async fn look(&self, path: &str, request: Request<'_>) -> Result<Option<Attributes>, Error> {
        let context = self.context(Operation::Stat, path);
        match self.ask(context, request).await? {
            Reply::Attributes(raw) => Ok(Some(raw.into())),
            Reply::Status { code: status::NO_SUCH_FILE | status::NO_SUCH_PATH, .. } => Ok(None),
            other => Err(context.unexpected(other)),
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("server", &self.inner.server).finish_non_exhaustive()
    }
}

impl Session {
    /// Connects, checks the host key against the pins, logs in and starts SFTP.
    ///
    /// # Errors
    /// Names the server and the fix; nothing secret is sent before the host key is accepted.
    pub async fn connect(endpoint: &Endpoint, credentials: &Credentials) -> Result<Self, Error> {
        let key = login::private_key(endpoint, credentials)?;
        let limit = endpoint.timeouts.connect + endpoint.timeouts.login;
        let attempt = async {
            let mut connection = connect::connect(endpoint).await?;
            let notes = &connection.notes;
            login::login(&mut connection.handle, notes, endpoint, credentials, key).await?;
            let (link, capabilities, handle) = start::start(endpoint, connection).await?;
            let handle = tokio::sync::Mutex::new(Some(handle));
            Ok(Inner { server: endpoint.server(), link, capabilities, handle })
        };
        let inner = tokio::time::timeout(limit, attempt).await.unwrap_or_else(|_| {
            Err(Error::Timeout {
                server: endpoint.server(),
                operation: Operation::Connect,
                path: "it".to_owned(),
                seconds: limit.as_secs(),
            })
        })?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// `host:port`, as errors name it.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.inner.server
    }

    /// What the server said it can do.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.inner.capabilities
    }

    /// Says goodbye. Transfers that still run end with [`Error::ConnectionLost`].
    pub async fn close(&self) {
        self.inner.link.close();
        let Some(handle) = self.inner.handle.lock().await.take() else { return };
        let goodbye = async {
            let _ = handle.disconnect(Disconnect::ByApplication, "done", "en").await;
            let _ = handle.await;
        };
        let _ = tokio::time::timeout(GOODBYE, goodbye).await;
    }

    /// Opens a file for pipelined reading from `offset` (bytes).
    ///
    /// # Errors
    /// [`Error::NoSuchFile`], [`Error::PermissionDenied`] and what a connection can suffer.
    pub async fn reader(&self, path: &str, offset: u64) -> Result<Reader, Error> {
        Reader::open(Arc::clone(&self.inner), path, offset).await
    }

    /// Opens a file for pipelined writing.
    ///
    /// # Errors
    /// [`Error::NoSuchDirectory`], [`Error::PermissionDenied`], [`Error::ResumeGap`] and what a
    /// connection can suffer.
    pub async fn writer(&self, path: &str, mode: WriteMode) -> Result<Writer, Error> {
        Writer::open(Arc::clone(&self.inner), path, mode).await
    }

    /// SHA-256 of what the server now holds under `path`, by reading all of it.
    ///
    /// # Errors
    /// Those of [`Session::reader`].
    pub async fn hash(&self, path: &str) -> Result<[u8; 32], Error> {
        let mut reader = self.reader(path, 0).await?;
        let mut hasher = Sha256::new();
        while let Some(piece) = reader.next().await? {
            hasher.update(&piece);
        }
        Ok(hasher.finalize().into())
    }

    /// Lists a directory; symbolic links are named, not followed.
    ///
    /// # Errors
    /// [`Error::NoSuchDirectory`], [`Error::TooManyEntries`] and what a connection can suffer.
    pub async fn list(&self, directory: &str, options: ListOptions) -> Result<Vec<Entry>, Error> {
        listing::list(&self.inner, directory, options).await
    }

    /// Size, time and kind of what a path leads to (links are followed); `None` when there is
    /// nothing.
    ///
    /// # Errors
    /// [`Error::PermissionDenied`] and what a connection can suffer.
    pub async fn stat(&self, path: &str) -> Result<Option<Attributes>, Error> {
        self.inner.look(path, Request::Stat { path }).await
    }

    /// Gives a file its new name, in the way of the policy.
    ///
    /// # Errors
    /// [`Error::TargetExists`] for [`RenamePolicy::Fresh`], [`Error::Unsupported`] when the server
    /// lacks posix-rename, [`Error::NoSuchFile`] when `from` is gone.
    pub async fn rename(&self, from: &str, to: &str, policy: RenamePolicy) -> Result<(), Error> {
        let inner = &self.inner;
        match policy {
            RenamePolicy::Posix if !inner.capabilities.posix_rename => Err(Error::Unsupported {
                server: inner.server.clone(),
                operation: Operation::Rename,
                path: from.to_owned(),
                feature: "posix-rename@openssh.com".to_owned(),
            }),
            RenamePolicy::Posix => {
                let arguments: [&[u8]; 2] = [from.as_bytes(), to.as_bytes()];
                let name = "posix-rename@openssh.com";
                let request = Request::Extended { name, arguments: &arguments };
                inner.done(inner.context(Operation::Rename, from), request).await
            }
            RenamePolicy::Fresh => self.rename_fresh(from, to).await,
            RenamePolicy::Replace => {
                match self.remove(to).await {
                    Ok(()) | Err(Error::NoSuchFile { .. }) => {}
                    Err(error) => return Err(error),
                }
                self.rename_fresh(from, to).await
            }
            RenamePolicy::Direct if from == to => Ok(()),
            RenamePolicy::Direct => Err(Error::Unsupported {
                server: inner.server.clone(),
                operation: Operation::Rename,
                path: from.to_owned(),
                feature: "a rename under the policy `direct`, which writes to the final name"
                    .to_owned(),
            }),
        }
    }

    /// Some servers overwrite on a plain rename, so the target is looked for first.
    async fn rename_fresh(&self, from: &str, to: &str) -> Result<(), Error> {
        let inner = &self.inner;
        let exists = || Error::TargetExists { server: inner.server.clone(), path: to.to_owned() };
        if inner.look(to, Request::Lstat { path: to }).await?.is_some() {
            return Err(exists());
        }
        let context = inner.context(Operation::Rename, from);
        match inner.done(context, Request::Rename { from, to }).await {
            Err(error @ Error::Refused { .. }) => {
                // A generic failure; most often somebody else made the target meanwhile.
                match inner.look(to, Request::Lstat { path: to }).await? {
                    Some(_) => Err(exists()),
                    None => Err(error),
                }
            }
            other => other,
        }
    }

    /// Moves a file into a directory, which is made if it is missing, under its own name. Does not
    /// overwrite.
    ///
    /// # Errors
    /// Those of [`Session::rename`] with [`RenamePolicy::Fresh`].
    pub async fn move_to(&self, path: &str, directory: &str) -> Result<String, Error> {
        self.mkdir_all(directory).await?;
        let name = path.rsplit('/').next().unwrap_or(path);
        let target = format!("{}/{name}", directory.trim_end_matches('/'));
        self.rename_fresh(path, &target).await?;
        Ok(target)
    }

    /// Deletes a file.
    ///
    /// # Errors
    /// [`Error::NoSuchFile`], [`Error::PermissionDenied`] and what a connection can suffer.
    pub async fn remove(&self, path: &str) -> Result<(), Error> {
        let context = self.inner.context(Operation::Remove, path);
        self.inner.done(context, Request::Remove { path }).await
    }

    /// Makes a directory and what is missing above it.
    ///
    /// # Errors
    /// [`Error::PermissionDenied`] and what a connection can suffer.
    pub async fn mkdir_all(&self, path: &str) -> Result<(), Error> {
        let path = path.trim_end_matches('/');
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        let mut missing = Vec::new();
        // From the deepest upwards: a jailed account may not even look at what is above it.
        for prefix in ends.filter_map(|end| path.get(..end)).collect::<Vec<_>>().into_iter().rev() {
            if prefix.is_empty() || self.stat(prefix).await?.is_some() {
                break;
            }
            missing.push(prefix);
        }
        for directory in missing.into_iter().rev() {
            let context = self.inner.context(Operation::MakeDirectory, directory);
            if let Err(error) = self.inner.done(context, Request::MkDir { path: directory }).await
                && self.stat(directory).await?.is_none()
            {
                return Err(error);
            }
        }
        Ok(())
    }

    /// The absolute path that the server makes of `path`; of `.` the start directory.
    ///
    /// # Errors
    /// [`Error::NoSuchFile`] on servers that resolve only what exists.
    pub async fn real_path(&self, path: &str) -> Result<String, Error> {
        let context = self.inner.context(Operation::RealPath, path);
        match self.inner.ask(context, Request::RealPath { path }).await? {
            Reply::Names(mut names) if names.len() == 1 => Ok(names
                .pop()
                .map(|name| String::from_utf8_lossy(&name.filename).into_owned())
                .unwrap_or_default()),
            other => Err(context.unexpected(other)),
        }
    }

    /// Sets the modification time, in seconds since 1970; what lies outside of 32 bits is clipped.
    ///
    /// # Errors
    /// [`Error::NoSuchFile`], [`Error::PermissionDenied`] and what a connection can suffer.
    pub async fn set_times(&self, path: &str, mtime_seconds: i64) -> Result<(), Error> {
        let seconds = u32::try_from(mtime_seconds.max(0)).unwrap_or(u32::MAX);
        let context = self.inner.context(Operation::SetTimes, path);
        self.inner.done(context, Request::SetTimes { path, seconds }).await
    }

    /// Bytes that this account may still write at `path`; `None` when the server cannot tell.
    ///
    /// # Errors
    /// [`Error::NoSuchFile`] and what a connection can suffer.
    pub async fn free_bytes(&self, path: &str) -> Result<Option<u64>, Error> {
        if !self.inner.capabilities.statvfs {
            return Ok(None);
        }
        let context = self.inner.context(Operation::FreeSpace, path);
        let arguments: [&[u8]; 1] = [path.as_bytes()];
        let request = Request::Extended { name: "statvfs@openssh.com", arguments: &arguments };
        match self.inner.ask(context, request).await? {
            Reply::Extended(mut numbers) if numbers.len() >= 40 => {
                numbers.advance(8);
                let fragment_bytes = numbers.get_u64();
                numbers.advance(16);
                Ok(Some(numbers.get_u64().saturating_mul(fragment_bytes)))
            }
            other => Err(context.unexpected(other)),
        }
    }
}
