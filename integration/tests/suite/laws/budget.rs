//! Sizes and places: files that a person reads in one go, a page about every folder, no key in the
//! tree.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::house::names;
use super::{complains, none, root};

/// Lines of a source file, its own tests not counted.
const FILE_LINES: usize = 400;
/// Lines of a page.
const PAGE_LINES: usize = 80;
/// The folders of the house.
const FOLDERS: [&str; 5] = ["functions", "infra", "integration", "sample-events", "statemachine"];

/// A file's path from the root, and its text if it is one.
type File = (String, String);

fn sources() -> Vec<File> {
    let mut files = Vec::new();
    for folder in FOLDERS {
        walk(&root().join(folder), folder, &mut files);
    }
    files
}

fn walk(folder: &Path, path: &str, files: &mut Vec<File>) {
    if !folder.is_dir() {
        return;
    }
    for name in names(folder) {
        let (inner, path) = (folder.join(&name), format!("{path}/{name}"));
        if inner.is_dir() {
            if !["target", "node_modules", ".terraform", "cdk.out"].contains(&name.as_str()) {
                walk(&inner, &path, files);
            }
        } else if let Ok(text) = fs::read_to_string(&inner) {
            files.push((path, text));
        }
    }
}

fn complaints(files: &[File]) -> Vec<String> {
    files.iter().flat_map(|(path, text)| file(path, text)).collect()
}

fn file(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    if path.ends_with(".rs") {
        if !text.starts_with("//!") {
            found.push(format!("{path} does not open with why it exists (//!)"));
        }
        let own = text.lines().take_while(|line| *line != "mod tests {").count();
        if own > FILE_LINES && !path.contains("/tests/") {
            found.push(format!("{path} has {own} lines, at most {FILE_LINES}"));
        }
    }
    if path.ends_with("README.md") && text.lines().count() > PAGE_LINES {
        found.push(format!("{path} is longer than a page"));
    }
    let opens = |line: &str| line.starts_with("-----BEGIN ") && line.contains("PRIVATE KEY");
    if text.lines().any(opens) {
        found.push(format!("{path} holds a private key"));
    }
    found
}

#[test]
fn files_are_short_open_with_their_reason_and_hold_no_key() {
    let files = sources();
    assert!(files.len() > 100, "only {} files", files.len());
    none(&complaints(&files));
}

#[test]
fn the_root_has_the_folders_of_the_design_and_a_page_in_each() {
    let there: BTreeSet<String> = names(&root())
        .into_iter()
        .filter(|name| root().join(name).is_dir() && !name.starts_with('.') && name != "target")
        .collect();
    let known: BTreeSet<String> = FOLDERS.map(str::to_owned).into();
    let extra: Vec<&String> = there.difference(&known).collect();
    assert!(extra.is_empty(), "the design has no folder {extra:?}");
    let libraries = names(&root().join("functions/lib"));
    let inner = ["functions/lib", "statemachine/engine", "statemachine/dray"];
    let pages = FOLDERS.iter().chain(&inner).map(|folder| (*folder).to_owned());
    let pages = pages.chain(libraries.iter().map(|name| format!("functions/lib/{name}")));
    let missing: Vec<String> = pages
        .filter(|folder| root().join(folder).is_dir())
        .filter(|folder| !root().join(folder).join("README.md").is_file())
        .collect();
    assert!(missing.is_empty(), "no README.md in {missing:?}");
}

#[test]
fn an_offence_is_noticed() {
    let key = format!("{}PRIVATE KEY-----\nabc\n", "-----BEGIN OPENSSH ");
    let long = format!("//! Why.\n{}", "fn f() {}\n".repeat(FILE_LINES));
    let tested = format!("{}\nmod tests {{\n{}", "//! Why.", "fn f() {}\n".repeat(FILE_LINES));
    let files = [("a.rs", "fn f() {}\n"), ("b.rs", &long), ("c.rs", &tested), ("d.pem", &key)];
    let found = complaints(&files.map(|(path, text)| (path.to_owned(), text.to_owned())));
    complains(&found, "a.rs does not open with");
    complains(&found, "b.rs has 401 lines");
    complains(&found, "d.pem holds a private key");
    assert_eq!(found.len(), 3, "{found:#?}");
}
