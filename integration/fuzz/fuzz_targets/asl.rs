//! Any text as a state machine: refused with every problem named, or loaded and then it runs to an
//! end, or stops when told to, on services that do nothing in particular.

#![no_main]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use engine::{
    Engine, FastClock, LambdaCall, Machine, Notice, Outcome, S3Object, Services, Status, TaskError,
};
use fuzz::json::mutate;
use jiff::Timestamp;
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use serde_json::{Value, json};
use tokio::sync::Notify;

#[path = "asl/seeds.rs"]
mod seeds;
#[path = "asl/words.rs"]
mod words;

/// Events after which an execution is told to stop.
const EVENTS: usize = 400;

/// Where mutation begins anew.
static SEEDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(seeds::seeds);

fuzz_target!(init: fuzz::start(seeds::seeds, |_, bytes| bytes.to_vec()), |data: &[u8]| fuzz::run(|| judge(data)));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let input = data.get(..size).unwrap_or_default();
    let made =
        if seed.is_multiple_of(8) { None } else { mutate(input, &SEEDS, seed, &words::WORDS) };
    made.and_then(|made| fuzz::place(data, size, max_size, &made))
        .unwrap_or_else(|| fuzzer_mutate(data, size, max_size))
});

/// An input is a machine's text, or a document with a machine, its input and its services' answers.
fn judge(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let frame: Value = serde_json::from_str(text).unwrap_or_default();
    let text = match frame.get("machine") {
        Some(Value::String(text)) => text.clone(),
        Some(machine) => machine.to_string(),
        None => text.to_owned(),
    };
    let values = BTreeMap::from([
        ("Bucket".to_owned(), "bucket".to_owned()),
        ("PlanFunction".to_owned(), "plan".to_owned()),
        ("Odd".to_owned(), "$.a['${Bucket}']\"".to_owned()),
    ]);
    match Machine::load(&text, &values) {
        Ok(machine) => {
            known(&machine);
            again(&machine);
            run(machine, &frame);
        }
        Err(error) => {
            assert!(!error.problems.is_empty(), "refused without a reason");
            for problem in &error.problems {
                assert!(!problem.message.is_empty());
                assert!(problem.pointer.is_empty() || problem.pointer.starts_with('/'));
            }
            assert!(error.to_string().starts_with("the state machine cannot be loaded:"));
        }
    }
}

/// What a machine tells about its states fits together and to its text.
fn known(machine: &Machine) {
    let names: Vec<String> = machine.states().map(|state| state.name.to_owned()).collect();
    assert!(!names.is_empty());
    for state in machine.states() {
        assert!(machine.definition().pointer(state.pointer).is_some(), "{}", state.pointer);
        assert!(state.targets.iter().all(|target| names.iter().any(|name| name == target)));
        assert!(machine.state(state.name).is_some());
    }
}

/// A machine that was written out is the same machine.
fn again(machine: &Machine) {
    let text = machine.definition().to_string();
    // A value put in the place of a placeholder may hold one itself.
    if !text.contains("${") {
        let read = Machine::load(&text, &BTreeMap::new()).expect("it was loaded before");
        assert_eq!(read.definition(), machine.definition());
    }
}

fn run(machine: Machine, frame: &Value) {
    let answers: Vec<Value> =
        frame.get("answers").and_then(Value::as_array).cloned().unwrap_or_default();
    let services = Arc::new(Indifferent { answers, next: AtomicUsize::new(0) });
    let (count, enough) = (AtomicUsize::new(0), Arc::new(Notify::new()));
    let alarm = Arc::clone(&enough);
    let observer = Arc::new(move |_: Notice<'_>| {
        let events = count.fetch_add(1, Ordering::Relaxed);
        if events == EVENTS {
            alarm.notify_one();
        }
        assert!(events < 50 * EVENTS, "it does not stop when told to");
    });
    let engine = Engine::builder(Arc::new(machine), services, Arc::new(clock()))
        .observer(observer)
        .build()
        .expect("nothing is injected");
    let input = frame.get("input").cloned().unwrap_or_else(|| json!({}));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let outcome = runtime.block_on(async {
        let execution = engine.start("one", input);
        tokio::select! {
            outcome = execution.wait() => outcome,
            () = enough.notified() => {
                execution.abort();
                execution.wait().await
            }
        }
    });
    ended(&outcome);
}

fn clock() -> FastClock {
    FastClock::starting_at("2026-01-02T03:04:05Z".parse().expect("a time"))
}

/// The outcome is one, and loading has kept out what only shows on the way.
fn ended(outcome: &Outcome) {
    assert_eq!(outcome.status == Status::Succeeded, outcome.output.is_some());
    assert_eq!(outcome.status == Status::Succeeded, outcome.error.is_none());
    let cause = outcome.cause.as_deref().unwrap_or_default();
    assert!(!cause.starts_with("there is no state"), "{cause}");
    for (index, event) in outcome.history.iter().enumerate() {
        assert_eq!(event.id, index as u64 + 1);
        assert!(event.previous_event_id < event.id);
    }
    outcome.children.iter().for_each(ended);
}

/// Services that answer from a list, in turn: a value, or a failure by the name of its error.
struct Indifferent {
    answers: Vec<Value>,
    next: AtomicUsize,
}

impl Indifferent {
    fn answer(&self, or: Value) -> Result<Value, TaskError> {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        match self.answers.get(next % self.answers.len().max(1)) {
            None => Ok(or),
            Some(Value::String(error)) => Err(TaskError::new(error, "because")),
            Some(answer) => Ok(answer.clone()),
        }
    }
}

#[async_trait]
impl Services for Indifferent {
    async fn lambda_invoke(&self, call: LambdaCall) -> Result<Value, TaskError> {
        self.answer(call.payload)
    }

    async fn emr_serverless_start_job_run_sync(&self, _: Value) -> Result<Value, TaskError> {
        self.answer(json!({"ApplicationId": "a", "JobRunId": "j"}))
    }

    async fn events_put_events(&self, _: Value) -> Result<Value, TaskError> {
        self.answer(json!({"FailedEntryCount": 0, "Entries": []}))
    }

    async fn s3_get_object(&self, _: &str, _: &str) -> Result<Vec<u8>, TaskError> {
        Ok(self.answer(json!([{"a": 1}, {"a": 2}]))?.to_string().into_bytes())
    }

    async fn s3_list_objects_v2(&self, _: &str, _: &str) -> Result<Vec<S3Object>, TaskError> {
        let object = |key: &str| S3Object {
            key: key.to_owned(),
            size: 1,
            etag: "\"e\"".to_owned(),
            last_modified: Timestamp::UNIX_EPOCH,
            storage_class: "STANDARD".to_owned(),
        };
        self.answer(Value::Null).map(|_| vec![object("a"), object("b")])
    }

    async fn s3_put_object(&self, _: &str, _: &str, _: Vec<u8>) -> Result<(), TaskError> {
        self.answer(Value::Null).map(drop)
    }
}
