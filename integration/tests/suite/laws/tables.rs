//! `functions/README.md` has one row per stage and per error class, and its timeouts are the ones
//! that the state machine waits for.

use std::collections::{BTreeMap, BTreeSet};

use domain::ErrorClass;
use serde_json::{Value, json};

use super::house::{House, rows};
use super::{complains, none};

/// A state waits this much longer than its function may run, so a live invocation is never raced.
const MARGIN_SECONDS: u64 = 30;

fn complaints(house: &House) -> Vec<String> {
    // What follows has tables of its own.
    let rows = rows(house.readme.split("## Promises").next().unwrap_or_default());
    let mut found = Vec::new();
    let mut called: BTreeMap<String, Vec<(String, &Value)>> = BTreeMap::new();
    for (name, word, state) in house.calls() {
        called.entry(word).or_default().push((name, state));
    }
    for (name, state) in house.tasks().into_iter().filter(|(name, _)| name == "CountLarge") {
        called.entry("count-large".to_owned()).or_default().push((name, state));
    }
    for word in house.functions.keys() {
        let states = called.get(word).cloned().unwrap_or_default();
        match rows.get(word).map(Vec::as_slice) {
            Some([named, timeout, ..]) => found.extend(row(word, named, timeout, &states)),
            _ => found.push(format!("functions/README.md has no row for {word}")),
        }
    }
    for class in ErrorClass::ALL {
        if !rows.contains_key(class.name()) {
            found.push(format!("functions/README.md has no row for {class}"));
        }
    }
    let headings = ["stage", "class"].map(str::to_owned);
    for name in rows.keys().filter(|name| !headings.contains(name) && !name.starts_with("--")) {
        if !house.functions.contains_key(name) && ErrorClass::from_name(name).is_none() {
            found.push(format!("functions/README.md has a row for {name}, which does not exist"));
        }
    }
    found
}

fn row(word: &str, named: &str, timeout: &str, states: &[(String, &Value)]) -> Vec<String> {
    let mut found = Vec::new();
    if !states.is_empty() {
        let named: BTreeSet<&str> = named.split(',').map(str::trim).collect();
        let called: BTreeSet<&str> = states.iter().map(|(name, _)| name.as_str()).collect();
        if named != called {
            found.push(format!(
                "functions/README.md: {word} is called by {called:?}, not {named:?}"
            ));
        }
    }
    let Ok(seconds) = timeout.parse::<u64>() else {
        found.push(format!("functions/README.md: {timeout:?} of {word} is no number of seconds"));
        return found;
    };
    for (name, state) in states {
        let waits = &state["TimeoutSeconds"];
        if *waits != json!(seconds + MARGIN_SECONDS) {
            found.push(format!("{name} waits {waits} s, and {word} may run {seconds} s"));
        }
    }
    found
}

#[test]
fn the_page_has_every_stage_and_every_class_and_the_machine_waits_long_enough() {
    none(&complaints(&House::read()));
}

#[test]
fn a_page_that_lags_behind_is_noticed() {
    let house = House::read();
    let page = |from: &str, to: &str| {
        assert!(house.readme.contains(from), "{from}");
        complaints(&House { readme: house.readme.replace(from, to), ..house.clone() })
    };
    complains(&page("| `Throttled`", "| `Slowed`"), "has no row for Throttled");
    complains(&page("| `Throttled`", "| `Slowed`"), "a row for Slowed");
    complains(&page("| `encrypt`", "| `seal`"), "has no row for encrypt");
    complains(&page("| Inspect |", "| Look |"), "inspect is called by");
    let mut hasty = house.clone();
    hasty.state_mut(&["FetchParcels", "Download"])["TimeoutSeconds"] = json!(900);
    complains(&complaints(&hasty), "Download waits 900 s, and download may run 900 s");
}
