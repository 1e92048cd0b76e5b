//! Writing a file with many requests in flight, and knowing at the end that all of it arrived.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::sync::OwnedSemaphorePermit;

use crate::error::{Context, Error, Operation};
use crate::link::{LinkError, Pending};
use crate::session::Inner;
use crate::wire::{Reply, Request, open, status};

/// WRITEs in flight.
const MAX_DEPTH: usize = 64;
/// WRITEs that need no room in the session's budget, so that no writer ever stands still.
const FREE_DEPTH: usize = 2;

/// What is expected under the path, and what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteMode {
    /// A new file, or an old one emptied.
    Truncate,
    /// A new file; fails when there is one.
    CreateNew,
    /// Goes on at this byte of a partial file, which must hold at least as many.
    ResumeAt(u64),
}

/// A file being written. Dropping it before [`Writer::finish`] leaves a partial file behind.
pub struct Writer {
    inner: Arc<Inner>,
    path: String,
    handle: Option<Bytes>,
    in_flight: VecDeque<Part>,
    small: BytesMut,
    next_offset: u64,
    broken: bool,
}

struct Part {
    answer: Pending,
    _room: Option<OwnedSemaphorePermit>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Writer");
        shown.field("path", &self.path).field("next_offset", &self.next_offset);
        shown.finish_non_exhaustive()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            drop(self.inner.link.send(Request::Close { handle: &handle }));
        }
    }
}

impl Writer {
    pub(crate) async fn open(
        inner: Arc<Inner>,
        path: &str,
        mode: WriteMode,
    ) -> Result<Self, Error> {
        let context = inner.context(Operation::Write, path);
        let (flags, offset) = match mode {
            WriteMode::Truncate => (open::CREATE | open::TRUNCATE, 0),
            WriteMode::CreateNew => (open::CREATE | open::EXCLUSIVE, 0),
            WriteMode::ResumeAt(offset) => (open::CREATE, offset),
        };
        let request = Request::Open { path, flags: open::WRITE | flags };
        let handle = match inner.link.ask(request).await.map_err(|error| context.link(error))? {
            Reply::Handle(handle) => handle,
            Reply::Status { code: status::FAILURE, .. } if mode == WriteMode::CreateNew => {
                let (server, path) = (inner.server.clone(), path.to_owned());
                return Err(Error::TargetExists { server, path });
            }
            other => return Err(context.unexpected(other)),
        };
        let writer = Self {
            path: path.to_owned(),
            handle: Some(handle),
            in_flight: VecDeque::new(),
            small: BytesMut::new(),
            next_offset: offset,
            broken: false,
            inner,
        };
        if offset > 0 {
            writer.refuse_gap(offset).await?;
        }
        Ok(writer)
    }

    async fn refuse_gap(&self, offset_bytes: u64) -> Result<(), Error> {
        let Some(handle) = &self.handle else { return Ok(()) };
        let context = self.inner.context(Operation::Write, &self.path);
        let asked = self.inner.link.ask(Request::Fstat { handle }).await;
        match asked.map_err(|error| context.link(error))? {
            Reply::Attributes(raw) if raw.size.is_some_and(|size| size < offset_bytes) => {
                Err(Error::ResumeGap {
                    server: self.inner.server.clone(),
                    path: self.path.clone(),
                    size_bytes: raw.size.unwrap_or(0),
                    offset_bytes,
                })
            }
            Reply::Attributes(_) => Ok(()),
            other => Err(context.unexpected(other)),
        }
    }

    /// Sends the next bytes of the file; waits only while enough is in flight.
    ///
    /// Pieces of any size are good: small ones are gathered into full packets. If a call is
    /// cancelled, the writer cannot be used any more.
    ///
    /// # Errors
    /// The refusal of this or an earlier piece, or what a connection can suffer. The writer cannot
    /// be used any more.
    pub async fn write(&mut self, mut data: Bytes) -> Result<(), Error> {
        self.refuse_broken()?;
        self.broken = true;
        let packet = self.inner.capabilities.max_write_bytes as usize;
        while !data.is_empty() {
            if self.small.is_empty() && data.len() >= packet {
                let piece = data.split_to(packet);
                self.send(piece).await?;
                continue;
            }
            let piece = data.split_to(data.len().min(packet - self.small.len()));
            self.small.extend_from_slice(&piece);
            if self.small.len() == packet {
                let full = self.small.split().freeze();
                self.send(full).await?;
            }
        }
        self.broken = false;
        Ok(())
    }

    /// Waits until the server holds everything, asks it to write to disk where it can, and closes
    /// the file. Returns the position after the last byte.
    ///
    /// # Errors
    /// As [`Writer::write`]; a full disk or quota may show only here.
    pub async fn finish(mut self) -> Result<u64, Error> {
        self.refuse_broken()?;
        if !self.small.is_empty() {
            let last = self.small.split().freeze();
            self.send(last).await?;
        }
        while let Some(mut part) = self.in_flight.pop_front() {
            let answer = part.answer.answer().await;
            self.accept(answer)?;
        }
        let Some(handle) = self.handle.take() else { return Ok(self.next_offset) };
        if self.inner.capabilities.fsync {
            let arguments: [&[u8]; 1] = [&handle];
            let request = Request::Extended { name: "fsync@openssh.com", arguments: &arguments };
            match self.inner.link.ask(request).await {
                Ok(Reply::Status { code: status::UNSUPPORTED, .. }) => {}
                answer => self.accept(answer)?,
            }
        }
        let closed = self.inner.link.ask(Request::Close { handle: &handle }).await;
        self.accept(closed)?;
        Ok(self.next_offset)
    }

    async fn send(&mut self, data: Bytes) -> Result<(), Error> {
        while let Some(answer) = self.in_flight.front_mut().and_then(|p| p.answer.try_answer()) {
            self.in_flight.pop_front();
            self.accept(answer)?;
        }
        let bytes = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let room = loop {
            let budget = Arc::clone(self.inner.link.budget());
            let room = budget.try_acquire_many_owned(bytes).ok();
            let limit = if room.is_some() { MAX_DEPTH } else { FREE_DEPTH };
            if self.in_flight.len() < limit {
                break room;
            }
            drop(room);
            if let Some(first) = self.in_flight.front_mut() {
                let answer = first.answer.answer().await;
                self.in_flight.pop_front();
                self.accept(answer)?;
            }
        };
        let Some(handle) = &self.handle else { return Ok(()) };
        let offset = self.next_offset;
        self.next_offset += u64::from(bytes);
        let answer = self.inner.link.send(Request::Write { handle, offset, data });
        self.in_flight.push_back(Part { answer, _room: room });
        Ok(())
    }

    fn accept(&self, answer: Result<Reply, LinkError>) -> Result<(), Error> {
        let context = self.context();
        match answer.map_err(|error| context.link(error))? {
            Reply::Status { code: status::OK, .. } => Ok(()),
            other => Err(context.unexpected(other)),
        }
    }

    fn refuse_broken(&self) -> Result<(), Error> {
        if self.broken {
            let reason = "an earlier piece was not written".to_owned();
            return Err(self.context().link(LinkError::Closed(reason)));
        }
        Ok(())
    }

    fn context(&self) -> Context<'_> {
        self.inner.context(Operation::Write, &self.path)
    }
}
