//! What a stage is: a named handler from JSON to JSON, the same on Lambda and on a laptop.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::Failure;

/// One Lambda function's work.
#[async_trait]
pub trait Stage: Send + Sync + 'static {
    /// The event.
    type Input: DeserializeOwned + Send;
    /// The answer.
    type Output: Serialize + Send;

    /// The stage's word.
    const NAME: &'static str;

    /// Does the work.
    ///
    /// Calling it again with the same input after any interruption ends in the same place.
    ///
    /// # Errors
    /// A [`Failure`] whose class the state machine retries or catches.
    async fn handle(&self, input: Self::Input, deadline: Deadline)
    -> Result<Self::Output, Failure>;
}

/// When the invocation will be cut off.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    at: Option<Instant>,
    margin: Duration,
}

impl Deadline {
    /// Time kept back for finishing what is in hand, unless somebody says otherwise.
    pub const MARGIN: Duration = Duration::from_secs(45);
    /// No end in sight.
    pub const NONE: Self = Self { at: None, margin: Self::MARGIN };

    /// Cut off after that long.
    #[must_use]
    pub fn after(duration: Duration) -> Self {
        Self { at: Instant::now().checked_add(duration), margin: Self::MARGIN }
    }

    /// Keeps that much time back instead of [`Deadline::MARGIN`].
    #[must_use]
    pub const fn with_margin(self, margin: Duration) -> Self {
        Self { margin, ..self }
    }

    /// How long is left.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.at.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()))
    }

    /// The time kept back.
    #[must_use]
    pub const fn margin(&self) -> Duration {
        self.margin
    }

    /// Whether a stage should stop taking on work, so that what it has can be finished.
    #[must_use]
    pub fn is_near(&self) -> bool {
        // On the very nanosecond `<=` would be as good.
        self.remaining() < self.margin
    }

    /// How long a transfer may go on: some of the margin is left to tell that it did not end.
    #[must_use]
    pub fn for_transfers(&self) -> Duration {
        self.remaining().saturating_sub(self.margin / 4)
    }
}

/// Bytes of a member that are sealed and proven in a second even where it is slow. Both the member and
/// what it was sealed to are read, and a Lambda with 2 GB reads 625 Mbit/s: 37 MiB/s are left, of which
/// this keeps a seventh back. One processor alone would do ten times as much.
const SEALED_BYTES_PER_SECOND: u64 = 32 << 20;

/// The longest invocation that Lambda allows.
pub const INVOCATION_MAX: Duration = Duration::from_secs(900);

/// The largest member, in bytes, that an invocation of that length seals.
///
/// The session key lives in memory only, so a member is sealed and proven within one invocation: with
/// [`INVOCATION_MAX`] and the usual margin, 26 GiB.
#[must_use]
pub fn sealable_bytes(invocation: Duration, margin: Duration) -> u64 {
    let milliseconds = invocation.saturating_sub(margin).as_millis();
    let bytes = milliseconds.saturating_mul(SEALED_BYTES_PER_SECOND.into()) / 1000;
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// Whoever knows which executions are running.
#[async_trait]
pub trait Executions: Send + Sync {
    /// Whether that execution is running at this moment.
    ///
    /// # Errors
    /// `Transient` when nobody can tell; a lease is then not taken over.
    async fn is_running(&self, execution: &str) -> Result<bool, Failure>;
}
