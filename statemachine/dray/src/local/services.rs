//! What the engine asks of the outside world, answered on this machine.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use domain::{Deadline, Failure};
use engine::{LambdaCall, S3Object, Services, TaskError};
use jiff::Timestamp;
use serde_json::{Value, json};
use storage::runs::Run;
use storage::{Condition, Store};

use super::Functions;

/// A state waits this much longer than its function may run, so the function ends first.
const TIMEOUT_MARGIN: Duration = Duration::from_secs(30);

/// The services of a laptop.
pub(super) struct LocalServices {
    store: Store,
    functions: Functions,
}

impl LocalServices {
    pub(super) const fn new(store: Store, functions: Functions) -> Self {
        Self { store, functions }
    }

    fn bucket(&self, bucket: &str) -> Store {
        self.store.with_bucket(bucket)
    }
}

#[async_trait]
impl Services for LocalServices {
    async fn lambda_invoke(&self, call: LambdaCall) -> Result<Value, TaskError> {
        let Some(function) = self.functions.get(&call.function_name) else {
            return Err(TaskError::new(
                "Lambda.ResourceNotFoundException",
                format!("There is no function named {}.", call.function_name),
            ));
        };
        let deadline = call.timeout.map_or(Deadline::NONE, |timeout| {
            Deadline::after(timeout.saturating_sub(TIMEOUT_MARGIN))
        });
        function(call.payload, deadline).await.map_err(|failure| lambda_error(&failure))
    }

    /// The range counter on this machine's cores, in the place of Spark.
    async fn emr_serverless_start_job_run_sync(
        &self,
        parameters: Value,
    ) -> Result<Value, TaskError> {
        let arguments = parameters
            .pointer("/JobDriver/SparkSubmit/EntryPointArguments")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        let argument = |name: &str| {
            let mut pairs = arguments.iter().zip(arguments.iter().skip(1));
            pairs.find(|(key, _)| key.as_str() == Some(name)).and_then(|(_, value)| value.as_str())
        };
        let (Some(partner), Some(run)) = (argument("--partner"), argument("--run")) else {
            return Err(TaskError::new(
                "States.TaskFailed",
                "The job's arguments name no --partner and --run.",
            ));
        };
        let run = Run::new(&self.store, partner, run);
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let job = uuid::Uuid::new_v4().simple().to_string();
        match count_large::on_threads(&run, threads).await {
            Ok(_) => Ok(json!({"ApplicationId": "local", "JobRunId": job})),
            Err(failure) => Err(TaskError::new(
                "States.TaskFailed",
                json!({"JobRunId": job, "State": "FAILED", "StateDetails": failure.to_string()})
                    .to_string(),
            )),
        }
    }

    /// Keeps events in the bucket, where a person can look at them.
    async fn events_put_events(&self, parameters: Value) -> Result<Value, TaskError> {
        let id = uuid::Uuid::now_v7();
        let key = format!("events/{id}.json");
        match self.store.put(&key, &parameters, Condition::Any).await {
            Ok(_) => Ok(json!({"FailedEntryCount": 0, "Entries": [{"EventId": id.to_string()}]})),
            Err(error) => Err(TaskError::new("States.TaskFailed", Failure::from(error).message)),
        }
    }

    async fn s3_get_object(&self, bucket: &str, key: &str) -> Result<Vec<u8>, TaskError> {
        match self.bucket(bucket).get_bytes(key).await {
            Ok(Some(found)) => Ok(found.value.to_vec()),
            Ok(None) => Err(TaskError::new(
                "S3.NoSuchKeyException",
                format!("There is no object {key} in {bucket}."),
            )),
            Err(error) => Err(s3_error(error)),
        }
    }

    async fn s3_list_objects_v2(
        &self,
        bucket: &str,
        prefix: &str,
    ) -> Result<Vec<S3Object>, TaskError> {
        let listed = self.bucket(bucket).list(prefix).await.map_err(s3_error)?;
        Ok(listed
            .into_iter()
            .map(|entry| S3Object {
                key: entry.key,
                size: entry.size,
                etag: String::new(),
                last_modified: Timestamp::UNIX_EPOCH,
                storage_class: "STANDARD".to_owned(),
            })
            .collect())
    }

    async fn s3_put_object(&self, bucket: &str, key: &str, body: Vec<u8>) -> Result<(), TaskError> {
        let put = self.bucket(bucket).put_bytes(key, Bytes::from(body), Condition::Any).await;
        put.map(drop).map_err(s3_error)
    }
}

/// A function's error as Step Functions shows it: the class as its name, the JSON as its cause.
fn lambda_error(failure: &Failure) -> TaskError {
    let cause = json!({
        "errorType": failure.class.name(),
        "errorMessage": failure.error_message(),
    });
    TaskError::new(failure.class.name(), cause.to_string())
}

fn s3_error(error: storage::Error) -> TaskError {
    TaskError::new("S3.S3Exception", Failure::from(error).message)
}
