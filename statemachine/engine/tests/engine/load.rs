//! Loading: what is refused, where, in which words; substitutions; the walk over all states.

use std::collections::BTreeMap;

use engine::{Machine, StateKind};
use serde_json::{Value, json};

use super::world::{invoke, map, only};

fn problems(definition: &Value) -> Vec<(String, String)> {
    match Machine::load(&definition.to_string(), &BTreeMap::new()) {
        Ok(_) => Vec::new(),
        Err(error) => error.problems.into_iter().map(|it| (it.pointer, it.message)).collect(),
    }
}

/// The definition has exactly one problem, at `pointer`, whose sentence has `words`.
#[track_caller]
fn refused(definition: &Value, pointer: &str, words: &str) {
    let found = problems(definition);
    let [(at, sentence)] = found.as_slice() else {
        panic!("one problem at {pointer} expected, found {found:#?}");
    };
    assert_eq!(at, pointer, "{sentence}");
    assert!(sentence.contains(words), "{pointer}: {sentence}");
}

fn with(mut state: Value, fields: Value) -> Value {
    for (key, value) in fields.as_object().unwrap() {
        if value == "<none>" {
            state.as_object_mut().unwrap().remove(key);
        } else {
            state[key] = value.clone();
        }
    }
    state
}

fn task(fields: Value) -> Value {
    only(with(invoke("f", json!({})), fields))
}

fn pass(fields: Value) -> Value {
    only(with(json!({"Type": "Pass"}), fields))
}

fn parallel(fields: Value) -> Value {
    let branch = json!({"StartAt": "A", "States": {"A": {"Type": "Succeed"}}});
    only(with(json!({"Type": "Parallel", "Branches": [branch]}), fields))
}

