//! Many questions in flight over one SSH channel: numbers them, hands each answer to who asked,
//! and notices when the server falls silent.

use std::any::Any;
use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, client};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::line::Line;
use crate::wire::{self, Frame, Malformed, Reply, Request};

/// Bytes that all transfers of this process together keep in flight, beyond two requests each,
/// however many sessions there are: enough for one that fills a long line.
const BUDGET_BYTES: usize = 24 << 20;
static BUDGET: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(BUDGET_BYTES)));
/// Bytes handed to the SSH layer at once; each step counts as progress.
const STEP_BYTES: usize = 32 << 10;

/// Why no answer came.
#[derive(Clone, Debug)]
pub(crate) enum LinkError {
    Closed(String),
    Idle(Duration),
    /// The time for the whole session is over.
    Over(Duration),
    Malformed(String),
}

/// How long a session waits.
pub(crate) struct Patience {
    idle: Duration,
    over: Mutex<Option<(Instant, Duration)>>,
}

impl Patience {
    pub(crate) fn new(idle: Duration) -> Arc<Self> {
        Arc::new(Self { idle, over: Mutex::default() })
    }

    /// Ends every wait after that long.
    pub(crate) fn end_after(&self, left: Duration) {
        // What lies beyond the clock is no end.
        let over = Instant::now().checked_add(left).map(|at| (at, left));
        *self.over.lock().unwrap_or_else(PoisonError::into_inner) = over;
    }

    /// When every wait ends, and how long that was from when it was set.
    pub(crate) fn over(&self) -> Option<(Instant, Duration)> {
        *self.over.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is let go only when the server has answered: a place among the open files, a turn.
pub(crate) type Held = Arc<dyn Any + Send + Sync>;

struct Waiting {
    sender: oneshot::Sender<Reply>,
    held: Option<Held>,
    asked: Instant,
}

#[derive(Default)]
struct State {
    waiting: HashMap<u32, Waiting>,
    ended: Option<LinkError>,
}

struct Shared {
    state: Mutex<State>,
    outgoing: mpsc::UnboundedSender<Frame>,
    next_id: AtomicU32,
    epoch: Instant,
    last_progress_ms: AtomicU64,
    line: Line,
    patience: Arc<Patience>,
    farewell: Farewell,
}

/// What the server said when it hung up, filled in by the SSH layer.
pub(crate) type Farewell = Arc<Mutex<Option<String>>>;

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn progress(&self) {
        let now = u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_progress_ms.store(now, Ordering::Relaxed);
    }

    fn last_progress(&self) -> Instant {
        self.epoch + Duration::from_millis(self.last_progress_ms.load(Ordering::Relaxed))
    }

    fn end(&self, why: LinkError) {
        let waiting = {
            let mut state = self.state();
            state.ended.get_or_insert(why);
            std::mem::take(&mut state.waiting)
        };
        drop(waiting);
    }

    /// Waits for anything, as long as the session makes any progress.
    async fn patiently<F: Future>(
        &self,
        since: Instant,
        extra: Duration,
        wanted: F,
    ) -> Result<F::Output, LinkError> {
        let idle = self.patience.idle.saturating_add(extra);
        let mut wanted = pin!(wanted);
        loop {
            let quiet_since = since.max(self.last_progress());
            let mut deadline = quiet_since + idle;
            if let Some((at, whole)) = self.patience.over() {
                if at <= Instant::now() {
                    return Err(LinkError::Over(whole));
                }
                deadline = deadline.min(at);
            }
            if let Ok(output) = tokio::time::timeout_at(deadline, wanted.as_mut()).await {
                return Ok(output);
            }
            // Else the end over all came first, which the next round finds.
            if deadline == quiet_since + idle && self.last_progress() <= quiet_since {
                return Err(LinkError::Idle(idle));
            }
        }
    }

    fn why_ended(&self) -> LinkError {
        let ended = self.state().ended.clone();
        match ended {
            Some(LinkError::Closed(reason)) => {
                let said = self.farewell.lock().unwrap_or_else(PoisonError::into_inner).clone();
                LinkError::Closed(said.unwrap_or(reason))
            }
            Some(other) => other,
            None => LinkError::Closed("the session was closed".to_owned()),
        }
    }

    fn deliver(&self, packet: Bytes) -> Result<(), Malformed> {
        let (id, reply) = wire::reply(packet)?;
        let waiting = self.state().waiting.remove(&id);
        // An answer that nobody asked for says nothing about what is open.
        let Some(Waiting { sender, held, asked }) = waiting else { return Ok(()) };
        self.line.answered_in(asked.elapsed());
        // Whoever opened this is gone; the server must not keep it open.
        if let Err(Reply::Handle(handle)) = sender.send(reply) {
            drop(self.ask(Request::Close { handle: &handle }, held));
        }
        Ok(())
    }

    fn ask(&self, request: Request<'_>, held: Option<Held>) -> (u32, oneshot::Receiver<Reply>) {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        {
            let mut state = self.state();
            if state.ended.is_none() {
                state.waiting.insert(id, Waiting { sender, held, asked: Instant::now() });
            }
        }
        let _ = self.outgoing.send(request.encode(id));
        (id, answer)
    }
}

