//! What all clones of a session share: the connection of the moment, and what was learned about the
//! server. A server that hangs up because it was asked for too much is asked again over a new
//! connection, more carefully.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use russh::Disconnect;
use russh::client::Handle;
use tokio::sync::Semaphore;

use crate::attributes::Attributes;
use crate::ceiling::{self, Ceiling, Place};
use crate::connect::{self, Gate};
use crate::endpoint::{Credentials, Endpoint};
use crate::error::{Context, Error, Operation};
use crate::link::{Held, Link, LinkError, Patience};
use crate::login;
use crate::pace::Learned;
use crate::slots::Slots;
use crate::start::{self, Capabilities};
use crate::wire::{Reply, Request, status};

/// The longest wait for an orderly end.
const GOODBYE: Duration = Duration::from_secs(2);
/// One session connects no more often, whatever the server does.
const MAX_CONNECTIONS: usize = 8;
/// All READs that one session can have in flight. Whoever holds all of them reads alone.
pub(crate) const ALL_TURNS: u32 = 1 << 16;

/// One connection.
pub(crate) struct Line {
    pub(crate) link: Link,
    capabilities: Capabilities,
    handle: tokio::sync::Mutex<Option<Handle<Gate>>>,
    /// A transfer knows that it asked too much here.
    blamed: AtomicBool,
    /// Given back when the connection is over.
    place: Mutex<Option<Place>>,
}

impl Line {
    async fn connect(
        endpoint: &Endpoint,
        credentials: &Credentials,
        patience: &Arc<Patience>,
        ceiling: Option<&Ceiling>,
    ) -> Result<Self, Error> {
        let attempt = || Self::attempt(endpoint, credentials, patience);
        let (mut line, place) = ceiling::admitted(ceiling, attempt).await?;
        line.place = Mutex::new(place);
        Ok(line)
    }

    async fn attempt(
        endpoint: &Endpoint,
        credentials: &Credentials,
        patience: &Arc<Patience>,
    ) -> Result<Self, Error> {
        let key = login::private_key(endpoint, credentials)?;
        let limit = endpoint.timeouts.connect + endpoint.timeouts.login;
        let attempt = async {
            let mut connection = connect::connect(endpoint).await?;
            let notes = &connection.notes;
            login::login(&mut connection.handle, notes, endpoint, credentials, key).await?;
            let patience = Arc::clone(patience);
            let (link, capabilities, handle) = start::start(endpoint, connection, patience).await?;
            let handle = tokio::sync::Mutex::new(Some(handle));
            let (blamed, place) = (AtomicBool::new(false), Mutex::default());
            Ok(Self { link, capabilities, handle, blamed, place })
        };
        tokio::time::timeout(limit, attempt).await.unwrap_or_else(|_| {
            Err(Error::Timeout {
                server: endpoint.server(),
                operation: Operation::Connect,
                path: "it".to_owned(),
                seconds: limit.as_secs(),
            })
        })
    }

    /// The next connection is asked for less than this one.
    pub(crate) fn blame(&self) {
        self.blamed.store(true, Ordering::SeqCst);
    }

