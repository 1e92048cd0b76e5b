//! Reading a file with many requests in flight, handed out in order.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use crate::attributes::Attributes;
use crate::error::{Error, Operation};
use crate::inner::{ALL_TURNS, Inner, Opened};
use crate::link::{Held, LinkError, Pending, room};
use crate::pace::{First, MAX_DEPTH, Pace};
use crate::wire::{Reply, Request, open, status};

/// A transfer starts with few READs in flight, for small files are many.
const FIRST_DEPTH: usize = 4;
/// READs that need no room in the budget, so that no reader ever stands still.
const FREE_DEPTH: usize = 2;

/// A file being read. Dropping it closes the file on the server.
pub struct Reader {
    inner: Arc<Inner>,
    path: String,
    file: Opened,
    in_flight: VecDeque<Part>,
    next_offset: u64,
    /// READs in flight at the moment; it grows.
    depth: usize,
    /// How this file is asked for; more carefully than the session's others until it is known
    /// whether that helps.
    pace: Pace,
    /// The length of the last answer that was short.
    short: Option<u32>,
    /// What ended the last attempt: the file has to be opened again.
    failed: Option<Failed>,
    ended: bool,
}

struct Part {
    offset: u64,
    len: u32,
    /// READs in flight when it was asked, itself included.
    depth: usize,
    answer: Pending,
    _room: Option<OwnedSemaphorePermit>,
}

impl Part {
    fn used(&self) -> Pace {
        Pace { packet_bytes: self.len, depth: self.depth }
    }
}

struct Failed {
    error: Error,
    hung_up: bool,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Reader");
        shown.field("path", &self.path).field("next_offset", &self.next_offset);
        shown.finish_non_exhaustive()
    }
}

impl Reader {
    pub(crate) async fn open(inner: Arc<Inner>, path: &str, offset: u64) -> Result<Self, Error> {
        let request = Request::Open { path, flags: open::READ };
        let file = inner.open(inner.context(Operation::Read, path), request).await?;
        Ok(Self {
            pace: inner.reads.pace(),
            inner,
            path: path.to_owned(),
            file,
            in_flight: VecDeque::new(),
            next_offset: offset,
            depth: FIRST_DEPTH,
            short: None,
            failed: None,
            ended: false,
        })
    }

    /// Size and time of the open file, also when its name was moved away.
    ///
    /// # Errors
    /// What a connection can suffer.
    pub async fn attributes(&self) -> Result<Attributes, Error> {
        let context = self.inner.context(Operation::Stat, &self.path);
        let request = Request::Fstat { handle: self.file.handle() };
        match self.file.line.link.ask(request).await.map_err(|error| context.link(error))? {
            Reply::Attributes(raw) => Ok(raw.into()),
            other => Err(context.unexpected(other)),
        }
    }

