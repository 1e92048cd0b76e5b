//! What every Task of the state machine must say: how it is tried again, who catches it, how long it
//! may take; and that no error name exists on one side only.

use std::collections::BTreeSet;

use domain::ErrorClass;
use dray::local::{DEFINITION, substitutions};
use engine::{Machine, StateKind};
use serde_json::{Value, json};

use super::house::House;
use super::{complains, none};

/// What AWS says about a call that may be made again.
const AGAIN: [&str; 5] = [
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.TooManyRequestsException",
];
/// What AWS says about a call that died: memory or time ran out, so few attempts.
const DIED: [&str; 4] =
    ["Lambda.Unknown", "Runtime.ExitError", "Sandbox.Timedout", "States.Timeout"];
/// Most attempts after a call that died.
const FEW: u64 = 2;
/// Prefixes of error names that are AWS' own.
const FOREIGN: [&str; 4] = ["States.", "Lambda.", "Runtime.", "Sandbox."];

fn complaints(house: &House) -> Vec<String> {
    let mut found: Vec<String> = house.tasks().iter().flat_map(|(n, s)| task(n, s)).collect();
    found.extend(house.calls().iter().flat_map(|(name, _, state)| call(name, state)));
    let mut names = BTreeSet::new();
    error_names(&house.definition, &mut names);
    for name in &names {
        let foreign = FOREIGN.iter().any(|prefix| name.starts_with(prefix));
        if !foreign && ErrorClass::from_name(name).is_none() {
            found.push(format!("{name} is in the machine and is no error class"));
        }
    }
    for class in ErrorClass::ALL {
        if !names.contains(class.name()) {
            found.push(format!("{class} is an error class and nowhere in the machine"));
        }
    }
    let text = house.definition.to_string();
    if text.contains("arn:aws:iam") {
        found.push("the machine names a role".to_owned());
    }
    let digits = text.split(|c: char| !c.is_ascii_digit()).find(|digits| digits.len() >= 12);
    if let Some(digits) = digits {
        found.push(format!("{digits} in the machine looks like an account"));
    }
    found
}

fn task(name: &str, state: &Value) -> Vec<String> {
    let lacks = |field: &&str| state[*field].is_null() || state[*field] == json!([]);
    let fields = ["Retry", "Catch", "TimeoutSeconds"].into_iter().filter(lacks);
    let mut found: Vec<String> = fields.map(|field| format!("{name} has no {field}")).collect();
    let catches_all =
        list(&state["Catch"]).iter().any(|row| row["ErrorEquals"] == json!(["States.ALL"]));
    if !catches_all {
        found.push(format!("{name} does not catch States.ALL"));
    }
    found
}

fn call(name: &str, state: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let retried = |wanted: &str| {
        list(&state["Retry"]).iter().find(|row| list(&row["ErrorEquals"]).contains(&json!(wanted)))
    };
    let classes = ErrorClass::ALL.into_iter().filter(|class| class.is_retryable());
    for wanted in classes.map(ErrorClass::name).chain(AGAIN).chain(DIED) {
        if retried(wanted).is_none() {
            found.push(format!("{name} does not retry {wanted}"));
        }
    }
    for died in DIED {
        let attempts = retried(died).and_then(|row| row["MaxAttempts"].as_u64());
        if attempts.is_none_or(|attempts| attempts > FEW) {
            found.push(format!("{name} retries {died} {attempts:?} times, not {FEW}"));
        }
    }
    let hopeless = ErrorClass::ALL.into_iter().filter(|class| !class.is_retryable());
    for hopeless in hopeless.map(ErrorClass::name).chain(["States.ALL", "States.TaskFailed"]) {
        if retried(hopeless).is_some() {
            found.push(format!("{name} retries {hopeless}"));
        }
    }
    found
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn error_names(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| error_names(value, names)),
        Value::Object(fields) => {
            for (field, value) in fields {
                if field == "ErrorEquals" {
                    names.extend(list(value).iter().filter_map(Value::as_str).map(str::to_owned));
                }
                error_names(value, names);
            }
        }
        _ => {}
    }
}

#[test]
fn every_task_is_retried_caught_and_limited() {
    none(&complaints(&House::read()));
}

#[test]
fn the_file_and_the_loaded_machine_have_the_same_tasks() {
    let house = House::read();
    let machine = Machine::load(DEFINITION, &substitutions()).expect("the definition loads");
    let loaded: BTreeSet<String> = machine
        .states()
        .filter(|state| state.kind == StateKind::Task)
        .map(|state| state.name.to_owned())
        .collect();
    let written: BTreeSet<String> = house.tasks().into_iter().map(|(name, _)| name).collect();
    assert_eq!(loaded, written);
}

#[test]
fn a_weaker_machine_is_noticed() {
    let house = House::read();
    let broken = |path: &[&str], field: &str, value: Value| {
        let mut copy = house.clone();
        copy.state_mut(path)[field] = value;
        complaints(&copy)
    };
    let size = &["Size"][..];
    let upload = &["DeliverParcels", "Upload"][..];
    complains(&broken(size, "Retry", json!([])), "Size has no Retry");
    complains(&broken(size, "Catch", Value::Null), "Size does not catch States.ALL");
    complains(&broken(size, "TimeoutSeconds", Value::Null), "Size has no TimeoutSeconds");
    let endless = json!([{"ErrorEquals": ["Transient", "Lambda.Unknown"], "MaxAttempts": 5}]);
    let found = broken(upload, "Retry", endless);
    complains(&found, "Upload retries Lambda.Unknown Some(5) times");
    complains(&found, "Upload does not retry Throttled");
    complains(&found, "Upload does not retry Lambda.SdkClientException");
    let stubborn = json!([{"ErrorEquals": ["Rejected"]}]);
    complains(&broken(upload, "Retry", stubborn), "Upload retries Rejected");
    let misspelt = json!([{"ErrorEquals": ["Misconfiguerd"]}]);
    complains(&broken(size, "Catch", misspelt), "Misconfiguerd is in the machine");
    complains(&broken(size, "Comment", json!("arn:aws:iam::x")), "names a role");
    complains(&broken(size, "Comment", json!("in 123456789012")), "looks like an account");
}

#[test]
fn a_class_that_the_machine_does_not_know_is_noticed() {
    let mut house = House::read();
    let text = house.definition.to_string().replace("\"SourceChanged\"", "\"States.Foo\"");
    house.definition = serde_json::from_str(&text).expect("JSON");
    complains(&complaints(&house), "SourceChanged is an error class and nowhere in the machine");
}
