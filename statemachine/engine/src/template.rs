//! Payload templates: the JSON of Parameters, ResultSelector and ItemSelector, in which every field
//! whose name ends in `.$` is replaced by what its path or intrinsic yields.

use serde_json::{Map, Value};

use crate::fault::Fault;
use crate::intrinsic::Expression;
use crate::machine::problem::{Problems, child};
use crate::path::Path;

/// A parsed payload template.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Template {
    Literal(Value),
    Object(Vec<(String, Template)>),
    Array(Vec<Template>),
    Expression { field: String, expression: Expression },
}

impl Template {
    /// A template that yields the data as they are.
    pub(crate) fn whole() -> Self {
        Self::Expression { field: "$".into(), expression: Expression::Path(Path::whole()) }
    }

    /// Reads a template; what is wrong with it goes to `problems`.
    pub(crate) fn parse(value: &Value, at: &str, problems: &mut Problems) -> Self {
        match value {
            Value::Object(map) => {
                let fields = map
                    .iter()
                    .map(|(key, value)| field(map, key, value, &child(at, key), problems));
                Self::Object(fields.collect())
            }
            Value::Array(items) => Self::Array(
                items
                    .iter()
                    .enumerate()
                    .map(|(index, item)| Self::parse(item, &child(at, index), problems))
                    .collect(),
            ),
            literal => Self::Literal(literal.clone()),
        }
    }

    /// The payload for this data and context object.
    pub(crate) fn fill(
        &self,
        data: &Value,
        context: &Value,
        random: &dyn Fn() -> f64,
    ) -> Result<Value, Fault> {
        match self {
            Self::Literal(value) => Ok(value.clone()),
            Self::Object(fields) => fields
                .iter()
                .map(|(key, field)| Ok((key.clone(), field.fill(data, context, random)?)))
                .collect::<Result<Map<_, _>, Fault>>()
                .map(Value::Object),
            Self::Array(items) => {
                items.iter().map(|item| item.fill(data, context, random)).collect()
            }
            Self::Expression { field, expression } => {
                expression.evaluate(field, data, context, random)
            }
        }
    }

    /// The field of that name, if this is an object that has it.
    pub(crate) fn field(&self, name: &str) -> Option<&Template> {
        match self {
            Self::Object(fields) => fields.iter().find(|(key, _)| key == name).map(|(_, f)| f),
            _ => None,
        }
    }

    /// The text, if this is a fixed string.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Literal(Value::String(text)) => Some(text),
            _ => None,
        }
    }
}

fn field(
    siblings: &Map<String, Value>,
    key: &str,
    value: &Value,
    at: &str,
    problems: &mut Problems,
) -> (String, Template) {
    let Some(name) = key.strip_suffix(".$") else {
        return (key.into(), Template::parse(value, at, problems));
    };
    if siblings.contains_key(name) {
        problems.add(at, format!("`{name}` is given twice, with and without `.$`"));
    }
    let parsed = match value {
        Value::String(text) => Expression::parse(text),
        _ => {
            Err(format!("`{key}` ends in `.$`, so its value is a path or an intrinsic in a string"))
        }
    };
    let template = match parsed {
        Ok(expression) => Template::Expression { field: key.into(), expression },
        Err(sentence) => {
            problems.add(at, sentence);
            Template::Literal(Value::Null)
        }
    };
    (name.into(), template)
}
