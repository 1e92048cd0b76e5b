//! Retry and Catch: schedules to the second, counters, order, wildcards.

use std::time::Duration;

use serde_json::{Value, json};

use super::world::*;

/// The delays between the attempts of a task that keeps failing, in seconds.
async fn delays(retry: Value, errors: &[&str], random: f64) -> (Vec<f64>, usize, bool) {
    let world = World::new().failing("f", errors);
    let clock = clock();
    clock.set_random(random);
    let definition = only(invoke("f", json!({"Retry": retry})));
    let outcome = run_with(definition, &world, json!({}), &clock, &[]).await;
    let slept = clock.sleeps().iter().map(Duration::as_secs_f64).collect();
    (slept, world.count(), outcome.output.is_some())
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table")]
async fn delays_grow_as_the_row_says() {
    let row = |more: Value| {
        let mut row = json!({"ErrorEquals": ["A"]});
        row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!([row])
    };
    let fails = |times| vec!["A"; times];
    let table = [
        (row(json!({})), 9, 0.5, vec![1.0, 2.0, 4.0], 4, false),
        (row(json!({})), 2, 0.5, vec![1.0, 2.0], 3, true),
        (
            row(json!({"IntervalSeconds": 3, "BackoffRate": 1.5, "MaxAttempts": 4})),
            9,
            0.5,
            vec![3.0, 4.5, 6.75, 10.125],
            5,
            false,
        ),
        (row(json!({"MaxAttempts": 0})), 9, 0.5, vec![], 1, false),
        (
            row(json!({"IntervalSeconds": 10, "MaxDelaySeconds": 30, "MaxAttempts": 4})),
            9,
            0.5,
            vec![10.0, 20.0, 30.0, 30.0],
            5,
            false,
        ),
        (
            row(json!({"IntervalSeconds": 10, "BackoffRate": 1, "MaxAttempts": 2})),
            9,
            0.5,
            vec![10.0, 10.0],
            3,
            false,
        ),
        (
            row(json!({"IntervalSeconds": 8, "JitterStrategy": "FULL"})),
            9,
            0.5,
            vec![4.0, 8.0, 16.0],
            4,
            false,
        ),
        (
            row(json!({"IntervalSeconds": 8, "JitterStrategy": "FULL"})),
            9,
            0.0,
            vec![0.0, 0.0, 0.0],
            4,
            false,
        ),
        (
            row(json!({"IntervalSeconds": 8, "JitterStrategy": "FULL", "MaxDelaySeconds": 20})),
            9,
            0.75,
            vec![6.0, 12.0, 15.0],
            4,
            false,
        ),
        (
            row(json!({"IntervalSeconds": 8, "JitterStrategy": "NONE", "MaxAttempts": 1})),
            9,
            0.0,
            vec![8.0],
            2,
            false,
        ),
        (
            row(json!({"IntervalSeconds": 99999999, "BackoffRate": 1e300, "MaxAttempts": 2})),
            9,
            0.0,
            vec![31622400.0, 31622400.0],
            3,
            false,
        ),
    ];
    for (retry, times, random, expected, calls, ok) in table {
        assert_eq!(
            delays(retry.clone(), &fails(times), random).await,
            (expected, calls, ok),
            "{retry}"
        );
    }
}

#[tokio::test]
async fn each_row_counts_for_itself_and_only_the_first_match_counts() {
    let retry = json!([
        {"ErrorEquals": ["A"], "IntervalSeconds": 1, "MaxAttempts": 2},
        {"ErrorEquals": ["B", "C"], "IntervalSeconds": 5, "MaxAttempts": 2},
        {"ErrorEquals": ["States.ALL"], "IntervalSeconds": 100, "MaxAttempts": 1},
    ]);
    let seen = delays(retry.clone(), &["A", "B", "A", "C", "X"], 0.5).await;
    assert_eq!(seen, (vec![1.0, 5.0, 2.0, 10.0, 100.0], 6, true));
    let seen = delays(retry, &["A", "A", "A"], 0.5).await;
    assert_eq!(seen, (vec![1.0, 2.0], 3, false), "an exhausted row does not pass on to States.ALL");
}

#[tokio::test]
async fn wildcards_retry_what_they_name() {
    let row = |name: &str| json!([{"ErrorEquals": [name], "MaxAttempts": 1}]);
    for (name, error, tries) in [
        ("States.ALL", "X", 2),
        ("States.ALL", "States.Timeout", 2),
        ("States.ALL", "States.DataLimitExceeded", 1),
        ("States.ALL", "States.Runtime", 1),
        ("States.TaskFailed", "X", 2),
        ("States.TaskFailed", "States.Timeout", 1),
        ("States.Timeout", "States.Timeout", 2),
        ("States.DataLimitExceeded", "States.DataLimitExceeded", 2),
    ] {
        assert_eq!(delays(row(name), &[error], 0.5).await.1, tries, "{name} and {error}");
    }
}

#[tokio::test]
async fn attempts_and_the_context_count_retries_and_start_anew_with_each_entry() {
    let world = World::new().failing("f", &["A", "A"]);
    let task = |next: Value| {
        let mut state = json!({
            "Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "ResultPath": null,
            "Parameters": {"FunctionName": "f", "Payload": {"retries.$": "$$.State.RetryCount"}},
            "Retry": [{"ErrorEquals": ["A"], "MaxAttempts": 2}],
        });
        state.as_object_mut().unwrap().extend(next.as_object().unwrap().clone());
        state
    };
    let definition = json!({"StartAt": "One", "States": {
        "One": task(json!({"Next": "Two"})), "Two": task(json!({"End": true})),
    }});
    succeeded(&run(definition, &world, json!({})).await);
    let calls = world.calls.lock().unwrap();
    let seen: Vec<_> =
        calls.iter().map(|call| (call.attempt, call.payload["retries"].clone())).collect();
    assert_eq!(seen, [(0, json!(0)), (1, json!(1)), (2, json!(2)), (0, json!(0))]);
}

#[tokio::test]
async fn a_state_that_is_entered_again_has_all_its_retries_again() {
    let world = World::new().failing("f", &["A", "A", "B", "A", "A"]);
    let definition = json!({"StartAt": "T", "States": {
        "T": invoke("f", json!({
            "Retry": [{"ErrorEquals": ["A"], "MaxAttempts": 2}],
            "Catch": [{"ErrorEquals": ["B"], "Next": "Again"}], "End": true,
        })),
        "Again": {"Type": "Pass", "Next": "T"},
    }});
    succeeded(&run(definition, &world, json!({})).await);
    assert_eq!(world.count(), 6);
}

async fn caught(catch: Value, error: &str) -> Result<Value, String> {
    let world = World::new().failing("f", &[error]);
    let definition = json!({"StartAt": "T", "States": {
        "T": invoke("f", json!({"Catch": catch, "OutputPath": null, "Next": "Fine"})),
        "Fine": {"Type": "Pass", "Result": "fine", "End": true},
        "One": {"Type": "Pass", "Parameters": {"one.$": "$"}, "End": true},
        "Two": {"Type": "Pass", "Parameters": {"two.$": "$"}, "End": true},
    }});
    // Both targets are reached in every machine, else it could not be loaded.
    let mut definition = definition;
    definition["States"]["Fine"] = json!({"Type": "Choice", "Default": "Good", "Choices": [
        {"Variable": "$.never", "IsPresent": true, "Next": "One"},
        {"Variable": "$.never", "IsPresent": true, "Next": "Two"},
    ]});
    definition["States"]["Good"] = json!({"Type": "Pass", "Result": "fine", "End": true});
    let outcome = run(definition, &world, json!({"in": 1})).await;
    outcome.output.clone().ok_or_else(|| outcome.error.clone().unwrap())
}

#[tokio::test]
async fn the_first_row_that_names_the_error_catches_it() {
    let rows = json!([
        {"ErrorEquals": ["A", "B"], "Next": "One", "ResultPath": "$.error"},
        {"ErrorEquals": ["B", "C"], "Next": "Two", "ResultPath": null},
        {"ErrorEquals": ["States.TaskFailed"], "Next": "Two"},
    ]);
    let document = |error: &str| json!({"Error": error, "Cause": "because"});
    let with = |error: &str| json!({"one": {"in": 1, "error": document(error)}});
    assert_eq!(caught(rows.clone(), "A").await, Ok(with("A")));
    assert_eq!(caught(rows.clone(), "B").await, Ok(with("B")));
    assert_eq!(caught(rows.clone(), "C").await, Ok(json!({"two": {"in": 1}})));
    assert_eq!(caught(rows.clone(), "D").await, Ok(json!({"two": document("D")})));
    assert_eq!(caught(rows.clone(), "States.Timeout").await, Err("States.Timeout".into()));
    let all = json!([{"ErrorEquals": ["States.ALL"], "Next": "One"}]);
    assert_eq!(
        caught(all.clone(), "States.Timeout").await,
        Ok(json!({"one": document("States.Timeout")}))
    );
    assert_eq!(caught(all.clone(), "States.Runtime").await, Err("States.Runtime".into()));
    assert_eq!(
        caught(all, "States.DataLimitExceeded").await,
        Err("States.DataLimitExceeded".into())
    );
}

#[tokio::test]
async fn retry_comes_before_catch() {
    let world = World::new().failing("f", &["A", "A", "A"]);
    let mut definition = only(invoke(
        "f",
        json!({
            "Retry": [{"ErrorEquals": ["States.ALL"], "MaxAttempts": 2}],
            "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Z"}],
        }),
    ));
    definition["States"]["Z"] = json!({"Type": "Succeed"});
    let outcome = run(definition, &world, json!({})).await;
    assert_eq!(succeeded(&outcome)["Error"], "A");
    assert_eq!(world.count(), 3);
}