    /// The next piece of the file, of any size but never empty; `None` at its end.
    ///
    /// Safe to cancel: nothing is lost, the next call goes on. A server that fails under several
    /// READs at a time is asked again with one, one that hangs up over a new connection.
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
        while !self.ended {
            self.reopen().await?;
            if let Err(error) = self.fill().await {
                self.give_way(error)?;
                continue;
            }
            let Some(first) = self.in_flight.front_mut() else { return Ok(None) };
            match first.answer.answer().await {
                Ok(Reply::Data(data)) if data.is_empty() => return Ok(None),
                Ok(Reply::Data(data)) if data.len() <= first.len as usize => {
                    self.took(data.len());
                    return Ok(Some(data));
                }
                Ok(Reply::Status { code: status::EOF, .. }) => {
                    self.inner.reads.proved(first.used());
                    // The whole file came: if more care was taken, it helped.
                    self.learn(self.pace);
                    return Ok(None);
                }
                Ok(other) => {
                    let context = self.inner.context(Operation::Read, &self.path);
                    let more_careful = matches!(
                        other,
                        Reply::Status { code: status::FAILURE | status::BAD_MESSAGE, .. }
                    );
                    let error = context.unexpected(other);
                    if !more_careful {
                        return Err(error);
                    }
                    self.step_down(Failed { error, hung_up: false })?;
                }
                Err(error) => self.give_way(error)?,
            }
        }
        Ok(None)
    }

    /// The first part was answered with this many bytes.
    fn took(&mut self, bytes: usize) {
        let Some(first) = self.in_flight.pop_front() else { return };
        let got = u32::try_from(bytes).unwrap_or(first.len);
        let used = Pace { packet_bytes: got, depth: first.depth };
        self.inner.reads.proved(used);
        self.depth = (self.depth + 2).min(MAX_DEPTH);
        if got == first.len {
            return;
        }
        if self.short == Some(got) {
            // Twice the same: it is the server's limit, not the end of the file.
            self.pace.packet_bytes = got;
            self.learn(self.pace);
        }
        self.short = Some(got);
        let (offset, len) = (first.offset + u64::from(got), first.len - got);
        // The rest is asked for again, ahead of what follows; or all of it, where that must not be.
        let turn = Arc::clone(&self.inner.turns).try_acquire_owned().ok();
        if self.in_flight.is_empty() || turn.is_none() {
            self.in_flight.clear();
            self.next_offset = offset;
        } else {
            let depth = self.in_flight.len() + 1;
            let rest = self.ask(offset, len, depth, None, turn);
            self.in_flight.push_front(rest);
        }
    }

    fn learn(&self, pace: Pace) {
        if self.inner.reads.learn(pace) {
            self.inner.tell();
        }
    }

    /// No answer came: if the server hung up under what it was not known to take, it is asked more
    /// carefully.
    fn give_way(&mut self, error: LinkError) -> Result<(), Error> {
        let hung_up = matches!(error, LinkError::Closed(_)) && !self.inner.is_closed();
        let error = self.inner.context(Operation::Read, &self.path).link(error);
        if hung_up { self.step_down(Failed { error, hung_up }) } else { Err(error) }
    }

    fn step_down(&mut self, failed: Failed) -> Result<(), Error> {
        let limit = self.inner.reads.pace().and(self.pace);
        // All that was in flight counts: a server may fail at the first for the sake of the last.
        let used = self.in_flight.iter().map(Part::used).fold(Pace::NOTHING, Pace::or);
        let lowered_by_others = limit.and(used) != used;
        let lower = if lowered_by_others {
            Some(limit)
        } else if failed.hung_up && self.inner.reads.is_proven(used) {
            // Not for the sake of this file; perhaps for that of another.
            self.inner.is_worth_renewing(&self.file.line).then_some(limit)
        } else {
            // A refusal is tried again in any case, for it costs no connection.
            limit.slower(used.packet_bytes, First::Depth)
        };
        let Some(lower) = lower else { return Err(failed.error) };
        if failed.hung_up {
            // It hits every transfer of the session, so all of them have to know.
            self.file.line.blame();
            self.learn(lower);
        }
        self.pace = lower;
        self.next_offset = self.in_flight.front().map_or(self.next_offset, |part| part.offset);
        self.in_flight.clear();
        self.failed = Some(failed);
        Ok(())
    }

    /// After a step down: a fresh handle, over a new connection if the old one is lost. Whether the
    /// file is still the same is for the caller to check at the end.
    async fn reopen(&mut self) -> Result<(), Error> {
        let Some(failed) = &self.failed else { return Ok(()) };
        if failed.hung_up && self.inner.renew(&self.file.line).await.is_err() {
            return Err(match self.failed.take() {
                Some(failed) => failed.error,
                None => return Ok(()),
            });
        }
        // Where only one file may be open, the failed one has to be closed first.
        self.file.let_go();
        let request = Request::Open { path: &self.path, flags: open::READ };
        let context = self.inner.context(Operation::Read, &self.path);
        self.file = self.inner.open(context, request).await?;
        self.failed = None;
        Ok(())
    }

    async fn fill(&mut self) -> Result<(), LinkError> {
        loop {
            let pace = self.inner.reads.pace().and(self.pace);
            if self.in_flight.len() >= self.depth.min(pace.depth) {
                return Ok(());
            }
            let len = pace.packet_bytes;
            let link = &self.file.line.link;
            let room = room(len);
            if room.is_none() && self.in_flight.len() >= FREE_DEPTH {
                return Ok(());
            }
            let alone = pace.depth == 1;
            let turns = Arc::clone(&self.inner.turns);
            let turn = if self.in_flight.is_empty() {
                let wanted = turns.acquire_many_owned(if alone { ALL_TURNS } else { 1 });
                link.patiently(wanted).await?.ok()
            } else {
                let Ok(turn) = turns.try_acquire_owned() else { return Ok(()) };
                Some(turn)
            };
            if self.inner.reads.pace().and(self.pace) != pace {
                continue;
            }
            let depth = self.in_flight.len() + 1;
            let part = self.ask(self.next_offset, len, depth, room, turn);
            self.in_flight.push_back(part);
            self.next_offset += u64::from(len);
        }
    }

    fn ask(
        &self,
        offset: u64,
        len: u32,
        depth: usize,
        room: Option<OwnedSemaphorePermit>,
        turn: Option<OwnedSemaphorePermit>,
    ) -> Part {
        let request = Request::Read { handle: self.file.handle(), offset, len };
        let held = turn.map(|turn| Arc::new(turn) as Held);
        self.inner.reads.trying(Pace { packet_bytes: len, depth });
        let answer = self.file.line.link.send_holding(request, held);
        Part { offset, len, depth, answer, _room: room }
    }
}
