//! Replaces `${Name}` in the strings of a definition, as CloudFormation and Terraform do when they
//! deploy it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::problem::{Problems, child};

/// Replaces every placeholder below `value`; one without a value is a problem.
pub(super) fn substitute(
    value: &mut Value,
    at: &str,
    values: &BTreeMap<String, String>,
    problems: &mut Problems,
) {
    match value {
        Value::String(text) if text.contains("${") => match replace(text, values) {
            Ok(replaced) => *text = replaced,
            Err(sentences) => {
                for sentence in sentences {
                    problems.add(at, sentence);
                }
                // Keeps what is read later from complaining about the same place again.
                *text = text.replace("${", "{");
            }
        },
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                substitute(item, &child(at, index), values, problems);
            }
        }
        Value::Object(map) => {
            for (key, item) in map.iter_mut() {
                substitute(item, &child(at, key), values, problems);
            }
        }
        _ => {}
    }
}

fn replace(text: &str, values: &BTreeMap<String, String>) -> Result<String, Vec<String>> {
    let mut made = String::new();
    let mut wrong = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        made.push_str(before);
        let Some((name, after)) = after.split_once('}') else {
            wrong.push("a placeholder `${` is never closed".to_owned());
            rest = "";
            break;
        };
        match values.get(name) {
            Some(value) => made.push_str(value),
            None => wrong.push(format!("the placeholder `${{{name}}}` has no value")),
        }
        rest = after;
    }
    made.push_str(rest);
    if wrong.is_empty() { Ok(made) } else { Err(wrong) }
}
