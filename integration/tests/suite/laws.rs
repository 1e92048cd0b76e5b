//! The laws of the house: one word per stage everywhere, one table of error classes, who may import
//! whom, and how long a file may be. Checked here so that no reader has to.

mod budget;
mod dependencies;
mod house;
mod machine;
mod promises;
mod tables;
mod words;

use std::path::PathBuf;

/// The repository's root.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the root")
}

/// Fails with every complaint at once.
fn none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// A broken copy must be complained about in these words.
fn complains(complaints: &[String], words: &str) {
    assert!(complaints.iter().any(|one| one.contains(words)), "no {words:?} in {complaints:#?}");
}
