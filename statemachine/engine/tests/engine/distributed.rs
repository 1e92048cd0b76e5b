//! Distributed Maps: children of their own, readers, writers, failure, isolation.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use engine::{EventType, Status};
use futures::future::FutureExt;
use serde_json::{Value, json};

use super::world::*;

/// A distributed Map whose child shows its context object.
fn showing(more: Value) -> Value {
    let mut definition = map("DISTRIBUTED", more);
    definition["States"]["S"]["ItemProcessor"]["States"] = json!({
        "Work": {"Type": "Pass", "Parameters": {"c.$": "$$", "in.$": "$"}, "End": true},
    });
    definition
}

#[tokio::test]
async fn a_child_is_an_execution_of_its_own() {
    let more = json!({"Label": "Fetch", "ItemSelector": {"item.$": "$$.Map.Item.Value", "run.$": "$$.Execution.Id"}});
    let outcome = run(showing(more), &World::new(), json!(["a", "b"])).await;
    let output = succeeded(&outcome);
    let arn = |kind: &str, rest: &str| format!("arn:aws:states:local:000000000000:{kind}:{rest}");
    for (index, child) in outcome.children.iter().enumerate() {
        let context = &output[index]["c"];
        assert_eq!(context["Execution"]["Name"], child.name);
        assert_eq!(
            context["Execution"]["Id"],
            arn("execution", &format!("machine/Fetch:{}", child.name))
        );
        assert_eq!(context["Execution"]["Id"], child.id);
        assert_eq!(context["Execution"]["Input"], output[index]["in"]);
        assert_eq!(context["StateMachine"]["Name"], "machine/Fetch");
        assert_eq!(context["StateMachine"]["Id"], arn("stateMachine", "machine/Fetch"));
        assert_eq!(context.get("Map"), None);
        assert_eq!(output[index]["in"]["run"], outcome.id);
        let item = child.item.clone().unwrap();
        assert_eq!((item.state.as_str(), item.index), ("S", index));
        assert!(
            item.map_run_arn.starts_with(&arn("mapRun", "machine/Fetch:")),
            "{}",
            item.map_run_arn
        );
        assert_eq!(child.status, Status::Succeeded);
        assert_eq!(child.output.as_ref(), Some(&output[index]));
        assert_eq!(child.history[0].id, 1);
        assert!(!outcome.history.iter().any(|event| event.state() == Some("Work")));
    }
    assert_eq!(output[0]["in"]["item"], "a");
    assert_eq!(output[1]["in"]["item"], "b");
    assert_ne!(outcome.children[0].id, outcome.children[1].id);
    assert_eq!(
        types(&outcome),
        [
            EventType::ExecutionStarted,
            EventType::MapStateEntered,
            EventType::MapStateStarted,
            EventType::MapRunStarted,
            EventType::MapRunSucceeded,
            EventType::MapStateSucceeded,
            EventType::MapStateExited,
            EventType::ExecutionSucceeded,
        ]
    );
}

#[tokio::test]
async fn a_failed_child_exceeds_the_threshold_and_stops_the_others() {
    let world = World::new().failing_among("work", 3, json!(1));
    let more = json!({"MaxConcurrency": 3, "ResultWriter": {
        "Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket": "b", "Prefix": "p"},
    }});
    let outcome = run(map("DISTRIBUTED", more), &world, json!([0, 1, 2, 3])).await;
    let cause = failed(&outcome, "States.ExceedToleratedFailureThreshold");
    assert!(cause.contains("threshold was exceeded") && cause.contains("Rejected"), "{cause}");
    let seen: Vec<_> = outcome.children.iter().map(|child| child.status).collect();
    assert_eq!(seen, [Status::Aborted, Status::Failed, Status::Aborted]);
    let last = |index: usize| outcome.children[index].history.last().unwrap().event_type;
    assert_eq!(last(0), EventType::ExecutionAborted);
    assert_eq!(last(1), EventType::ExecutionFailed);
    assert!(types(&outcome).contains(&EventType::MapRunFailed));
    let places: Vec<String> = world.objects.lock().unwrap().keys().cloned().collect();
    assert_eq!(places.len(), 2, "what failed is exported: {places:?}");
    assert_eq!(world.object(&places[0])[1]["Error"], "Rejected");
}

