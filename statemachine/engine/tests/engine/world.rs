//! Fake services: functions are closures, S3 is a map, and every call is remembered.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use engine::{
    Engine, EventType, FastClock, Injections, LambdaCall, Machine, Outcome, S3Object, Services,
    Status, TaskError,
};
use futures::future::{BoxFuture, FutureExt};
use serde_json::{Value, json};

pub type Answer = Result<Value, TaskError>;
type Function = Arc<dyn Fn(LambdaCall) -> BoxFuture<'static, Answer> + Send + Sync>;

#[derive(Default)]
pub struct World {
    functions: Mutex<BTreeMap<String, Function>>,
    pub calls: Mutex<Vec<LambdaCall>>,
    pub objects: Mutex<BTreeMap<String, Vec<u8>>>,
    pub jobs: Mutex<Vec<Value>>,
    pub events: Mutex<Vec<Value>>,
    pub failed_entries: AtomicUsize,
    now: AtomicUsize,
    pub peak: AtomicUsize,
}

pub fn fault(error: &str) -> TaskError {
    TaskError::new(error, "because")
}

impl World {
    /// A world whose functions echo their payload, unless told otherwise.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    pub fn on(
        self: &Arc<Self>,
        name: &str,
        f: impl Fn(LambdaCall) -> Answer + Send + Sync + 'static,
    ) -> Arc<Self> {
        self.on_async(name, move |call| std::future::ready(f(call)).boxed())
    }

    pub fn on_async(
        self: &Arc<Self>,
        name: &str,
        f: impl Fn(LambdaCall) -> BoxFuture<'static, Answer> + Send + Sync + 'static,
    ) -> Arc<Self> {
        self.functions.lock().unwrap().insert(name.into(), Arc::new(f));
        Arc::clone(self)
    }

    /// A function that fails with each of `errors` in turn, then echoes.
    pub fn failing(self: &Arc<Self>, name: &str, errors: &[&str]) -> Arc<Self> {
        let errors: Vec<String> = errors.iter().map(|error| (*error).to_owned()).collect();
        let next = AtomicUsize::new(0);
        self.on(name, move |call| match errors.get(next.fetch_add(1, Ordering::SeqCst)) {
            Some(error) => Err(fault(error)),
            None => Ok(call.payload),
        })
    }

    pub fn put(self: &Arc<Self>, place: &str, value: &Value) -> Arc<Self> {
        self.objects.lock().unwrap().insert(place.into(), value.to_string().into_bytes());
        Arc::clone(self)
    }

    pub fn object(&self, place: &str) -> Value {
        serde_json::from_slice(&self.objects.lock().unwrap()[place]).unwrap()
    }

    /// A function whose calls answer once `peak` of them have run at the same moment and whatever
    /// could begin beside them has had many turns to: what runs at once is the limit itself,
    /// whatever the machine does meanwhile.
    pub fn together(self: &Arc<Self>, name: &str, peak: usize) -> Arc<Self> {
        let weak = Arc::downgrade(self);
        self.on_async(name, move |call| {
            let world = weak.upgrade().unwrap();
            async move {
                while world.peak.load(Ordering::SeqCst) < peak {
                    tokio::task::yield_now().await;
                }
                for _ in 0..50 {
                    tokio::task::yield_now().await;
                }
                Ok(call.payload)
            }
            .boxed()
        })
    }

    /// A function that waits until `count` calls have begun, then fails the one whose payload is
    /// `failing` and never answers the others.
    pub fn failing_among(self: &Arc<Self>, name: &str, count: usize, failing: Value) -> Arc<Self> {
        let weak = Arc::downgrade(self);
        self.on_async(name, move |call| {
            let (world, failing) = (weak.upgrade().unwrap(), failing.clone());
            async move {
                while world.count() < count {
                    tokio::task::yield_now().await;
                }
                if call.payload == failing {
                    return Err(fault("Rejected"));
                }
                futures::future::pending().await
            }
            .boxed()
        })
    }

    pub fn count(&self) -> usize {
        self.calls.lock().unwrap().len()
    }
}

#[async_trait]
impl Services for World {
    async fn lambda_invoke(&self, call: LambdaCall) -> Answer {
        self.calls.lock().unwrap().push(call.clone());
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.peak.fetch_max(now, Ordering::SeqCst);
        let function = self.functions.lock().unwrap().get(&call.function_name).cloned();
        let answer = match function {
            Some(function) => function(call).await,
            None => Ok(call.payload),
        };
        self.now.fetch_sub(1, Ordering::SeqCst);
        answer
    }

    async fn emr_serverless_start_job_run_sync(&self, parameters: Value) -> Answer {
        self.jobs.lock().unwrap().push(parameters);
        Ok(json!({"ApplicationId": "app", "JobRunId": "job-1"}))
    }