    async fn close(&self) {
        self.link.close();
        let Some(handle) = self.handle.lock().await.take() else { return };
        let goodbye = async {
            let _ = handle.disconnect(Disconnect::ByApplication, "done", "en").await;
            let _ = handle.await;
        };
        let _ = tokio::time::timeout(GOODBYE, goodbye).await;
        drop(self.place.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

pub(crate) struct Inner {
    pub(crate) server: String,
    pub(crate) capabilities: Capabilities,
    pub(crate) patience: Arc<Patience>,
    pub(crate) reads: Learned,
    pub(crate) writes: Learned,
    pub(crate) slots: Arc<Slots>,
    /// One for each READ in flight.
    pub(crate) turns: Arc<Semaphore>,
    pub(crate) connections: AtomicUsize,
    /// posix-rename was announced and then refused as unknown.
    pub(crate) posix_refused: AtomicBool,
    pub(crate) ceiling: Option<Ceiling>,
    /// As the profile has it.
    pub(crate) max_connections: Option<u32>,
    endpoint: Endpoint,
    credentials: Credentials,
    line: RwLock<Arc<Line>>,
    renewing: tokio::sync::Mutex<()>,
    /// Whoever was refused an open file tries again alone.
    opening: tokio::sync::Mutex<()>,
    closed: AtomicBool,
}

impl Inner {
    pub(crate) async fn connect(
        endpoint: &Endpoint,
        credentials: &Credentials,
        max_connections: Option<u32>,
    ) -> Result<Self, Error> {
        let patience = Patience::new(endpoint.timeouts.idle);
        let ceiling = max_connections.and_then(|max| Ceiling::of(endpoint, max));
        let line = Line::connect(endpoint, credentials, &patience, ceiling.as_ref()).await?;
        let capabilities = line.capabilities;
        Ok(Self {
            server: endpoint.server(),
            capabilities,
            patience,
            reads: Learned::new(capabilities.max_read_bytes),
            writes: Learned::new(capabilities.max_write_bytes),
            slots: Slots::new(capabilities.max_open_files),
            turns: Arc::new(Semaphore::new(ALL_TURNS as usize)),
            connections: AtomicUsize::new(1),
            posix_refused: AtomicBool::new(false),
            ceiling,
            max_connections,
            endpoint: endpoint.clone(),
            credentials: credentials.clone(),
            line: RwLock::new(Arc::new(line)),
            renewing: tokio::sync::Mutex::default(),
            opening: tokio::sync::Mutex::default(),
            closed: AtomicBool::new(false),
        })
    }

    /// The connection of the moment.
    pub(crate) fn line(&self) -> Arc<Line> {
        Arc::clone(&self.line.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Connects again, unless that was done since this connection was lost.
    pub(crate) async fn renew(&self, lost: &Arc<Line>) -> Result<(), Error> {
        let _one_at_a_time = self.renewing.lock().await;
        if !Arc::ptr_eq(&self.line(), lost) {
            return Ok(());
        }
        let connections = self.connections.load(Ordering::Relaxed);
        if connections >= MAX_CONNECTIONS {
            return Err(Error::TooManyConnections {
                server: self.server.clone(),
                reason: format!("it hung up {connections} times"),
            });
        }
        lost.close().await;
        let ceiling = self.ceiling.as_ref();
        let line =
            Line::connect(&self.endpoint, &self.credentials, &self.patience, ceiling).await?;
        *self.line.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(line);
        self.connections.fetch_add(1, Ordering::Relaxed);
        if self.is_closed() {
            self.line().close().await;
        }
        Ok(())
    }

    /// Whether the end of the connection was our own wish.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    pub(crate) async fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.line().close().await;
    }

    pub(crate) fn context<'a>(&'a self, operation: Operation, path: &'a str) -> Context<'a> {
        Context { server: &self.server, operation, path }
    }

    /// Asks, and once more when a transfer made a new connection meanwhile and asking twice does no
    /// harm.
    pub(crate) async fn ask(
        &self,
        context: Context<'_>,
        request: Request<'_>,
    ) -> Result<Reply, Error> {
        let mut line = self.line();
        loop {
            let lost = match line.link.ask(request.clone()).await {
                Err(error @ LinkError::Closed(_)) if request.is_repeatable() => error,
                answer => return answer.map_err(|error| context.link(error)),
            };
            match self.renewed(&line).await {
                Some(next) => line = next,
                None => return Err(context.link(lost)),
            }
        }
    }

    /// The connection that takes this one's place, if the server may have hung up because a transfer
    /// asked too much of it.
    async fn renewed(&self, lost: &Arc<Line>) -> Option<Arc<Line>> {
        if !self.is_worth_renewing(lost) {
            return None;
        }
        self.renew(lost).await.ok()?;
        Some(self.line())
    }

    /// Whether a lost connection may go on as another: some transfer asked, or was about to ask, for
    /// more than the server was seen to take.
    pub(crate) fn is_worth_renewing(&self, lost: &Line) -> bool {
        let on_trial = self.reads.is_on_trial() || self.writes.is_on_trial();
        !self.is_closed() && (on_trial || lost.blamed.load(Ordering::SeqCst))
    }

    pub(crate) async fn done(
        &self,
        context: Context<'_>,
        request: Request<'_>,
    ) -> Result<(), Error> {
        match self.ask(context, request).await? {
            Reply::Status { code: status::OK, .. } => Ok(()),
            other => Err(context.unexpected(other)),
        }
    }

    pub(crate) async fn look(
        &self,
        path: &str,
        request: Request<'_>,
    ) -> Result<Option<Attributes>, Error> {
        let context = self.context(Operation::Stat, path);
        match self.ask(context, request).await? {
            Reply::Attributes(raw) => Ok(Some(raw.into())),
            Reply::Status { code: status::NO_SUCH_FILE | status::NO_SUCH_PATH, .. } => Ok(None),
            other => Err(context.unexpected(other)),
        }
    }

    /// Opens a file or directory. Where the server has no more room, this waits until another
    /// transfer of this session has closed its own.
    pub(crate) async fn open(
        &self,
        context: Context<'_>,
        request: Request<'_>,
    ) -> Result<Opened, Error> {
        let mut line = self.line();
        let mut refused_with = None;
        let mut alone = None;
        loop {
            let taken = line.link.patiently(Arc::clone(&self.slots).take()).await;
            let slot = taken.map_err(|error| no_room(context, error))?;
            let held: Held = Arc::clone(&slot) as Held;
            let others_then = self.slots.open().saturating_sub(1);
            match line.link.send_holding(request.clone(), Some(held)).answer().await {
                Ok(Reply::Handle(handle)) => {
                    if refused_with.is_some_and(|open| self.slots.learn(open)) {
                        self.tell();
                    }
                    return Ok(Opened { line, handle: Some(handle), slot });
                }
                Ok(Reply::Status { code, message }) => {
                    // Another file may have been closed since the server refused this one.
                    let others = self.slots.open().saturating_sub(1).max(others_then);
                    let full = no_more_files(&request, code, &message, context);
                    drop(slot);
                    if !full || others == 0 {
                        return Err(context.status(code, message));
                    }
                    refused_with = Some(refused_with.unwrap_or(others).min(others));
                    if alone.is_none() {
                        let turn = line.link.patiently(self.opening.lock()).await;
                        alone = Some(turn.map_err(|error| no_room(context, error))?);
                    }
                    let fewer = Arc::clone(&self.slots).fewer_than(others);
                    line.link.patiently(fewer).await.map_err(|error| no_room(context, error))?;
                }
                Ok(other) => return Err(context.unexpected(other)),
                Err(error @ LinkError::Closed(_)) if request.is_repeatable() => {
                    drop(slot);
                    let next = self.renewed(&line).await;
                    line = next.ok_or_else(|| context.link(error))?;
                }
                Err(error) => return Err(context.link(error)),
            }
        }
    }

    /// Connections that this account may have at once.
    pub(crate) fn connections_at_once(&self) -> Option<u32> {
        self.ceiling.as_ref().map(Ceiling::at_once).or(self.max_connections)
    }

    /// Says how much this server takes at once.
    pub(crate) fn tell(&self) {
        let (reads, writes) = (self.reads.pace(), self.writes.pace());
        tracing::info!(
            server = %self.server,
            read_bytes = reads.packet_bytes,
            reads_in_flight = reads.depth,
            write_bytes = writes.packet_bytes,
            writes_in_flight = writes.depth,
            files_at_once = self.slots.max(),
            connections = self.connections.load(Ordering::Relaxed),
            connections_at_once = self.connections_at_once(),
            "effective SFTP concurrency"
        );
    }
}

/// Nobody closed a file for as long as the session may stand still.
fn no_room(context: Context<'_>, error: LinkError) -> Error {
    match error {
        LinkError::Idle(idle) => Error::TooManyOpenFiles {
            server: context.server.to_owned(),
            operation: context.operation,
            path: context.path.to_owned(),
            reason: format!("none of this session was closed for {} s", idle.as_secs()),
        },
        other => context.link(other),
    }
}

/// Whether a refusal may mean that too much is open. Few servers say so; of a file that must be new
/// a bare failure means that there is one already.
fn no_more_files(request: &Request<'_>, code: u32, message: &str, context: Context<'_>) -> bool {
    match context.status(code, message.to_owned()) {
        Error::TooManyOpenFiles { .. } => true,
        Error::Refused { status: status::FAILURE, .. } => request.is_repeatable(),
        _ => false,
    }
}

/// An open file or directory. Dropping it closes it on the server.
pub(crate) struct Opened {
    pub(crate) line: Arc<Line>,
    handle: Option<Bytes>,
    slot: Held,
}

impl Opened {
    pub(crate) fn handle(&self) -> &[u8] {
        self.handle.as_deref().unwrap_or_default()
    }

    /// Closes it and tells what the server says.
    pub(crate) async fn close(&mut self) -> Result<Reply, LinkError> {
        let handle = self.handle.take().unwrap_or_default();
        let held = Some(Arc::clone(&self.slot));
        self.line.link.send_holding(Request::Close { handle: &handle }, held).answer().await
    }
}

impl Opened {
    /// Closes it without waiting.
    pub(crate) fn let_go(&mut self) {
        // The server works in order: this closes the file after the requests that are on their way.
        if let Some(handle) = self.handle.take() {
            let held = Some(Arc::clone(&self.slot));
            drop(self.line.link.send_holding(Request::Close { handle: &handle }, held));
        }
        self.slot = Arc::new(());
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.let_go();
    }
}
