//! The rules of a Choice state: comparisons, and what `And`, `Or` and `Not` make of them.

use std::cmp::Ordering;

use jiff::Timestamp;
use serde_json::{Number, Value};

use crate::fault::Fault;
use crate::path::Path;

/// One rule, or a part of one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Rule {
    And(Vec<Rule>),
    Or(Vec<Rule>),
    Not(Box<Rule>),
    Test { variable: Path, test: Test },
}

/// What is asked of a variable.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Test {
    Compare { kind: Kind, relation: Relation, with: Operand },
    Is { what: What, expected: bool },
    Matches(String),
}

/// What a variable is compared with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Operand {
    Value(Value),
    Path(Path),
}

/// The type that both sides of a comparison must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Number,
    Boolean,
    Timestamp,
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relation {
    Equals,
    LessThan,
    GreaterThan,
    LessThanEquals,
    GreaterThanEquals,
}

/// What `Is…` asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Null,
    Present,
    Number,
    Text,
    Boolean,
    Timestamp,
}

impl Rule {
    /// True if the rule holds. A variable that is not there fails the execution, except for
    /// `IsPresent`.
    pub(crate) fn holds(&self, data: &Value, context: &Value) -> Result<bool, Fault> {
        match self {
            Self::And(rules) => all(rules, data, context),
            Self::Or(rules) => {
                for rule in rules {
                    if rule.holds(data, context)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Self::Not(rule) => Ok(!rule.holds(data, context)?),
            Self::Test { variable, test } => {
                let value = variable.find(data, context);
                if let Test::Is { what: What::Present, expected } = test {
                    return Ok(value.is_some() == *expected);
                }
                test.holds(value.ok_or_else(|| missing(variable))?, data, context)
            }
        }
    }
}

fn all(rules: &[Rule], data: &Value, context: &Value) -> Result<bool, Fault> {
    for rule in rules {
        if !rule.holds(data, context)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn missing(path: &Path) -> Fault {
    Fault::runtime(format!(
        "Invalid path '{}': The choice state's condition path references an invalid value.",
        path.text()
    ))
}

impl Test {
    fn holds(&self, value: &Value, data: &Value, context: &Value) -> Result<bool, Fault> {
        Ok(match self {
            Self::Is { what, expected } => what.is(value) == *expected,
            Self::Matches(pattern) => value.as_str().is_some_and(|text| matches(pattern, text)),
            Self::Compare { kind, relation, with } => {
                let other = match with {
                    Operand::Value(value) => value,
                    Operand::Path(path) => path.find(data, context).ok_or_else(|| missing(path))?,
                };
                kind.compare(value, other).is_some_and(|order| relation.allows(order))
            }
        })
    }
}

impl What {
    fn is(self, value: &Value) -> bool {
        match self {
            Self::Null => value.is_null(),
            Self::Present => true,
            Self::Number => value.is_number(),
            Self::Text => value.is_string(),
            Self::Boolean => value.is_boolean(),
            Self::Timestamp => value.as_str().and_then(timestamp).is_some(),
        }
    }
}

impl Kind {
    /// The order of two values, or `None` if one of them is not of this kind.
    fn compare(self, left: &Value, right: &Value) -> Option<Ordering> {
        match self {
            Self::Text => Some(left.as_str()?.cmp(right.as_str()?)),
            Self::Number => match (left, right) {
                (Value::Number(left), Value::Number(right)) => numbers(left, right),
                _ => None,
            },
            Self::Boolean => Some(left.as_bool()?.cmp(&right.as_bool()?)),
            Self::Timestamp => Some(timestamp(left.as_str()?)?.cmp(&timestamp(right.as_str()?)?)),
        }
    }
}

impl Relation {
    fn allows(self, order: Ordering) -> bool {
        match self {
            Self::Equals => order.is_eq(),
            Self::LessThan => order.is_lt(),
            Self::GreaterThan => order.is_gt(),
            Self::LessThanEquals => order.is_le(),
            Self::GreaterThanEquals => order.is_ge(),
        }
    }
}

/// Integers are compared exactly, anything else as floating point.
fn numbers(left: &Number, right: &Number) -> Option<Ordering> {
    match (left.as_i128(), right.as_i128()) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
    }
}

/// A time as the States Language writes it: RFC 3339 with capital `T` and, without offset, `Z`.
pub(crate) fn timestamp(text: &str) -> Option<Timestamp> {
    let (date, time) = text.split_once('T')?;
    let plain = |c: char| c.is_ascii_digit() || "-+:.Z".contains(c);
    if date.len() != 10 || !time.chars().all(plain) {
        return None;
    }
    text.parse().ok()
}

/// `*` stands for any run of characters, `\*` and `\\` for themselves.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = vec![String::new()];
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '*' => parts.push(String::new()),
            c => {
                let plain = if c == '\\' { chars.next().unwrap_or(c) } else { c };
                if let Some(part) = parts.last_mut() {
                    part.push(plain);
                }
            }
        }
    }
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else { return false };
    if parts.len() == 1 {
        return text == first;
    }
    let Some(rest) = text.strip_prefix(first.as_str()) else { return false };
    let Some(mut rest) = rest.strip_suffix(last.as_str()) else { return false };
    for part in parts.iter().skip(1).take(parts.len().saturating_sub(2)) {
        match rest.split_once(part.as_str()) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_texts() {
        let table = [
            ("log-*.txt", "log-1.txt", true),
            ("log-*.txt", "log-.txt", true),
            ("log-*.txt", "log-1.txt.gz", false),
            ("*", "", true),
            ("a*a", "a", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("**x", "yx", true),
            (r"a\*b", "a*b", true),
            (r"a\*b", "axb", false),
            (r"a\\b", r"a\b", true),
            ("exact", "exact", true),
            ("exact", "exactly", false),
        ];
        for (pattern, text, expected) in table {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn timestamps_are_strict() {
        for good in
            ["2026-01-02T03:04:05Z", "2026-01-02T03:04:05.123Z", "2026-01-02T03:04:05+01:00"]
        {
            assert!(timestamp(good).is_some(), "{good}");
        }
        for bad in [
            "2026-01-02",
            "2026-01-02t03:04:05Z",
            "2026-01-02T03:04:05z",
            "2026-01-02 03:04:05Z",
            "2026-01-02T03:04:05",
            "2026-01-02T03:04:05Z[UTC]",
            "x",
        ] {
            assert!(timestamp(bad).is_none(), "{bad}");
        }
    }
}
