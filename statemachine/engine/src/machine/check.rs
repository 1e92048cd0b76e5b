//! What only shows when the states are seen together: dangling targets, unreachable states, names
//! or labels that stand twice.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{Body, Mode, Scope, State};
use super::problem::Problems;

/// Checks the machine and everything inside its Maps and Parallels.
pub(super) fn machine(root: &Scope, problems: &mut Problems) {
    let mut names = BTreeMap::new();
    let mut labels = BTreeMap::new();
    scope(root, "", problems);
    walk(
        root,
        &mut |state, problems| {
            if let Some(first) = names.insert(state.name.clone(), state.pointer.clone()) {
                let sentence =
                    format!("the name `{}` is taken by the state at {first}", state.name);
                problems.add(&state.pointer, sentence);
            }
            for (inner, place) in state.scopes() {
                scope(inner, &format!("{}/{place}", state.pointer), problems);
            }
            let Body::Map(map) = &state.body else { return };
            if let Mode::Distributed(distributed) = &map.mode
                && let Some(first) = labels.insert(distributed.label.clone(), state.pointer.clone())
            {
                let sentence =
                    format!("the label `{}` is taken by the Map at {first}", distributed.label);
                problems.add(&format!("{}/Label", state.pointer), sentence);
            }
        },
        problems,
    );
}

fn walk(scope: &Scope, visit: &mut dyn FnMut(&State, &mut Problems), problems: &mut Problems) {
    for state in scope.states.values() {
        visit(state, problems);
        for (inner, _) in state.scopes() {
            walk(inner, visit, problems);
        }
    }
}

fn scope(scope: &Scope, at: &str, problems: &mut Problems) {
    if !scope.states.contains_key(&scope.start_at) {
        let sentence = format!("`StartAt` names `{}`, which is no state here", scope.start_at);
        problems.add(&format!("{at}/StartAt"), sentence);
        return;
    }
    for state in scope.states.values() {
        for target in state.targets() {
            if !scope.states.contains_key(target) {
                let sentence =
                    format!("`{}` goes to `{target}`, which is no state here", state.name);
                problems.add(&state.pointer, sentence);
            }
        }
    }
    if !scope.complete {
        return;
    }
    let reachable = reachable(scope);
    for state in scope.states.values() {
        if !reachable.contains(state.name.as_str()) {
            let sentence = format!("nothing leads from `StartAt` to `{}`", state.name);
            problems.add(&state.pointer, sentence);
        }
    }
    let ends = |name: &&str| scope.states.get(*name).is_some_and(State::is_terminal);
    if !reachable.iter().any(ends) {
        problems.add(&format!("{at}/States"), "no state that is reached ends the execution");
    }
}

fn reachable(scope: &Scope) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    let mut left = vec![scope.start_at.as_str()];
    while let Some(name) = left.pop() {
        if let Some(state) = scope.states.get(name)
            && found.insert(name)
        {
            left.extend(state.targets());
        }
    }
    found
}
