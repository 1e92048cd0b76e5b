//! The bridge between the archive library, which is synchronous and knows no S3, and the bucket.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use archive::{Entry, MemberWriter, Sink, Source};
use domain::ids::Name;
use domain::items::{FileItem, MemberItem};
use domain::keys::Inbox;
use domain::{Deadline, Failure, Stage};
use sha2::{Digest, Sha256};
use storage::blocking::{Object, SyncWriter};
use storage::runs::Run;
use tokio::runtime::Handle;

use crate::Unpack;

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

/// Takes an archive's members into the bucket and remembers their names by path.
#[derive(Clone)]
pub(crate) struct Members {
    run: Run,
    item: Arc<FileItem>,
    done: Arc<Mutex<BTreeMap<String, Name>>>,
    /// Whether this invocation unpacked a member.
    moved: Arc<AtomicBool>,
    deadline: Deadline,
    runtime: Handle,
}

impl Members {
    /// With the members that an earlier invocation kept for this one.
    pub(crate) async fn resume(
        run: &Run,
        item: &FileItem,
        deadline: Deadline,
    ) -> Result<Self, Failure> {
        let done = run.progress(Unpack::NAME, &item.file.name).await?.unwrap_or_default();
        Ok(Self {
            run: run.clone(),
            item: Arc::new(item.clone()),
            done: Arc::new(Mutex::new(done)),
            moved: Arc::default(),
            deadline,
            runtime: Handle::current(),
        })
    }

    /// Keeps what was unpacked for the next invocation.
    pub(crate) async fn keep_for_later(&self) -> Result<(), Failure> {
        self.run.keep_progress(Unpack::NAME, &self.item.file.name, &self.snapshot()).await
    }

    /// The names of all members.
    pub(crate) fn names(&self) -> Vec<Name> {
        self.snapshot().into_values().collect()
    }

    fn snapshot(&self) -> BTreeMap<String, Name> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Sink for Members {
    fn wanted(&self, entry: &Entry) -> io::Result<bool> {
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(!done.contains_key(&entry.path))
    }

    fn begin(&self, entry: &Entry) -> io::Result<Box<dyn MemberWriter>> {
        // The archive library calls from threads of its own; the writer needs the runtime.
        let _inside = self.runtime.enter();
        let id = MemberItem::id_of(&self.item.file, &entry.path);
        let key = self.run.keys().plain(&id);
        Ok(Box::new(MemberFile {
            writer: SyncWriter::new(self.run.store().writer(&key)),
            members: self.clone(),
            path: entry.path.clone(),
            id,
            key,
            hash: Sha256::new(),
            bytes: 0,
        }))
    }

    /// Not before a member was unpacked: every invocation comes further.
    fn stop(&self) -> bool {
        self.moved.load(Ordering::Relaxed) && self.deadline.is_near()
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
    bytes: u64,
}

impl Write for MemberFile {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.writer.write(buffer)?;
        self.hash.update(buffer.get(..written).unwrap_or_default());
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl MemberWriter for MemberFile {
    fn commit(self: Box<Self>) -> io::Result<()> {
        let Self { writer, members, path, id, key, hash, bytes } = *self;
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
        members.done.lock().unwrap_or_else(PoisonError::into_inner).insert(path, name);
        members.moved.store(true, Ordering::Relaxed);
        Ok(())
    }
}
