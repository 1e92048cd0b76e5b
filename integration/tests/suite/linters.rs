//! The state machine before linters that we did not write, each of which must also find a fault that was
//! put there.

use std::path::{Path, PathBuf};
use std::process::Command;

use dray::local::DEFINITION;
use serde_json::{Value, json};

/// What each placeholder of the definition looks like on AWS.
fn deployed() -> Value {
    let mut text = DEFINITION.to_owned();
    for (name, _) in dray::local::substitutions() {
        let value = match name.as_str() {
            "SparkApplicationId" => "00f1abcdefghij25".to_owned(),
            "SparkJobRoleArn" => "arn:aws:iam::123456789012:role/spark".to_owned(),
            "EventBusName" => "default".to_owned(),
            function => {
                format!("arn:aws:lambda:eu-central-1:123456789012:function:{function}:live")
            }
        };
        text = text.replace(&format!("${{{name}}}"), &value);
    }
    assert!(!text.contains("${"), "a placeholder that nobody fills in");
    serde_json::from_str(&text).expect("JSON")
}

/// The definition with a Next that leads nowhere.
fn dangling() -> Value {
    let mut machine = deployed();
    machine["States"]["PlanFetch"]["Next"] = "Nowhere".into();
    machine
}

/// The definition with a field that no Task has.
fn unknown_field() -> Value {
    let mut machine = deployed();
    machine["States"]["Discover"]["TimeoutSecond"] = 5.into();
    machine
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Whether the linter ends well, and what it said.
fn lint(program: &Path, arguments: &[&str], document: &Value) -> (bool, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("document.json");
    std::fs::write(&file, document.to_string()).expect("a document");
    let mut command = Command::new(program);
    let output = command.args(arguments).arg(&file).output();
    let output = output.unwrap_or_else(|_| panic!("{}: make tools", program.display()));
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

fn asl_validator(machine: &Value) -> (bool, String) {
    let program = root().join("integration/linters/node_modules/.bin/asl-validator");
    lint(&program, &["--json-path"], machine)
}

fn cfn_lint(machine: &Value) -> (bool, String) {
    let template = json!({
        "AWSTemplateFormatVersion": "2010-09-09",
        "Resources": {"Machine": {
            "Type": "AWS::StepFunctions::StateMachine",
            "Properties": {
                "RoleArn": "arn:aws:iam::123456789012:role/machine",
                "Definition": machine,
            },
        }},
    });
    let program = root().join(".venv/bin/cfn-lint");
    lint(&program, &["--regions", "eu-central-1", "--template"], &template)
}

#[test]
fn asl_validator_accepts_the_machine_and_finds_what_is_wrong() {
    let (well, said) = asl_validator(&deployed());
    assert!(well, "{said}");
    for (fault, word) in [(dangling(), "Nowhere"), (unknown_field(), "States/Discover")] {
        let (well, said) = asl_validator(&fault);
        assert!(!well && said.contains(word), "{said}");
    }
}

#[test]
fn cfn_lint_accepts_the_machine_and_finds_what_is_wrong() {
    let (well, said) = cfn_lint(&deployed());
    assert!(well, "{said}");
    let (well, said) = cfn_lint(&unknown_field());
    assert!(!well && said.contains("E3601"), "{said}");
}
