//! The history: its events, their order and form, and the observer that sees them live.

use std::sync::{Arc, Mutex};

use engine::{Engine, EventType as E, Notice};
use serde_json::{Value, json};

use super::world::*;

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table")]
async fn a_run_is_told_event_by_event() {
    let world = World::new().failing("f", &["A"]);
    let definition = json!({"StartAt": "P", "States": {
        "P": {"Type": "Pass", "Next": "T"},
        "T": invoke("f", json!({"Retry": [{"ErrorEquals": ["A"]}], "TimeoutSeconds": 9, "Next": "C"})),
        "C": {"Type": "Choice", "Choices": [{"Variable": "$", "IsNull": true, "Next": "F"}], "Default": "W"},
        "W": {"Type": "Wait", "Seconds": 1, "Next": "M"},
        "M": {"Type": "Map", "ItemsPath": "$.items", "MaxConcurrency": 1, "Next": "Z", "ItemProcessor": {
            "StartAt": "I", "States": {"I": {"Type": "Pass", "End": true}}}},
        "Z": {"Type": "Succeed"},
        "F": {"Type": "Fail"},
    }});
    let outcome = run(definition, &world, json!({"items": [1, 2]})).await;
    succeeded(&outcome);
    assert_eq!(
        types(&outcome),
        [
            E::ExecutionStarted,
            E::PassStateEntered,
            E::PassStateExited,
            E::TaskStateEntered,
            E::TaskScheduled,
            E::TaskStarted,
            E::TaskFailed,
            E::TaskScheduled,
            E::TaskStarted,
            E::TaskSucceeded,
            E::TaskStateExited,
            E::ChoiceStateEntered,
            E::ChoiceStateExited,
            E::WaitStateEntered,
            E::WaitStateExited,
            E::MapStateEntered,
            E::MapStateStarted,
            E::MapIterationStarted,
            E::PassStateEntered,
            E::PassStateExited,
            E::MapIterationSucceeded,
            E::MapIterationStarted,
            E::PassStateEntered,
            E::PassStateExited,
            E::MapIterationSucceeded,
            E::MapStateSucceeded,
            E::MapStateExited,
            E::SucceedStateEntered,
            E::SucceedStateExited,
            E::ExecutionSucceeded,
        ]
    );
    let ids: Vec<u64> = outcome.history.iter().map(|event| event.id).collect();
    assert_eq!(ids, (1..=30).collect::<Vec<_>>());
    let started = 17;
    for event in &outcome.history {
        let previous = match (event.id, event.event_type) {
            (_, E::MapIterationStarted) => started,
            (id, _) => id - 1,
        };
        assert_eq!(event.previous_event_id, previous, "{event:?}");
    }
    let times: Vec<_> = outcome.history.iter().map(|event| event.timestamp).collect();
    assert!(times.is_sorted());
    assert_eq!(times[29].duration_since(times[0]).as_secs(), 2, "one second of retry, one of Wait");
}

#[tokio::test]
async fn failure_is_told() {
    let world = World::new().failing("f", &["A"]);
    let outcome = run(only(invoke("f", json!({}))), &world, json!({})).await;
    assert_eq!(
        types(&outcome),
        [
            E::ExecutionStarted,
            E::TaskStateEntered,
            E::TaskScheduled,
            E::TaskStarted,
            E::TaskFailed,
            E::ExecutionFailed,
        ]
    );
    let outcome = run(only(json!({"Type": "Fail", "Error": "E"})), &world, json!({})).await;
    assert_eq!(types(&outcome), [E::ExecutionStarted, E::FailStateEntered, E::ExecutionFailed]);
}

#[tokio::test]
async fn events_are_written_as_aws_writes_them() {
    let world = World::new().failing("f", &["A"]);
    let definition = only(invoke("f", json!({"TimeoutSeconds": 9})));
    let outcome = run(definition, &world, json!({"n": 1})).await;
    let written = serde_json::to_value(&outcome.history).unwrap();
    let expected = json!([
        {"id": 1, "previousEventId": 0, "type": "ExecutionStarted", "executionStartedEventDetails":
            {"input": "{\"n\":1}", "roleArn": "arn:aws:iam::000000000000:role/local"}},
        {"id": 2, "previousEventId": 1, "type": "TaskStateEntered", "stateEnteredEventDetails":
            {"name": "S", "input": "{\"n\":1}"}},
        {"id": 3, "previousEventId": 2, "type": "TaskScheduled", "taskScheduledEventDetails":
            {"resourceType": "lambda", "resource": "invoke", "region": "local", "timeoutInSeconds": 9,
             "parameters": "{\"FunctionName\":\"f\",\"Payload\":{\"n\":1}}"}},
        {"id": 4, "previousEventId": 3, "type": "TaskStarted", "taskStartedEventDetails":
            {"resourceType": "lambda", "resource": "invoke"}},
        {"id": 5, "previousEventId": 4, "type": "TaskFailed", "taskFailedEventDetails":
            {"resourceType": "lambda", "resource": "invoke", "error": "A", "cause": "because"}},
        {"id": 6, "previousEventId": 5, "type": "ExecutionFailed", "executionFailedEventDetails":
            {"error": "A", "cause": "because"}},
    ]);
    let mut written = written;
    for event in written.as_array_mut().unwrap() {
        assert_eq!(
            event.as_object_mut().unwrap().remove("timestamp"),
            Some(json!("2026-01-02T03:04:05Z"))
        );
    }
    assert_eq!(written, expected);
    let outcome = serde_json::to_value(&*outcome).unwrap();
    assert_eq!((&outcome["status"], &outcome["error"]), (&json!("FAILED"), &json!("A")));
}

