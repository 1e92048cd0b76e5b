//! Failures on purpose: what a state sees, how often, and what the task did.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use engine::{Engine, Injection, InjectionError, Injections, When};
use futures::future::FutureExt;
use serde_json::{Value, json};

use super::world::*;

/// A task that catches nothing and retries `Transient` five times.
fn retrying() -> Value {
    only(invoke(
        "f",
        json!({"Retry": [{"ErrorEquals": ["Transient", "Lambda.Unknown"], "MaxAttempts": 5}]}),
    ))
}

async fn calls(injections: &[&str]) -> (usize, Option<String>) {
    let world = World::new();
    let outcome = run_with(retrying(), &world, json!({}), &clock(), injections).await;
    (world.count(), outcome.error.clone())
}

#[tokio::test]
async fn errors_strike_before_or_after_the_work_as_often_as_told() {
    let error = |name: &str| Some(name.to_owned());
    let table: [(&[&str], _); 9] = [
        (&[], (1, None)),
        (&["S=error"], (1, None)),
        (&["S=error:Transient:3"], (1, None)),
        (&["S=error:Transient:always"], (0, error("Transient"))),
        (&["S=error:Rejected"], (0, error("Rejected"))),
        (&["S=error:Transient:2:after"], (3, None)),
        (&["S=error:Transient:always:after"], (6, error("Transient"))),
        (&["S=repeat"], (2, None)),
        (&["S=error", "S=repeat"], (2, None)),
    ];
    for (injections, expected) in table {
        assert_eq!(calls(injections).await, expected, "{injections:?}");
    }
}

#[tokio::test]
async fn a_repeated_call_gets_the_same_input_and_its_second_answer_counts() {
    let count = AtomicUsize::new(0);
    let world = World::new().on("f", move |call| {
        let n = count.fetch_add(1, Ordering::SeqCst);
        if n == 0 { Err(fault("Lost")) } else { Ok(json!({"n": n, "in": call.payload})) }
    });
    let outcome =
        run_with(only(invoke("f", json!({}))), &world, json!(7), &clock(), &["S=repeat"]).await;
    assert_eq!(succeeded(&outcome), &json!({"n": 1, "in": 7}));
    let calls = world.calls.lock().unwrap();
    assert_eq!(calls[0], calls[1]);
}

#[tokio::test]
async fn a_killed_call_is_dropped_half_way() {
    let steps = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&steps);
    let world = World::new().on_async("f", move |call| {
        let steps = Arc::clone(&seen);
        async move {
            if steps.fetch_add(1, Ordering::SeqCst) == 0 {
                std::future::pending::<()>().await;
            }
            steps.fetch_add(10, Ordering::SeqCst);
            Ok(call.payload)
        }
        .boxed()
    });
    let outcome = run_with(retrying(), &world, json!({}), &clock(), &["S=kill:2"]).await;
    succeeded(&outcome);
    assert_eq!(
        steps.load(Ordering::SeqCst),
        1 + 11,
        "the first call never comes to its second step"
    );

    let world = World::new();
    let outcome = run_with(retrying(), &world, json!({}), &clock(), &["S=kill:0:always"]).await;
    failed(&outcome, "Lambda.Unknown");
    assert_eq!(world.count(), 6, "also a call that was done by then loses its answer");
}

#[tokio::test]
async fn other_services_die_with_task_failed() {
    let state = json!({
        "Type": "Task", "Resource": "arn:aws:states:::events:putEvents", "Parameters": {"Entries": []},
    });
    let outcome = run_with(only(state), &World::new(), json!({}), &clock(), &["S=kill"]).await;
    failed(&outcome, "States.TaskFailed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn injections_are_counted_over_all_children() {
    let mut definition = map("DISTRIBUTED", json!({"MaxConcurrency": 20}));
    let states = &mut definition["States"]["S"]["ItemProcessor"]["States"];
    states["Work"]["Catch"] = json!([{"ErrorEquals": ["States.ALL"], "Next": "Bad"}]);
    states["Bad"] = json!({"Type": "Pass", "Result": "bad", "End": true});
    let items: Vec<u32> = (0..100).collect();
    let world = World::new();
    let outcome =
        run_with(definition, &world, json!(items), &clock(), &["Work=error:Rejected:17"]).await;
    let bad =
        succeeded(&outcome).as_array().unwrap().iter().filter(|it| **it == json!("bad")).count();
    assert_eq!((bad, world.count()), (17, 83));
}

#[tokio::test]
async fn names_are_checked_when_the_engine_is_built() {
    let build = |text: &str| {
        let services: Arc<World> = World::new();
        Engine::builder(machine(&map("INLINE", json!({}))), services, clock())
            .injections(Injections::parse([text]).unwrap())
            .build()
            .map(|_| ())
    };
    assert_eq!(build("Work=error"), Ok(()));
    let error = build("Wrok=error").unwrap_err();
    assert!(matches!(error, InjectionError::UnknownState { .. }));
    assert_eq!(error.to_string(), "the machine has no state `Wrok`; its tasks are Work");
    assert!(matches!(build("S=error").unwrap_err(), InjectionError::NotATask { .. }));
}

#[tokio::test]
async fn injections_can_be_built_in_code() {
    let injection = Injection::Error {
        error: "Throttled".into(),
        cause: "429".into(),
        times: None,
        when: When::Before,
    };
    let services: Arc<World> = World::new();
    let engine = Engine::builder(machine(&retrying()), services, clock())
        .injections(Injections::new().with("S", injection))
        .build()
        .unwrap();
    let outcome = engine.start("r", json!({})).wait().await;
    assert_eq!(failed(&outcome, "Throttled"), "429");
}
