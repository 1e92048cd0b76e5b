//! Tasks: what each resource is asked and what it answers, time limits, crashes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use engine::{Engine, EventType, Status, SystemClock};
use futures::future::FutureExt;
use serde_json::json;

use super::world::*;

#[tokio::test]
async fn lambda_gets_its_payload_and_answers_in_a_frame() {
    let world = World::new().on("f", |_| Ok(json!({"n": 1.5})));
    let state = json!({
        "Type": "Task", "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {"FunctionName": "f", "Payload": {"p.$": "$.q", "retry.$": "$$.State.RetryCount"}},
        "ResultSelector": {"code.$": "$.StatusCode", "version.$": "$.ExecutedVersion", "got.$": "$.Payload.n"},
        "ResultPath": "$.r", "TimeoutSeconds": 12,
    });
    let outcome = run(only(state), &world, json!({"q": [1]})).await;
    let expected = json!({"q": [1], "r": {"code": 200, "version": "$LATEST", "got": 1.5}});
    assert_eq!(succeeded(&outcome), &expected);
    let call = world.calls.lock().unwrap()[0].clone();
    assert_eq!(call.payload, json!({"p": [1], "retry": 0}));
    assert_eq!((call.state.as_str(), call.attempt), ("S", 0));
    assert_eq!(call.timeout, Some(Duration::from_secs(12)));
    assert_eq!(call.execution, outcome.id);
}

#[tokio::test]
async fn a_function_without_payload_gets_an_empty_object() {
    let world = World::new();
    let state = json!({
        "Type": "Task", "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {"FunctionName": "f"},
    });
    succeeded(&run(only(state), &world, json!({"q": 1})).await);
    assert_eq!(world.calls.lock().unwrap()[0].payload, json!({}));
}

#[tokio::test]
async fn a_spark_job_gets_its_parameters() {
    let world = World::new();
    let state = json!({
        "Type": "Task", "Resource": "arn:aws:states:::emr-serverless:startJobRun.sync",
        "Parameters": {
            "ApplicationId.$": "$.app", "ExecutionRoleArn": "role",
            "JobDriver": {"SparkSubmit": {"EntryPoint": "s3://x", "EntryPointArguments.$": "States.Array($.app, 'b')"}},
        },
        "ResultPath": "$.job",
    });
    let outcome = run(only(state), &world, json!({"app": "a"})).await;
    assert_eq!(succeeded(&outcome)["job"]["JobRunId"], "job-1");
    let job = world.jobs.lock().unwrap()[0].clone();
    assert_eq!(
        job,
        json!({
            "ApplicationId": "a", "ExecutionRoleArn": "role",
            "JobDriver": {"SparkSubmit": {"EntryPoint": "s3://x", "EntryPointArguments": ["a", "b"]}},
        })
    );
}

#[tokio::test]
async fn events_carry_the_execution_and_a_failed_entry_fails_the_task() {
    let world = World::new();
    let state = json!({
        "Type": "Task", "Resource": "arn:aws:states:::events:putEvents",
        "Parameters": {"Entries": [{"Source": "s", "DetailType": "t", "Detail": {"n.$": "$.n"}, "Resources": ["x"]}]},
        "ResultPath": null,
    });
    let outcome = run(only(state.clone()), &world, json!({"n": 1})).await;
    succeeded(&outcome);
    let entry = world.events.lock().unwrap()[0]["Entries"][0].clone();
    assert_eq!(entry["Detail"], "{\"n\":1}");
    let machine = "arn:aws:states:local:000000000000:stateMachine:machine";
    assert_eq!(entry["Resources"], json!(["x", outcome.id, machine]));

    world.failed_entries.store(1, Ordering::SeqCst);
    failed(&run(only(state), &world, json!({"n": 1})).await, "EventBridge.FailedEntry");
}

#[tokio::test]
async fn a_panic_is_a_crash_that_the_machine_sees() {
    let world = World::new().on("f", |_| panic!("boom"));
    let outcome = run(only(invoke("f", json!({}))), &world, json!({})).await;
    assert!(failed(&outcome, "Runtime.ExitError").contains("boom"));
}

#[tokio::test]
async fn a_task_that_hangs_times_out_on_the_system_clock_and_is_dropped() {
    struct Dropped(Arc<std::sync::atomic::AtomicBool>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let dropped = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let flag = Arc::clone(&dropped);
    let world = World::new().on_async("f", move |_| {
        let guard = Dropped(Arc::clone(&flag));
        async move {
            let _guard = guard;
            futures::future::pending().await
        }
        .boxed()
    });
    let definition = only(invoke("f", json!({"TimeoutSecondsPath": "$.limit"})));
    let services: Arc<World> = Arc::clone(&world);
    let engine = Engine::new(machine(&definition), services, Arc::new(SystemClock));
    let begun = Instant::now();
    let outcome = engine.start("r", json!({"limit": 1})).wait().await;
    failed(&outcome, "States.Timeout");
    assert!(begun.elapsed() >= Duration::from_secs(1) && begun.elapsed() < Duration::from_secs(5));
    assert!(dropped.load(Ordering::SeqCst));
    assert!(types(&outcome).contains(&EventType::TaskTimedOut));
}

#[tokio::test]
async fn a_fast_clock_times_out_only_when_working_time_passes() {
    let world = World::new().on_async("f", |_| futures::future::pending().boxed());
    let clock = clock();
    let definition = only(invoke("f", json!({"TimeoutSeconds": 30})));
    let services: Arc<World> = Arc::clone(&world);
    let engine_clock: Arc<engine::FastClock> = Arc::clone(&clock);
    let engine = Engine::new(machine(&definition), services, engine_clock);
    let execution = engine.start("r", json!({}));
    while world.count() == 0 {
        tokio::task::yield_now().await;
    }
    let early = tokio::time::timeout(Duration::from_millis(50), execution.wait()).await;
    assert!(early.is_err(), "the task must be given its time");
    clock.advance(Duration::from_secs(29));
    let early = tokio::time::timeout(Duration::from_millis(50), execution.wait()).await;
    assert!(early.is_err(), "29 seconds are less than 30");
    clock.advance(Duration::from_secs(1));
    let outcome = execution.wait().await;
    failed(&outcome, "States.Timeout");
    assert_eq!(outcome.status, Status::Failed);
}

#[tokio::test]
async fn timeout_seconds_path_must_hold_a_number() {
    for input in [json!({}), json!({"limit": "5"}), json!({"limit": 0})] {
        let definition = only(invoke("f", json!({"TimeoutSecondsPath": "$.limit"})));
        failed(&run(definition, &World::new(), input).await, "States.Runtime");
    }
}
