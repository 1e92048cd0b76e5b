//! A Task's call: its parameters, its time limit, its answer, and what injections make of it.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use serde_json::{Map, Value, json};

use super::perform::{fill, limit};
use super::size::within_limit;
use super::step::Visit;
use crate::fault::{Fault, TASK_FAILED, TIMEOUT};
use crate::history::EventType;
use crate::inject::{Injection, When};
use crate::machine::model::{Resource, Task, function_name};
use crate::services::{LambdaCall, TaskError};

/// A call that is ready to be made.
struct Call<'v, 'a> {
    visit: &'v Visit<'a>,
    task: &'v Task,
    payload: Value,
    timeout: Option<Duration>,
}

/// Makes the call of a Task and records it.
pub(super) async fn task(
    visit: &mut Visit<'_>,
    task: &Task,
    input: &Value,
) -> Result<Value, Fault> {
    let payload = fill(visit, &task.parameters, input)?;
    let name = &visit.state.name;
    within_limit(&payload, &format!("The payload of the state/task '{name}'"))?;
    let seconds = limit(visit, "TimeoutSecondsPath", &task.timeout, input, 1)?;
    let timeout = (seconds > 0).then(|| Duration::from_secs(seconds));
    let told = Told::of(task);
    let mut scheduled = told.frame.clone();
    if task.resource == Resource::Function {
        add(&mut scheduled, "resource", task.arn.as_str().into());
        add(&mut scheduled, "input", payload.to_string().into());
    } else {
        add(&mut scheduled, "region", visit.run.shared.identity.region.as_str().into());
        add(&mut scheduled, "parameters", payload.to_string().into());
    }
    if let Some(timeout) = timeout {
        add(&mut scheduled, "timeoutInSeconds", timeout.as_secs().into());
    }
    visit.record(told.scheduled, scheduled);
    let empty = told.frame.as_object().is_none_or(Map::is_empty);
    visit.record(told.started, if empty { Value::Null } else { told.frame.clone() });
    let call = Call { visit, task, payload, timeout };
    let answer = call.within_time().await;
    settle(visit, told, answer)
}

/// How a call is told in the history: what all its events say, and their types.
struct Told {
    frame: Value,
    scheduled: EventType,
    started: EventType,
    succeeded: EventType,
    failed: EventType,
    timed_out: EventType,
}

impl Told {
    fn of(task: &Task) -> Self {
        if task.resource == Resource::Function {
            return Self {
                frame: json!({}),
                scheduled: EventType::LambdaFunctionScheduled,
                started: EventType::LambdaFunctionStarted,
                succeeded: EventType::LambdaFunctionSucceeded,
                failed: EventType::LambdaFunctionFailed,
                timed_out: EventType::LambdaFunctionTimedOut,
            };
        }
        let (kind, action) = task.resource.parts();
        Self {
            frame: json!({"resourceType": kind, "resource": action}),
            scheduled: EventType::TaskScheduled,
            started: EventType::TaskStarted,
            succeeded: EventType::TaskSucceeded,
            failed: EventType::TaskFailed,
            timed_out: EventType::TaskTimedOut,
        }
    }
}

fn add(details: &mut Value, key: &str, value: Value) {
    if let Some(map) = details.as_object_mut() {
        map.insert(key.into(), value);
    }
}

/// Records how a call ended. `None` is a call that ran out of time.
fn settle(
    visit: &mut Visit<'_>,
    told: Told,
    answer: Option<Result<Value, TaskError>>,
) -> Result<Value, Fault> {
    let name = &visit.state.name;
    let result = match answer {
        None => {
            let cause = format!("the task '{name}' took longer than its TimeoutSeconds");
            Err((told.timed_out, Fault::new(TIMEOUT, cause)))
        }
        Some(Err(error)) => Err((told.failed, Fault::new(error.error, error.cause))),
        Some(Ok(value)) => {
            let what = format!("The state/task '{name}' returned a result that");
            within_limit(&value, &what).map(|()| value).map_err(|f| (told.failed, f))
        }
    };
    let mut details = told.frame;
    match result {
        Ok(value) => {
            add(&mut details, "output", value.to_string().into());
            visit.record(told.succeeded, details);
            Ok(value)
        }
        Err((kind, fault)) => {
            add(&mut details, "error", fault.error.as_str().into());
            add(&mut details, "cause", fault.cause.as_str().into());
            visit.record(kind, details);
            Err(fault)
        }
    }
}