#[tokio::test]
async fn an_observer_sees_parent_and_children() {
    type Note = (String, Option<usize>, E);
    let seen: Arc<Mutex<Vec<Note>>> = Arc::default();
    let notes = Arc::clone(&seen);
    let observer = move |notice: Notice<'_>| {
        let index = notice.item.map(|(state, index)| {
            assert_eq!(state, "S");
            index
        });
        let note = (notice.execution_id.to_owned(), index, notice.event.event_type);
        notes.lock().unwrap().push(note);
    };
    let services: Arc<World> = World::new();
    let engine = Engine::builder(machine(&map("DISTRIBUTED", json!({}))), services, clock())
        .observer(Arc::new(observer))
        .build()
        .unwrap();
    let outcome = engine.start("r", json!([1, 2])).wait().await;
    succeeded(&outcome);
    let seen = seen.lock().unwrap();
    for (place, run) in outcome.all().into_iter().enumerate() {
        let index = place.checked_sub(1);
        let theirs: Vec<E> = seen
            .iter()
            .filter(|(id, at, _)| *id == run.id && *at == index)
            .map(|it| it.2)
            .collect();
        let own: Vec<E> = run.history.iter().map(|event| event.event_type).collect();
        assert_eq!(theirs, own);
    }
    assert_eq!(seen.len(), outcome.all().iter().map(|run| run.history.len()).sum::<usize>());
}

#[tokio::test]
async fn the_identity_is_in_every_name() {
    let services: Arc<World> = World::new();
    let identity = engine::Identity {
        region: "eu-central-1".into(),
        account: "123456789012".into(),
        state_machine: "delivery".into(),
        role_arn: "role".into(),
    };
    let definition = only(json!({"Type": "Pass", "Parameters": {"c.$": "$$"}}));
    let engine = Engine::builder(machine(&definition), services, clock())
        .identity(identity)
        .build()
        .unwrap();
    let execution = engine.start("n", Value::Null);
    let id = "arn:aws:states:eu-central-1:123456789012:execution:delivery:n";
    assert_eq!((execution.id(), execution.name()), (id, "n"));
    let outcome = execution.wait().await;
    let context = &succeeded(&outcome)["c"];
    assert_eq!(
        context["StateMachine"]["Id"],
        "arn:aws:states:eu-central-1:123456789012:stateMachine:delivery"
    );
    assert_eq!(context["Execution"]["RoleArn"], "role");
}

#[tokio::test]
async fn a_function_by_its_arn_is_told_in_events_of_its_own() {
    let arn = "arn:aws:lambda:local:000000000000:function:f:live";
    let world = World::new().failing("f:live", &["A"]);
    let definition = only(json!({
        "Type": "Task", "Resource": arn, "TimeoutSeconds": 9, "Retry": [{"ErrorEquals": ["A"]}],
    }));
    let outcome = run(definition, &world, json!({"a": 1})).await;
    assert_eq!(succeeded(&outcome), &json!({"a": 1}));
    let told: Vec<(E, Value)> = outcome.history[2..7]
        .iter()
        .map(|event| (event.event_type, event.details.clone()))
        .collect();
    let scheduled = json!({"resource": arn, "input": "{\"a\":1}", "timeoutInSeconds": 9});
    assert_eq!(
        told,
        [
            (E::LambdaFunctionScheduled, scheduled.clone()),
            (E::LambdaFunctionStarted, Value::Null),
            (E::LambdaFunctionFailed, json!({"error": "A", "cause": "because"})),
            (E::LambdaFunctionScheduled, scheduled),
            (E::LambdaFunctionStarted, Value::Null),
        ]
    );
    let done = &outcome.history[7];
    assert_eq!(done.event_type, E::LambdaFunctionSucceeded);
    assert_eq!(done.details, json!({"output": "{\"a\":1}"}));
    assert_eq!(world.calls.lock().unwrap()[0].function_name, "f:live");
}
