//! Reads Choice states and their rules.

use serde_json::Value;

use super::fields::Fields;
use super::load::list;
use super::model::Choice;
use super::problem::Problems;
use crate::choice::{Kind, Operand, Relation, Rule, Test, What, timestamp};
use crate::path::{Path, kind_of};

const KINDS: [(&str, Kind); 4] = [
    ("String", Kind::Text),
    ("Numeric", Kind::Number),
    ("Boolean", Kind::Boolean),
    ("Timestamp", Kind::Timestamp),
];

const RELATIONS: [(&str, Relation); 5] = [
    ("Equals", Relation::Equals),
    ("LessThan", Relation::LessThan),
    ("GreaterThan", Relation::GreaterThan),
    ("LessThanEquals", Relation::LessThanEquals),
    ("GreaterThanEquals", Relation::GreaterThanEquals),
];

const CHECKS: [(&str, What); 6] = [
    ("IsNull", What::Null),
    ("IsPresent", What::Present),
    ("IsNumeric", What::Number),
    ("IsString", What::Text),
    ("IsBoolean", What::Boolean),
    ("IsTimestamp", What::Timestamp),
];

pub(super) fn choice(fields: &Fields<'_>, problems: &mut Problems) -> Option<Choice> {
    let allowed = ["Type", "Comment", "InputPath", "OutputPath", "Choices", "Default"];
    fields.only(&allowed, "a Choice state", problems);
    let default = fields.string("Default", problems).map(str::to_owned);
    let rules = list(fields, "Choices", problems, |row, _, problems| {
        let next = row.required_string("Next", "a rule of a Choice", problems);
        let rule = rule(row, true, problems)?;
        Some((rule, next?.to_owned()))
    });
    match fields.get("Choices") {
        Some(Value::Array(rows)) if !rows.is_empty() => {
            // A row that could not be read is already told.
            (rows.len() == rules.len()).then_some(Choice { rules, default })
        }
        _ => {
            problems.add(fields.at(), "a Choice state needs at least one rule in `Choices`");
            None
        }
    }
}

fn rule(fields: &Fields<'_>, top: bool, problems: &mut Problems) -> Option<Rule> {
    fields.string("Comment", problems);
    let frame: &[&str] = if top { &["Next", "Comment"] } else { &["Comment"] };
    for key in ["And", "Or", "Not"] {
        if !fields.has(key) {
            continue;
        }
        fields.only(&[frame, &[key]].concat(), &format!("a rule with `{key}`"), problems);
        return if key == "Not" { not(fields, problems) } else { many(key, fields, problems) };
    }
    let variable = fields.required_string("Variable", "a rule without And, Or or Not", problems);
    let variable = variable.and_then(|_| fields.path("Variable", problems));
    let known = |key: &String| !frame.contains(&key.as_str()) && key != "Variable";
    let rest: Vec<_> = fields.iter().filter(|(key, _)| known(key)).collect();
    let [(operator, value)] = rest.as_slice() else {
        let sentence = "a rule has exactly one comparison, such as `StringEquals`";
        problems.add(fields.at(), sentence);
        return None;
    };
    match test(operator, value) {
        Ok(test) => Some(Rule::Test { variable: variable?, test }),
        Err(sentence) => {
            problems.add(&fields.place(operator), sentence);
            None
        }
    }
}

fn not(fields: &Fields<'_>, problems: &mut Problems) -> Option<Rule> {
    let value = fields.get("Not")?;
    let inner = Fields::of(value, &fields.place("Not"), "`Not`", problems)?;
    Some(Rule::Not(Box::new(rule(&inner, false, problems)?)))
}

fn many(key: &str, fields: &Fields<'_>, problems: &mut Problems) -> Option<Rule> {
    let rules = list(fields, key, problems, |row, _, problems| rule(row, false, problems));
    let rows = fields.get(key).and_then(Value::as_array)?;
    if rows.is_empty() {
        problems.add(&fields.place(key), format!("`{key}` needs at least one rule"));
    }
    (rows.len() == rules.len())
        .then(|| if key == "And" { Rule::And(rules) } else { Rule::Or(rules) })
}

fn test(operator: &str, value: &Value) -> Result<Test, String> {
    if let Some((_, what)) = CHECKS.into_iter().find(|(name, _)| *name == operator) {
        let expected = value
            .as_bool()
            .ok_or_else(|| format!("`{operator}` is a boolean, this is {}", kind_of(value)))?;
        return Ok(Test::Is { what, expected });
    }
    if operator == "StringMatches" {
        let pattern = value
            .as_str()
            .ok_or_else(|| format!("`{operator}` is a string, this is {}", kind_of(value)))?;
        return Ok(Test::Matches(pattern.into()));
    }
    let (kind, relation, by_path) = comparison(operator)
        .ok_or_else(|| format!("this engine supports no comparison `{operator}`"))?;
    let with = if by_path {
        let text = value
            .as_str()
            .ok_or_else(|| format!("`{operator}` is a path, this is {}", kind_of(value)))?;
        Operand::Path(Path::parse(text)?)
    } else {
        fits(kind, value)
            .then(|| Operand::Value(value.clone()))
            .ok_or_else(|| format!("`{operator}` cannot compare with {value}"))?
    };
    Ok(Test::Compare { kind, relation, with })
}

/// Takes a name such as `NumericLessThanPath` apart.
fn comparison(operator: &str) -> Option<(Kind, Relation, bool)> {
    let (prefix, kind) = KINDS.into_iter().find(|(prefix, _)| operator.starts_with(prefix))?;
    let rest = operator.strip_prefix(prefix)?;
    let by_path = rest.ends_with("Path");
    let rest = rest.strip_suffix("Path").unwrap_or(rest);
    let (_, relation) = RELATIONS.into_iter().find(|(name, _)| *name == rest)?;
    let exists = kind != Kind::Boolean || relation == Relation::Equals;
    exists.then_some((kind, relation, by_path))
}

fn fits(kind: Kind, value: &Value) -> bool {
    match kind {
        Kind::Text => value.is_string(),
        Kind::Number => value.is_number(),
        Kind::Boolean => value.is_boolean(),
        Kind::Timestamp => value.as_str().and_then(timestamp).is_some(),
    }
}
