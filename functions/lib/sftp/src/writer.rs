//! Writing a file with many requests in flight, and knowing at the end that all of it arrived.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::sync::OwnedSemaphorePermit;

use crate::error::{Context, Error, Operation};
use crate::inner::{Inner, Opened};
use crate::line::Afloat;
use crate::link::{LinkError, Pending, room};
use crate::pace::{First, MAX_DEPTH, Pace};
use crate::wire::{Reply, Request, open, status};

/// WRITEs that need no room in the budget, so that no writer ever stands still.
const FREE_DEPTH: usize = 2;
/// WRITEs that carry what the line holds, at least: smaller ones are answered sooner.
const LEAST_DEPTH: u64 = 4;

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
    file: Opened,
    in_flight: VecDeque<Part>,
    /// What still has to be sent, in order.
    queue: VecDeque<(u64, Bytes)>,
    small: BytesMut,
    next_offset: u64,
    /// How this file is sent; more carefully than the session's others until it is known whether
    /// that helps.
    pace: Pace,
    broken: bool,
}

struct Part {
    offset: u64,
    /// Kept until the server has it.
    data: Bytes,
    /// WRITEs in flight when it was sent, itself included.
    depth: usize,
    answer: Pending,
    _room: Option<OwnedSemaphorePermit>,
    _afloat: Afloat,
}

impl Part {
    fn used(&self) -> Pace {
        let packet_bytes = u32::try_from(self.data.len()).unwrap_or(u32::MAX);
        Pace { packet_bytes, depth: self.depth }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Writer");
        shown.field("path", &self.path).field("next_offset", &self.next_offset);
        shown.finish_non_exhaustive()
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
        let file = match inner.open(context, request).await {
            Err(Error::Refused { status: status::FAILURE, .. }) if mode == WriteMode::CreateNew => {
                let (server, path) = (inner.server.clone(), path.to_owned());
                return Err(Error::TargetExists { server, path });
            }
            opened => opened?,
        };
        let writer = Self {
            path: path.to_owned(),
            file,
            in_flight: VecDeque::new(),
            queue: VecDeque::new(),
            small: BytesMut::new(),
            next_offset: offset,
            pace: inner.writes.pace(),
            broken: false,
            inner,
        };
        if offset > 0 {
            writer.refuse_gap(offset).await?;
        }
        Ok(writer)
    }

