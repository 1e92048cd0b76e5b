//! Events that are none, and environments that lack something.

use std::collections::BTreeSet;

use domain::ErrorClass;
use dray::local::Functions;
use integration::Setting;
use serde_json::json;

use super::{cloud, fails, start};
use crate::samples::sample;

/// No JSON, no object, nothing of what a stage needs, something else instead.
const BAD: [&[u8]; 7] = [
    b"{\"partner\": \"acme\",",
    b"partner=acme",
    b"\xff\xfe",
    b"[]",
    b"null",
    b"{}",
    b"{\"partner\": 7, \"run\": [], \"phase\": \"fetch\", \"start\": \"now\", \"state\": 1}",
];

#[test]
fn every_function_refuses_what_is_no_event_of_its_own_and_goes_on() {
    let (_world, cloud) = cloud();
    for name in Functions::NAMES {
        let rie = start(name, &cloud.setting());
        for event in BAD {
            let told = fails(&rie, event, ErrorClass::Misconfigured, "runtime.bad_event");
            assert!(told.message.starts_with(&format!("The event of {name} is not")), "{told:?}");
        }
        let output = rie.output();
        // One process took all of them.
        assert_eq!(output.matches("\"code\":\"runtime.bad_event\"").count(), BAD.len(), "{output}");
        assert_eq!(output.matches("INIT START").count(), 1, "{output}");
    }
}

#[test]
fn a_missing_field_and_a_misspelt_one_are_named() {
    let (_world, cloud) = cloud();
    let rie = start("discover", &cloud.setting());
    let mut event = sample("discover");
    event["start"]["onyl"] = json!(["customers.csv"]);
    let bad = (ErrorClass::Misconfigured, "runtime.bad_event");
    let told = fails(&rie, event.to_string().as_bytes(), bad.0, bad.1);
    assert!(told.message.contains("unknown field `onyl`"), "{told:?}");
    let event = json!({"run": "r", "execution": "e", "start": {"only": []}}).to_string();
    let told = fails(&rie, event.as_bytes(), bad.0, bad.1);
    assert!(told.message.contains("missing field `partner`"), "{told:?}");
}

#[test]
fn what_the_machine_hands_on_beside_an_event_is_left_aside() {
    let (_world, cloud) = cloud();
    let rie = start("plan", &cloud.setting());
    let mut event = sample("plan-fetch");
    event["progress"] = json!({"more": false});
    let answer = rie.invoke(event.to_string().as_bytes());
    assert_eq!((&answer["parcels"], &answer["items"]), (&json!(0), &json!(0)), "{answer}");
}

/// The variables of `infra/README.md` that have no default, for one function.
fn needed(name: &str) -> BTreeSet<String> {
    let page = include_str!("../../../../infra/README.md");
    let rows = page.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, variable, functions, meaning, _] = cells[..] else { return None };
        let variable = variable.strip_prefix('`')?.strip_suffix('`')?;
        let of_it = functions == "all" || functions.split(", ").any(|one| one == name);
        (of_it && !meaning.contains("if not set")).then(|| variable.to_owned())
    });
    rows.collect()
}

#[test]
fn an_empty_environment_is_answered_with_every_name_that_the_page_asks_for() {
    let bare = Setting::default().with("AWS_REGION", "us-east-1");
    for name in Functions::NAMES {
        let rie = start(name, &bare);
        let code = "runtime.environment";
        let told = fails(&rie, b"{}", ErrorClass::Misconfigured, code);
        let words = told.message.split([' ', ',', '.']);
        let named = words.filter(|word| word.starts_with("DRAYAGE_")).map(str::to_owned).collect();
        assert_eq!(needed(name), named, "{name}: {told:?}");
        // Also when what comes is no event.
        fails(&rie, b"{", ErrorClass::Misconfigured, code);
    }
}

#[test]
fn a_number_that_is_none_is_told_with_its_variable() {
    let (_world, cloud) = cloud();
    for (name, variable) in [
        ("discover", "DRAYAGE_SEAL_CONCURRENCY"),
        ("plan", "DRAYAGE_DEADLINE_MARGIN_SECONDS"),
        ("inspect", "DRAYAGE_SEALABLE_BYTES"),
    ] {
        let rie = start(name, &cloud.setting().with(variable, "many"));
        let told = fails(&rie, b"{}", ErrorClass::Misconfigured, "runtime.environment");
        assert!(told.message.contains(variable) && told.message.contains("\"many\""), "{told:?}");
    }
}