#[tokio::test]
async fn a_catch_whose_result_path_does_not_fit_fails() {
    let world = World::new().failing("f", &["A"]);
    let mut definition = only(invoke(
        "f",
        json!({
            "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Z", "ResultPath": "$.text.error"}],
        }),
    ));
    definition["States"]["Z"] = json!({"Type": "Succeed"});
    let outcome = run(definition, &world, json!({"text": "t"})).await;
    failed(&outcome, "States.ResultPathMatchFailure");
}

#[tokio::test]
async fn errors_of_input_and_output_processing_are_caught_unless_runtime() {
    for (parameter, error) in
        [("States.StringToJson('x')", Some("States.IntrinsicFailure")), ("$.missing", None)]
    {
        let mut definition = only(json!({
            "Type": "Task", "Resource": "arn:aws:states:::lambda:invoke",
            "Parameters": {"FunctionName": "f", "Payload": {"x.$": parameter}},
            "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Z"}],
        }));
        definition["States"]["Z"] = json!({"Type": "Succeed"});
        let outcome = run(definition, &World::new(), json!({})).await;
        match error {
            Some(error) => assert_eq!(succeeded(&outcome)["Error"], error),
            None => assert!(failed(&outcome, "States.Runtime").contains("$.missing")),
        }
    }
}
