//! One job from its start to its end.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use super::{JobRun, JobState, Runner, StartJobRun};

/// What changes about a job.
#[derive(Clone, Debug)]
struct Progress {
    state: JobState,
    details: String,
    updated: Timestamp,
}

/// A job that was taken.
pub(super) struct Job {
    id: String,
    request: StartJobRun,
    created: Timestamp,
    progress: watch::Sender<Progress>,
}

impl Job {
    pub(super) fn new(id: String, request: StartJobRun) -> Self {
        let created = Timestamp::now();
        let progress =
            Progress { state: JobState::Submitted, details: String::new(), updated: created };
        Self { id, request, created, progress: watch::Sender::new(progress) }
    }

    pub(super) const fn request(&self) -> &StartJobRun {
        &self.request
    }

    pub(super) fn describe(&self) -> JobRun {
        let Progress { state, details, updated } = self.progress.borrow().clone();
        JobRun {
            id: self.id.clone(),
            request: self.request.clone(),
            state,
            details,
            created: self.created,
            updated,
        }
    }

    /// Through all states to the end.
    pub(super) async fn go(&self, runner: &dyn Runner, folder: &Path, minute: Duration) {
        for state in [JobState::Pending, JobState::Scheduled, JobState::Running] {
            self.turn(state, "");
        }
        let minutes = self.request.execution_timeout_minutes.unwrap_or(0);
        let timeout = async {
            if minutes == 0 {
                return std::future::pending().await;
            }
            tokio::time::sleep(minute.saturating_mul(minutes)).await;
        };
        let mut progress = self.progress.subscribe();
        tokio::select! {
            biased;
            _ = progress.wait_for(|progress| progress.state == JobState::Cancelling) => {}
            ended = runner.run(&self.request.job_driver.spark_submit, folder) => match ended {
                Ok(()) => self.turn(JobState::Success, ""),
                Err(why) => self.turn(JobState::Failed, &why),
            },
            () = timeout => {
                self.cancel(&format!("The job run took longer than {minutes} minutes."));
            }
        }
        // Of no effect on a job that has ended by itself; the runner was dropped by now.
        let details = self.progress.borrow().details.clone();
        self.turn(JobState::Cancelled, &details);
    }

    pub(super) fn cancel(&self, why: &str) {
        self.turn(JobState::Cancelling, why);
    }

    pub(super) async fn ended(&self) {
        self.until(JobState::is_over).await;
    }

    #[cfg(test)]
    pub(super) async fn reached(&self, state: JobState) {
        self.until(|now| now == state).await;
    }

    async fn until(&self, wanted: impl Fn(JobState) -> bool) {
        let mut progress = self.progress.subscribe();
        // The sender lives as long as this job, so this ends with the state alone.
        let _ = progress.wait_for(|progress| wanted(progress.state)).await;
    }

    /// A job that is over stays so; one that is being cancelled can only end.
    fn turn(&self, state: JobState, details: &str) {
        self.progress.send_if_modified(|progress| {
            let stays = progress.state.is_over()
                || (progress.state == JobState::Cancelling && !state.is_over());
            if stays {
                return false;
            }
            *progress = Progress { state, details: details.to_owned(), updated: Timestamp::now() };
            true
        });
    }
}
