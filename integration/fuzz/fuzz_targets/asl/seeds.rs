//! First inputs: the delivery machine, small ones of every kind of state, and refused ones.

use serde_json::{Value, json};

const DELIVERY: &str = include_str!("../../../../statemachine/delivery.asl.json");

/// All of them.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut made: Vec<Vec<u8>> =
        machines().into_iter().map(|frame| frame.to_string().into()).collect();
    made.extend(refused().into_iter().map(|machine| machine.to_string().into()));
    let delivery: Value = serde_json::from_str(DELIVERY).unwrap_or_default();
    made.push(delivery.to_string().into());
    let mut bound = delivery.to_string();
    while let Some((before, after)) = bound.split_once("${") {
        bound = format!("{before}{}", after.replacen('}', "", 1));
    }
    let bound: Value = serde_json::from_str(&bound).unwrap_or_default();
    for answers in [json!([]), json!([{}, {"items": [1, 2]}, "Transient"])] {
        made.push(json!({"machine": bound, "answers": answers}).to_string().into());
    }
    let texts: [&[u8]; 6] = [
        b"",
        b"{",
        b"{\"StartAt\": \"A\", \"StartAt\": \"B\", \"States\": {}}",
        b"[1e999]",
        b"{\"StartAt\": 1.5, \"States\": [null, true, -3, 18446744073709551615]}",
        b"{\"machine\": \"{\\\"StartAt\\\": \\\"A\\\", \\\"A\\\": 1, \\\"A\\\": 2}\"}",
    ];
    made.extend(texts.map(<[u8]>::to_vec));
    made
}

fn machine(states: Value) -> Value {
    json!({"StartAt": "A", "States": states})
}

fn task(more: Value) -> Value {
    let mut task = json!({
        "Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "End": true,
        "Parameters": {"FunctionName": "${PlanFunction}", "Payload.$": "$"}
    });
    if let (Value::Object(task), Value::Object(more)) = (&mut task, more) {
        task.extend(more);
    }
    task
}

