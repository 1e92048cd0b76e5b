//! EMR Serverless on this machine: job runs with the states, the tokens and the refusals of the API.
//!
//! A job goes through the states that the real service shows and is done by a [`Runner`]: the range
//! counter on [`Threads`] of this process, or a real [`SparkSubmit`]. The engine calls it in this
//! process, everyone else over HTTP ([`EmrServer`]).

mod api;
mod job;
mod server;
mod spark;
mod threads;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

pub use api::{
    JobDriver, JobRun, JobState, MaximumCapacity, Refusal, SparkSubmitDriver, StartJobRun,
};
pub use server::EmrServer;
pub use spark::{JobFiles, SparkSubmit};
pub use threads::Threads;

use job::Job;

/// The one application of a laptop.
pub const APPLICATION: &str = "local";

/// Does the work of a job.
#[async_trait]
pub trait Runner: Send + Sync {
    /// Runs the job to its end; dropping the future stops it. `folder` is the job's own: what the
    /// job says goes to `driver.log` in it.
    ///
    /// # Errors
    /// Why it failed, for the job's details: sentences and the end of the log.
    async fn run(&self, job: &SparkSubmitDriver, folder: &Path) -> Result<(), String>;
}

/// The service. Cheap to clone; every clone is the same service.
#[derive(Clone)]
pub struct EmrServerless {
    inner: Arc<Inner>,
}

struct Inner {
    folder: PathBuf,
    runner: Arc<dyn Runner>,
    jobs: Mutex<Jobs>,
    maximum: Mutex<Option<MaximumCapacity>>,
    /// How long a minute of a timeout takes; tests have no time.
    minute: Duration,
}

#[derive(Default)]
struct Jobs {
    by_id: BTreeMap<String, Arc<Job>>,
    by_token: BTreeMap<String, String>,
}

impl EmrServerless {
    /// A service whose jobs keep their logs below `folder`.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>, runner: Arc<dyn Runner>) -> Self {
        let (folder, jobs, maximum) = (folder.into(), Mutex::default(), Mutex::default());
        let minute = Duration::from_secs(60);
        Self { inner: Arc::new(Inner { folder, runner, jobs, maximum, minute }) }
    }

    /// Starts a job, or finds the one that was started with this token.
    ///
    /// # Errors
    /// [`Refusal`] for an unknown application, a request that cannot be run, or a token that
    /// belongs to another request.
    pub fn start_job_run(
        &self,
        application: &str,
        request: StartJobRun,
    ) -> Result<JobRun, Refusal> {
        known(application)?;
        request.check()?;
        let mut jobs = self.jobs();
        if let Some(job) =
            jobs.by_token.get(&request.client_token).and_then(|id| jobs.by_id.get(id))
        {
            return if *job.request() == request {
                Ok(job.describe())
            } else {
                Err(Refusal::Conflict(format!(
                    "The client token {} was used for another request.",
                    request.client_token
                )))
            };
        }
        let id = uuid::Uuid::now_v7().simple().to_string();
        let job = Arc::new(Job::new(id.clone(), request));
        jobs.by_token.insert(job.request().client_token.clone(), id.clone());
        jobs.by_id.insert(id.clone(), Arc::clone(&job));
        drop(jobs);
        let described = job.describe();
        let (runner, folder) = (Arc::clone(&self.inner.runner), self.inner.folder.join(id));
        let minute = self.inner.minute;
        tokio::spawn(async move { job.go(&*runner, &folder, minute).await });
        Ok(described)
    }

    /// A job as it is now.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub fn get_job_run(&self, application: &str, id: &str) -> Result<JobRun, Refusal> {
        Ok(self.job(application, id)?.describe())
    }

    /// Stops a job; one that has ended stays as it is.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub fn cancel_job_run(&self, application: &str, id: &str) -> Result<JobRun, Refusal> {
        let job = self.job(application, id)?;
        job.cancel("The job run was cancelled.");
        Ok(job.describe())
    }

    /// Waits for a job's end.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub async fn ended(&self, application: &str, id: &str) -> Result<JobRun, Refusal> {
        let job = self.job(application, id)?;
        job.ended().await;
        Ok(job.describe())
    }

    /// The most that the application may use at once, if that was ever said. Nothing here is limited
    /// by it.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub fn maximum_capacity(&self, application: &str) -> Result<Option<MaximumCapacity>, Refusal> {
        known(application)?;
        Ok(self.inner.maximum.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Says it.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub fn set_maximum_capacity(
        &self,
        application: &str,
        maximum: MaximumCapacity,
    ) -> Result<(), Refusal> {
        known(application)?;
        *self.inner.maximum.lock().unwrap_or_else(PoisonError::into_inner) = Some(maximum);
        Ok(())
    }

    fn job(&self, application: &str, id: &str) -> Result<Arc<Job>, Refusal> {
        known(application)?;
        self.jobs()
            .by_id
            .get(id)
            .cloned()
            .ok_or_else(|| Refusal::NotFound(format!("There is no job run {id}.")))
    }

    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.inner.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn known(application: &str) -> Result<(), Refusal> {
    if application == APPLICATION {
        return Ok(());
    }
    Err(Refusal::NotFound(format!("There is no application {application}.")))
}

#[cfg(test)]
mod tests;
