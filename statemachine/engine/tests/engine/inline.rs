//! Inline Maps: items, order, concurrency, errors.

use std::sync::atomic::Ordering;
use std::time::Duration;

use engine::{EventType, Status};
use futures::future::FutureExt;
use serde_json::{Value, json};

use super::world::*;

#[tokio::test]
async fn items_are_selected_and_results_keep_their_order() {
    let world = World::new().on_async("work", |call| {
        async move {
            // The first items take longest.
            let n = call.payload["item"].as_u64().unwrap();
            tokio::time::sleep(Duration::from_millis(20 - 4 * n)).await;
            Ok(call.payload)
        }
        .boxed()
    });
    let more = json!({
        "InputPath": "$.in", "ItemsPath": "$.list", "ResultPath": "$.out",
        "ItemSelector": {
            "item.$": "$$.Map.Item.Value", "at.$": "$$.Map.Item.Index", "who.$": "$.who",
            "run.$": "$$.Execution.Name", "text.$": "States.Format('{}', $$.Map.Item.Index)",
        },
        "ResultSelector": {"first.$": "$[0]", "count.$": "States.ArrayLength($)", "all.$": "$"},
    });
    let input = json!({"in": {"list": [3, 1, 2], "who": "w"}});
    let outcome = run(map("INLINE", more), &world, input).await;
    let item = |n: u64, at: u64| json!({"item": n, "at": at, "who": "w", "run": "run-1", "text": at.to_string()});
    let all = json!([item(3, 0), item(1, 1), item(2, 2)]);
    let expected = json!({"first": item(3, 0), "count": 3, "all": all});
    assert_eq!(succeeded(&outcome)["out"], expected);
}

#[tokio::test]
async fn the_item_is_in_the_context_of_an_iteration() {
    let definition = only(json!({"Type": "Map", "ItemProcessor": {
        "StartAt": "P", "States": {"P": {"Type": "Pass", "Parameters": {
            "v.$": "$$.Map.Item.Value", "i.$": "$$.Map.Item.Index", "in.$": "$"}, "End": true}},
    }}));
    let outcome = run(definition, &World::new(), json!(["a", "b"])).await;
    let expected = json!([{"v": "a", "i": 0, "in": "a"}, {"v": "b", "i": 1, "in": "b"}]);
    assert_eq!(succeeded(&outcome), &expected);
}

#[tokio::test]
async fn no_items_make_an_empty_result() {
    let world = World::new();
    for mode in ["INLINE", "DISTRIBUTED"] {
        assert_eq!(succeeded(&run(map(mode, json!({})), &world, json!([])).await), &json!([]));
    }
    assert_eq!(world.count(), 0);
}

#[tokio::test]
async fn what_is_no_array_fails() {
    let table = [
        (json!({}), json!({"a": 1})),
        (json!({"ItemsPath": "$.a"}), json!({"a": 1})),
        (json!({"ItemsPath": "$.b"}), json!({"a": 1})),
        (json!({"ItemsPath": "$.l", "MaxConcurrencyPath": "$.a"}), json!({"l": [], "a": "x"})),
        (json!({"ItemsPath": "$.l", "ItemSelector": {"x.$": "$.nope"}}), json!({"l": [1]})),
    ];
    for (more, input) in table {
        for mode in ["INLINE", "DISTRIBUTED"] {
            failed(
                &run(map(mode, more.clone()), &World::new(), input.clone()).await,
                "States.Runtime",
            );
        }
    }
}

#[tokio::test]
async fn the_peak_is_exactly_the_limit() {
    let table = [
        ("INLINE", json!({"MaxConcurrency": 1}), 1),
        ("INLINE", json!({"MaxConcurrency": 7}), 7),
        ("INLINE", json!({"MaxConcurrency": 0}), 40),
        ("INLINE", json!({"MaxConcurrency": 60}), 40),
        ("INLINE", json!({}), 40),
        ("INLINE", json!({"MaxConcurrencyPath": "$.most"}), 5),
        ("DISTRIBUTED", json!({"MaxConcurrency": 1}), 1),
        ("DISTRIBUTED", json!({"MaxConcurrency": 9}), 9),
        ("DISTRIBUTED", json!({"MaxConcurrencyPath": "$.most"}), 5),
    ];
    for (mode, more, peak) in table {
        let world = World::new().together("work", peak);
        let mut more = more;
        more["ItemsPath"] = "$.items".into();
        let items: Vec<u32> = (0..100).collect();
        let input = json!({"items": items, "most": 5});
        let outcome = run(map(mode, more.clone()), &world, input).await;
        assert_eq!(succeeded(&outcome), &json!(items), "{mode} {more}");
        assert_eq!(world.peak.load(Ordering::SeqCst), peak, "{mode} {more}");
    }
}

#[tokio::test]
async fn an_unlimited_distributed_map_runs_a_thousand_at_once() {
    let world = World::new().together("work", 1_000);
    let items: Vec<u32> = (0..1_200).collect();
    let outcome = run(map("DISTRIBUTED", json!({})), &world, json!(items)).await;
    assert_eq!(succeeded(&outcome), &json!(items));
    assert_eq!(world.peak.load(Ordering::SeqCst), 1_000);
    assert_eq!(outcome.children.len(), 1_200);
}

#[tokio::test]
async fn an_error_of_an_item_keeps_its_name_and_stops_its_neighbours() {
    let world = World::new().failing_among("work", 3, json!(1));
    let outcome =
        run(map("INLINE", json!({"MaxConcurrency": 3})), &world, json!([0, 1, 2, 3])).await;
    assert_eq!(failed(&outcome, "Rejected"), "because");
    assert_eq!(world.count(), 3, "the fourth item never starts");
    let count = |kind| types(&outcome).into_iter().filter(|it| *it == kind).count();
    assert_eq!(count(EventType::MapIterationFailed), 1);
    assert_eq!(count(EventType::MapIterationAborted), 2);
    assert_eq!(types(&outcome).last(), Some(&EventType::ExecutionFailed));
}

#[tokio::test]
async fn a_map_is_retried_and_caught_like_a_task() {
    let world = World::new().failing("work", &["A", "A", "A"]);
    let more = json!({
        "MaxConcurrency": 1,
        "Retry": [{"ErrorEquals": ["A"], "MaxAttempts": 2}],
        "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Z", "ResultPath": null}],
    });
    let mut definition = map("INLINE", more);
    definition["States"]["Z"] = json!({"Type": "Succeed"});
    let outcome = run(definition, &world, json!([1, 2])).await;
    assert_eq!(succeeded(&outcome), &json!([1, 2]));
    assert_eq!(world.count(), 3, "three attempts, each stopped by its first item");
}

#[tokio::test]
async fn maps_nest_and_a_result_that_is_too_large_fails() {
    let inner = map("INLINE", json!({}))["States"]["S"].clone();
    let definition = only(json!({"Type": "Map", "ItemProcessor": {
        "StartAt": "Inner", "States": {"Inner": inner},
    }}));
    let input = json!([[1, 2], [], [3]]);
    let outcome = run(definition, &World::new(), input.clone()).await;
    assert_eq!(succeeded(&outcome), &input);

    let world = World::new().on("work", |_| Ok(Value::String("x".repeat(100_000))));
    for mode in ["INLINE", "DISTRIBUTED"] {
        let outcome = run(map(mode, json!({"ResultPath": null})), &world, json!([1, 2, 3])).await;
        failed(&outcome, "States.DataLimitExceeded");
        assert_eq!(outcome.status, Status::Failed);
    }
}
