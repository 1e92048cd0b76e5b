//! What the specification says, case by case: every JSON file beside this one is a topic, every case a
//! small state machine with the end that the specification gives it. Other engines run the same
//! cases, so nothing in them is particular to this one.

#[cfg(test)]
mod case;
#[cfg(test)]
mod script;

use std::collections::BTreeSet;

use case::{Case, topics};

/// Fewer cases would be a topic that is no longer read.
const FEWEST_CASES: usize = 300;

/// Runs every case of a topic and fails with all that went otherwise.
#[cfg(test)]
async fn topic(name: &str) {
    let mut complaints = Vec::new();
    let cases = topics().remove(name).unwrap_or_else(|| panic!("there is no {name}.json"));
    for case in &cases {
        complaints.extend(case.complaints().await);
    }
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

macro_rules! topics {
    ($($name:ident => $file:literal,)*) => {
        $(#[tokio::test]
        async fn $name() {
            topic($file).await;
        })*

        const NAMES: &[&str] = &[$($file),*];
    };
}

topics! {
    batches => "batches",
    catch => "catch",
    choice => "choice",
    comparisons_of_numbers => "comparisons-numbers",
    comparisons_of_text => "comparisons-text",
    comparisons_of_times => "comparisons-times",
    comparisons_of_types => "comparisons-types",
    distributed => "distributed",
    flow => "flow",
    intrinsics => "intrinsics",
    invalid_data => "invalid-data",
    invalid_flow => "invalid-flow",
    invalid_maps => "invalid-maps",
    invalid_states => "invalid-states",
    invalid_tasks => "invalid-tasks",
    iterations => "iterations",
    limits => "limits",
    map => "map",
    parallel => "parallel",
    parallel_errors => "parallel-errors",
    pass => "pass",
    paths => "paths",
    readers => "readers",
    readers_and_writers => "readers-and-writers",
    readers_of_lines => "readers-lines",
    retry => "retry",
    task => "task",
    task_functions => "task-functions",
    tolerance => "tolerance",
    unsupported => "unsupported",
}

#[test]
fn every_topic_is_run_and_every_case_has_a_name_of_its_own() {
    let topics = topics();
    let files: BTreeSet<&str> = topics.keys().map(String::as_str).collect();
    assert_eq!(files, NAMES.iter().copied().collect());
    let cases: Vec<&Case> = topics.values().flatten().collect();
    assert!(cases.len() >= FEWEST_CASES, "only {} cases", cases.len());
    let mut names = BTreeSet::new();
    let mut places = std::collections::BTreeMap::new();
    for case in cases {
        assert!(names.insert(&case.name), "{} stands twice", case.name);
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(case.name.chars().all(plain) && case.name.len() <= 80, "{}", case.name);
        let sections = ["ASL: ", "DG: "];
        assert!(
            sections.iter().any(|it| case.spec.starts_with(it)),
            "{}: {}",
            case.name,
            case.spec
        );
        for (place, body) in &case.objects {
            let before = places.insert(place, body);
            assert!(before.is_none_or(|it| it == body), "{}: another {place}", case.name);
        }
    }
}

#[tokio::test]
async fn a_wrong_expectation_is_noticed() {
    let topics = topics();
    let case = |name: &str| {
        let mut cases = topics.values().flatten();
        cases.find(|case| case.name == name).unwrap_or_else(|| panic!("no case {name}")).clone()
    };
    let mut wrong = Vec::new();
    let mut output = case("retry-until-it-succeeds");
    output.expect.output = Some(serde_json::json!({"a": 2}));
    wrong.push((output, "output"));
    let mut calls = case("retry-until-it-succeeds");
    calls.expect.calls.insert("work".into(), 4);
    wrong.push((calls, "calls"));
    let mut delays = case("retry-until-it-succeeds");
    delays.expect.delays_seconds = Some(vec![1.0]);
    wrong.push((delays, "delays"));
    let mut error = case("task-error-has-its-name");
    error.expect.error = Some("Another".into());
    wrong.push((error, "error"));
    let mut cause = case("fail-has-error-and-cause");
    cause.expect.cause = Some("another".into());
    wrong.push((cause, "cause"));
    let mut status = case("machine-that-takes-too-long");
    status.expect.status = None;
    wrong.push((status, "status"));
    let mut loads = case("pass-hands-its-input-on");
    loads.refused = Some("anything".into());
    wrong.push((loads, "loads"));
    let mut words = case("invalid-without-start-at");
    words.refused = Some("other words".into());
    wrong.push((words, "other words"));
    for (case, words) in wrong {
        let found = case.complaints().await.join("\n");
        assert!(found.contains(words), "{}: {found:?} lacks {words}", case.name);
    }
}
