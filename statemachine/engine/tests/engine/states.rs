//! Input and output processing, Pass, Choice, Wait, Succeed, Fail.

use serde_json::{Value, json};

use super::world::*;
use engine::PAYLOAD_LIMIT_BYTES;

async fn pass(fields: Value, input: Value) -> std::sync::Arc<engine::Outcome> {
    let mut state = json!({"Type": "Pass"});
    for (key, value) in fields.as_object().unwrap() {
        state[key] = value.clone();
    }
    run(only(state), &World::new(), input).await
}

#[tokio::test]
async fn paths_parameters_and_results_combine_as_specified() {
    let input = json!({"a": {"b": [1, {"c d": 2.50}]}, "keep": 1, "big": 18446744073709551615_u64});
    let table = [
        (json!({}), input.clone()),
        (json!({"InputPath": "$.a.b"}), json!([1, {"c d": 2.5}])),
        (
            json!({"InputPath": "$.a.b[1]['c d']", "ResultPath": "$.x.y"}),
            json!({"a": input["a"], "keep": 1, "big": 18446744073709551615_u64, "x": {"y": 2.5}}),
        ),
        (json!({"InputPath": null}), json!({})),
        (json!({"OutputPath": null}), json!({})),
        (json!({"OutputPath": "$.keep"}), json!(1)),
        (
            json!({"Result": {"r.$": "$.not.a.path"}, "ResultPath": "$.keep", "OutputPath": "$.keep"}),
            json!({"r.$": "$.not.a.path"}),
        ),
        (json!({"Result": 7, "ResultPath": null}), input.clone()),
        (
            json!({"Parameters": {"list": [{"n.$": "$.keep"}, "$.keep"], "n": {"big.$": "$.big"}, "fixed": null}}),
            json!({"list": [{"n": 1}, "$.keep"], "n": {"big": 18446744073709551615_u64}, "fixed": null}),
        ),
        (
            json!({"InputPath": "$.a", "Parameters": {"f.$": "States.Format('{}-{}', $.b[0], $$.State.Name)"}}),
            json!({"f": "1-S"}),
        ),
        (json!({"InputPath": "$$.Execution.Name"}), json!("run-1")),
    ];
    for (fields, expected) in table {
        let outcome = pass(fields.clone(), input.clone()).await;
        assert_eq!(succeeded(&outcome), &expected, "{fields}");
    }
}

#[tokio::test]
async fn the_context_object_has_its_documented_places() {
    let fields = json!({"Parameters": {"all.$": "$$"}});
    let outcome = pass(fields, json!({"in": 1})).await;
    let expected = json!({"all": {
        "Execution": {
            "Id": "arn:aws:states:local:000000000000:execution:machine:run-1",
            "Input": {"in": 1},
            "Name": "run-1",
            "RedriveCount": 0,
            "RoleArn": "arn:aws:iam::000000000000:role/local",
            "StartTime": "2026-01-02T03:04:05.000Z",
        },
        "State": {"EnteredTime": "2026-01-02T03:04:05.000Z", "Name": "S", "RetryCount": 0},
        "StateMachine": {
            "Id": "arn:aws:states:local:000000000000:stateMachine:machine", "Name": "machine"
        },
    }});
    assert_eq!(succeeded(&outcome), &expected);
}

#[tokio::test]
async fn paths_that_lead_nowhere_fail_by_their_names() {
    let table = [
        (json!({"InputPath": "$.no"}), "States.Runtime"),
        (json!({"OutputPath": "$.no"}), "States.Runtime"),
        (json!({"Parameters": {"x.$": "$.no"}}), "States.Runtime"),
        (json!({"Parameters": {"x.$": "States.StringToJson('nope')"}}), "States.IntrinsicFailure"),
        (json!({"Parameters": {"x.$": "$$.Map.Item.Value"}}), "States.Runtime"),
        (json!({"ResultPath": "$.text.x"}), "States.ResultPathMatchFailure"),
        (json!({"ResultPath": "$.list[5]"}), "States.ResultPathMatchFailure"),
    ];
    for (fields, error) in table {
        failed(&pass(fields, json!({"text": "t", "list": [1]})).await, error);
    }
}

