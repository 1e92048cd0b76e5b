//! Paths that may match many places: wildcards, slices, lists of indexes, filters, `..`. They yield the
//! list of what they match, be it one value or none, as the library does that Step Functions uses.
//!
//! Where libraries differ, nothing is accepted: functions in paths, lists of names, filters of
//! objects, comparisons of other than numbers, texts, booleans and null.

use std::cmp::Ordering;

use serde_json::Value;

use crate::path::Root;

mod filter;
mod parse;
#[cfg(test)]
mod tests;

use filter::Condition;

/// So many values could not pass the limit of a payload, which takes a byte and a comma for each.
const MOST_MATCHES: usize = crate::PAYLOAD_LIMIT_BYTES / 2;

/// A parsed path that may match many places.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Query {
    text: String,
    root: Root,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Key(String),
    /// Indexes of an array; negative ones count from its end.
    Indexes(Vec<i64>),
    Slice(Option<i64>, Option<i64>),
    All,
    Filter(Condition),
    /// The values below, at any depth, to which the next step applies.
    Deep,
}

impl Query {
    /// True for a text with a sign of a path that may match many places.
    pub(crate) fn may_be(text: &str) -> bool {
        ["*", "..", ":", ",", "?("].iter().any(|sign| text.contains(sign))
    }

    /// Reads a path that `Path` does not read, or says in one sentence why it is refused.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (root, rest) = match text.strip_prefix("$$") {
            Some(rest) => (Root::Context, rest),
            None => (Root::Data, text.strip_prefix('$').unwrap_or(text)),
        };
        let steps = parse::steps(text, rest)?;
        let below = |place: &[&str]| {
            let keys = steps.iter().map(|step| match step {
                Step::Key(key) => key.as_str(),
                _ => "",
            });
            keys.take(place.len()).eq(place.iter().copied())
        };
        let data = [&["Execution", "Input"][..], &["Map", "Item", "Value"][..]];
        if root == Root::Context && !data.into_iter().any(below) {
            return Err(format!("`{text}` may match many places of the context object"));
        }
        let many = |step: &Step| match step {
            Step::Key(_) => false,
            Step::Indexes(indexes) => indexes.len() > 1,
            _ => true,
        };
        if steps.iter().any(many) {
            Ok(Self { text: text.into(), root, steps })
        } else {
            Err(format!(
                "`{text}` has an index counted from the end in a path to one place, which this \
                 engine refuses"
            ))
        }
    }

    /// Everything that the path matches, in the document's order.
    pub(crate) fn find(&self, data: &Value, context: &Value) -> Result<Value, String> {
        let start = match self.root {
            Root::Data => data,
            Root::Context => context,
        };
        let mut found = vec![start];
        for step in &self.steps {
            let mut next = Vec::new();
            for value in found {
                step.apply(value, &mut next).map_err(|why| format!("`{}` {why}", self.text))?;
                if next.len() > MOST_MATCHES {
                    let text = &self.text;
                    return Err(format!("`{text}` matches more than {MOST_MATCHES} places"));
                }
            }
            found = next;
        }
        Ok(found.into_iter().cloned().collect())
    }
}

impl Step {
    fn apply<'v>(&self, value: &'v Value, found: &mut Vec<&'v Value>) -> Result<(), String> {
        match (self, value) {
            (Self::Key(key), Value::Object(fields)) => found.extend(fields.get(key)),
            (Self::Indexes(indexes), Value::Array(items)) => {
                let places = indexes.iter().map(|index| place(*index, items.len()));
                found.extend(places.filter_map(|place| items.get(usize::try_from(place).ok()?)));
            }
            (Self::Slice(from, to), Value::Array(items)) => {
                let bound = |bound: i64| {
                    usize::try_from(place(bound, items.len())).unwrap_or(0).min(items.len())
                };
                let from = from.map_or(0, bound);
                let to = to.map_or(items.len(), bound);
                found.extend(items.get(from..to).unwrap_or_default());
            }
            (Self::All, Value::Array(items)) => found.extend(items),
            (Self::All, Value::Object(fields)) => found.extend(fields.values()),
            (Self::Filter(condition), Value::Array(items)) => {
                found.extend(items.iter().filter(|item| condition.holds(item)));
            }
            (Self::Filter(_), Value::Object(_)) => {
                return Err("filters an object; this engine filters arrays".into());
            }
            (Self::Deep, value) => deep(value, found),
            _ => {}
        }
        Ok(())
    }
}

/// The place of an index; less than zero if there is none.
fn place(index: i64, length: usize) -> i64 {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    if index < 0 { index.saturating_add(length) } else { index }
}

/// The value and everything below it, parents first.
fn deep<'v>(value: &'v Value, found: &mut Vec<&'v Value>) {
    found.push(value);
    match value {
        Value::Array(items) => items.iter().for_each(|item| deep(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| deep(field, found)),
        _ => {}
    }
}

/// The order of two numbers or two texts; values of other kinds have none.
fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64()?.partial_cmp(&right.as_f64()?),
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        _ => None,
    }
}
