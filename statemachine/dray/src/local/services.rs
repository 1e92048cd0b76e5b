//! What the engine asks of the outside world, answered on this machine.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use domain::{Deadline, Failure};
use engine::{LambdaCall, S3Object, Services, TaskError};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use storage::{Condition, Store};

use super::{Functions, Rehearsals};
use crate::emr::{EmrServerless, JobRun, JobState, Refusal, StartJobRun};

/// A state waits this much longer than its function may run, so the function ends first.
const TIMEOUT_MARGIN: Duration = Duration::from_secs(30);

/// The services of a laptop.
pub(super) struct LocalServices {
    store: Store,
    functions: Functions,
    emr: EmrServerless,
    /// Of functions that rehearse them.
    invocations: Rehearsals,
}

impl LocalServices {
    pub(super) fn new(
        store: Store,
        functions: Functions,
        emr: EmrServerless,
        invocations: Rehearsals,
    ) -> Self {
        Self { store, functions, emr, invocations }
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
        let rehearsed = self.invocations.get(call.function_name.as_str());
        let deadline = match (rehearsed, call.timeout) {
            (Some(own), _) => Deadline::after(own.limit).with_margin(own.margin),
            (None, Some(timeout)) => Deadline::after(timeout.saturating_sub(TIMEOUT_MARGIN)),
            (None, None) => Deadline::NONE,
        };
        function(call.payload, deadline).await.map_err(|failure| lambda_error(&failure))
    }

    /// Starts a job and waits for its end; when nobody waits any more, the job is stopped.
    async fn emr_serverless_start_job_run_sync(
        &self,
        parameters: Value,
    ) -> Result<Value, TaskError> {
        let mut parameters = camel(parameters);
        let application = parameters
            .as_object_mut()
            .and_then(|fields| fields.remove("applicationId"))
            .and_then(|name| name.as_str().map(str::to_owned))
            .unwrap_or_default();
        let request: StartJobRun = serde_json::from_value(parameters)
            .map_err(|error| emr_error(&Refusal::Validation(error.to_string())))?;
        let started = self.emr.start_job_run(&application, request);
        let job = started.map_err(|refusal| emr_error(&refusal))?;
        let mut watched = CancelOnDrop { emr: &self.emr, application: &application, job: &job.id };
        let ended = self.emr.ended(&application, &job.id).await;
        watched.job = "";
        let JobRun { id, state, details, .. } = ended.map_err(|refusal| emr_error(&refusal))?;
        if state == JobState::Success {
            return Ok(json!({"ApplicationId": application, "JobRunId": id}));
        }
        Err(TaskError::new(
            "States.TaskFailed",
            json!({
                "ApplicationId": application,
                "JobRunId": id,
                "State": state.name(),
                "StateDetails": details,
            })
            .to_string(),
        ))
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

/// Stops a job that is no longer waited for.
struct CancelOnDrop<'a> {
    emr: &'a EmrServerless,
    application: &'a str,
    /// Empty when it has ended.
    job: &'a str,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        if !self.job.is_empty() {
            drop(self.emr.cancel_job_run(self.application, self.job));
        }
    }
}

/// The API's names of fields from the state machine's, which begin with a capital. What people name
/// themselves stays as it is.
fn camel(value: Value) -> Value {
    const NAMED_BY_PEOPLE: [&str; 2] = ["Tags", "Properties"];
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| {
                let value =
                    if NAMED_BY_PEOPLE.contains(&name.as_str()) { value } else { camel(value) };
                let mut letters = name.chars();
                let first = letters.next().map(|letter| letter.to_ascii_lowercase());
                (first.into_iter().chain(letters).collect(), value)
            });
            Value::Object(fields.collect::<Map<String, Value>>())
        }
        Value::Array(values) => values.into_iter().map(camel).collect(),
        other => other,
    }
}

fn emr_error(refusal: &Refusal) -> TaskError {
    TaskError::new(format!("EmrServerless.{}", refusal.name()), refusal.to_string())
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