/// Machines that load, with their input and their services' answers.
fn machines() -> Vec<Value> {
    let frame = |machine: Value, input: Value, answers: Value| json!({"machine": machine, "input": input, "answers": answers});
    let plain = |states: Value| frame(machine(states), json!({"a": [1, 2, "x"]}), json!([]));
    let retry = json!([{"ErrorEquals": ["Transient"], "IntervalSeconds": 2, "MaxAttempts": 2,
                        "BackoffRate": 1.5, "MaxDelaySeconds": 60, "JitterStrategy": "FULL"},
                       {"ErrorEquals": ["States.ALL"], "MaxAttempts": 1}]);
    let catch = json!([{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "B"}]);
    let rules = json!([
        {"Variable": "$.a", "IsPresent": false, "Next": "B"},
        {"And": [{"Variable": "$.n", "NumericGreaterThan": 1},
                 {"Not": {"Variable": "$.n", "NumericEqualsPath": "$.m"}}], "Next": "B"},
        {"Or": [{"Variable": "$.s", "StringMatches": "log-*.txt"},
                {"Variable": "$.s", "StringLessThanEquals": "b"},
                {"Variable": "$.t", "TimestampLessThan": "2026-01-02T03:04:05Z"},
                {"Variable": "$.t", "IsTimestamp": true},
                {"Variable": "$.t", "IsNull": true},
                {"Variable": "$.f", "BooleanEquals": true}], "Next": "C"}
    ]);
    let facts = json!({"a": 1, "n": 2, "m": 2, "s": "x", "t": "2026-01-02T03:04:05Z", "f": true});
    let calls = json!({
        "a.$": "States.Array($.a, 1, 'x', null, true)", "b.$": "States.Format('{}\\'\\{', $.a)",
        "c": [{"d.$": "$$.Execution.Id"}, "e"], "f.$": "States.JsonToString($['a'][0])",
        "g.$": "States.MathAdd(1, States.ArrayLength($.a))",
        "h.$": "States.StringSplit('a,b', ',')", "i.$": "States.Hash('a', 'SHA-1')",
        "j.$": "States.ArrayRange(1, 9, 2)", "k.$": "States.ArrayGetItem($.a, 1)"
    });
    let inner = json!({"StartAt": "In", "States": {"In": {"Type": "Pass", "End": true}}});
    let mut wide = inner.clone();
    wide["ProcessorConfig"] = json!({"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"});
    let map = |more: Value| {
        let mut map = json!({"Type": "Map", "End": true, "ItemProcessor": inner});
        if let (Value::Object(map), Value::Object(more)) = (&mut map, more) {
            map.extend(more);
        }
        machine(json!({"A": map}))
    };
    let bucket = json!({"Bucket": "${Bucket}", "Key": "k"});
    vec![
        plain(json!({"A": {"Type": "Succeed"}})),
        plain(json!({"A": {"Type": "Fail", "Error": "E", "CausePath": "$.a[2]"}})),
        plain(json!({"A": {"Type": "Fail", "ErrorPath": "States.Format('E{}', 1)"}})),
        plain(json!({"A": {"Type": "Pass", "Result": {"x": 1}, "ResultPath": "$.r", "Next": "B"},
                     "B": {"Type": "Pass", "InputPath": "$.r", "OutputPath": "$.x", "End": true}})),
        plain(json!({"A": {"Type": "Pass", "Parameters": calls, "End": true}})),
        plain(json!({"A": {"Type": "Pass", "InputPath": null, "ResultPath": null, "Next": "B"},
                     "B": {"Type": "Succeed", "OutputPath": null}})),
        plain(json!({"A": {"Type": "Wait", "Seconds": 3, "Next": "B"},
                     "B": {"Type": "Wait", "Timestamp": "2030-01-01T00:00:00Z", "Next": "C"},
                     "C": {"Type": "Wait", "SecondsPath": "$.a[0]", "End": true}})),
        plain(json!({"A": {"Type": "Wait", "TimestampPath": "$.a[2]", "End": true}})),
        frame(
            machine(json!({"A": {"Type": "Choice", "Choices": rules, "Default": "C"},
                           "B": {"Type": "Succeed"}, "C": {"Type": "Pass", "Next": "D"},
                           "D": {"Type": "Choice", "Default": "B", "Choices": [
                               {"Variable": "$.a", "IsNumeric": true, "Next": "B"}]}})),
            facts,
            json!([]),
        ),
        plain(json!({"A": task(json!({"TimeoutSeconds": 9, "ResultSelector": {"p.$": "$.Payload"},
                                      "ResultPath": "$.r"}))})),
        frame(
            machine(json!({"A": task(json!({"Retry": retry, "Catch": catch})),
                           "B": {"Type": "Pass", "End": true}})),
            json!({}),
            json!(["Transient", "Other", "States.Timeout", {"x": 1}]),
        ),
        plain(json!({"A": task(json!({"Resource": "arn:aws:states:::events:putEvents",
                                      "Parameters": {"Entries": [{"Detail.$": "$"}]}}))})),
        plain(json!({"A": task(json!({
            "Resource": "arn:aws:states:::emr-serverless:startJobRun.sync",
            "TimeoutSecondsPath": "$.a[0]",
            "Parameters": {"ApplicationId": "i", "ExecutionRoleArn": "r", "JobDriver": {}}}))})),
        frame(
            map(json!({"ItemsPath": "$.a", "MaxConcurrency": 2,
                         "ItemSelector": {"i.$": "$$.Map.Item.Index"}})),
            json!({"a": [1, 2, 3]}),
            json!([]),
        ),
        frame(map(json!({"MaxConcurrencyPath": "$[0]"})), json!([1, 2]), json!([])),
        frame(
            map(json!({"ItemProcessor": wide, "Label": "wide", "ItemReader": {
                    "Resource": "arn:aws:states:::s3:getObject", "Parameters": bucket,
                    "ReaderConfig": {"InputType": "JSON", "MaxItems": 5}},
                "ResultWriter": {"Resource": "arn:aws:states:::s3:putObject",
                                 "Parameters": {"Bucket": "b", "Prefix": "p"}}})),
            json!({}),
            json!([]),
        ),
        frame(
            map(json!({"ItemProcessor": wide, "ItemReader": {
                    "Resource": "arn:aws:states:::s3:listObjectsV2",
                    "Parameters": {"Bucket": "b", "Prefix": "p"}}})),
            json!({}),
            json!([]),
        ),
        json!({"machine": {"Comment": "c", "QueryLanguage": "JSONPath", "Version": "1.0",
                           "TimeoutSeconds": 5, "StartAt": "A",
                           "States": {"A": {"Type": "Wait", "Seconds": 9, "End": true}}}}),
    ]
}

