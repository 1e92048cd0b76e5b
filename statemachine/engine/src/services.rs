//! The outside world as the engine sees it: what a Task or a Map reader may ask for.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;

/// A failed call: the name by which Retry and Catch choose, and what happened in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}: {cause}")]
pub struct TaskError {
    /// Error name, such as `Transient` or `Lambda.TooManyRequestsException`.
    pub error: String,
    /// What happened. For a Lambda function AWS gives the JSON text that the function answered.
    pub cause: String,
}

impl TaskError {
    /// An error with this name and cause.
    pub fn new(error: impl Into<String>, cause: impl Into<String>) -> Self {
        Self { error: error.into(), cause: cause.into() }
    }
}

/// One invocation of a Lambda function.
#[derive(Debug, Clone, PartialEq)]
pub struct LambdaCall {
    /// `FunctionName` of the state's Parameters, after substitution.
    pub function_name: String,
    /// The event that the function gets.
    pub payload: Value,
    /// Name of the state that calls.
    pub state: String,
    /// How often the state was retried before: 0 for the first attempt.
    pub attempt: u32,
    /// The state's TimeoutSeconds, if it has one. The engine enforces it.
    pub timeout: Option<Duration>,
    /// Id of the execution that calls; a child of a distributed Map has its own.
    pub execution: String,
}

/// One object of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Object {
    /// The object's key.
    pub key: String,
    /// Size in bytes.
    pub size: u64,
    /// Entity tag with its quotes.
    pub etag: String,
    /// When the object was written.
    pub last_modified: Timestamp,
    /// Storage class, such as `STANDARD`.
    pub storage_class: String,
}

/// The services that a machine can call. A call that is dropped half-way (timeout, abort) must
/// leave nothing running that the caller could not bear.
#[async_trait]
pub trait Services: Send + Sync {
    /// Invokes a function and answers its payload.
    async fn lambda_invoke(&self, call: LambdaCall) -> Result<Value, TaskError>;

    /// Starts a Spark job, waits for its end and answers `ApplicationId` and `JobRunId`.
    /// `parameters` are StartJobRun's, in PascalCase. A job that fails is `States.TaskFailed`.
    async fn emr_serverless_start_job_run_sync(
        &self,
        parameters: Value,
    ) -> Result<Value, TaskError>;

    /// Sends events and answers PutEvents' result, in PascalCase.
    async fn events_put_events(&self, parameters: Value) -> Result<Value, TaskError>;

    /// Reads a whole object.
    async fn s3_get_object(&self, bucket: &str, key: &str) -> Result<Vec<u8>, TaskError>;

    /// Lists all objects below a prefix, in key order.
    async fn s3_list_objects_v2(
        &self,
        bucket: &str,
        prefix: &str,
    ) -> Result<Vec<S3Object>, TaskError>;

    /// Writes a whole object.
    async fn s3_put_object(&self, bucket: &str, key: &str, body: Vec<u8>) -> Result<(), TaskError>;
}
