//! The bridge between the archive library, which is synchronous and knows no S3, and the bucket.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use archive::{Entry, Kept, MemberWriter, Restart, Sink, Source};
use domain::ids::Name;
use domain::items::{FileItem, MemberItem};
use domain::keys::Inbox;
use domain::{Deadline, Failure, Midstate, Stage};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use storage::blocking::{Object, SyncWriter};
use storage::runs::Run;
use storage::{Checkpoint, Error};
use tokio::runtime::Handle;

use crate::Unpack;

/// What is unpacked in a second even where it is slow. Members that would take longer than the
/// invocation has at this rate are decoded so that they can be left in the middle.
const SURE_BYTES_PER_SECOND: u64 = 32 << 20;

/// What an invocation unpacks of a member in any case, however late it is: less is not worth its
/// start.
const LEAST_BYTES: u64 = 256 << 10;

/// An object in the bucket as the archive library reads it.
pub(crate) struct ObjectSource(pub(crate) Object);

impl Source for ObjectSource {
    fn len(&self) -> u64 {
        self.0.len()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(offset, buffer)
    }

    fn stream(&self, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        Ok(self.0.stream(offset))
    }
}

/// What is unpacked of one archive.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Progress {
    /// The names of whole members by their paths.
    done: BTreeMap<String, Name>,
    /// Members that an invocation stopped within.
    begun: BTreeMap<String, Begun>,
}

/// Where a member stands that takes longer than an invocation.
#[derive(Clone, Serialize, Deserialize)]
struct Begun {
    /// What the bucket has.
    object: Checkpoint,
    /// SHA-256 of that much.
    sha256: Midstate,
    /// The same place in the archive.
    kept: Kept,
}

/// Takes an archive's members into the bucket and remembers their names by path.
#[derive(Clone)]
pub(crate) struct Members {
    run: Run,
    item: Arc<FileItem>,
    progress: Arc<Mutex<Progress>>,
    /// Bytes that this invocation unpacked; a whole member counts as [`LEAST_BYTES`] at least.
    unpacked: Arc<AtomicU64>,
    deadline: Deadline,
    runtime: Handle,
}

impl Members {
    /// With what an earlier invocation kept for this one.
    pub(crate) async fn resume(
        run: &Run,
        item: &FileItem,
        deadline: Deadline,
    ) -> Result<Self, Failure> {
        let progress = run.progress(Unpack::NAME, &item.file.name).await?.unwrap_or_default();
        Ok(Self {
            run: run.clone(),
            item: Arc::new(item.clone()),
            progress: Arc::new(Mutex::new(progress)),
            unpacked: Arc::default(),
            deadline,
            runtime: Handle::current(),
        })
    }

    /// Keeps what was unpacked for the next invocation.
    pub(crate) async fn keep_for_later(&self) -> Result<(), Failure> {
        let progress = self.progress().clone();
        self.run.keep_progress(Unpack::NAME, &self.item.file.name, &progress).await
    }

    /// Leaves nothing in the bucket of the members that were begun.
    pub(crate) async fn forget(&self) {
        let begun = std::mem::take(&mut self.progress().begun);
        for (path, begun) in begun {
            let key = self.key(&MemberItem::id_of(&self.item.file, &path));
            let forgotten = match self.run.store().resume(&key, begun.object).await {
                Ok(writer) => writer.abort().await,
                Err(Error::UploadGone { .. }) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = forgotten {
                tracing::warn!(path, %error, "an unfinished upload could not be aborted");
            }
        }
    }

    /// The names of all members.
    pub(crate) fn names(&self) -> Vec<Name> {
        self.progress().done.values().cloned().collect()
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self, id: &str) -> String {
        self.run.keys().plain(id)
    }

    /// From where an earlier invocation stopped, else from the member's first byte.
    async fn open(&self, path: &str) -> Result<MemberFile, Failure> {
        let id = MemberItem::id_of(&self.item.file, path);
        let key = self.key(&id);
        let store = self.run.store();
        let begun = self.progress().begun.get(path).cloned();
        let mut member = MemberFile {
            writer: SyncWriter::new(store.writer(&key)),
            members: self.clone(),
            path: path.to_owned(),
            id,
            key,
            hash: Sha256::new(),
            kept: None,
            bytes: 0,
        };
        let Some((hash, begun)) = begun.and_then(|begun| Some((begun.sha256.hash()?, begun)))
        else {
            return Ok(member);
        };
        match store.resume(&member.key, begun.object).await {
            Ok(writer) => {
                member.writer = SyncWriter::new(writer);
                member.hash = hash;
                member.bytes = begun.kept.bytes;
                member.kept = Some(begun.kept);
            }
            // It expired, or somebody removed it.
            Err(Error::UploadGone { .. }) => {
                tracing::warn!(path, "its upload is gone: begun anew");
            }
            Err(error) => return Err(error.into()),
        }
        Ok(member)
    }
}

impl Sink for Members {
    fn wanted(&self, entry: &Entry) -> io::Result<bool> {
        Ok(!self.progress().done.contains_key(&entry.path))
    }

