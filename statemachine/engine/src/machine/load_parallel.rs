//! Reads Parallel states.

use std::sync::Arc;

use serde_json::Value;

use super::fields::Fields;
use super::load::{result_rule, scope, template};
use super::model::Parallel;
use super::problem::{Problems, child};
use crate::path::kind_of;

pub(super) fn parallel(fields: &Fields<'_>, problems: &mut Problems) -> Option<Parallel> {
    let allowed = [
        "Type",
        "Comment",
        "InputPath",
        "OutputPath",
        "ResultPath",
        "ResultSelector",
        "Parameters",
        "Branches",
        "Retry",
        "Catch",
        "Next",
        "End",
    ];
    fields.only(&allowed, "a Parallel state", problems);
    let parameters = template(fields, "Parameters", problems);
    let result = result_rule(fields, problems);
    let place = fields.place("Branches");
    let branches = match fields.get("Branches") {
        None => {
            problems.add(fields.at(), "a Parallel state needs the field `Branches`");
            return None;
        }
        Some(Value::Array(branches)) if branches.is_empty() => {
            problems.add(&place, "`Branches` needs at least one branch");
            return None;
        }
        Some(Value::Array(branches)) => branches,
        Some(other) => {
            problems.add(&place, format!("`Branches` is an array, this is {}", kind_of(other)));
            return None;
        }
    };
    let mut read = Vec::new();
    for (index, value) in branches.iter().enumerate() {
        let Some(branch) = Fields::of(value, &child(&place, index), "a branch", problems) else {
            continue;
        };
        branch.only(&["Comment", "StartAt", "States"], "a branch", problems);
        branch.string("Comment", problems);
        read.extend(scope(&branch, "a branch", problems).map(Arc::new));
    }
    // A branch that could not be read is already told.
    (read.len() == branches.len()).then_some(Parallel { parameters, branches: read, result })
}