/// Room for a transfer to keep that many bytes more in flight, if there is any.
pub(crate) fn room(bytes: u32) -> Option<OwnedSemaphorePermit> {
    Arc::clone(&BUDGET).try_acquire_many_owned(bytes).ok()
}

/// The question side of one SFTP channel.
pub(crate) struct Link {
    shared: Arc<Shared>,
    tasks: [AbortHandle; 2],
}

impl Drop for Link {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// An answer that is due.
pub(crate) struct Pending {
    id: u32,
    shared: Arc<Shared>,
    answer: oneshot::Receiver<Reply>,
    asked: Instant,
}

impl Drop for Pending {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        // What is held is held until the server answers, whoever still listens.
        if state.waiting.get(&self.id).is_some_and(|waiting| waiting.held.is_none()) {
            state.waiting.remove(&self.id);
        }
    }
}

impl Pending {
    /// Waits for the answer, as long as the session makes any progress.
    pub(crate) async fn answer(&mut self) -> Result<Reply, LinkError> {
        self.answer_of_work(Duration::ZERO).await
    }

    /// Waits for an answer that the server has to work for, for so much longer.
    pub(crate) async fn answer_of_work(&mut self, extra: Duration) -> Result<Reply, LinkError> {
        let answer = self.shared.patiently(self.asked, extra, &mut self.answer).await?;
        answer.map_err(|_| self.shared.why_ended())
    }

    /// The answer if it is here already.
    pub(crate) fn try_answer(&mut self) -> Option<Result<Reply, LinkError>> {
        match self.answer.try_recv() {
            Ok(reply) => Some(Ok(reply)),
            Err(oneshot::error::TryRecvError::Empty) => None,
            Err(oneshot::error::TryRecvError::Closed) => Some(Err(self.shared.why_ended())),
        }
    }
}

