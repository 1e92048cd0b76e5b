//! The conformance cases of our engine on another engine: where the two differ, the difference is
//! known, and so is who is right. Nothing of AWS can run here, so a second reading of the
//! specification is the next best judge.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("engines")
}

fn known() -> Vec<Value> {
    let text = fs::read_to_string(folder().join("differences.json")).expect("differences.json");
    let list: Value = serde_json::from_str(&text).expect("JSON");
    list["differences"].as_array().expect("a list").clone()
}

/// Runs cases on MiniStack, with more arguments.
fn ministack(more: &[&str]) -> Output {
    let python = folder().join("../../.venv-engines/bin/python");
    assert!(python.exists(), "`make tools` makes {}", python.display());
    let mut command = Command::new(python);
    command.arg(folder().join("conformance.py")).arg("ministack").args(more);
    command.output().expect("Python starts")
}

fn text(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    format!("{}{error}", String::from_utf8_lossy(&output.stdout))
}

#[test]
fn ministack_does_what_the_cases_say_but_for_the_known_differences() {
    let output = ministack(&[]);
    assert!(output.status.success(), "\n{}", text(&output));
}

#[test]
fn a_difference_that_is_not_known_or_does_not_occur_is_noticed() {
    let folder = tempfile::tempdir().expect("a folder");
    let list = folder.path().join("differences.json");
    let row = json!({"engine": "ministack", "does": "", "right": "", "cases": ["choice-is-null"]});
    let rows = json!({"differences": [row]});
    fs::write(&list, rows.to_string()).expect("written");
    let list = list.to_str().expect("UTF-8");
    let output = ministack(&["--only", "choice-is-", "--differences", list]);
    let text = text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("NEW  choice-is-present: ministack succeeds with \"wrong\""), "{text}");
    assert!(text.contains("GONE choice-is-null: "), "{text}");
    assert_eq!(text.matches("NEW ").count() + text.matches("GONE ").count(), 2, "{text}");
}

#[test]
fn the_page_lists_the_known_differences_and_no_others() {
    let page = fs::read_to_string(folder().join("README.md")).expect("the page");
    let word = |row: &Value, field: &str| row[field].as_str().expect("text").to_owned();
    let engines = ["ministack", "localstack"];
    let listed: Vec<&str> = page
        .lines()
        .filter(|line| engines.iter().any(|name| line.starts_with(&format!("| {name} |"))))
        .collect();
    let wanted: Vec<String> = known()
        .iter()
        .map(|row| {
            let [engine, does, right] = ["engine", "does", "right"].map(|field| word(row, field));
            format!("| {engine} | {does} | {right} |")
        })
        .collect();
    assert_eq!(listed, wanted);
    let cases = cases();
    let titles =
        [("ours", "| ours"), ("ministack", "| MiniStack"), ("localstack", "| localstack-core")];
    for (name, title) in titles {
        let rows = known().into_iter().filter(|row| row["engine"] == name);
        let differ: usize = rows.map(|row| row["cases"].as_array().expect("cases").len()).sum();
        let refused = cases.iter().filter(|case| case.starts_with("unsupported-")).count();
        let differ = if name == "ours" { refused } else { differ };
        let line = page.lines().find(|line| line.starts_with(title)).expect("a row");
        let end = format!("| {} of {} |", cases.len() - differ, cases.len());
        assert!(line.ends_with(&end), "{line} does not end in {end}");
    }
    for row in known() {
        for name in row["cases"].as_array().expect("cases") {
            assert!(cases.contains(&name.as_str().expect("a name").to_owned()), "no case {name}");
        }
    }
}

/// The name of every case.
fn cases() -> Vec<String> {
    let folder = folder().join("../../statemachine/engine/tests/conformance");
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).expect("the cases") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let text = fs::read_to_string(path).expect("a topic");
            let topic: Value = serde_json::from_str(&text).expect("JSON");
            let cases = topic["cases"].as_array().expect("cases");
            names.extend(cases.iter().filter_map(|case| case["name"].as_str()).map(str::to_owned));
        }
    }
    names
}