/// Machines that are refused, each for reasons of its own.
fn refused() -> Vec<Value> {
    let one = |state: Value| machine(json!({"A": state}));
    let rule = |rule: Value| {
        machine(json!({"A": {"Type": "Choice", "Choices": [rule]}, "B": {"Type": "Succeed"}}))
    };
    let path = |path: &str| one(json!({"Type": "Pass", "InputPath": path, "End": true}));
    let mut made: Vec<Value> = [
        "a",
        "$a",
        "$..a",
        "$.*",
        "$.a[*]",
        "$.a[1:2]",
        "$.a[?(@.x>1)]",
        "$.a[0,1]",
        "$['a','b']",
        "$.a[-1]",
        "$.a-b",
        "$.a[",
        "$['a",
        "$['a\\",
        "$['a'x",
        "$.a.",
        "$.a[x]",
        "$$.Task.Token",
        "$$.Execution",
    ]
    .into_iter()
    .map(path)
    .collect();
    let calls = [
        "x",
        "States.Nope()",
        "States.Array",
        "States.UUID(1)",
        "States.ArrayLength()",
        "States.Array('a",
        "States.Array(a)",
        "States.Array('\\x')",
        "States.Array(1 2)",
        "States.UUID() x",
        "States.Array($.a['x,y'], $.b)",
        "States.Array(States.Array(States.Array(States.Array(States.Array(States.Array(\
         States.Array(States.Array(States.Array(States.Array(States.Array()))))))))))",
    ];
    made.extend(calls.map(|call| {
        one(json!({"Type": "Pass", "Parameters": {"a.$": call, "a": 1},
                                            "End": true}))
    }));
    made.extend([
        json!([]),
        json!({"StartAt": "A"}),
        json!({"States": {}}),
        json!({"StartAt": "B", "States": {"A": {"Type": "Succeed"}}}),
        json!({"StartAt": "A", "States": {"A": 1, "": {"Type": "Succeed"}}, "Extra": 1,
               "QueryLanguage": "JSONata", "Version": 2, "TimeoutSeconds": 0}),
        one(json!({"Type": "Parallel"})),
        one(json!({"Type": "Pass", "Next": "B"})),
        one(json!({"Type": "Pass", "Next": "A"})),
        one(json!({"Type": "Pass", "Next": "A", "End": false})),
        one(json!({"Type": "Pass", "Result": 1, "Parameters": [], "Result.$": 1})),
        one(json!({"Type": "Pass", "Parameters": {"a.$": 1}, "ResultPath": "$$.x", "End": true})),
        one(json!({"Type": "Wait", "End": true})),
        one(json!({"Type": "Wait", "Seconds": -1, "Timestamp": "x", "End": true})),
        one(json!({"Type": "Wait", "Timestamp": "yesterday", "End": true})),
        one(json!({"Type": "Fail", "Error": 1, "Cause": "c", "CausePath": "$.."})),
        one(json!({"Type": "Succeed", "Comment": "${None} ${", "InputPath": "${Odd}"})),
        one(json!({"Type": "Task", "End": true})),
        one(task(json!({"Resource": "arn:aws:states:::sqs:sendMessage"}))),
        one(task(json!({"Parameters": {"Payload": 1, "Odd": 1}}))),
        one(task(json!({"Parameters": {"FunctionName.$": "$.f"}, "TimeoutSeconds": 1,
                        "TimeoutSecondsPath": "$.t"}))),
        one(task(json!({"Retry": [{}, {"ErrorEquals": []}, {"ErrorEquals": ["States.ALL", "A"]},
                                  {"ErrorEquals": ["A"], "BackoffRate": 0.5, "MaxAttempts": -1,
                                   "IntervalSeconds": 5, "MaxDelaySeconds": 5,
                                   "JitterStrategy": "SOME", "X": 1}, 7],
                        "Catch": [{"ErrorEquals": ["States.ALL"]},
                                  {"ErrorEquals": ["States.Runtime"], "Next": "X"}]}))),
        one(task(json!({"Retry": {}, "Catch": "x", "Parameters": "p"}))),
        one(json!({"Type": "Choice", "Choices": [], "Default": 1})),
        rule(json!({"Next": "B"})),
        rule(json!({"Variable": "$.a", "StringEquals": 1, "Next": "B"})),
        rule(json!({"Variable": "$.a", "StringEqualsPath": "a", "Next": "B"})),
        rule(json!({"Variable": "$.a", "NumericNearly": 1, "Next": "B"})),
        rule(json!({"Variable": "$.a", "IsNull": "x", "Next": "B"})),
        rule(json!({"Variable": "$.a", "StringMatches": 1, "Next": "B"})),
        rule(json!({"And": [], "Or": [], "Next": "B"})),
        rule(json!({"Not": [], "Next": "B"})),
        rule(json!({"Not": {"Variable": 1, "IsNull": true, "Next": "B"}, "Next": "B"})),
        one(json!({"Type": "Map", "End": true})),
        one(json!({"Type": "Map", "End": true, "ItemProcessor": {"ProcessorConfig": 1},
                   "ItemsPath": "$.a", "ItemReader": {}, "Label": "x", "ResultWriter": {}})),
        one(json!({"Type": "Map", "End": true, "Label": "a b", "MaxConcurrency": -1,
                   "ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED"}},
                   "ItemReader": {"Resource": "arn:x"}, "ResultWriter": {"Resource": "arn:x"}})),
        one(json!({"Type": "Map", "End": true,
                   "ItemProcessor": {"ProcessorConfig": {"Mode": "ODD", "ExecutionType": "X"}}})),
        one(json!({"Type": "Map", "End": true,
                   "ItemProcessor": {"ProcessorConfig": {"ExecutionType": "EXPRESS"}},
                   "ItemReader": {"Resource": "arn:aws:states:::s3:getObject",
                                  "ReaderConfig": {"InputType": "CSV", "MaxItems": -1}}})),
    ]);
    made
}
