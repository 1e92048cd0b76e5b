//! What people get wrong and what servers refuse: the class, the code, and a sentence that names the
//! thing and the fix. A fault of the partner ends the run before its first file, after one attempt;
//! a fault of one file leaves its neighbours delivered.

mod api;
mod command;
mod file;
mod partner;

use std::collections::BTreeMap;

use domain::events::Verdict;
use domain::{ErrorClass, Failure};
use dray::run::{Ended, Gravity};
use integration::{Sample, World};

/// The one failure of a run that left something behind; everything else was delivered.
fn only_failure(world: &World, ended: &Ended, path: &str, neighbours: &[Sample]) -> Failure {
    assert_eq!(ended.gravity(), Gravity::Incomplete);
    let summary = ended.summary.as_ref().unwrap();
    assert_eq!((summary.verdict, summary.error.as_ref()), (Verdict::Incomplete, None));
    let [failed] = summary.failed.as_slice() else { panic!("{:?}", summary.failed) };
    assert_eq!(failed.file.path, path);
    let members = neighbours.iter().flat_map(|sample| sample.members.clone());
    let members: BTreeMap<_, _> = members.map(|one| (one.delivered_as, one.bytes)).collect();
    assert!(world.opened() == members, "the neighbours are delivered: {:?}", world.target.marks());
    failed.failure.clone()
}

fn assert_says(failure: &Failure, class: ErrorClass, code: &str, words: &[&str]) {
    assert_eq!((failure.class, failure.code.as_ref()), (class, code), "{}", failure.message);
    for words in words {
        assert!(failure.message.contains(words), "{words:?} is not in {:?}", failure.message);
    }
}
