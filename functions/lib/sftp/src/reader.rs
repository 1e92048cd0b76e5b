//! Reading a file with many requests in flight, handed out in order.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use crate::error::{Context, Error, Operation};
use crate::link::Pending;
use crate::session::Inner;
use crate::wire::{Attributes, Reply, Request, open, status};

/// READs in flight when a transfer is under way; it starts with few, for small files are many.
const MAX_DEPTH: usize = 64;
const FIRST_DEPTH: usize = 4;
/// READs that need no room in the session's budget, so that no reader ever stands still.
const FREE_DEPTH: usize = 2;

/// A file being read. Dropping it closes the file on the server.
pub struct Reader {
    inner: Arc<Inner>,
    path: String,
    handle: Bytes,
    in_flight: VecDeque<Part>,
    next_offset: u64,
    depth: usize,
    ended: bool,
}

struct Part {
    offset: u64,
    len: u32,
    answer: Pending,
    _room: Option<OwnedSemaphorePermit>,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Reader");
        shown.field("path", &self.path).field("next_offset", &self.next_offset);
        shown.finish_non_exhaustive()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // The server works in order: this closes the file after the READs that are on their way.
        drop(self.inner.link.send(Request::Close { handle: &self.handle }));
    }
}

impl Reader {
    pub(crate) async fn open(inner: Arc<Inner>, path: &str, offset: u64) -> Result<Self, Error> {
        let context = inner.context(Operation::Read, path);
        let request = Request::Open { path, flags: open::READ };
        let handle = match inner.link.ask(request).await.map_err(|error| context.link(error))? {
            Reply::Handle(handle) => handle,
            other => return Err(context.unexpected(other)),
        };
        Ok(Self {
            inner,
            path: path.to_owned(),
            handle,
            in_flight: VecDeque::new(),
            next_offset: offset,
            depth: FIRST_DEPTH,
            ended: false,
        })
    }

    /// Size and time of the open file, also when its name was moved away.
    ///
    /// # Errors
    /// What a connection can suffer.
    pub async fn attributes(&self) -> Result<Attributes, Error> {
        let context = self.inner.context(Operation::Stat, &self.path);
        let request = Request::Fstat { handle: &self.handle };
        match self.inner.link.ask(request).await.map_err(|error| context.link(error))? {
            Reply::Attributes(raw) => Ok(raw.into()),
            other => Err(context.unexpected(other)),
        }
    }

    /// The next piece of the file, of any size but never empty; `None` at its end.
    ///
    /// Safe to cancel: nothing is lost, the next call goes on.
    ///
    /// # Errors
    /// [`Error::ConnectionLost`], [`Error::Timeout`], or the server's refusal. The reader is then
    /// at its end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let result = self.advance().await;
        if !matches!(result, Ok(Some(_))) {
            self.ended = true;
            self.in_flight.clear();
        }
        result
    }

    async fn advance(&mut self) -> Result<Option<Bytes>, Error> {
        if self.ended {
            return Ok(None);
        }
        self.fill();
        let server = self.inner.server.as_str();
        let context = Context { server, operation: Operation::Read, path: &self.path };
        let Some(first) = self.in_flight.front_mut() else { return Ok(None) };
        let reply = first.answer.answer().await.map_err(|error| context.link(error))?;
        let (offset, len) = (first.offset, first.len);
        match reply {
            Reply::Data(data) if data.is_empty() => Ok(None),
            Reply::Data(data) if data.len() <= len as usize => {
                self.in_flight.pop_front();
                self.depth = (self.depth + 2).min(MAX_DEPTH);
                let got = u32::try_from(data.len()).unwrap_or(len);
                if got < len {
                    // A short answer: the rest is asked for again, ahead of what follows.
                    let rest = self.ask(offset + u64::from(got), len - got, None);
                    self.in_flight.push_front(rest);
                }
                Ok(Some(data))
            }
            Reply::Status { code: status::EOF, .. } => Ok(None),
            other => Err(context.unexpected(other)),
        }
    }

    fn fill(&mut self) {
        let len = self.inner.capabilities.max_read_bytes;
        while self.in_flight.len() < self.depth {
            let budget = Arc::clone(self.inner.link.budget());
            let room = budget.try_acquire_many_owned(len).ok();
            if room.is_none() && self.in_flight.len() >= FREE_DEPTH {
                return;
            }
            let part = self.ask(self.next_offset, len, room);
            self.in_flight.push_back(part);
            self.next_offset += u64::from(len);
        }
    }

    fn ask(&self, offset: u64, len: u32, room: Option<OwnedSemaphorePermit>) -> Part {
        let answer = self.inner.link.send(Request::Read { handle: &self.handle, offset, len });
        Part { offset, len, answer, _room: room }
    }
}