    async fn events_put_events(&self, parameters: Value) -> Answer {
        self.events.lock().unwrap().push(parameters);
        let failed = self.failed_entries.load(Ordering::SeqCst);
        Ok(json!({"Entries": [{"EventId": "1"}], "FailedEntryCount": failed}))
    }

    async fn s3_get_object(&self, bucket: &str, key: &str) -> Result<Vec<u8>, TaskError> {
        let objects = self.objects.lock().unwrap();
        objects.get(&format!("{bucket}/{key}")).cloned().ok_or_else(|| fault("S3.NoSuchKey"))
    }

    async fn s3_list_objects_v2(
        &self,
        bucket: &str,
        prefix: &str,
    ) -> Result<Vec<S3Object>, TaskError> {
        let objects = self.objects.lock().unwrap();
        let start = format!("{bucket}/{prefix}");
        let found = objects.iter().filter(|(place, _)| place.starts_with(&start));
        Ok(found
            .map(|(place, body)| S3Object {
                key: place.split_once('/').unwrap().1.into(),
                size: body.len() as u64,
                etag: "\"tag\"".into(),
                last_modified: "2026-01-02T03:04:05Z".parse().unwrap(),
                storage_class: "STANDARD".into(),
            })
            .collect())
    }

    async fn s3_put_object(&self, bucket: &str, key: &str, body: Vec<u8>) -> Result<(), TaskError> {
        if bucket == "forbidden" {
            return Err(fault("S3.AccessDenied"));
        }
        self.objects.lock().unwrap().insert(format!("{bucket}/{key}"), body);
        Ok(())
    }
}

pub fn machine(definition: &Value) -> Arc<Machine> {
    match Machine::load(&definition.to_string(), &BTreeMap::new()) {
        Ok(machine) => Arc::new(machine),
        Err(error) => panic!("{error}"),
    }
}

pub fn clock() -> Arc<FastClock> {
    Arc::new(FastClock::starting_at("2026-01-02T03:04:05Z".parse().unwrap()))
}

/// Runs a definition to its end.
pub async fn run(definition: Value, world: &Arc<World>, input: Value) -> Arc<Outcome> {
    run_with(definition, world, input, &clock(), &[]).await
}

pub async fn run_with(
    definition: Value,
    world: &Arc<World>,
    input: Value,
    clock: &Arc<FastClock>,
    injections: &[&str],
) -> Arc<Outcome> {
    let world: Arc<World> = Arc::clone(world);
    let clock: Arc<FastClock> = Arc::clone(clock);
    let engine = Engine::builder(machine(&definition), world, clock)
        .injections(Injections::parse(injections).unwrap())
        .build()
        .unwrap();
    engine.start("run-1", input).wait().await
}

/// A machine of one state that ends.
pub fn only(state: Value) -> Value {
    let mut state = state;
    if !matches!(state["Type"].as_str(), Some("Choice" | "Succeed" | "Fail")) {
        state["End"] = true.into();
    }
    json!({"StartAt": "S", "States": {"S": state}})
}

/// A Task that invokes `name` with its whole input, with more fields.
pub fn invoke(name: &str, more: Value) -> Value {
    let mut state = json!({
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {"FunctionName": name, "Payload.$": "$"},
        "OutputPath": "$.Payload",
    });
    for (key, value) in more.as_object().unwrap() {
        state[key] = value.clone();
    }
    state
}

/// A Map over `$` (or what `more` says) of one Task named `work`.
pub fn map(mode: &str, more: Value) -> Value {
    let mut config = json!({"Mode": mode});
    if mode == "DISTRIBUTED" {
        config["ExecutionType"] = "STANDARD".into();
    }
    let mut state = json!({
        "Type": "Map",
        "ItemProcessor": {
            "ProcessorConfig": config,
            "StartAt": "Work",
            "States": {"Work": invoke("work", json!({"End": true}))},
        },
    });
    for (key, value) in more.as_object().unwrap() {
        state[key] = value.clone();
    }
    only(state)
}

#[track_caller]
pub fn succeeded(outcome: &Arc<Outcome>) -> &Value {
    assert_eq!(outcome.status, Status::Succeeded, "{:?}: {:?}", outcome.error, outcome.cause);
    outcome.output.as_ref().unwrap()
}

#[track_caller]
pub fn failed<'o>(outcome: &'o Arc<Outcome>, error: &str) -> &'o str {
    assert_eq!(outcome.status, Status::Failed, "{:?}", outcome.output);
    assert_eq!(outcome.error.as_deref(), Some(error), "{:?}", outcome.cause);
    outcome.cause.as_deref().unwrap()
}

pub fn types(outcome: &Outcome) -> Vec<EventType> {
    outcome.history.iter().map(|event| event.event_type).collect()
}
