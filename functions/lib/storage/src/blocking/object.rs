//! Random access to one version of an object, for formats with their table of contents at the end.

use std::io::{self, Read};

use domain::Failure;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::{SyncReader, cut_off, io_error};
use crate::error::Error;
use crate::{ETag, Range, Result, Store};

/// An object that synchronous code reads at any place. Cheap to clone, usable from many threads;
/// all clones see the version that was opened, or fail with `storage.replaced`.
#[derive(Clone, Debug)]
pub struct Object {
    store: Store,
    key: String,
    etag: ETag,
    len: u64,
    runtime: Handle,
}

impl Object {
    /// Asks for the object's size and version.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Read`].
    pub async fn open(store: &Store, key: &str) -> Result<Self> {
        let Some((len, etag)) = store.stat(key).await? else {
            let (bucket, key) = store.place(key);
            return Err(Error::Missing { bucket, key });
        };
        Ok(Self {
            store: store.clone(),
            key: key.to_owned(),
            etag,
            len,
            runtime: Handle::current(),
        })
    }

    /// The size in bytes.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are no bytes at all.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Fills `buffer` from `offset` on, in one request; says how many bytes there were, fewer than
    /// asked only at the end of the object.
    ///
    /// # Errors
    /// An error around the [`Failure`] of the read.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let len = u64::try_from(buffer.len()).unwrap_or(u64::MAX);
        let len = len.min(self.len.saturating_sub(offset));
        if len == 0 {
            return Ok(0);
        }
        let (reply, answer) = oneshot::channel();
        let this = self.clone();
        self.runtime.spawn(async move {
            let range = Range::of(offset, len);
            let read = async {
                this.store.open(&this.key, range, Some(&this.etag)).await?.collect().await
            };
            let _nobody_left = reply.send(read.await);
        });
        let bytes = match answer.blocking_recv() {
            Ok(read) => read.map_err(|error| io_error(error.into()))?,
            Err(_closed) => return Err(io_error(cut_off(&self.place()))),
        };
        match buffer.get_mut(..bytes.len()) {
            Some(room) => room.copy_from_slice(&bytes),
            None => return Err(io_error(self.wrong_length())),
        }
        Ok(bytes.len())
    }

    /// Everything from `offset` on, as one download with read-ahead.
    #[must_use]
    pub fn stream(&self, offset: u64) -> Box<dyn Read + Send> {
        Box::new(self.range(Range::from(offset)))
    }

    /// One range, as one download with read-ahead.
    #[must_use]
    pub fn range(&self, range: Range) -> SyncReader {
        let this = self.clone();
        SyncReader::open(&self.runtime, self.place(), async move {
            this.store.open(&this.key, range, Some(&this.etag)).await
        })
    }

    fn place(&self) -> (String, String) {
        self.store.place(&self.key)
    }

    fn wrong_length(&self) -> Failure {
        let message = format!("Storage: {} came with more bytes than were asked for.", self.key);
        Failure::transient("storage.unreachable", message)
    }
}