impl Link {
    /// Greets the server over a channel on which the SFTP subsystem runs.
    pub(crate) async fn open(
        channel: Channel<client::Msg>,
        patience: Arc<Patience>,
        farewell: Farewell,
    ) -> Result<(Self, u32, Vec<(String, String)>), LinkError> {
        let (mut incoming, outgoing) = channel.split();
        let closed = |_| LinkError::Closed("the server closed the SFTP channel".to_owned());
        outgoing.data_bytes(wire::greeting()).await.map_err(closed)?;
        let mut buffer = BytesMut::new();
        let packet = loop {
            if let Some(packet) = wire::take_packet(&mut buffer).map_err(malformed)? {
                break packet;
            }
            match incoming.wait().await {
                Some(ChannelMsg::Data { data }) => buffer.extend_from_slice(&data),
                Some(ChannelMsg::Eof | ChannelMsg::Close) | None => {
                    return Err(LinkError::Closed("the server ended SFTP at once".to_owned()));
                }
                Some(_) => {}
            }
        };
        let (version, extensions) = wire::version(packet).map_err(malformed)?;
        let (sender, receiver) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            outgoing: sender,
            next_id: AtomicU32::new(1),
            epoch: Instant::now(),
            last_progress_ms: AtomicU64::new(0),
            line: Line::new(),
            patience,
            farewell,
        });
        let tasks = [
            tokio::spawn(read_all(incoming, buffer, Arc::clone(&shared))).abort_handle(),
            tokio::spawn(write_all(outgoing, receiver, Arc::clone(&shared))).abort_handle(),
        ];
        Ok((Self { shared, tasks }, version, extensions))
    }

    /// Asks; the answer is due at the returned [`Pending`], also when the session has ended.
    pub(crate) fn send(&self, request: Request<'_>) -> Pending {
        self.send_holding(request, None)
    }

    /// Asks, and lets go of something only when the server has answered.
    pub(crate) fn send_holding(&self, request: Request<'_>, held: Option<Held>) -> Pending {
        let (id, answer) = self.shared.ask(request, held);
        Pending { id, shared: Arc::clone(&self.shared), answer, asked: Instant::now() }
    }

    /// What the line to the server holds, and what is on it.
    pub(crate) fn line(&self) -> &Line {
        &self.shared.line
    }

    /// Waits for something else than an answer, with the same patience.
    pub(crate) async fn patiently<F: Future>(&self, wanted: F) -> Result<F::Output, LinkError> {
        self.shared.patiently(Instant::now(), Duration::ZERO, wanted).await
    }

    /// Asks and waits.
    pub(crate) async fn ask(&self, request: Request<'_>) -> Result<Reply, LinkError> {
        self.send(request).answer().await
    }

    /// Ends the session for everyone who still waits.
    pub(crate) fn close(&self) {
        self.shared.end(LinkError::Closed("the session was closed".to_owned()));
        for task in &self.tasks {
            task.abort();
        }
    }
}

fn malformed(error: Malformed) -> LinkError {
    LinkError::Malformed(error.0)
}

async fn read_all(mut incoming: ChannelReadHalf, mut buffer: BytesMut, shared: Arc<Shared>) {
    let why = loop {
        let mut taken = wire::take_packet(&mut buffer);
        while let Ok(Some(packet)) = taken {
            taken = shared.deliver(packet).and_then(|()| wire::take_packet(&mut buffer));
        }
        if let Err(error) = taken {
            break malformed(error);
        }
        match incoming.wait().await {
            Some(ChannelMsg::Data { data }) => {
                shared.progress();
                buffer.extend_from_slice(&data);
            }
            Some(ChannelMsg::Eof | ChannelMsg::Close) | None => {
                break LinkError::Closed("the server closed the connection".to_owned());
            }
            Some(_) => {}
        }
    };
    shared.end(why);
}

async fn write_all(
    outgoing: ChannelWriteHalf<client::Msg>,
    mut frames: mpsc::UnboundedReceiver<Frame>,
    shared: Arc<Shared>,
) {
    while let Some(first) = frames.recv().await {
        // Small questions that are waiting travel together.
        let mut heads = BytesMut::from(first.head);
        let mut data = first.data;
        while data.is_empty() && heads.len() < STEP_BYTES {
            let Ok(next) = frames.try_recv() else { break };
            heads.extend_from_slice(&next.head);
            data = next.data;
        }
        let mut sent = outgoing.data_bytes(heads.freeze()).await;
        while sent.is_ok() && !data.is_empty() {
            shared.progress();
            let step = data.split_to(STEP_BYTES.min(data.len()));
            sent = outgoing.data_bytes(step).await;
        }
        if sent.is_err() {
            shared.end(LinkError::Closed("the connection was closed".to_owned()));
            return;
        }
    }
}