#[tokio::test]
async fn the_threshold_error_can_be_retried_and_caught() {
    let world = World::new().failing("work", &["A", "A"]);
    let more = json!({
        "MaxConcurrency": 1,
        "Retry": [{"ErrorEquals": ["States.ExceedToleratedFailureThreshold"], "MaxAttempts": 1}],
        "Catch": [{"ErrorEquals": ["States.ExceedToleratedFailureThreshold"], "Next": "Z"}],
    });
    let mut definition = map("DISTRIBUTED", more);
    definition["States"]["Z"] = json!({"Type": "Succeed"});
    let outcome = run(definition, &world, json!([1])).await;
    assert_eq!(succeeded(&outcome)["Error"], "States.ExceedToleratedFailureThreshold");
    let arns: Vec<_> =
        outcome.children.iter().map(|child| child.item.clone().unwrap().map_run_arn).collect();
    assert_eq!(arns.len(), 2);
    assert_ne!(arns[0], arns[1], "each attempt is a Map Run of its own");
}

#[tokio::test]
async fn children_that_catch_do_not_hurt_their_neighbours() {
    let world = World::new().on("work", |call| {
        if call.payload.as_u64().unwrap() % 3 == 0 {
            Err(fault("Rejected"))
        } else {
            Ok(call.payload)
        }
    });
    let mut definition = map("DISTRIBUTED", json!({}));
    let states = &mut definition["States"]["S"]["ItemProcessor"]["States"];
    states["Work"]["Catch"] = json!([{"ErrorEquals": ["Rejected"], "Next": "Bad"}]);
    states["Bad"] = json!({"Type": "Pass", "Result": "bad", "End": true});
    let outcome = run(definition, &world, json!([0, 1, 2, 3])).await;
    assert_eq!(succeeded(&outcome), &json!(["bad", 1, 2, "bad"]));
}

fn reading(resource: &str, config: Value, parameters: Value) -> Value {
    let mut reader =
        json!({"Resource": format!("arn:aws:states:::s3:{resource}"), "Parameters": parameters});
    if !config.is_null() {
        reader["ReaderConfig"] = config;
    }
    map("DISTRIBUTED", json!({"ItemReader": reader}))
}

#[tokio::test]
async fn a_json_array_in_s3_is_a_list_of_items() {
    let world = World::new().put("b/list.json", &json!([{"k": 1}, 2, "three"]));
    let parameters = json!({"Bucket": "b", "Key.$": "$.key"});
    let input = json!({"key": "list.json"});
    let definition = reading("getObject", json!({"InputType": "JSON"}), parameters.clone());
    let outcome = run(definition, &world, input.clone()).await;
    assert_eq!(succeeded(&outcome), &json!([{"k": 1}, 2, "three"]));
    let config = json!({"InputType": "JSON", "MaxItems": 2});
    let outcome = run(reading("getObject", config, parameters), &world, input).await;
    assert_eq!(succeeded(&outcome), &json!([{"k": 1}, 2]));
}

#[tokio::test]
async fn a_listing_is_a_list_of_items() {
    let world =
        World::new().put("b/in/1", &json!(1)).put("b/in/2", &json!(22)).put("b/out/3", &json!(3));
    let parameters = json!({"Bucket": "b", "Prefix": "in/"});
    let outcome =
        run(reading("listObjectsV2", Value::Null, parameters.clone()), &world, json!({})).await;
    let row = |key: &str, size: u64| json!({"Etag": "\"tag\"", "Key": key, "LastModified": 1767323045, "Size": size, "StorageClass": "STANDARD"});
    assert_eq!(succeeded(&outcome), &json!([row("in/1", 1), row("in/2", 2)]));
    let outcome =
        run(reading("listObjectsV2", json!({"MaxItems": 1}), parameters), &world, json!({})).await;
    assert_eq!(succeeded(&outcome), &json!([row("in/1", 1)]));
}

#[tokio::test]
async fn what_cannot_be_read_is_item_reader_failed() {
    let world = World::new().put("b/object", &json!({"a": 1}));
    world.objects.lock().unwrap().insert("b/text".into(), b"not json".to_vec());
    for key in [json!("missing"), json!("object"), json!("text"), json!(7)] {
        let definition = reading(
            "getObject",
            json!({"InputType": "JSON"}),
            json!({"Bucket": "b", "Key.$": "$.key"}),
        );
        failed(&run(definition, &world, json!({"key": key})).await, "States.ItemReaderFailed");
    }
}

