//! One word per stage: the state machine, the folder, the package, the binary, the sample event and
//! the laptop's table of functions say the same.

use std::collections::BTreeSet;

use super::house::House;
use super::{complains, none};

/// The one stage that runs as a Spark job and not as a function.
const SPARK: &str = "count-large";
/// Lines of a `main.rs` that only wires.
const MAIN_LINES: usize = 40;

fn complaints(house: &House) -> Vec<String> {
    let called: BTreeSet<String> = house.calls().into_iter().map(|(_, word, _)| word).collect();
    let mut found = Vec::new();
    for (name, state) in house.tasks() {
        let invokes = state["Resource"] == "arn:aws:states:::lambda:invoke";
        if invokes && !house.calls().iter().any(|(call, ..)| *call == name) {
            found.push(format!("{name} calls a function that is no ${{WordFunction}}"));
        }
    }
    for word in &called {
        if !house.functions.contains_key(word) {
            found.push(format!("the machine calls {word}, and functions/{word} is no package"));
        }
    }
    for word in house.functions.keys().filter(|word| *word != SPARK) {
        if !called.contains(word) {
            found.push(format!("functions/{word} is called by no state"));
        }
        if !house.local.contains(word) {
            found.push(format!("functions/{word} is not in dray's table of functions"));
        }
    }
    for word in house.local.iter().filter(|word| !house.functions.contains_key(*word)) {
        found.push(format!("dray's table has {word}, and functions/{word} is no package"));
    }
    let starts_spark = |state: &serde_json::Value| {
        state["Resource"] == "arn:aws:states:::emr-serverless:startJobRun.sync"
    };
    let spark: Vec<String> =
        house.tasks().into_iter().filter(|(_, s)| starts_spark(s)).map(|(n, _)| n).collect();
    if spark != ["CountLarge"] || !house.functions.contains_key(SPARK) {
        found.push(format!("{SPARK} is the Spark job of CountLarge alone, not of {spark:?}"));
    }
    found.extend(house.functions.keys().flat_map(|word| package(house, word)));
    found
}

/// What a stage's folder lacks.
fn package(house: &House, word: &str) -> Vec<String> {
    let mut found = Vec::new();
    let Some(function) = house.functions.get(word) else { return found };
    let named = format!("name = \"{word}\"");
    if function.manifest.matches(&named).count() != 2 || !function.manifest.contains("[[bin]]") {
        found.push(format!("functions/{word}/Cargo.toml: package and [[bin]] are named {word}"));
    }
    let constant = [format!("NAME: &'static str = \"{word}\""), format!("NAME: &str = \"{word}\"")];
    match &function.library {
        None => found.push(format!("functions/{word} has no src/lib.rs")),
        Some(text) if !constant.iter().any(|constant| text.contains(constant)) => {
            found.push(format!("functions/{word}/src/lib.rs: its NAME is not {word:?}"));
        }
        Some(_) => {}
    }
    match function.main.as_ref().map(|text| text.lines().count()) {
        None => found.push(format!("functions/{word} has no src/main.rs")),
        Some(lines) if lines > MAIN_LINES && word != SPARK => {
            found.push(format!("functions/{word}/src/main.rs has {lines} lines, not {MAIN_LINES}"));
        }
        Some(_) => {}
    }
    let prefix = format!("{word}-");
    let is_sample = |name: &String| *name == format!("{word}.json") || name.starts_with(&prefix);
    if !house.samples.iter().any(is_sample) {
        found.push(format!("sample-events has no {word}.json"));
    }
    found
}

#[test]
fn every_stage_has_one_word_everywhere() {
    none(&complaints(&House::read()));
}

#[test]
fn a_missing_or_extra_stage_is_noticed() {
    let house = House::read();
    let broken = |change: &dyn Fn(&mut House)| {
        let mut copy = house.clone();
        change(&mut copy);
        complaints(&copy)
    };
    let without_size = broken(&|house| *house.state_mut(&["Size"]) = serde_json::Value::Null);
    complains(&without_size, "functions/size is called by no state");
    let renamed = broken(&|house| {
        let upload = house.state_mut(&["DeliverParcels", "Upload"]);
        upload["Parameters"]["FunctionName"] = "${SendFunction}".into();
    });
    complains(&renamed, "the machine calls send");
    complains(&renamed, "functions/upload is called by no state");
    let fixed = broken(&|house| {
        house.state_mut(&["Finish"])["Parameters"]["FunctionName"] = "finish".into();
    });
    complains(&fixed, "Finish calls a function that is no");
    let no_folder = broken(&|house| drop(house.functions.remove("plan")));
    complains(&no_folder, "the machine calls plan");
    complains(&no_folder, "dray's table has plan");
    let extra = broken(&|house| drop(house.functions.insert("audit".into(), Default::default())));
    complains(&extra, "functions/audit is called by no state");
    complains(&extra, "functions/audit has no src/main.rs");
    complains(&extra, "sample-events has no audit.json");
    let unlisted = broken(&|house| house.local.retain(|word| word != "report"));
    complains(&unlisted, "functions/report is not in dray's table");
    let no_spark = broken(&|house| *house.state_mut(&["CountLarge"]) = serde_json::Value::Null);
    complains(&no_spark, "Spark job of CountLarge");
}

#[test]
fn a_package_that_calls_itself_otherwise_is_noticed() {
    let mut house = House::read();
    let function = house.functions.get_mut("inspect").expect("inspect");
    function.manifest = function.manifest.replace("inspect", "look");
    function.library = function.library.as_ref().map(|text| text.replace("\"inspect\"", "\"x\""));
    function.main = Some("//! Long.\n".repeat(MAIN_LINES + 1));
    house.samples.remove("inspect.json");
    let found = complaints(&house);
    complains(&found, "package and [[bin]] are named inspect");
    complains(&found, "its NAME is not \"inspect\"");
    complains(&found, "src/main.rs has 41 lines");
    complains(&found, "sample-events has no inspect.json");
}