impl Call<'_, '_> {
    /// The call's answer, or `None` if its time ran out first; the call is dropped then.
    async fn within_time(&self) -> Option<Result<Value, TaskError>> {
        // A panic in a service that runs in this process is what a crash is on AWS.
        let answer = AssertUnwindSafe(self.with_injection()).catch_unwind().map(|answer| {
            answer.unwrap_or_else(|panic| {
                Err(TaskError::new("Runtime.ExitError", format!("it panicked: {}", words(&*panic))))
            })
        });
        let Some(timeout) = self.timeout else { return Some(answer.await) };
        tokio::select! {
            biased;
            answer = answer => Some(answer),
            () = self.visit.run.shared.clock.timeout(timeout) => None,
        }
    }

    async fn with_injection(&self) -> Result<Value, TaskError> {
        match self.visit.run.shared.injections.next(&self.visit.state.name) {
            None => self.once().await,
            Some(Injection::Error { error, cause, when, .. }) => {
                if *when == When::After {
                    // The work is done; its answer is what gets lost.
                    let _ = self.once().await;
                }
                Err(TaskError::new(error, cause))
            }
            Some(Injection::Repeat) => {
                // As with a call that is delivered twice, nobody sees the first answer.
                let _ = self.once().await;
                self.once().await
            }
            Some(Injection::Kill { after, .. }) => {
                tokio::select! {
                    biased;
                    _ = self.once() => {}
                    () = tokio::time::sleep(*after) => {}
                }
                let error = match self.task.resource {
                    Resource::LambdaInvoke | Resource::Function => "Lambda.Unknown",
                    Resource::StartJobRunSync | Resource::PutEvents => TASK_FAILED,
                };
                Err(TaskError::new(error, "killed by an injection"))
            }
        }
    }

    async fn once(&self) -> Result<Value, TaskError> {
        let run = self.visit.run;
        let services = &run.shared.services;
        match self.task.resource {
            Resource::Function => services.lambda_invoke(self.lambda_call()).await,
            Resource::LambdaInvoke => {
                let payload = services.lambda_invoke(self.lambda_call()).await?;
                Ok(json!({"ExecutedVersion": "$LATEST", "Payload": payload, "StatusCode": 200}))
            }
            Resource::StartJobRunSync => {
                services.emr_serverless_start_job_run_sync(self.payload.clone()).await
            }
            Resource::PutEvents => {
                let machine = run.shared.identity.arn("stateMachine", &run.machine_name);
                let events = entries(self.payload.clone(), &run.id, &machine);
                let answer = services.events_put_events(events).await?;
                match answer.get("FailedEntryCount").and_then(Value::as_u64) {
                    None | Some(0) => Ok(answer),
                    Some(_) => Err(TaskError::new("EventBridge.FailedEntry", answer.to_string())),
                }
            }
        }
    }

    fn lambda_call(&self) -> LambdaCall {
        let field = |name: &str| self.payload.get(name);
        let (function_name, payload) = match self.task.resource {
            Resource::Function => (function_name(&self.task.arn), Some(self.payload.clone())),
            _ => (field("FunctionName").and_then(Value::as_str), field("Payload").cloned()),
        };
        LambdaCall {
            function_name: function_name.unwrap_or_default().into(),
            payload: payload.unwrap_or_else(|| json!({})),
            state: self.visit.state.name.clone(),
            attempt: self.visit.retries,
            timeout: self.timeout,
            execution: self.visit.run.id.clone(),
        }
    }
}

/// Makes PutEvents' entries as Step Functions does: Detail becomes JSON text, and the ARNs of the
/// execution and the machine are added to Resources.
fn entries(mut parameters: Value, execution: &str, machine: &str) -> Value {
    let entries = parameters.get_mut("Entries").and_then(Value::as_array_mut);
    for entry in entries.into_iter().flatten().filter_map(Value::as_object_mut) {
        if let Some(detail) = entry.get_mut("Detail").filter(|detail| !detail.is_string()) {
            *detail = Value::String(detail.to_string());
        }
        let resources = entry.entry("Resources").or_insert_with(|| json!([]));
        if let Some(resources) = resources.as_array_mut() {
            resources.extend([execution.into(), machine.into()]);
        }
    }
    parameters
}

fn words(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