#[tokio::test]
async fn a_result_writer_leaves_a_manifest_and_the_results() {
    let world = World::new();
    let more = json!({"ResultPath": "$.map", "ItemsPath": "$.items", "Label": "L", "ResultWriter": {
        "Resource": "arn:aws:states:::s3:putObject",
        "Parameters": {"Bucket": "b", "Prefix.$": "States.Format('results/{}', $.run)"},
    }});
    let input = json!({"run": "r7", "items": [{"x": 1}, {"x": 2}]});
    let outcome = run(map("DISTRIBUTED", more), &world, input).await;
    let result = &succeeded(&outcome)["map"];
    let arn = outcome.children[0].item.clone().unwrap().map_run_arn;
    let id = arn.rsplit(':').next().unwrap();
    let manifest = format!("results/r7/{id}/manifest.json");
    assert_eq!(
        result,
        &json!({"MapRunArn": arn, "ResultWriterDetails": {"Bucket": "b", "Key": manifest}})
    );
    let rows_key = format!("results/r7/{id}/SUCCEEDED_0.json");
    let size = world.objects.lock().unwrap()[&format!("b/{rows_key}")].len();
    assert_eq!(
        world.object(&format!("b/{manifest}")),
        json!({
            "DestinationBucket": "b", "MapRunArn": arn,
            "ResultFiles": {"FAILED": [], "PENDING": [], "SUCCEEDED": [{"Key": rows_key, "Size": size}]},
        })
    );
    let rows = world.object(&format!("b/{rows_key}"));
    let child = &outcome.children[1];
    assert_eq!(
        rows[1],
        json!({
            "ExecutionArn": child.id, "Name": child.name, "Status": "SUCCEEDED",
            "Input": "{\"x\":2}", "InputDetails": {"Included": true},
            "Output": "{\"x\":2}", "OutputDetails": {"Included": true},
            "RedriveCount": 0, "RedriveStatus": "NOT_REDRIVABLE",
            "RedriveStatusReason": "Execution is SUCCEEDED and cannot be redriven",
            "StartDate": "2026-01-02T03:04:05.000Z", "StopDate": "2026-01-02T03:04:05.000Z",
            "StateMachineArn": "arn:aws:states:local:000000000000:stateMachine:machine/L",
        })
    );
}

#[tokio::test]
async fn results_that_cannot_be_written_fail_the_map() {
    let more = json!({"ResultWriter": {
        "Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket": "forbidden"},
    }});
    failed(
        &run(map("DISTRIBUTED", more), &World::new(), json!([1])).await,
        "States.ResultWriterFailed",
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_items_with_retries_stay_apart() {
    let tries: Arc<Vec<AtomicUsize>> = Arc::new((0..1_000).map(|_| AtomicUsize::new(0)).collect());
    let seen = Arc::clone(&tries);
    let world = World::new().on_async("work", move |call| {
        let n = call.payload["n"].as_u64().unwrap();
        let before = seen[n as usize].fetch_add(1, Ordering::SeqCst);
        assert_eq!(call.attempt as usize, before, "each child counts its own attempts");
        async move {
            tokio::task::yield_now().await;
            if before < (n % 3) as usize {
                Err(fault("Transient"))
            } else {
                Ok(json!({"n": n, "by": call.execution}))
            }
        }
        .boxed()
    });
    let mut definition = map("DISTRIBUTED", json!({"MaxConcurrency": 64}));
    let states = &mut definition["States"]["S"]["ItemProcessor"]["States"];
    states["Work"]["Retry"] = json!([{"ErrorEquals": ["Transient"], "MaxAttempts": 2}]);
    let items: Vec<Value> = (0..1_000).map(|n| json!({"n": n})).collect();
    let outcome = run(definition, &world, json!(items)).await;
    let results = succeeded(&outcome).as_array().unwrap();
    for (n, result) in results.iter().enumerate() {
        assert_eq!(result["n"], n, "results come in the items' order");
        assert_eq!(result["by"], outcome.children[n].id);
        assert_eq!(tries[n].load(Ordering::SeqCst), n % 3 + 1);
    }
    let ids: std::collections::BTreeSet<_> =
        outcome.children.iter().map(|child| &child.id).collect();
    assert_eq!(ids.len(), 1_000);
}

#[tokio::test]
async fn distributed_maps_nest() {
    let inner = map("DISTRIBUTED", json!({"Label": "Inner"}))["States"]["S"].clone();
    let mut definition = map("DISTRIBUTED", json!({}));
    definition["States"]["S"]["ItemProcessor"] = json!({
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
        "StartAt": "Inner", "States": {"Inner": inner},
    });
    let outcome = run(definition, &World::new(), json!([[1, 2], [3]])).await;
    assert_eq!(succeeded(&outcome), &json!([[1, 2], [3]]));
    assert_eq!(outcome.children[0].children.len(), 2);
    assert_eq!(outcome.all().len(), 1 + 2 + 3);
}
