//! `std::io::Write` over a streaming upload.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::{Bytes, BytesMut};
use domain::Failure;
use tokio::sync::{mpsc, oneshot};

use super::{CHUNKS_AHEAD, cut_off, io_error};
use crate::{Checkpoint, Result, Writer, Written};

/// Libraries write a few bytes at a time; this many travel together.
const CHUNK_BYTES: usize = 256 * 1024;

enum Command {
    Data(Bytes),
    Finish(oneshot::Sender<Result<Written>>),
    Checkpoint(oneshot::Sender<Result<Checkpoint>>),
}

/// Buffers that the other side has done with: fresh memory for every chunk costs more than its copy.
type Spent = Arc<Mutex<Vec<BytesMut>>>;

/// An object being written by synchronous code. Dropped without [`SyncWriter::finish`] or
/// [`SyncWriter::checkpoint`], it leaves nothing behind.
#[derive(Debug)]
pub struct SyncWriter {
    commands: mpsc::Sender<Command>,
    buffer: BytesMut,
    spent: Spent,
    failure: Arc<OnceLock<Failure>>,
    place: (String, String),
}

impl SyncWriter {
    /// Writes through `writer`.
    ///
    /// # Panics
    /// Outside of a tokio runtime; asynchronous code and `spawn_blocking` are inside.
    #[must_use]
    pub fn new(writer: Writer) -> Self {
        let (commands, receiver) = mpsc::channel(CHUNKS_AHEAD);
        let failure = Arc::new(OnceLock::new());
        let place = writer.place();
        let spent = Spent::default();
        tokio::spawn(pump(writer, receiver, Arc::clone(&spent), Arc::clone(&failure)));
        Self { commands, buffer: BytesMut::new(), spent, failure, place }
    }

    /// Sends what is left and makes the object visible, whole.
    ///
    /// # Errors
    /// The failure of this or any earlier write; nothing is visible then.
    pub fn finish(self) -> std::result::Result<Written, Failure> {
        self.end(Command::Finish)
    }

    /// Stops here, with every byte written so far safe in S3, and says how to go on.
    ///
    /// # Errors
    /// The failure of this or any earlier write; an earlier checkpoint stays good.
    pub fn checkpoint(self) -> std::result::Result<Checkpoint, Failure> {
        self.end(Command::Checkpoint)
    }

    fn end<T>(
        mut self,
        command: impl FnOnce(oneshot::Sender<Result<T>>) -> Command,
    ) -> std::result::Result<T, Failure> {
        self.send_buffer()?;
        let (reply, answer) = oneshot::channel();
        self.send(command(reply))?;
        match answer.blocking_recv() {
            Ok(ended) => Ok(ended?),
            Err(_closed) => Err(self.reason()),
        }
    }

    fn send_buffer(&mut self) -> std::result::Result<(), Failure> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let bytes = std::mem::take(&mut self.buffer).freeze();
        self.send(Command::Data(bytes))
    }

    fn send(&self, command: Command) -> std::result::Result<(), Failure> {
        self.commands.blocking_send(command).map_err(|_closed| self.reason())
    }

    /// Why the other side ended: what it left behind before it went, or that it was cut off.
    fn reason(&self) -> Failure {
        self.failure.get().cloned().unwrap_or_else(|| cut_off(&self.place))
    }
}

impl Write for SyncWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.is_empty() {
            let spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner).pop();
            self.buffer = spent.unwrap_or_default();
            self.buffer.reserve(CHUNK_BYTES.max(bytes.len()));
        }
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK_BYTES {
            self.send_buffer().map_err(io_error)?;
        }
        Ok(bytes.len())
    }

    /// Hands over what is buffered. Says nothing about S3: only [`SyncWriter::finish`] does.
    fn flush(&mut self) -> io::Result<()> {
        self.send_buffer().map_err(io_error)
    }
}

/// Feeds the upload until it is finished, fails, or the other side is dropped.
async fn pump(
    mut writer: Writer,
    mut commands: mpsc::Receiver<Command>,
    spent: Spent,
    failure: Arc<OnceLock<Failure>>,
) {
    while let Some(command) = commands.recv().await {
        match command {
            Command::Data(bytes) => {
                if let Err(error) = writer.write(bytes.clone()).await {
                    // Set before the channel closes, so whoever finds it closed finds the reason.
                    let _first_one_counts = failure.set(error.into());
                    return;
                }
                if let Ok(mut buffer) = bytes.try_into_mut() {
                    buffer.clear();
                    spent.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
                }
            }
            Command::Finish(reply) => {
                let _nobody_left = reply.send(writer.finish().await);
                return;
            }
            Command::Checkpoint(reply) => {
                let _nobody_left = reply.send(writer.checkpoint().await);
                return;
            }
        }
    }
}
