//! Reads a definition into the model: the machine, its scopes, and the states without sub-states.

use std::collections::BTreeMap;

use serde_json::Value;

use super::fields::{Fields, MAX_SECONDS};
use super::model::{Body, Fail, Pass, ResultRule, Scope, State, Target, Text, Wait};
use super::problem::{Problems, child};
use super::{load_choice, load_map, load_parallel, load_task};
use crate::choice::timestamp;
use crate::intrinsic::Expression;
use crate::path::kind_of;
use crate::template::Template;

/// AWS refuses longer names.
const MAX_NAME_CHARS: usize = 80;

const KINDS: &str = "Task, Map, Parallel, Choice, Pass, Wait, Succeed, Fail";

/// Reads the top level: the scope, and TimeoutSeconds.
pub(super) fn machine(definition: &Value, problems: &mut Problems) -> (Option<Scope>, Option<u64>) {
    let Some(fields) = Fields::of(definition, "", "a state machine", problems) else {
        return (None, None);
    };
    let allowed = ["Comment", "QueryLanguage", "StartAt", "States", "TimeoutSeconds", "Version"];
    fields.only(&allowed, "a state machine", problems);
    fields.string("Comment", problems);
    for (key, only) in [("QueryLanguage", "JSONPath"), ("Version", "1.0")] {
        if let Some(value) = fields.string(key, problems)
            && value != only
        {
            let sentence = format!("this engine supports only the {key} `{only}`, not `{value}`");
            problems.add(&fields.place(key), sentence);
        }
    }
    let timeout = fields.integer("TimeoutSeconds", 1..=MAX_SECONDS, problems);
    (scope(&fields, "a state machine", problems), timeout)
}

/// Reads StartAt and States.
pub(super) fn scope(fields: &Fields<'_>, owner: &str, problems: &mut Problems) -> Option<Scope> {
    let start_at = fields.required_string("StartAt", owner, problems);
    let Some(value) = fields.get("States") else {
        problems.add(fields.at(), format!("{owner} needs the field `States`"));
        return None;
    };
    let states = Fields::of(value, &fields.place("States"), "`States`", problems)?;
    let mut found = BTreeMap::new();
    let mut complete = true;
    for (name, value) in states.iter() {
        let at = states.place(name);
        if name.is_empty() || name.chars().count() > MAX_NAME_CHARS {
            problems.add(&at, format!("a state's name has 1 to {MAX_NAME_CHARS} characters"));
        }
        let read = state(name, value, &at, problems);
        complete &= read.is_some();
        found.insert(name.clone(), read.unwrap_or_else(|| unread(name, &at)));
    }
    Some(Scope { start_at: start_at?.into(), states: found, complete })
}

/// Holds the place of a state that could not be read, so that the rest can still be checked.
fn unread(name: &str, at: &str) -> State {
    State {
        name: name.into(),
        pointer: at.into(),
        input: None,
        output: None,
        next: Target::End,
        retry: Vec::new(),
        catch: Vec::new(),
        body: Body::Succeed,
    }
}

fn state(name: &str, value: &Value, at: &str, problems: &mut Problems) -> Option<State> {
    let fields = Fields::of(value, at, "a state", problems)?;
    let kind = fields.required_string("Type", "a state", problems)?;
    fields.string("Comment", problems);
    let body = match kind {
        "Task" => load_task::task(&fields, problems).map(Body::Task),
        "Map" => load_map::map(name, &fields, problems).map(|map| Body::Map(Box::new(map))),
        "Parallel" => load_parallel::parallel(&fields, problems).map(Body::Parallel),
        "Choice" => load_choice::choice(&fields, problems).map(Body::Choice),
        "Pass" => Some(Body::Pass(pass(&fields, problems))),
        "Wait" => wait(&fields, problems).map(Body::Wait),
        "Succeed" => {
            fields.only(
                &["Type", "Comment", "InputPath", "OutputPath"],
                "a Succeed state",
                problems,
            );
            Some(Body::Succeed)
        }
        "Fail" => Some(Body::Fail(fail(&fields, problems))),
        other => {
            let sentence =
                format!("this engine supports no state type `{other}`; it knows {KINDS}");
            problems.add(&fields.place("Type"), sentence);
            None
        }
    };
    let goes_on = matches!(kind, "Task" | "Map" | "Parallel" | "Pass" | "Wait");
    let next = if goes_on { target(&fields, kind, problems) } else { Target::End };
    let input = fields.selection("InputPath", problems);
    let output = fields.selection("OutputPath", problems);
    let recovers = matches!(kind, "Task" | "Map" | "Parallel");
    let retry = if recovers { load_task::retry(&fields, problems) } else { Vec::new() };
    let catch = if recovers { load_task::catch(&fields, problems) } else { Vec::new() };
    let (name, pointer) = (name.into(), at.into());
    Some(State { name, pointer, input, output, next, retry, catch, body: body? })
}

