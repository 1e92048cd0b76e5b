//! A promise of `functions/README.md` and a patch of `integration/sabotage` name tests that exist, and
//! each patch fits the tree.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{complains, none, root};

/// Words in backticks that name a test or a module of tests of the suite.
fn named(page: &str) -> Vec<String> {
    let promises = page.split("## Promises").nth(1).unwrap_or_default();
    let words = promises.split('`').skip(1).step_by(2);
    words.filter(|word| !word.contains(['/', ' '])).map(str::to_owned).collect()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    let (folders, files): (Vec<_>, Vec<_>) =
        entries.map(|entry| entry.path()).partition(|path| path.is_dir());
    let sources = files.into_iter().filter(|path| path.extension().is_some_and(|ext| ext == "rs"));
    sources.chain(folders.iter().flat_map(|folder| rust_files(folder))).collect()
}

/// Functions and modules below a folder, those of the suite behind their module's name.
fn defined(folder: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in rust_files(folder) {
        let inside = file.strip_prefix(root().join("integration/tests/suite")).ok();
        let module = inside.and_then(|path| path.iter().next()?.to_str());
        names.extend(module.map(|module| module.trim_end_matches(".rs").to_owned()));
        let text = std::fs::read_to_string(&file).expect("a source");
        for line in text.lines().map(str::trim) {
            let line = line.strip_prefix("async ").unwrap_or(line);
            let item = line.strip_prefix("fn ").or_else(|| line.strip_prefix("mod "));
            let end = |c: char| !c.is_alphanumeric() && c != '_';
            let Some(name) = item.and_then(|rest| rest.split(end).next()) else { continue };
            names.insert(module.map_or_else(
                || name.to_owned(),
                |module| format!("{}::{name}", module.trim_end_matches(".rs")),
            ));
        }
    }
    names
}

fn unknown(what: &str, tests: &[String], defined: &BTreeSet<String>) -> Vec<String> {
    let ends = |test: &str| match (test.split_once("::"), test.rsplit_once("::")) {
        (Some((module, _)), Some((_, name))) => format!("{module}::{name}"),
        _ => test.to_owned(),
    };
    let unknown = tests.iter().filter(|test| !defined.contains(&ends(test)));
    unknown.map(|test| format!("{what} names {test}, which is no test")).collect()
}

fn patches() -> Vec<(String, String)> {
    let folder = std::fs::read_dir(root().join("integration/sabotage")).expect("the folder");
    let paths = folder.map(|entry| entry.expect("an entry").path());
    let patches = paths.filter(|path| path.extension().is_some_and(|ext| ext == "patch"));
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("a patch");
        (path.display().to_string(), text)
    };
    patches.map(read).collect()
}

#[test]
fn every_promise_names_a_test() {
    let page = std::fs::read_to_string(root().join("functions/README.md")).expect("the page");
    let tests = named(&page);
    assert!(tests.len() >= 10, "{tests:?}");
    let defined = defined(&root().join("integration/tests/suite"));
    none(&unknown("functions/README.md", &tests, &defined));
    let broken = page.replace("twice: two runs", "`job::nothing` twice: two runs");
    complains(&unknown("the page", &named(&broken), &defined), "names job::nothing");
}

#[test]
fn every_breakage_fits_and_names_a_test() {
    let patches = patches();
    assert!(patches.len() >= 25, "{}", patches.len());
    let defined = [root().join("integration/tests"), root().join("functions")]
        .iter()
        .flat_map(|folder| defined(folder))
        .collect();
    let mut found = Vec::new();
    for (path, text) in &patches {
        let line = text.lines().find_map(|line| line.strip_prefix("red: "));
        let test = line.and_then(|line| line.split_once(' ')).map(|(_, test)| test.to_owned());
        found.extend(unknown(path, &[test.unwrap_or_default()], &defined));
        let fits =
            Command::new("git").args(["apply", "--check", path]).current_dir(root()).output();
        let fits = fits.expect("git");
        if !fits.status.success() {
            found.push(format!("{path}: {}", String::from_utf8_lossy(&fits.stderr)));
        }
    }
    none(&found);
    complains(&unknown("a patch", &["gone".to_owned()], &defined), "names gone");
}