#[test]
fn fields_that_no_state_here_has_are_refused_with_their_place() {
    let wait = |fields: Value| only(with(json!({"Type": "Wait", "Seconds": 1}), fields));
    let table = [
        (task(json!({"HeartbeatSeconds": 5})), "HeartbeatSeconds"),
        (task(json!({"HeartbeatSecondsPath": "$.x"})), "HeartbeatSecondsPath"),
        (task(json!({"Credentials": {}})), "Credentials"),
        (task(json!({"Assign": {}})), "Assign"),
        (task(json!({"Arguments": {}})), "Arguments"),
        (task(json!({"Output": "x"})), "Output"),
        (task(json!({"QueryLanguage": "JSONPath"})), "QueryLanguage"),
        (task(json!({"ItemsPath": "$"})), "ItemsPath"),
        (pass(json!({"Retry": []})), "Retry"),
        (pass(json!({"ResultSelector": {}})), "ResultSelector"),
        (pass(json!({"TimeoutSeconds": 1})), "TimeoutSeconds"),
        (wait(json!({"ResultPath": "$"})), "ResultPath"),
        (wait(json!({"Parameters": {}})), "Parameters"),
        (only(json!({"Type": "Succeed", "ResultPath": "$"})), "ResultPath"),
        (only(json!({"Type": "Succeed", "Next": "S"})), "Next"),
        (only(json!({"Type": "Fail", "InputPath": "$"})), "InputPath"),
        (only(json!({"Type": "Fail", "End": true})), "End"),
        (map("INLINE", json!({"Assign": {}})), "Assign"),
        (map("DISTRIBUTED", json!({"Items": []})), "Items"),
        (parallel(json!({"Assign": {}})), "Assign"),
        (parallel(json!({"ItemsPath": "$"})), "ItemsPath"),
        (parallel(json!({"TimeoutSeconds": 5})), "TimeoutSeconds"),
        (map("INLINE", json!({"TimeoutSeconds": 5})), "TimeoutSeconds"),
    ];
    for (definition, field) in table {
        refused(&definition, &format!("/States/S/{field}"), &format!("no field `{field}`"));
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn deeper_fields_are_refused_with_their_place() {
    let row = json!({"ErrorEquals": ["A"], "Foo": 1});
    let reader = |fields: Value| {
        let reader = json!({"Resource": "arn:aws:states:::s3:getObject", "ReaderConfig": {"InputType": "JSON"},
            "Parameters": {"Bucket": "b", "Key": "k"}});
        map("DISTRIBUTED", json!({"ItemReader": with(reader, fields)}))
    };
    let writer = |fields: Value| {
        let writer =
            json!({"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket": "b"}});
        map("DISTRIBUTED", json!({"ResultWriter": with(writer, fields)}))
    };
    let listing = json!({"Resource": "arn:aws:states:::s3:listObjectsV2", "Parameters": {"Bucket": "b"}, "ReaderConfig": {"InputType": "JSON"}});
    let choice = |rule: Value| {
        json!({"StartAt": "C", "States": {
        "C": {"Type": "Choice", "Choices": [rule], "Default": "Z"}, "Z": {"Type": "Succeed"}}})
    };
    let mut nested = map("INLINE", json!({}));
    nested["States"]["S"]["ItemProcessor"]["States"]["Work"]["Retry"] = json!([row]);
    let config = |config: Value| {
        let mut definition = map("DISTRIBUTED", json!({}));
        definition["States"]["S"]["ItemProcessor"]["ProcessorConfig"] = config;
        definition
    };
    let table = [
        (nested, "/States/S/ItemProcessor/States/Work/Retry/0/Foo", "no field `Foo`"),
        (task(json!({"Retry": [row]})), "/States/S/Retry/0/Foo", "no field `Foo`"),
        (
            task(json!({"Catch": [{"ErrorEquals": ["A"], "Next": "S", "Assign": {}}]})),
            "/States/S/Catch/0/Assign",
            "no field",
        ),
        (
            reader(json!({"ReaderConfig": {"InputType": "PARQUET"}})),
            "/States/S/ItemReader/ReaderConfig/InputType",
            "no InputType `PARQUET`; it knows JSON, JSONL, CSV",
        ),
        (
            reader(json!({"ReaderConfig": {"InputType": "JSON", "CSVHeaders": []}})),
            "/States/S/ItemReader/ReaderConfig/CSVHeaders",
            "no field",
        ),
        (
            reader(json!({"ReaderConfig": {"InputType": "JSON", "ItemsPointer": "/a"}})),
            "/States/S/ItemReader/ReaderConfig/ItemsPointer",
            "no field",
        ),
        (
            reader(json!({"ReaderConfig": {"InputType": "CSV", "CSVHeaderLocation": "LAST_ROW"}})),
            "/States/S/ItemReader/ReaderConfig/CSVHeaderLocation",
            "FIRST_ROW or GIVEN",
        ),
        (
            reader(json!({"ReaderConfig": {"InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW",
                "CSVHeaders": ["a"]}})),
            "/States/S/ItemReader/ReaderConfig/CSVHeaders",
            "GIVEN",
        ),
        (
            reader(json!({"ReaderConfig": {"InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW",
                "CSVDelimiter": ";"}})),
            "/States/S/ItemReader/ReaderConfig/CSVDelimiter",
            "COMMA, PIPE",
        ),
        (
            map("DISTRIBUTED", json!({"ItemBatcher": {"MaxItemsPerBatch": 1, "Foo": 1}})),
            "/States/S/ItemBatcher/Foo",
            "no field `Foo`",
        ),
        (
            map("DISTRIBUTED", json!({"ItemBatcher": {"MaxInputBytesPerBatch": 300_000}})),
            "/States/S/ItemBatcher/MaxInputBytesPerBatch",
            "from 1 to 262144",
        ),
        (
            parallel(json!({"Branches": [{"StartAt": "A", "States": {"A": {"Type": "Succeed"}},
                "Next": "B"}]})),
            "/States/S/Branches/0/Next",
            "no field `Next`",
        ),
        (
            reader(json!({"Resource": "arn:aws:states:::s3:headObject"})),
            "/States/S/ItemReader/Resource",
            "no reader",
        ),
        (
            reader(json!({"Parameters": {"Bucket": "b", "Key": "k", "VersionId": "v"}})),
            "/States/S/ItemReader/Parameters/VersionId",
            "no parameter",
        ),
        (
            reader(json!({"Parameters": {"Bucket": "b"}})),
            "/States/S/ItemReader/Parameters",
            "needs the parameter `Key`",
        ),
        (reader(json!({"Bucket": "b"})), "/States/S/ItemReader/Bucket", "no field"),
        (
            map("DISTRIBUTED", json!({"ItemReader": listing})),
            "/States/S/ItemReader/ReaderConfig/InputType",
            "no field",
        ),
        (writer(json!({"WriterConfig": {}})), "/States/S/ResultWriter/WriterConfig", "no field"),
        (
            writer(json!({"Resource": "arn:aws:states:::s3:copy"})),
            "/States/S/ResultWriter/Resource",
            "no writer",
        ),
        (
            writer(json!({"Parameters": {"Prefix": "p"}})),
            "/States/S/ResultWriter/Parameters",
            "`Bucket`",
        ),
        (
            config(json!({"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"})),
            "/States/S/ItemProcessor/ProcessorConfig/ExecutionType",
            "STANDARD",
        ),
        (
            config(json!({"Mode": "DISTRIBUTED"})),
            "/States/S/ItemProcessor/ProcessorConfig/ExecutionType",
            "STANDARD",
        ),
        (
            config(json!({"Mode": "PARALLEL"})),
            "/States/S/ItemProcessor/ProcessorConfig/Mode",
            "INLINE or DISTRIBUTED",
        ),
        (
            config(json!({"Mode": "INLINE", "X": 1})),
            "/States/S/ItemProcessor/ProcessorConfig/X",
            "no field",
        ),
        (map("INLINE", json!({"Label": "x"})), "/States/S/Label", "DISTRIBUTED"),
        (map("DISTRIBUTED", json!({"Label": "a b"})), "/States/S/Label", "white space"),
        (map("DISTRIBUTED", json!({"Label": "x".repeat(41)})), "/States/S/Label", "1 to 40"),
        (
            choice(json!({"Variable": "$.x", "StringEqual": "a", "Next": "Z"})),
            "/States/C/Choices/0/StringEqual",
            "no comparison",
        ),
        (
            choice(json!({"Variable": "$.x", "BooleanLessThan": true, "Next": "Z"})),
            "/States/C/Choices/0/BooleanLessThan",
            "no comparison",
        ),
        (
            choice(json!({"Variable": "$.x", "NumericEquals": "1", "Next": "Z"})),
            "/States/C/Choices/0/NumericEquals",
            "cannot compare",
        ),
        (
            choice(json!({"Variable": "$.x", "TimestampEquals": "today", "Next": "Z"})),
            "/States/C/Choices/0/TimestampEquals",
            "cannot compare",
        ),
        (
            choice(json!({"Variable": "$.x", "IsNull": 1, "Next": "Z"})),
            "/States/C/Choices/0/IsNull",
            "boolean",
        ),
        (
            choice(json!({"Variable": "$.x", "StringEquals": "a", "IsNull": true, "Next": "Z"})),
            "/States/C/Choices/0",
            "exactly one",
        ),
        (choice(json!({"StringEquals": "a", "Next": "Z"})), "/States/C/Choices/0", "`Variable`"),
        (choice(json!({"Variable": "$.x", "IsNull": true})), "/States/C/Choices/0", "`Next`"),
        (
            choice(json!({"Not": {"Variable": "$.x", "IsNull": true, "Next": "Z"}, "Next": "Z"})),
            "/States/C/Choices/0/Not",
            "exactly one",
        ),
        (choice(json!({"And": [], "Next": "Z"})), "/States/C/Choices/0/And", "at least one"),
        (
            choice(json!({"Variable": "$.x", "Condition": "{% true %}", "Next": "Z"})),
            "/States/C/Choices/0/Condition",
            "no comparison",
        ),
    ];
    for (definition, pointer, words) in table {
        refused(&definition, pointer, words);
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn values_that_do_not_fit_are_refused() {
    let retry =
        |fields: Value| task(json!({"Retry": [with(json!({"ErrorEquals": ["A"]}), fields)]}));
    let table = [
        (
            task(json!({"Resource": "arn:aws:lambda:eu-central-1:1:layer:f"})),
            "Resource",
            "no resource",
        ),
        (
            task(json!({"Resource": "arn:aws:lambda:eu-central-1:1:function:"})),
            "Resource",
            "the ARNs of functions",
        ),
        (
            task(json!({"Resource": "arn:aws:states:eu-central-1:1:activity:f"})),
            "Resource",
            "no resource",
        ),
        (
            task(json!({"Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken"})),
            "Resource",
            "no resource",
        ),
        (
            task(json!({"Resource": "arn:aws:states:::aws-sdk:s3:getObject"})),
            "Resource",
            "no resource",
        ),
        (
            task(json!({"Parameters": {"FunctionName": "f", "InvocationType": "Event"}})),
            "Parameters/InvocationType",
            "no parameter",
        ),
        (
            task(json!({"Parameters": {"FunctionName.$": "$.f"}})),
            "Parameters",
            "stands in the machine",
        ),
        (
            task(json!({"Parameters": {"Payload": {}}})),
            "Parameters",
            "needs the parameter `FunctionName`",
        ),
        (
            task(json!({"Parameters": {"FunctionName": "f", "Payload.$": "$.a[-1]"}})),
            "Parameters/Payload.$",
            "from the end",
        ),
        (
            task(json!({"Parameters": {"FunctionName": "f", "Payload": {"a": 1, "a.$": "$"}}})),
            "Parameters/Payload/a.$",
            "twice",
        ),
        (
            task(json!({"Parameters": {"FunctionName": "f", "Payload": {"a.$": 1}}})),
            "Parameters/Payload/a.$",
            "in a string",
        ),
        (
            task(json!({"Parameters": {"FunctionName": "f", "Payload": {"a.$": "States.Nope()"}}})),
            "Parameters/Payload/a.$",
            "no intrinsic",
        ),
        (task(json!({"Parameters": "x"})), "Parameters", "an object"),
        (task(json!({"TimeoutSeconds": 0})), "TimeoutSeconds", "from 1"),
        (task(json!({"TimeoutSeconds": "5"})), "TimeoutSeconds", "integer"),
        (task(json!({"TimeoutSeconds": 5.5})), "TimeoutSeconds", "integer"),
        (task(json!({"TimeoutSeconds": 5, "TimeoutSecondsPath": "$.x"})), "", "at most one"),
        (task(json!({"InputPath": "$.x[*].size()"})), "InputPath", "name of letters"),
        (task(json!({"ResultPath": "$..x"})), "ResultPath", "`..`"),
        (task(json!({"InputPath": 1})), "InputPath", "a string"),
        (task(json!({"ResultPath": "$$.Execution.Input"})), "ResultPath", "context object"),
        (task(json!({"InputPath": "$$.Task.Token"})), "InputPath", "context object"),
        (task(json!({"Comment": 1})), "Comment", "a string"),
        (task(json!({"Retry": {}})), "Retry", "an array"),
        (task(json!({"Retry": [1]})), "Retry/0", "an object"),
        (retry(json!({"ErrorEquals": []})), "Retry/0/ErrorEquals", "at least one"),
        (retry(json!({"ErrorEquals": [1]})), "Retry/0/ErrorEquals", "at least one"),
        (retry(json!({"ErrorEquals": ["States.ALL", "A"]})), "Retry/0/ErrorEquals", "alone"),
        (
            retry(json!({"ErrorEquals": ["States.Runtime"]})),
            "Retry/0/ErrorEquals",
            "nothing retries",
        ),
        (retry(json!({"IntervalSeconds": 0})), "Retry/0/IntervalSeconds", "from 1"),
        (retry(json!({"MaxAttempts": -1})), "Retry/0/MaxAttempts", "from 0"),
        (retry(json!({"BackoffRate": 0.5})), "Retry/0/BackoffRate", "at least 1.0"),
        (
            retry(json!({"IntervalSeconds": 5, "MaxDelaySeconds": 5})),
            "Retry/0/MaxDelaySeconds",
            "greater than",
        ),
        (retry(json!({"MaxDelaySeconds": 31622400})), "Retry/0/MaxDelaySeconds", "to 31622399"),
        (retry(json!({"JitterStrategy": "HALF"})), "Retry/0/JitterStrategy", "FULL or NONE"),
        (
            task(json!({"Retry": [{"ErrorEquals": ["States.ALL"]}, {"ErrorEquals": ["A"]}]})),
            "Retry/0/ErrorEquals",
            "last row",
        ),
        (
            task(
                json!({"Catch": [{"ErrorEquals": ["States.ALL"], "Next": "S"}, {"ErrorEquals": ["A"], "Next": "S"}]}),
            ),
            "Catch/0/ErrorEquals",
            "last row",
        ),
        (task(json!({"Type": "Activity"})), "Type", "no state type `Activity`"),
        (pass(json!({"Result": 1, "Parameters": {}})), "", "at most one"),
        (
            json!({"StartAt": "S", "States": {"S": {"Type": "Pass", "End": false}}}),
            "End",
            "only be true",
        ),
        (only(json!({"Type": "Wait"})), "", "exactly one"),
        (only(json!({"Type": "Wait", "Seconds": 1, "SecondsPath": "$.x"})), "", "exactly one"),
        (only(json!({"Type": "Wait", "Timestamp": "tomorrow"})), "Timestamp", "no time"),
        (only(json!({"Type": "Wait", "Seconds": -1})), "Seconds", "from 0"),
        (only(json!({"Type": "Fail", "Error": "a", "ErrorPath": "$.b"})), "", "at most one"),
        (only(json!({"Type": "Fail", "CausePath": "text"})), "CausePath", "neither"),
        (map("INLINE", json!({"MaxConcurrency": -1})), "MaxConcurrency", "from 0"),
        (
            map("INLINE", json!({"MaxConcurrency": 1, "MaxConcurrencyPath": "$.x"})),
            "",
            "at most one",
        ),
        (only(json!({"Type": "Map"})), "", "needs the field `ItemProcessor`"),
    ];
    for (definition, field, words) in table {
        let pointer =
            if field.is_empty() { "/States/S".to_owned() } else { format!("/States/S/{field}") };
        refused(&definition, &pointer, words);
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn the_shape_of_the_machine_is_checked() {
    let go = |next: &str| json!({"Type": "Pass", "Next": next});
    let end = json!({"Type": "Succeed"});
    let machine = |states: Value| json!({"StartAt": "A", "States": states});
    let nested = |processor: Value| {
        machine(json!({"A": {"Type": "Map", "ItemProcessor": processor, "End": true}}))
    };
    let labelled = |label: Value| {
        let mut state = map("DISTRIBUTED", label)["States"]["S"].clone();
        state.as_object_mut().unwrap().remove("End");
        state
    };
    let mut one = labelled(json!({"Label": "L", "Next": "B"}));
    one["ItemProcessor"]["States"] = json!({"W1": {"Type": "Succeed"}});
    one["ItemProcessor"]["StartAt"] = "W1".into();
    let mut two = labelled(json!({"Label": "L", "End": true}));
    two["ItemProcessor"]["StartAt"] = "W2".into();
    two["ItemProcessor"]["States"] = json!({"W2": {"Type": "Succeed"}});
    let table = [
        (json!({"States": {"A": end}}), "", "`StartAt`"),
        (json!({"StartAt": "A"}), "", "`States`"),
        (json!({"StartAt": "X", "States": {"A": end}}), "/StartAt", "no state"),
        (json!([]), "", "an object"),
        (with(machine(json!({"A": end})), json!({"Foo": 1})), "/Foo", "no field"),
        (
            with(machine(json!({"A": end})), json!({"QueryLanguage": "JSONata"})),
            "/QueryLanguage",
            "JSONPath",
        ),
        (
            with(machine(json!({"A": end})), json!({"TimeoutSeconds": 0})),
            "/TimeoutSeconds",
            "from 1",
        ),
        (machine(json!({"A": go("B")})), "/States/A", "no state here"),
        (machine(json!({"A": go("A")})), "/States", "ends the execution"),
        (machine(json!({"A": {"Type": "Pass"}})), "/States/A", "exactly one of `Next` and `End`"),
        (
            machine(json!({"A": {"Type": "Pass", "Next": "A", "End": true}})),
            "/States/A",
            "exactly one of `Next` and `End`",
        ),
        (machine(json!({"A": end, "B": go("A")})), "/States/B", "nothing leads"),
        (machine(json!({"A": {}})), "/States/A", "`Type`"),
        (machine(json!({"A": 1})), "/States/A", "an object"),
        (
            machine(json!({"A": {"Type": "Choice", "Choices": []}})),
            "/States/A",
            "at least one rule",
        ),
        (machine(json!({"A": end, "": go("A")})), "/States/", "characters"),
        (
            nested(json!({"StartAt": "B", "States": {"B": go("A")}})),
            "/States/A/ItemProcessor/States/B",
            "no state here",
        ),
        (
            nested(json!({"StartAt": "A", "States": {"A": end}})),
            "/States/A/ItemProcessor/States/A",
            "is taken by the state at /States/A",
        ),
        (
            nested(json!({"StartAt": "X", "States": {"B": end}})),
            "/States/A/ItemProcessor/StartAt",
            "no state",
        ),
        (
            machine(json!({"A": one, "B": two})),
            "/States/B/Label",
            "is taken by the Map at /States/A",
        ),
    ];
    for (definition, pointer, words) in table {
        let found = problems(&definition);
        let hit = found.iter().any(|(at, sentence)| at == pointer && sentence.contains(words));
        assert!(hit, "{words} at {pointer} expected, found {found:#?}");
    }
}

#[test]
fn all_problems_come_together_in_order() {
    let definition = json!({"StartAt": "A", "Extra": 1, "States": {
        "A": {"Type": "Pass", "Next": "Nowhere", "Bad": 1},
        "B": {"Type": "Activity"},
        "C": with(invoke("f", json!({"End": true})), json!({"HeartbeatSeconds": 1, "Retry": [{"ErrorEquals": ["X"], "Foo": 1}]})),
        "a/b~c": {"Type": "Wait"},
    }});
    let places: Vec<String> = problems(&definition).into_iter().map(|(at, _)| at).collect();
    assert_eq!(
        places,
        [
            "/Extra",
            "/States/A",
            "/States/A/Bad",
            "/States/B/Type",
            "/States/C/HeartbeatSeconds",
            "/States/C/Retry/0/Foo",
            "/States/a~1b~0c",
            "/States/a~1b~0c",
        ]
    );
    let text = Machine::load(&definition.to_string(), &BTreeMap::new()).unwrap_err().to_string();
    assert_eq!(text.lines().count(), 9, "{text}");
}

#[test]
fn text_that_is_no_json_or_names_something_twice_is_refused() {
    let load = |text: &str| Machine::load(text, &BTreeMap::new()).unwrap_err().to_string();
    assert!(load("{").contains("not proper JSON"));
    let twice = r#"{"StartAt": "A", "States": {"A": {"Type": "Succeed"}, "A": {"Type": "Fail"}}}"#;
    assert!(load(twice).contains("`A` stands twice"));
    let long = only(json!({"Type": "Pass", "Comment": "x".repeat(1024 * 1024)})).to_string();
    assert!(load(&long).contains("1048576 bytes"));
}

#[test]
fn placeholders_are_replaced_and_those_without_value_are_named() {
    let definition =
        only(with(invoke("${Fn}:${Alias}", json!({})), json!({"Comment": "cost: $5 {x} ${Fn}"})));
    let values = BTreeMap::from([
        ("Fn".to_owned(), "my-f".to_owned()),
        ("Alias".to_owned(), "live".to_owned()),
    ]);
    let machine = Machine::load(&definition.to_string(), &values).unwrap();
    assert_eq!(machine.state("S").unwrap().function, Some("my-f:live"));
    assert_eq!(machine.definition()["States"]["S"]["Comment"], "cost: $5 {x} my-f");
    let found = problems(&definition);
    let at = |field: &str| format!("/States/S/{field}");
    let named = |name: &str| format!("the placeholder `${{{name}}}` has no value");
    assert_eq!(
        found,
        [
            (at("Comment"), named("Fn")),
            (at("Parameters/FunctionName"), named("Alias")),
            (at("Parameters/FunctionName"), named("Fn")),
        ]
    );
    refused(&pass(json!({"Comment": "${open"})), "/States/S/Comment", "never closed");
}

#[test]
fn states_are_walked_in_the_order_of_a_run() {
    let definition = json!({"StartAt": "Z", "TimeoutSeconds": 60, "States": {
        "Z": with(invoke("first", json!({})), json!({
            "TimeoutSeconds": 7, "Next": "M",
            "Retry": [{"ErrorEquals": ["A"], "MaxAttempts": 0}, {"ErrorEquals": ["States.ALL"], "JitterStrategy": "FULL", "MaxDelaySeconds": 9}],
            "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Oops"}],
        })),
        "M": with(map("DISTRIBUTED", json!({}))["States"]["S"].clone(), json!({"End": "<none>", "Next": "C"})),
        "C": {"Type": "Choice", "Choices": [{"Variable": "$.x", "IsNull": true, "Next": "W"}], "Default": "A"},
        "A": {"Type": "Succeed"}, "W": {"Type": "Wait", "Seconds": 1, "End": true}, "Oops": {"Type": "Fail"},
    }});
    let machine = Machine::load(&definition.to_string(), &BTreeMap::new()).unwrap();
    assert_eq!(machine.timeout_seconds(), Some(60));
    let seen: Vec<_> =
        machine.states().map(|state| (state.name, state.kind, state.inside)).collect();
    assert_eq!(
        seen,
        [
            ("Z", StateKind::Task, None),
            ("M", StateKind::DistributedMap, None),
            ("Work", StateKind::Task, Some("M")),
            ("Oops", StateKind::Fail, None),
            ("C", StateKind::Choice, None),
            ("W", StateKind::Wait, None),
            ("A", StateKind::Succeed, None),
        ]
    );
    let first = machine.state("Z").unwrap();
    assert_eq!(first.function, Some("first"));
    assert_eq!(first.resource, Some("arn:aws:states:::lambda:invoke"));
    assert_eq!(first.timeout_seconds, Some(7));
    assert_eq!((first.retry[0].max_attempts, first.retry[0].backoff_rate), (0, 2.0));
    assert_eq!((first.retry[1].max_attempts, first.retry[1].interval_seconds), (3, 1));
    assert!(first.retry[1].full_jitter);
    assert_eq!(first.catch[0].next, "Oops");
    assert_eq!((first.targets, first.terminal), (vec!["M", "Oops"], false));
    let work = machine.state("Work").unwrap();
    assert_eq!(work.pointer, "/States/M/ItemProcessor/States/Work");
    assert!(work.terminal);
    for state in machine.states() {
        assert!(machine.definition().pointer(state.pointer).is_some());
    }
}
