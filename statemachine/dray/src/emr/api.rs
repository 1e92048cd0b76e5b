//! The shapes of the API, as its JSON has them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The longest client token.
const TOKEN_MAX_CHARACTERS: usize = 64;

/// Asks for a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StartJobRun {
    /// The same token is the same job.
    pub client_token: String,
    /// The role that the job has.
    pub execution_role_arn: String,
    /// What runs.
    pub job_driver: JobDriver,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The job is cancelled when it takes longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_timeout_minutes: Option<u32>,
    /// Kept and shown, not used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configuration_overrides: Option<Value>,
    /// Kept and shown, not used.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// The program of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JobDriver {
    /// Spark, the only kind there is here.
    pub spark_submit: SparkSubmitDriver,
}

/// What `spark-submit` is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SparkSubmitDriver {
    /// The Python file or jar, such as `s3://bucket/job.py`.
    pub entry_point: String,
    /// Its arguments.
    #[serde(default)]
    pub entry_point_arguments: Vec<String>,
    /// Options of `spark-submit`, as one line of a shell.
    #[serde(default)]
    pub spark_submit_parameters: String,
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// Taken.
    Submitted,
    /// Being prepared.
    Pending,
    /// Its driver is being started.
    Scheduled,
    /// At work.
    Running,
    /// Done.
    Success,
    /// Ended in failure.
    Failed,
    /// Being stopped.
    Cancelling,
    /// Stopped.
    Cancelled,
}

impl JobState {
    /// Whether nothing changes any more.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Success | Self::Failed | Self::Cancelled)
    }

    /// As the API writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Submitted => "SUBMITTED",
            Self::Pending => "PENDING",
            Self::Scheduled => "SCHEDULED",
            Self::Running => "RUNNING",
            Self::Success => "SUCCESS",
            Self::Failed => "FAILED",
            Self::Cancelling => "CANCELLING",
            Self::Cancelled => "CANCELLED",
        }
    }
}

/// A job as it is described.
#[derive(Clone, Debug, PartialEq)]
pub struct JobRun {
    /// Its id.
    pub id: String,
    /// What was asked for.
    pub request: StartJobRun,
    /// Where it stands.
    pub state: JobState,
    /// Why, for a job that failed or was cancelled.
    pub details: String,
    /// When it was taken.
    pub created: Timestamp,
    /// When its state last changed.
    pub updated: Timestamp,
}

/// The most that an application may use at once, in the API's words: `"10 vCPU"`, `"40 GB"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MaximumCapacity {
    /// Cores.
    pub cpu: String,
    /// Memory.
    pub memory: String,
    /// Disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<String>,
}

/// Why the API refuses a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such application or job.
    #[error("{0}")]
    NotFound(String),
    /// The request cannot be meant.
    #[error("{0}")]
    Validation(String),
    /// The token belongs to another request.
    #[error("{0}")]
    Conflict(String),
    /// Whoever asks may not.
    #[error("{0}")]
    Denied(String),
}

impl Refusal {
    /// The exception's name in the API.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "ResourceNotFoundException",
            Self::Validation(_) => "ValidationException",
            Self::Conflict(_) => "ConflictException",
            Self::Denied(_) => "AccessDeniedException",
        }
    }
}

impl StartJobRun {
    /// Whether it could be run.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        let bad = |what: &str| Err(Refusal::Validation(what.to_owned()));
        if self.client_token.is_empty() || self.client_token.len() > TOKEN_MAX_CHARACTERS {
            return bad("clientToken must have 1 to 64 characters.");
        }
        if self.execution_role_arn.is_empty() {
            return bad("executionRoleArn is missing.");
        }
        if self.job_driver.spark_submit.entry_point.is_empty() {
            return bad("jobDriver.sparkSubmit.entryPoint is missing.");
        }
        if shlex::split(&self.job_driver.spark_submit.spark_submit_parameters).is_none() {
            return bad("sparkSubmitParameters has a quote that does not end.");
        }
        Ok(())
    }
}