async fn chosen(rule: Value, input: Value) -> Result<bool, String> {
    let mut rule = rule;
    rule["Next"] = "Yes".into();
    let definition = json!({"StartAt": "C", "States": {
        "C": {"Type": "Choice", "Choices": [rule], "Default": "No"},
        "Yes": {"Type": "Pass", "Result": true, "End": true},
        "No": {"Type": "Pass", "Result": false, "End": true},
    }});
    let outcome = run(definition, &World::new(), input).await;
    match &outcome.output {
        Some(output) => Ok(output.as_bool().unwrap()),
        None => Err(outcome.error.clone().unwrap()),
    }
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table")]
async fn every_comparison_compares() {
    let data = json!({"s": "b", "s2": "c", "n": 5, "n2": 5.0, "big": 9007199254740993_i64, "t": true, "f": false,
        "at": "2026-01-02T03:04:05Z", "later": "2026-01-02T04:04:06+01:00", "nothing": null});
    let table = [
        ("$.s", "StringEquals", json!("b"), true),
        ("$.s", "StringEquals", json!("a"), false),
        ("$.s", "StringLessThan", json!("c"), true),
        ("$.s", "StringLessThan", json!("b"), false),
        ("$.s", "StringGreaterThan", json!("a"), true),
        ("$.s", "StringGreaterThan", json!("b"), false),
        ("$.s", "StringLessThanEquals", json!("b"), true),
        ("$.s", "StringLessThanEquals", json!("a"), false),
        ("$.s", "StringGreaterThanEquals", json!("b"), true),
        ("$.s", "StringGreaterThanEquals", json!("c"), false),
        ("$.s", "StringEqualsPath", json!("$.s"), true),
        ("$.s", "StringLessThanPath", json!("$.s2"), true),
        ("$.s", "StringGreaterThanPath", json!("$.s2"), false),
        ("$.s", "StringLessThanEqualsPath", json!("$.s"), true),
        ("$.s", "StringGreaterThanEqualsPath", json!("$.s2"), false),
        ("$.s", "StringMatches", json!("*"), true),
        ("$.s", "StringMatches", json!("c*"), false),
        ("$.n", "StringEquals", json!("5"), false),
        ("$.n", "StringMatches", json!("*"), false),
        ("$.n", "NumericEquals", json!(5.0), true),
        ("$.n", "NumericEquals", json!(6), false),
        ("$.big", "NumericEquals", json!(9007199254740992_i64), false),
        ("$.n", "NumericLessThan", json!(5.5), true),
        ("$.n", "NumericLessThan", json!(5), false),
        ("$.n", "NumericGreaterThan", json!(-1), true),
        ("$.n", "NumericGreaterThan", json!(5), false),
        ("$.n", "NumericLessThanEquals", json!(5), true),
        ("$.n", "NumericGreaterThanEquals", json!(6), false),
        ("$.n", "NumericEqualsPath", json!("$.n2"), true),
        ("$.n", "NumericLessThanPath", json!("$.big"), true),
        ("$.n", "NumericGreaterThanPath", json!("$.big"), false),
        ("$.n", "NumericLessThanEqualsPath", json!("$.n2"), true),
        ("$.n", "NumericGreaterThanEqualsPath", json!("$.n2"), true),
        ("$.n", "NumericEqualsPath", json!("$.s"), false),
        ("$.t", "BooleanEquals", json!(true), true),
        ("$.t", "BooleanEquals", json!(false), false),
        ("$.t", "BooleanEqualsPath", json!("$.f"), false),
        ("$.s", "BooleanEquals", json!(true), false),
        ("$.at", "TimestampEquals", json!("2026-01-02T04:04:05+01:00"), true),
        ("$.at", "TimestampLessThan", json!("2026-01-02T03:04:05.001Z"), true),
        ("$.at", "TimestampGreaterThan", json!("2026-01-02T03:04:05Z"), false),
        ("$.at", "TimestampLessThanEquals", json!("2026-01-02T03:04:05Z"), true),
        ("$.at", "TimestampGreaterThanEquals", json!("2026-01-02T03:04:06Z"), false),
        ("$.at", "TimestampEqualsPath", json!("$.at"), true),
        ("$.at", "TimestampLessThanPath", json!("$.later"), true),
        ("$.at", "TimestampGreaterThanPath", json!("$.later"), false),
        ("$.at", "TimestampLessThanEqualsPath", json!("$.later"), true),
        ("$.at", "TimestampGreaterThanEqualsPath", json!("$.later"), false),
        ("$.s", "TimestampEqualsPath", json!("$.at"), false),
        ("$.nothing", "IsNull", json!(true), true),
        ("$.s", "IsNull", json!(true), false),
        ("$.s", "IsNull", json!(false), true),
        ("$.nothing", "IsPresent", json!(true), true),
        ("$.x", "IsPresent", json!(true), false),
        ("$.x", "IsPresent", json!(false), true),
        ("$.n", "IsNumeric", json!(true), true),
        ("$.s", "IsNumeric", json!(true), false),
        ("$.s", "IsString", json!(true), true),
        ("$.n", "IsString", json!(true), false),
        ("$.f", "IsBoolean", json!(true), true),
        ("$.n", "IsBoolean", json!(true), false),
        ("$.at", "IsTimestamp", json!(true), true),
        ("$.s", "IsTimestamp", json!(true), false),
        ("$$.State.Name", "StringEquals", json!("C"), true),
    ];
    for (variable, operator, value, expected) in table {
        let rule = json!({"Variable": variable, operator: value});
        assert_eq!(chosen(rule.clone(), data.clone()).await, Ok(expected), "{rule}");
    }
}

#[tokio::test]
async fn rules_combine_and_stop_at_the_first_answer() {
    let yes = json!({"Variable": "$.n", "NumericEquals": 1});
    let no = json!({"Variable": "$.n", "NumericEquals": 2});
    let broken = json!({"Variable": "$.missing", "NumericEquals": 2});
    let absent = json!({"Variable": "$.missing", "IsPresent": true});
    let table = [
        (json!({"And": [yes, yes]}), Ok(true)),
        (json!({"And": [yes, no]}), Ok(false)),
        (json!({"And": [absent, broken]}), Ok(false)),
        (json!({"Or": [no, yes]}), Ok(true)),
        (json!({"Or": [yes, broken]}), Ok(true)),
        (json!({"Or": [no, no]}), Ok(false)),
        (json!({"Not": no}), Ok(true)),
        (json!({"Not": {"And": [yes, {"Or": [no, {"Not": no}]}]}}), Ok(false)),
        (broken.clone(), Err("States.Runtime".to_owned())),
        (
            json!({"Variable": "$.n", "NumericEqualsPath": "$.missing"}),
            Err("States.Runtime".to_owned()),
        ),
        (json!({"Variable": "$.missing", "IsNull": true}), Err("States.Runtime".to_owned())),
    ];
    for (rule, expected) in table {
        assert_eq!(chosen(rule.clone(), json!({"n": 1})).await, expected, "{rule}");
    }
}

#[tokio::test]
async fn a_choice_takes_the_first_rule_and_without_default_it_fails() {
    let rule = |next: &str| json!({"Variable": "$.n", "NumericLessThan": 9, "Next": next});
    let definition = json!({"StartAt": "C", "States": {
        "C": {"Type": "Choice", "InputPath": "$.in", "OutputPath": "$.n", "Choices": [rule("A"), rule("B")]},
        "A": {"Type": "Pass", "End": true},
        "B": {"Type": "Fail"},
    }});
    let outcome = run(definition.clone(), &World::new(), json!({"in": {"n": 1}})).await;
    assert_eq!(succeeded(&outcome), &json!(1));
    let outcome = run(definition, &World::new(), json!({"in": {"n": 10}})).await;
    failed(&outcome, "States.NoChoiceMatched");
}

#[tokio::test]
async fn wait_sleeps_for_what_it_is_told() {
    let table = [
        (json!({"Seconds": 90}), 90.0),
        (json!({"Seconds": 0}), 0.0),
        (json!({"SecondsPath": "$.s"}), 7.0),
        (json!({"InputPath": "$.in", "SecondsPath": "$.s"}), 8.0),
        (json!({"Timestamp": "2026-01-02T03:05:05Z"}), 60.0),
        (json!({"TimestampPath": "$.at"}), 1.5),
        (json!({"Timestamp": "2020-01-02T03:05:05Z"}), 0.0),
    ];
    for (fields, seconds) in table {
        let mut state = json!({"Type": "Wait"});
        state.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let clock = clock();
        let input = json!({"s": 7, "in": {"s": 8}, "at": "2026-01-02T03:04:06.500Z"});
        let outcome = run_with(only(state), &World::new(), input.clone(), &clock, &[]).await;
        succeeded(&outcome);
        let slept: Vec<f64> = clock.sleeps().iter().map(|sleep| sleep.as_secs_f64()).collect();
        assert_eq!(slept, [seconds], "{fields}");
    }
    for fields in [
        json!({"SecondsPath": "$.x"}),
        json!({"SecondsPath": "$.s"}),
        json!({"TimestampPath": "$.s"}),
    ] {
        let mut state = json!({"Type": "Wait"});
        state.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        failed(&run(only(state), &World::new(), json!({"s": -1})).await, "States.Runtime");
    }
}

#[tokio::test]
async fn succeed_and_fail_end_the_execution() {
    let state = json!({"Type": "Succeed", "InputPath": "$.a", "OutputPath": "$.b"});
    let outcome = run(only(state), &World::new(), json!({"a": {"b": 3}})).await;
    assert_eq!(succeeded(&outcome), &json!(3));

    let input = json!({"e": "Rejected", "c": {"x": 1}, "n": 1});
    let fail = |fields: Value| {
        let mut state = json!({"Type": "Fail"});
        state.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        run_owned(only(state), input.clone())
    };
    let outcome = fail(json!({"Error": "E", "Cause": "C"})).await;
    assert_eq!(failed(&outcome, "E"), "C");
    let outcome = fail(json!({"ErrorPath": "$.e", "CausePath": "States.JsonToString($.c)"})).await;
    assert_eq!(failed(&outcome, "Rejected"), "{\"x\":1}");
    failed(&fail(json!({"ErrorPath": "$.n"})).await, "States.Runtime");
    failed(&fail(json!({"ErrorPath": "$.missing"})).await, "States.Runtime");
    assert_eq!(failed(&fail(json!({})).await, ""), "");
}

async fn run_owned(definition: Value, input: Value) -> std::sync::Arc<engine::Outcome> {
    run(definition, &World::new(), input).await
}

#[tokio::test]
async fn payloads_end_at_256_kibibytes() {
    let text = |bytes: usize| Value::String("x".repeat(bytes - 2));
    let fits = pass(json!({}), text(PAYLOAD_LIMIT_BYTES)).await;
    succeeded(&fits);
    let too_long = pass(json!({}), text(PAYLOAD_LIMIT_BYTES + 1)).await;
    failed(&too_long, "States.DataLimitExceeded");
    assert_eq!(too_long.history.len(), 2, "no state is entered");

    let double = pass(json!({"Parameters": {"a.$": "$", "b.$": "$"}}), text(200_000)).await;
    failed(&double, "States.DataLimitExceeded");

    let world = World::new().on("f", |_| Ok("x".repeat(PAYLOAD_LIMIT_BYTES).into()));
    let all = json!({"Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Z"}]});
    let named = json!({"Catch": [{"ErrorEquals": ["States.DataLimitExceeded"], "Next": "Z"}]});
    let definition = |more: Value| {
        let mut definition = only(invoke("f", more));
        definition["States"]["Z"] = json!({"Type": "Succeed"});
        definition
    };
    failed(&run(definition(all), &world, json!({})).await, "States.DataLimitExceeded");
    succeeded(&run(definition(named), &world, json!({})).await);

    let world = World::new();
    let state = json!({
        "Type": "Task", "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {"FunctionName": "f", "Payload": {"a.$": "$", "b.$": "$"}},
    });
    failed(&run(only(state), &world, text(200_000)).await, "States.DataLimitExceeded");
    assert_eq!(world.count(), 0, "a task payload that is too large is not sent");
}
