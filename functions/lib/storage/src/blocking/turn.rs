//! How many jobs of this process compute at the same time.
//!
//! A job that unpacks, seals or counts keeps a processor busy and holds the buffers of its streams.
//! On a machine that runs every stage of several partners, more jobs than processors make none of
//! them faster and hold as much memory more; so they take turns.

use std::sync::{Arc, LazyLock};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, spawn_blocking};

/// So many jobs in any case: one may wait for the network while the other computes.
const AT_LEAST: usize = 2;

static TURNS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
    let processors = std::thread::available_parallelism().map_or(AT_LEAST, usize::from);
    Arc::new(Semaphore::new(processors.max(AT_LEAST)))
});

/// The right to compute, until it is dropped. Whoever has it must not ask for another.
#[derive(Debug)]
pub struct Turn {
    /// Nobody closes the semaphore, so there always is one.
    _permit: Option<OwnedSemaphorePermit>,
}

/// Waits for a turn; first come, first served.
pub async fn turn() -> Turn {
    Turn { _permit: Arc::clone(&TURNS).acquire_owned().await.ok() }
}

impl Turn {
    /// Runs a job on a thread where it may block.
    ///
    /// # Errors
    /// When the job panics or the runtime ends.
    pub async fn compute<T: Send + 'static>(
        self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        let job = spawn_blocking(move || {
            // Held by the thread: when nobody waits for the job any more, it still computes.
            let _turn = self;
            job()
        });
        job.await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn there_are_as_many_turns_as_processors_and_each_comes_back() {
        let turns = TURNS.available_permits();
        assert!(turns >= AT_LEAST);
        let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let counters = Arc::new((inside, most));
        let jobs = (0..8 * turns).map(|_| {
            let counters = Arc::clone(&counters);
            async move {
                let job = move || {
                    let (inside, most) = &*counters;
                    most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::yield_now();
                    inside.fetch_sub(1, Ordering::SeqCst);
                };
                turn().await.compute(job).await.unwrap();
            }
        });
        futures::future::join_all(jobs).await;
        assert!(counters.1.load(Ordering::SeqCst) <= turns);
        assert!(turn().await.compute(|| panic!("a job of the test")).await.is_err());
        assert_eq!(TURNS.available_permits(), turns);
    }
}
