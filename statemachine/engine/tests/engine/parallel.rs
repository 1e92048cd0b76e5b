//! Parallel states: their history, how branches run beside each other and end together.

use std::collections::BTreeMap;

use engine::{EventType as E, Machine, StateKind, Status};
use serde_json::{Value, json};

use super::world::*;

fn branch(name: &str, state: Value) -> Value {
    let mut state = state;
    state["End"] = true.into();
    json!({"StartAt": name, "States": {name: state}})
}

fn parallel(branches: Value, more: Value) -> Value {
    let mut state = json!({"Type": "Parallel", "Branches": branches});
    for (key, value) in more.as_object().unwrap() {
        state[key] = value.clone();
    }
    only(state)
}

#[tokio::test]
async fn a_parallel_is_told_event_by_event() {
    let pass = || json!({"Type": "Pass"});
    let definition = parallel(json!([branch("A", pass()), branch("B", pass())]), json!({}));
    let outcome = run(definition, &World::new(), json!(1)).await;
    succeeded(&outcome);
    let told: Vec<(E, Option<&str>)> =
        outcome.history.iter().map(|event| (event.event_type, event.state())).collect();
    assert_eq!(
        told,
        [
            (E::ExecutionStarted, None),
            (E::ParallelStateEntered, Some("S")),
            (E::ParallelStateStarted, None),
            (E::PassStateEntered, Some("A")),
            (E::PassStateExited, Some("A")),
            (E::PassStateEntered, Some("B")),
            (E::PassStateExited, Some("B")),
            (E::ParallelStateSucceeded, None),
            (E::ParallelStateExited, Some("S")),
            (E::ExecutionSucceeded, None),
        ]
    );
    let entered = |name: &str| {
        let mut events = outcome.history.iter();
        let found = |event: &&engine::Event| event.state() == Some(name);
        events.find(found).unwrap().previous_event_id
    };
    assert_eq!((entered("A"), entered("B")), (3, 3), "both branches follow the start");
}

#[tokio::test]
async fn branches_run_at_the_same_time() {
    let world = World::new().together("f", 5);
    let names = ["A", "B", "C", "D", "E"];
    let branches: Vec<Value> =
        names.iter().map(|name| branch(name, invoke("f", json!({})))).collect();
    let outcome = run(parallel(json!(branches), json!({})), &world, json!(7)).await;
    assert_eq!(succeeded(&outcome), &json!([7, 7, 7, 7, 7]));
}

#[tokio::test]
async fn a_branch_that_fails_stops_the_others_before_the_state_ends() {
    let world = World::new().failing_among("f", 3, json!("bad"));
    let call = |payload: &str| {
        invoke("f", json!({"Parameters": {"FunctionName": "f", "Payload": payload}}))
    };
    let branches =
        json!([branch("A", call("a")), branch("B", call("bad")), branch("C", call("c"))]);
    let more = json!({"Catch": [{"ErrorEquals": ["Rejected"], "Next": "Z"}]});
    let mut definition = parallel(branches, more);
    definition["States"]["Z"] = json!({"Type": "Succeed"});
    let outcome = run(definition, &world, json!({})).await;
    assert_eq!(succeeded(&outcome)["Error"], "Rejected");
    let told = types(&outcome);
    let exits = told.iter().filter(|kind| **kind == E::TaskStateExited).count();
    assert_eq!(exits, 0, "{told:?}");
    let failed = told.iter().position(|kind| *kind == E::ParallelStateFailed).unwrap();
    assert_eq!(
        told[failed..],
        [
            E::ParallelStateFailed,
            E::ParallelStateExited,
            E::SucceedStateEntered,
            E::SucceedStateExited,
            E::ExecutionSucceeded,
        ]
    );
}

#[tokio::test]
async fn an_abort_ends_every_branch() {
    let world = World::new().failing_among("f", 2, json!("nobody"));
    let branches = json!([
        branch("A", invoke("f", json!({}))),
        branch("M", map("INLINE", json!({}))["States"]["S"].clone()),
    ]);
    let services = std::sync::Arc::clone(&world);
    let loaded = machine(&parallel(branches, json!({})));
    let engine = engine::Engine::new(loaded, services, clock());
    let execution = engine.start("run-1", json!([1]));
    while world.count() < 2 {
        tokio::task::yield_now().await;
    }
    execution.abort();
    assert_eq!(execution.wait().await.status, Status::Aborted);
}

#[tokio::test]
async fn sleeps_of_branches_are_not_added_up() {
    let wait = || json!({"Type": "Wait", "Seconds": 8});
    let branches = json!([branch("A", wait()), branch("B", wait())]);
    let mut definition = parallel(branches, json!({}));
    definition["TimeoutSeconds"] = 10.into();
    succeeded(&run(definition, &World::new(), json!({})).await);
}

#[test]
fn the_states_of_branches_are_known_to_the_machine() {
    let inner = parallel(json!([branch("B", json!({"Type": "Pass"}))]), json!({}));
    let mut inner = inner["States"]["S"].clone();
    inner["Comment"] = "in a branch".into();
    let definition =
        parallel(json!([branch("P", inner), branch("A", invoke("f", json!({})))]), json!({}));
    let machine = Machine::load(&definition.to_string(), &BTreeMap::new()).unwrap();
    let found: Vec<_> =
        machine.states().map(|it| (it.name, it.kind, it.inside, it.pointer)).collect();
    assert_eq!(
        found,
        [
            ("S", StateKind::Parallel, None, "/States/S"),
            ("P", StateKind::Parallel, Some("S"), "/States/S/Branches/0/States/P"),
            ("B", StateKind::Pass, Some("P"), "/States/S/Branches/0/States/P/Branches/0/States/B"),
            ("A", StateKind::Task, Some("S"), "/States/S/Branches/1/States/A"),
        ]
    );
}
