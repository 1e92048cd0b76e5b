//! Distributed Maps that tolerate failures, and children that work on batches.

use engine::Status;
use serde_json::{Value, json};

use super::world::*;

/// Fails the items that are 2.
fn odd_ones() -> std::sync::Arc<World> {
    World::new().on("work", |call| {
        if call.payload == json!(2) { Err(fault("Rejected")) } else { Ok(call.payload) }
    })
}

#[tokio::test]
async fn a_tolerated_child_has_no_result_and_is_exported_as_failed() {
    let more = json!({"ToleratedFailureCount": 1, "MaxConcurrency": 1});
    let outcome = run(map("DISTRIBUTED", more), &odd_ones(), json!([1, 2, 3])).await;
    assert_eq!(succeeded(&outcome), &json!([1, 3]));
    let statuses: Vec<Status> = outcome.children.iter().map(|child| child.status).collect();
    assert_eq!(statuses, [Status::Succeeded, Status::Failed, Status::Succeeded]);

    let world = odd_ones();
    let more = json!({"ToleratedFailurePercentage": 34, "ResultWriter": {
        "Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket": "b", "Prefix": "p"},
    }});
    let outcome = run(map("DISTRIBUTED", more), &world, json!([1, 2, 3])).await;
    let key = succeeded(&outcome)["ResultWriterDetails"]["Key"].as_str().unwrap().to_owned();
    let manifest = world.object(&format!("b/{key}"));
    let rows = |status: &str| {
        let key = manifest["ResultFiles"][status][0]["Key"].as_str().unwrap();
        world.object(&format!("b/{key}")).as_array().unwrap().len()
    };
    assert_eq!((rows("FAILED"), rows("SUCCEEDED")), (1, 2));
}

#[tokio::test]
async fn a_failure_too_many_stops_what_is_left() {
    let more = json!({"ToleratedFailureCount": 1, "MaxConcurrency": 1});
    let world = odd_ones();
    let outcome = run(map("DISTRIBUTED", more), &world, json!([2, 2, 3, 4])).await;
    failed(&outcome, "States.ExceedToleratedFailureThreshold");
    assert_eq!(world.count(), 2, "the third item never starts");
}

#[tokio::test]
async fn a_batch_that_fails_counts_all_its_items() {
    let tolerating = |count: u64| {
        let mut more = json!({"ItemBatcher": {"MaxItemsPerBatch": 2}});
        more["ToleratedFailureCount"] = count.into();
        map("DISTRIBUTED", more)
    };
    let world = World::new().failing("work", &["A"]);
    let outcome = run(tolerating(2), &world, json!([1, 2, 3])).await;
    assert_eq!(succeeded(&outcome), &json!([{"Items": [3]}]));
    let world = World::new().failing("work", &["A"]);
    let outcome = run(tolerating(1), &world, json!([1, 2, 3])).await;
    failed(&outcome, "States.ExceedToleratedFailureThreshold");
}

#[tokio::test]
async fn values_in_the_input_that_do_not_fit_end_the_execution() {
    let table = [
        json!({"ToleratedFailureCountPath": "$.x"}),
        json!({"ToleratedFailurePercentagePath": "$.x"}),
        json!({"ItemBatcher": {"MaxItemsPerBatchPath": "$.x"}}),
        json!({"ItemBatcher": {"MaxInputBytesPerBatchPath": "$.x"}}),
    ];
    for more in table {
        for value in [json!(-1), json!("1"), Value::Null] {
            let mut more = more.clone();
            more["ItemsPath"] = "$.l".into();
            let input = json!({"l": [1], "x": value});
            failed(&run(map("DISTRIBUTED", more), &World::new(), input).await, "States.Runtime");
        }
    }
    let more = json!({"ItemsPath": "$.l", "ToleratedFailurePercentagePath": "$.x"});
    let input = json!({"l": [1], "x": 100.5});
    failed(&run(map("DISTRIBUTED", more), &World::new(), input).await, "States.Runtime");
}

#[tokio::test]
async fn batches_are_as_full_as_their_bytes_allow() {
    let batched =
        |most: u64| map("DISTRIBUTED", json!({"ItemBatcher": {"MaxInputBytesPerBatch": most}}));
    // {"Items":["aaaa","bbbb"]} has 25 bytes.
    let input = json!(["aaaa", "bbbb", "cccc"]);
    let outcome = run(batched(25), &World::new(), input.clone()).await;
    let expected = json!([{"Items": ["aaaa", "bbbb"]}, {"Items": ["cccc"]}]);
    assert_eq!(succeeded(&outcome), &expected);
    let outcome = run(batched(24), &World::new(), input.clone()).await;
    assert_eq!(succeeded(&outcome).as_array().unwrap().len(), 3);
    let outcome = run(batched(17), &World::new(), input).await;
    assert!(failed(&outcome, "States.Runtime").contains("does not fit"));
    assert!(outcome.children.is_empty());
}