    fn begin(&self, entry: &Entry) -> io::Result<Box<dyn MemberWriter>> {
        // The archive library calls from threads of its own; the writer needs the runtime.
        let opened = self.runtime.block_on(self.open(&entry.path));
        Ok(Box::new(opened.map_err(io::Error::other)?))
    }

    /// Not before something was unpacked: every invocation comes further.
    fn stop(&self) -> bool {
        self.unpacked.load(Ordering::Relaxed) >= LEAST_BYTES && self.deadline.is_near()
    }

    fn pause(&self) -> bool {
        self.stop()
    }

    fn takes_longer(&self, bytes: u64) -> bool {
        let left = self.deadline.remaining().saturating_sub(self.deadline.margin());
        Duration::from_secs(bytes / SURE_BYTES_PER_SECOND) >= left
    }

    fn exhausted(&self) -> bool {
        self.unpacked.load(Ordering::Relaxed) == 0 && self.deadline.for_transfers().is_zero()
    }
}

/// One member on its way into the bucket; dropped without commit, nothing appears.
struct MemberFile {
    writer: SyncWriter,
    members: Members,
    path: String,
    id: String,
    key: String,
    hash: Sha256,
    /// Where an earlier invocation stopped.
    kept: Option<Kept>,
    bytes: u64,
}

impl Write for MemberFile {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.writer.write(buffer)?;
        self.hash.update(buffer.get(..written).unwrap_or_default());
        self.bytes += written as u64;
        self.members.unpacked.fetch_add(written as u64, Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl MemberWriter for MemberFile {
    fn kept(&self) -> Option<&Kept> {
        self.kept.as_ref()
    }

    fn keep(self: Box<Self>, restart: Option<Restart>) -> io::Result<()> {
        let Self { writer, members, path, hash, bytes, .. } = *self;
        let object = writer.checkpoint().map_err(io::Error::other)?;
        let kept = Kept { bytes, restart };
        let begun = Begun { object, sha256: Midstate::of(&hash), kept };
        members.progress().begun.insert(path, begun);
        Ok(())
    }

    fn commit(self: Box<Self>) -> io::Result<()> {
        let Self { writer, members, path, id, key, hash, bytes, .. } = *self;
        writer.finish().map_err(io::Error::other)?;
        let name = Name::new(bytes, &id);
        let member = MemberItem {
            name: name.clone(),
            file: members.item.file.clone(),
            resend: members.item.resend.clone(),
            path: path.clone(),
            from_archive: true,
            bytes,
            sha256: hex::encode(hash.finalize()),
            key,
            count: None,
            report: None,
            sealed: None,
        };
        members
            .runtime
            .block_on(members.run.write(Inbox::Members, &name, &member))
            .map_err(io::Error::other)?;
        let mut progress = members.progress();
        progress.begun.remove(&path);
        progress.done.insert(path, name);
        members.unpacked.fetch_add(LEAST_BYTES, Ordering::Relaxed);
        Ok(())
    }
}
