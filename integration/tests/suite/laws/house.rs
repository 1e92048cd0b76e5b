//! What the laws are about, read once: the state machine's file, the functions' folders, the sample
//! events and the page about functions. The checkers take this value, so a test can break a copy.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use dray::local::{DEFINITION, Functions};
use serde_json::Value;

use super::root;

/// A folder of `functions/`.
#[derive(Clone, Default)]
pub(super) struct Function {
    pub(super) manifest: String,
    pub(super) library: Option<String>,
    pub(super) main: Option<String>,
}

/// All that the words' and tables' laws look at.
#[derive(Clone)]
pub(super) struct House {
    pub(super) definition: Value,
    pub(super) functions: BTreeMap<String, Function>,
    pub(super) samples: BTreeSet<String>,
    pub(super) readme: String,
    pub(super) local: BTreeSet<String>,
}

impl House {
    pub(super) fn read() -> Self {
        let functions = root().join("functions");
        let folders = names(&functions).into_iter().filter_map(|word| {
            let folder = functions.join(&word);
            let manifest = fs::read_to_string(folder.join("Cargo.toml")).ok()?;
            let library = fs::read_to_string(folder.join("src/lib.rs")).ok();
            let main = fs::read_to_string(folder.join("src/main.rs")).ok();
            Some((word, Function { manifest, library, main }))
        });
        Self {
            definition: serde_json::from_str(DEFINITION).expect("the definition is JSON"),
            functions: folders.collect(),
            samples: names(&root().join("sample-events")),
            readme: fs::read_to_string(functions.join("README.md")).expect("functions/README.md"),
            local: Functions::NAMES.map(str::to_owned).into(),
        }
    }

    /// Every Task, wherever it is, with its name.
    pub(super) fn tasks(&self) -> Vec<(String, &Value)> {
        let mut found = Vec::new();
        collect(&self.definition, &mut found);
        found.retain(|(_, state)| state["Type"] == "Task");
        found
    }

    /// Tasks that call a function, with its word: `${PlanFunction}` calls `plan`.
    pub(super) fn calls(&self) -> Vec<(String, String, &Value)> {
        self.tasks()
            .into_iter()
            .filter_map(|(name, state)| {
                let placeholder = state.pointer("/Parameters/FunctionName")?.as_str()?;
                let word = placeholder.strip_prefix("${")?.strip_suffix("Function}")?;
                Some((name, word.to_lowercase(), state))
            })
            .collect()
    }

    /// The state of that name, for breaking it.
    pub(super) fn state_mut(&mut self, path: &[&str]) -> &mut Value {
        let mut place = &mut self.definition;
        for (depth, name) in path.iter().enumerate() {
            if depth > 0 {
                place = &mut place["ItemProcessor"];
            }
            place = &mut place["States"][*name];
        }
        place
    }
}

fn collect<'v>(scope: &'v Value, found: &mut Vec<(String, &'v Value)>) {
    for (name, state) in scope["States"].as_object().into_iter().flatten() {
        found.push((name.clone(), state));
        collect(&state["ItemProcessor"], found);
    }
}

/// Names in a folder.
pub(super) fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    entries.map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned()).collect()
}

/// Rows of every table in a Markdown page, by their first cell, code marks removed.
pub(super) fn rows(page: &str) -> BTreeMap<String, Vec<String>> {
    page.lines()
        .filter_map(|line| line.trim().strip_prefix('|')?.strip_suffix('|'))
        .map(|line| line.split('|').map(|cell| cell.replace('`', "").trim().to_owned()))
        .filter_map(|mut cells| Some((cells.next()?, cells.collect())))
        .collect()
}
