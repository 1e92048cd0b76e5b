//! The machine's TimeoutSeconds, and aborting.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use engine::{Engine, EventType, Execution, Notice, Status, SystemClock};
use futures::future::FutureExt;
use serde_json::{Value, json};

use super::world::*;

fn limited(mut definition: Value, seconds: u64) -> Value {
    definition["TimeoutSeconds"] = seconds.into();
    definition
}

#[tokio::test]
async fn skipped_waits_and_retry_delays_count_against_the_machine() {
    let wait = |seconds: u64| json!({"Type": "Wait", "Seconds": seconds});
    let clock_ = clock();
    let outcome =
        run_with(limited(only(wait(60)), 60), &World::new(), json!({}), &clock_, &[]).await;
    succeeded(&outcome);

    let clock_ = clock();
    let outcome =
        run_with(limited(only(wait(61)), 60), &World::new(), json!({}), &clock_, &[]).await;
    assert_eq!(outcome.status, Status::TimedOut);
    assert_eq!(outcome.error.as_deref(), Some("States.Timeout"));
    assert_eq!(types(&outcome).last(), Some(&EventType::ExecutionTimedOut));
    assert_eq!(clock_.sleeps(), [Duration::from_secs(60)]);
    assert_eq!(outcome.stopped.duration_since(outcome.started).as_secs(), 60);

    let world = World::new().failing("f", &["A"; 9]);
    let task = invoke("f", json!({"Retry": [{"ErrorEquals": ["A"], "IntervalSeconds": 10}]}));
    let outcome = run_with(limited(only(task), 25), &world, json!({}), &clock(), &[]).await;
    assert_eq!(outcome.status, Status::TimedOut);
    assert_eq!(world.count(), 2, "10 + 20 seconds of delay are more than 25");
}

#[tokio::test]
async fn waits_of_concurrent_items_do_not_add_up() {
    let definition = only(json!({"Type": "Map", "ItemProcessor": {
        "StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 50, "End": true}},
    }}));
    let items: Vec<u32> = (0..10).collect();
    let outcome = run(limited(definition, 60), &World::new(), json!(items)).await;
    succeeded(&outcome);
}

#[tokio::test]
async fn a_machine_times_out_on_the_system_clock() {
    let world = World::new().on_async("f", |_| futures::future::pending().boxed());
    let services: Arc<World> = Arc::clone(&world);
    let definition = limited(only(invoke("f", json!({}))), 1);
    let engine = Engine::new(machine(&definition), services, Arc::new(SystemClock));
    let begun = Instant::now();
    let outcome = engine.start("r", json!({})).wait().await;
    assert_eq!(outcome.status, Status::TimedOut);
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn the_system_clock_really_sleeps() {
    let definition = only(json!({"Type": "Wait", "Seconds": 1}));
    let services: Arc<World> = World::new();
    let engine = Engine::new(machine(&definition), services, Arc::new(SystemClock));
    let begun = Instant::now();
    succeeded(&engine.start("r", json!({})).wait().await);
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

/// Counts the calls that are alive.
struct Busy(Arc<AtomicUsize>);

impl Busy {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn hanging(mode: &str) -> (Execution, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let alive = Arc::clone(&count);
    let world = World::new().on_async("work", move |_| {
        let busy = Busy::new(&alive);
        async move {
            let _busy = busy;
            futures::future::pending().await
        }
        .boxed()
    });
    let services: Arc<World> = Arc::clone(&world);
    let definition = map(mode, json!({"MaxConcurrency": 8}));
    let engine = Engine::new(machine(&definition), services, clock());
    let items: Vec<u32> = (0..20).collect();
    let execution = engine.start("r", json!(items));
    while world.count() < 8 {
        tokio::task::yield_now().await;
    }
    (execution, count)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abort_leaves_nothing_running() {
    for mode in ["INLINE", "DISTRIBUTED"] {
        let (execution, count) = hanging(mode).await;
        assert_eq!(count.load(Ordering::SeqCst), 8);
        execution.abort_with("Operator", "enough");
        let outcome = execution.wait().await;
        assert_eq!(count.load(Ordering::SeqCst), 0, "every call is dropped before the end is told");
        assert_eq!(outcome.status, Status::Aborted);
        assert_eq!(outcome.error.as_deref(), Some("Operator"));
        assert_eq!(types(&outcome).last(), Some(&EventType::ExecutionAborted));
        let children = if mode == "INLINE" { 0 } else { 8 };
        assert_eq!(outcome.children.len(), children);
        assert!(outcome.children.iter().all(|child| child.status == Status::Aborted));
        execution.abort();
        assert_eq!(execution.wait().await.error.as_deref(), Some("Operator"), "the end is the end");
    }
}

#[tokio::test]
async fn a_circle_of_states_that_wait_for_nobody_can_be_aborted() {
    let rule = json!({"Variable": "$.never", "IsPresent": true, "Next": "End"});
    let definition = json!({"StartAt": "Turn", "States": {
        "Turn": {"Type": "Choice", "Choices": [rule], "Default": "Turn"},
        "End": {"Type": "Succeed"}
    }});
    let events = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&events);
    let engine = Engine::builder(machine(&definition), World::new(), clock())
        .observer(Arc::new(move |_: Notice<'_>| {
            let before = count.fetch_add(1, Ordering::SeqCst);
            assert!(before < 100_000, "nothing stops it");
        }))
        .build()
        .unwrap();
    let execution = engine.start("a", json!({}));
    while events.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    execution.abort();
    let outcome = tokio::time::timeout(Duration::from_secs(30), execution.wait()).await;
    assert_eq!(outcome.expect("it stops").status, Status::Aborted);
}

#[tokio::test]
async fn several_can_wait_and_the_handle_may_be_dropped() {
    let world = World::new();
    let services: Arc<World> = Arc::clone(&world);
    let engine = Engine::new(machine(&only(invoke("f", json!({})))), services, clock());
    let execution = engine.start("a", json!(1));
    let (one, two) = tokio::join!(execution.wait(), execution.wait());
    assert_eq!(one, two);
    drop(engine.start("b", json!(2)));
    while world.count() < 2 {
        tokio::task::yield_now().await;
    }
}
