//! Time and chance, as a port: a machine that retries after 30 seconds is tested in milliseconds.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::watch;

/// What the engine needs to know about time.
///
/// Sleeping and limiting are two methods, for they must differ under test. A *sleep* (Wait, delay
/// before a retry) is time in which nothing happens: a test may skip it. A *timeout* bounds real
/// work that somebody else does (a task, a whole execution): skipping it would time out every task
/// at once. A virtual clock that moves on when all is idle is no way out, since a task that waits
/// for a socket looks idle.
#[async_trait]
pub trait Clock: Send + Sync {
    /// The present time.
    fn now(&self) -> Timestamp;
    /// Ends when `duration` has passed in which the execution has nothing to do.
    async fn sleep(&self, duration: Duration);
    /// Ends when work that may take `duration` has taken too long.
    async fn timeout(&self, duration: Duration);
    /// A number from 0 (included) to 1 (excluded), for jitter and `States.MathRandom`.
    fn random(&self) -> f64;
}

/// The machine's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    async fn timeout(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    fn random(&self) -> f64 {
        rand::random()
    }
}

/// A clock for tests and rehearsals: its sleeps end at once, move its time on and are recorded.
///
/// Its timeouts do not see those skipped sleeps: a task has not worked longer because a neighbour
/// skipped a retry delay. They fire only when [`FastClock::advance`] lets working time pass. The
/// engine itself accounts skipped sleeps against a top-level `TimeoutSeconds`.
#[derive(Debug)]
pub struct FastClock {
    state: Mutex<FastState>,
    worked: watch::Sender<Duration>,
}

#[derive(Debug)]
struct FastState {
    now: Timestamp,
    sleeps: Vec<Duration>,
    random: f64,
}

impl Default for FastClock {
    fn default() -> Self {
        Self::new()
    }
}

impl FastClock {
    /// A clock that starts at the present time.
    pub fn new() -> Self {
        Self::starting_at(Timestamp::now())
    }

    /// A clock that starts at `now`.
    pub fn starting_at(now: Timestamp) -> Self {
        let state = FastState { now, sleeps: Vec::new(), random: 0.5 };
        Self { state: Mutex::new(state), worked: watch::Sender::new(Duration::ZERO) }
    }

    /// Chooses what [`Clock::random`] answers from now on (0.5 until then).
    pub fn set_random(&self, random: f64) {
        self.state().random = random;
    }

    /// Every sleep so far, in the order in which they began.
    pub fn sleeps(&self) -> Vec<Duration> {
        self.state().sleeps.clone()
    }

    /// Lets `duration` of working time pass: timeouts that are due by then fire.
    pub fn advance(&self, duration: Duration) {
        self.state().pass(duration);
        self.worked.send_modify(|worked| *worked = worked.saturating_add(duration));
    }

    fn state(&self) -> std::sync::MutexGuard<'_, FastState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FastState {
    fn pass(&mut self, duration: Duration) {
        self.now = self.now.checked_add(duration).unwrap_or(Timestamp::MAX);
    }
}

#[async_trait]
impl Clock for FastClock {
    fn now(&self) -> Timestamp {
        self.state().now
    }

    async fn sleep(&self, duration: Duration) {
        {
            let mut state = self.state();
            state.sleeps.push(duration);
            state.pass(duration);
        }
        tokio::task::yield_now().await;
    }

    async fn timeout(&self, duration: Duration) {
        let mut worked = self.worked.subscribe();
        let due = worked.borrow().saturating_add(duration);
        // The sender lives in `self`, so this only ends when the time has come.
        if worked.wait_for(|worked| *worked >= due).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    fn random(&self) -> f64 {
        self.state().random
    }
}
