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
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// No end in sight.
    pub const NONE: Self = Self(None);

    /// Cut off after that long.
    #[must_use]
    pub fn after(duration: Duration) -> Self {
        Self(Instant::now().checked_add(duration))
    }

    /// How long is left.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.0.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()))
    }

    /// Whether a stage should stop taking on work, so that what it has can be finished.
    #[must_use]
    pub fn is_near(&self) -> bool {
        // On the very nanosecond `<=` would be as good.
        self.remaining() < Self::MARGIN
    }

    /// Time kept back for finishing what is in hand.
    pub const MARGIN: Duration = Duration::from_secs(45);
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
