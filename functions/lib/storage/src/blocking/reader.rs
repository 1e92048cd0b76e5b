//! `std::io::Read` over a stream from S3, with bounded read-ahead.

use std::future::Future;
use std::io::{self, BufRead, Read};

use bytes::{Buf, Bytes};
use domain::Failure;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::{CHUNKS_AHEAD, cut_off, io_error};
use crate::{ByteStreamReader, Result};

/// What the network side says: bytes, the end, or why there will be none.
type Chunk = std::result::Result<Option<Bytes>, Failure>;

/// An object being read by synchronous code. Dropped early, it ends its download.
#[derive(Debug)]
pub struct SyncReader {
    chunks: mpsc::Receiver<Chunk>,
    network: AbortHandle,
    current: Bytes,
    ended: Option<std::result::Result<(), Failure>>,
    place: (String, String),
}

impl SyncReader {
    /// Reads what is left of a stream.
    ///
    /// # Panics
    /// Outside of a tokio runtime; asynchronous code and `spawn_blocking` are inside.
    #[must_use]
    pub fn new(reader: ByteStreamReader) -> Self {
        let place = reader.place();
        Self::open(&Handle::current(), place, async move { Ok(reader) })
    }

    /// Reads a stream that is still to be opened; a failure to open shows at the first read.
    pub(super) fn open(
        runtime: &Handle,
        place: (String, String),
        opening: impl Future<Output = Result<ByteStreamReader>> + Send + 'static,
    ) -> Self {
        let (sender, chunks) = mpsc::channel(CHUNKS_AHEAD);
        let network = runtime.spawn(pump(opening, sender)).abort_handle();
        Self { chunks, network, current: Bytes::new(), ended: None, place }
    }

    /// Waits until `current` has bytes or the stream has ended.
    fn fill(&mut self) -> io::Result<()> {
        while self.current.is_empty() {
            match &self.ended {
                Some(Ok(())) => return Ok(()),
                Some(Err(failure)) => return Err(io_error(failure.clone())),
                None => {}
            }
            match self.chunks.blocking_recv() {
                Some(Ok(Some(bytes))) => self.current = bytes,
                Some(Ok(None)) => self.ended = Some(Ok(())),
                Some(Err(failure)) => self.ended = Some(Err(failure)),
                // No word about the end: the task was cut off, and this is not the end of the data.
                None => self.ended = Some(Err(cut_off(&self.place))),
            }
        }
        Ok(())
    }
}

impl Read for SyncReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        self.fill()?;
        let count = buffer.len().min(self.current.len());
        if let Some(room) = buffer.get_mut(..count) {
            self.current.copy_to_slice(room);
        }
        Ok(count)
    }
}

impl BufRead for SyncReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.fill()?;
        Ok(&self.current)
    }

    fn consume(&mut self, count: usize) {
        self.current.advance(count.min(self.current.len()));
    }
}

impl Drop for SyncReader {
    fn drop(&mut self) {
        self.network.abort();
    }
}

/// Moves chunks from the network into the channel until either side ends.
async fn pump(
    opening: impl Future<Output = Result<ByteStreamReader>>,
    sender: mpsc::Sender<Chunk>,
) {
    let mut reader = match opening.await {
        Ok(reader) => reader,
        Err(error) => {
            let _nobody_left = sender.send(Err(error.into())).await;
            return;
        }
    };
    loop {
        let chunk = reader.next().await.map_err(Failure::from);
        let last = !matches!(chunk, Ok(Some(_)));
        if sender.send(chunk).await.is_err() || last {
            return;
        }
    }
}