fn target(fields: &Fields<'_>, kind: &str, problems: &mut Problems) -> Target {
    let next = fields.string("Next", problems);
    let end = match fields.get("End") {
        None => false,
        Some(Value::Bool(true)) => true,
        Some(other) => {
            problems.add(&fields.place("End"), format!("`End` can only be true, this is {other}"));
            true
        }
    };
    match (next, end) {
        (Some(next), false) => Target::Next(next.into()),
        (None, true) => Target::End,
        _ if fields.has("Next") && !end => Target::End,
        _ => {
            let sentence = format!("a {kind} state needs exactly one of `Next` and `End`");
            problems.add(fields.at(), sentence);
            Target::End
        }
    }
}

/// Reads ResultSelector and ResultPath.
pub(super) fn result_rule(fields: &Fields<'_>, problems: &mut Problems) -> ResultRule {
    ResultRule {
        selector: template(fields, "ResultSelector", problems),
        path: fields.result_path(problems),
    }
}

/// Reads a payload template, which is an object.
pub(super) fn template(
    fields: &Fields<'_>,
    key: &str,
    problems: &mut Problems,
) -> Option<Template> {
    let value = fields.get(key)?;
    let at = fields.place(key);
    if !value.is_object() {
        let sentence =
            format!("this engine supports an object as `{key}`, this is {}", kind_of(value));
        problems.add(&at, sentence);
    }
    Some(Template::parse(value, &at, problems))
}

fn pass(fields: &Fields<'_>, problems: &mut Problems) -> Pass {
    let allowed = [
        "Type",
        "Comment",
        "InputPath",
        "OutputPath",
        "ResultPath",
        "Parameters",
        "Result",
        "Next",
        "End",
    ];
    fields.only(&allowed, "a Pass state", problems);
    fields.one_of(&["Result", "Parameters"], false, problems);
    Pass {
        fixed: fields.get("Result").cloned(),
        parameters: template(fields, "Parameters", problems),
        path: fields.result_path(problems),
    }
}

fn wait(fields: &Fields<'_>, problems: &mut Problems) -> Option<Wait> {
    let kinds = ["Seconds", "SecondsPath", "Timestamp", "TimestampPath"];
    let common = ["Type", "Comment", "InputPath", "OutputPath", "Next", "End"];
    fields.only(&[common.as_slice(), kinds.as_slice()].concat(), "a Wait state", problems);
    fields.one_of(&kinds, true, problems);
    if fields.has("Seconds") {
        fields.integer("Seconds", 0..=MAX_SECONDS, problems).map(Wait::Seconds)
    } else if fields.has("SecondsPath") {
        fields.path("SecondsPath", problems).map(Wait::SecondsPath)
    } else if fields.has("TimestampPath") {
        fields.path("TimestampPath", problems).map(Wait::TimestampPath)
    } else {
        let text = fields.string("Timestamp", problems)?;
        let parsed = timestamp(text);
        if parsed.is_none() {
            let sentence = format!("`{text}` is no time such as 2026-01-31T08:00:00Z");
            problems.add(&fields.place("Timestamp"), sentence);
        }
        parsed.map(Wait::Timestamp)
    }
}

fn fail(fields: &Fields<'_>, problems: &mut Problems) -> Fail {
    let allowed = ["Type", "Comment", "Error", "ErrorPath", "Cause", "CausePath"];
    fields.only(&allowed, "a Fail state", problems);
    Fail {
        error: text(fields, "Error", "ErrorPath", problems),
        cause: text(fields, "Cause", "CausePath", problems),
    }
}

fn text(fields: &Fields<'_>, fixed: &str, path: &str, problems: &mut Problems) -> Option<Text> {
    fields.one_of(&[fixed, path], false, problems);
    if let Some(text) = fields.string(fixed, problems) {
        return Some(Text::Fixed(text.into()));
    }
    match Expression::parse(fields.string(path, problems)?) {
        Ok(expression) => Some(Text::From(expression)),
        Err(sentence) => {
            problems.add(&fields.place(path), sentence);
            None
        }
    }
}

/// Reads the entries of an array field with `read`.
pub(super) fn list<T>(
    fields: &Fields<'_>,
    key: &str,
    problems: &mut Problems,
    mut read: impl FnMut(&Fields<'_>, bool, &mut Problems) -> Option<T>,
) -> Vec<T> {
    let Some(value) = fields.get(key) else { return Vec::new() };
    let at = fields.place(key);
    let Value::Array(items) = value else {
        problems.add(&at, format!("`{key}` is an array, this is {}", kind_of(value)));
        return Vec::new();
    };
    let last = items.len().saturating_sub(1);
    let mut found = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let what = format!("an entry of `{key}`");
        if let Some(row) = Fields::of(item, &child(&at, index), &what, problems) {
            found.extend(read(&row, index == last, problems));
        }
    }
    found
}