    async fn refuse_gap(&self, offset_bytes: u64) -> Result<(), Error> {
        let context = self.context();
        let asked = self.file.line.link.ask(Request::Fstat { handle: self.file.handle() }).await;
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
        let packet = self.limit().packet_bytes as usize;
        while !data.is_empty() {
            if self.small.is_empty() && data.len() >= packet {
                let piece = data.split_to(packet);
                self.send(piece).await?;
                continue;
            }
            let gap = packet.saturating_sub(self.small.len());
            let piece = data.split_to(data.len().min(gap));
            self.small.extend_from_slice(&piece);
            if self.small.len() >= packet {
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
            self.settle(part, answer).await?;
            self.pump().await?;
        }
        // The server has all of it: if more care was taken, it helped.
        self.learn(self.pace);
        let mut sealed = self.seal().await;
        if let Err(LinkError::Closed(reason)) = &sealed
            && self.inner.is_worth_renewing(&self.file.line)
        {
            let lost = self.context().link(LinkError::Closed(reason.clone()));
            self.reopen(self.next_offset, lost).await?;
            sealed = self.seal().await;
        }
        accept(self.context(), sealed)?;
        Ok(self.next_offset)
    }

    /// On disk, where the server offers that, and closed.
    async fn seal(&mut self) -> Result<Reply, LinkError> {
        if self.inner.capabilities.fsync {
            let arguments: [&[u8]; 1] = [self.file.handle()];
            let request = Request::Extended { name: "fsync@openssh.com", arguments: &arguments };
            match self.file.line.link.ask(request).await? {
                Reply::Status { code: status::OK | status::UNSUPPORTED, .. } => {}
                refused => return Ok(refused),
            }
        }
        self.file.close().await
    }

    async fn send(&mut self, data: Bytes) -> Result<(), Error> {
        let offset = self.next_offset;
        self.next_offset += data.len() as u64;
        self.queue.push_back((offset, data));
        self.pump().await
    }

    fn limit(&self) -> Pace {
        self.inner.writes.pace().and(self.pace)
    }

    /// Sends what is queued; waits only while enough is in flight.
    async fn pump(&mut self) -> Result<(), Error> {
        loop {
            while let Some(answer) = self.in_flight.front_mut().and_then(|p| p.answer.try_answer())
            {
                let Some(part) = self.in_flight.pop_front() else { break };
                self.settle(part, answer).await?;
            }
            let limit = self.limit();
            let line = self.file.line.link.line();
            let share = u32::try_from(line.holds_bytes() / LEAST_DEPTH).unwrap_or(u32::MAX);
            let packet = limit.packet_bytes.min(share) as usize;
            let Some((_, next)) = self.queue.front() else { return Ok(()) };
            let bytes = u32::try_from(next.len().min(packet)).unwrap_or(u32::MAX);
            let fits = line.has_room(bytes);
            let room = fits.then(|| room(bytes)).flatten();
            let depth = match (fits, &room) {
                (false, _) => 1,
                (true, None) => FREE_DEPTH,
                (true, Some(_)) => MAX_DEPTH,
            };
            if self.in_flight.len() < depth.min(limit.depth) {
                self.send_one(packet, room);
                continue;
            }
            drop(room);
            if let Some(first) = self.in_flight.front_mut() {
                let answer = first.answer.answer().await;
                if let Some(part) = self.in_flight.pop_front() {
                    self.settle(part, answer).await?;
                }
            }
        }
    }

    fn send_one(&mut self, packet: usize, room: Option<OwnedSemaphorePermit>) {
        let Some((offset, mut data)) = self.queue.pop_front() else { return };
        if data.len() > packet {
            let rest = data.split_off(packet);
            self.queue.push_front((offset + packet as u64, rest));
        }
        let request = Request::Write { handle: self.file.handle(), offset, data: data.clone() };
        let link = &self.file.line.link;
        let afloat = link.line().float(data.len());
        let answer = link.send(request);
        let depth = self.in_flight.len() + 1;
        let part = Part { offset, data, depth, answer, _room: room, _afloat: afloat };
        self.inner.writes.trying(part.used());
        self.in_flight.push_back(part);
    }

    /// Takes the answer to a WRITE. A server that fails under what it was not known to take is sent
    /// the same again, more carefully.
    async fn settle(&mut self, part: Part, answer: Result<Reply, LinkError>) -> Result<(), Error> {
        let hung_up = matches!(answer, Err(LinkError::Closed(_))) && !self.inner.is_closed();
        let refused =
            matches!(answer, Ok(Reply::Status { code: status::FAILURE | status::BAD_MESSAGE, .. }));
        let Err(error) = accept(self.context(), answer) else {
            self.inner.writes.proved(part.used());
            return Ok(());
        };
        if !(hung_up || refused) {
            return Err(error);
        }
        // All that was in flight counts: a server may fail at the first for the sake of the last.
        let used = self.in_flight.iter().map(Part::used).fold(part.used(), Pace::or);
        let limit = self.limit();
        let lower = if limit.and(used) != used {
            Some(limit)
        } else if self.inner.writes.is_proven(used) {
            // Not for the sake of this file; perhaps for that of another.
            (hung_up && self.inner.is_worth_renewing(&self.file.line)).then_some(limit)
        } else {
            limit.slower(used.packet_bytes, First::Packet)
        };
        let Some(lower) = lower else { return Err(error) };
        self.pace = lower;
        let acknowledged = part.offset;
        for part in self.in_flight.drain(..).rev().chain([part]) {
            self.queue.push_front((part.offset, part.data));
        }
        if hung_up {
            // It hits every transfer of the session, so all of them have to know.
            self.file.line.blame();
            self.learn(lower);
            self.reopen(acknowledged, error).await?;
        }
        Ok(())
    }

    fn learn(&self, pace: Pace) {
        if self.inner.writes.learn(pace) {
            self.inner.tell();
        }
    }

    /// Opens the same file over a new connection; it has to hold what was acknowledged.
    async fn reopen(&mut self, acknowledged: u64, lost: Error) -> Result<(), Error> {
        if self.inner.renew(&self.file.line).await.is_err() {
            return Err(lost);
        }
        self.file.let_go();
        // Not created again: a server that takes files away must not be left an empty one.
        let request = Request::Open { path: &self.path, flags: open::WRITE };
        let context = self.inner.context(Operation::Write, &self.path);
        self.file = match self.inner.open(context, request).await {
            Err(Error::NoSuchDirectory { .. }) => return Err(lost),
            opened => opened?,
        };
        self.refuse_gap(acknowledged).await
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

fn accept(context: Context<'_>, answer: Result<Reply, LinkError>) -> Result<(), Error> {
    match answer.map_err(|error| context.link(error))? {
        Reply::Status { code: status::OK, .. } => Ok(()),
        other => Err(context.unexpected(other)),
    }
}
