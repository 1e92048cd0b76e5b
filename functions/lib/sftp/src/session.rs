//! A logged-in SFTP session: everything but moving bytes and listing.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::names::{from_bytes, to_bytes};
use sha2::{Digest, Sha256};

use crate::attributes::Attributes;
use crate::endpoint::{Credentials, Endpoint};
use crate::error::{Error, Operation};
use crate::inner::Inner;
use crate::listing::{self, Entry, ListOptions};
use crate::reader::Reader;
use crate::start::Capabilities;
use crate::wire::{Reply, Request};
use crate::writer::{WriteMode, Writer};

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
    pub(crate) inner: Arc<Inner>,
}

/// How much a server takes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effective {
    /// Bytes asked for in one READ.
    pub read_bytes: u32,
    /// READs in flight for one file; 1 means one for the whole session.
    pub reads_in_flight: usize,
    /// Bytes sent in one WRITE.
    pub write_bytes: u32,
    /// WRITEs in flight for one file.
    pub writes_in_flight: usize,
    /// Files open at a time; `None` as long as the server sets no limit.
    pub files_at_once: Option<usize>,
    /// Connections made so far: more than one when the server hung up under what was asked of it.
    pub connections: usize,
    /// Connections that this account may have at once, all processes of the machine together: what
    /// the profile allows, or less of late; `None` where nobody said.
    pub connections_at_once: Option<u32>,
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
        let inner = Inner::connect(endpoint, credentials, None).await?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Connects as soon as fewer than `max_connections` of this account are held, where
    /// [`crate::share_connections`] counts them.
    ///
    /// # Errors
    /// As [`Session::connect`]; [`Error::TooManyConnections`] when no place was given back for long.
    pub async fn connect_within(
        endpoint: &Endpoint,
        credentials: &Credentials,
        max_connections: u32,
    ) -> Result<Self, Error> {
        let inner = Inner::connect(endpoint, credentials, Some(max_connections)).await?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// `host:port`, as errors name it.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.inner.server
    }

    /// What the server said it can do, less what it refused to do since.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        let mut offered = self.inner.capabilities;
        offered.posix_rename &= !self.inner.posix_refused.load(Ordering::Relaxed);
        offered
    }

    /// How much is asked of the server at once, after what was learned about it so far.
    #[must_use]
    pub fn effective(&self) -> Effective {
        let (reads, writes) = (self.inner.reads.pace(), self.inner.writes.pace());
        Effective {
            read_bytes: reads.packet_bytes,
            reads_in_flight: reads.depth,
            write_bytes: writes.packet_bytes,
            writes_in_flight: writes.depth,
            files_at_once: self.inner.slots.max(),
            connections: self.inner.connections.load(Ordering::Relaxed),
            connections_at_once: self.inner.connections_at_once(),
        }
    }

    /// Ends every wait of this session that is not over after that long with [`Error::Deadline`].
    pub fn end_after(&self, left: Duration) {
        self.inner.patience.end_after(left);
    }

    /// Says goodbye, and how much the server took at once. Transfers that still run end with
    /// [`Error::ConnectionLost`].
    pub async fn close(&self) {
        if !self.inner.is_closed() {
            self.inner.tell();
            let (server, at_once) = (&self.inner.server, self.inner.connections_at_once());
            let number = at_once.unwrap_or_default();
            tracing::info!(target: domain::METRICS, server, sftp_connections_at_once = number);
        }
        self.inner.close().await;
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
                let (old, new) = (to_bytes(from), to_bytes(to));
                let arguments: [&[u8]; 2] = [&old, &new];
                let name = "posix-rename@openssh.com";
                let request = Request::Extended { name, arguments: &arguments };
                let done = inner.done(inner.context(Operation::Rename, from), request).await;
                if matches!(done, Err(Error::Unsupported { .. })) {
                    inner.posix_refused.store(true, Ordering::Relaxed);
                }
                done
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
            Reply::Names(mut names) if names.len() == 1 => {
                Ok(names.pop().map(|name| from_bytes(&name.filename)).unwrap_or_default())
            }
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
}
