//! Expressions: what may stand as the value of a `.$` field, a path or an intrinsic function.

use serde_json::Value;

use crate::fault::Fault;
use crate::path::Path;
use crate::query::Query;

mod arrays;
mod parse;
mod strings;
#[cfg(test)]
mod tests;

/// A path, an intrinsic function, or an argument of one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expression {
    Path(Path),
    /// A path that may match many places and yields a list.
    Query(Query),
    /// A quoted argument, with its escapes as written.
    Quoted(String),
    /// `null`, `true`, `false` or a number.
    Constant(Value),
    Call {
        function: Function,
        text: String,
        arguments: Vec<Expression>,
    },
}

/// The documented intrinsic functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    Array,
    ArrayContains,
    ArrayGetItem,
    ArrayLength,
    ArrayPartition,
    ArrayRange,
    ArrayUnique,
    Base64Decode,
    Base64Encode,
    Format,
    Hash,
    JsonMerge,
    JsonToString,
    MathAdd,
    MathRandom,
    StringSplit,
    StringToJson,
    Uuid,
}

/// Name, function, and the fewest and most arguments that it takes.
const FUNCTIONS: [(&str, Function, usize, usize); 18] = [
    ("Array", Function::Array, 0, usize::MAX),
    ("ArrayContains", Function::ArrayContains, 2, 2),
    ("ArrayGetItem", Function::ArrayGetItem, 2, 2),
    ("ArrayLength", Function::ArrayLength, 1, 1),
    ("ArrayPartition", Function::ArrayPartition, 2, 2),
    ("ArrayRange", Function::ArrayRange, 3, 3),
    ("ArrayUnique", Function::ArrayUnique, 1, 1),
    ("Base64Decode", Function::Base64Decode, 1, 1),
    ("Base64Encode", Function::Base64Encode, 1, 1),
    ("Format", Function::Format, 1, usize::MAX),
    ("Hash", Function::Hash, 2, 2),
    ("JsonMerge", Function::JsonMerge, 3, 3),
    ("JsonToString", Function::JsonToString, 1, 1),
    ("MathAdd", Function::MathAdd, 2, 2),
    ("MathRandom", Function::MathRandom, 2, 3),
    ("StringSplit", Function::StringSplit, 2, 2),
    ("StringToJson", Function::StringToJson, 1, 1),
    ("UUID", Function::Uuid, 0, 0),
];

impl Expression {
    /// Reads a path or an intrinsic call, or says in one sentence why it is refused.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with('$') {
            Self::path(text)
        } else if text.starts_with("States.") {
            parse::call(text)
        } else {
            Err(format!("`{text}` is neither a path (`$…`) nor an intrinsic (`States.…`)"))
        }
    }

    /// Reads a path to one place, or one that may match many.
    pub(crate) fn path(text: &str) -> Result<Self, String> {
        match Path::parse(text) {
            Ok(path) => Ok(Self::Path(path)),
            Err(_) if Query::may_be(text) => Query::parse(text).map(Self::Query),
            Err(sentence) => Err(sentence),
        }
    }

    /// The value for this data and context object; `field` names the place in messages.
    pub(crate) fn evaluate(
        &self,
        field: &str,
        data: &Value,
        context: &Value,
        random: &dyn Fn() -> f64,
    ) -> Result<Value, Fault> {
        match self {
            Self::Path(path) => path.find(data, context).cloned().ok_or_else(|| {
                Fault::runtime(format!(
                    "The JSONPath '{}' specified for the field '{field}' could not be found in \
                     the input",
                    path.text()
                ))
            }),
            Self::Query(query) => query.find(data, context).map_err(Fault::runtime),
            Self::Quoted(raw) => Ok(Value::String(strings::unescape(raw))),
            Self::Constant(value) => Ok(value.clone()),
            Self::Call { function, text, arguments } => {
                let values = arguments
                    .iter()
                    .map(|argument| argument.evaluate(field, data, context, random))
                    .collect::<Result<Vec<_>, _>>()?;
                // Format alone tells an escaped brace from a placeholder, so it sees its first
                // argument as it was written.
                let raw = match arguments.first() {
                    Some(Self::Quoted(raw)) => Some(raw.as_str()),
                    _ => None,
                };
                function.apply(raw, &values, random).map_err(|sentence| {
                    Fault::intrinsic(format!(
                        "The function '{text}' had the following error: {sentence}"
                    ))
                })
            }
        }
    }
}

impl Function {
    fn apply(
        self,
        raw: Option<&str>,
        values: &[Value],
        random: &dyn Fn() -> f64,
    ) -> Result<Value, String> {
        match (self, values) {
            (Self::Array, items) => Ok(Value::Array(items.to_vec())),
            (Self::ArrayContains, [array, item]) => arrays::contains(array, item),
            (Self::ArrayGetItem, [array, index]) => arrays::get_item(array, index),
            (Self::ArrayLength, [array]) => arrays::length(array),
            (Self::ArrayPartition, [array, size]) => arrays::partition(array, size),
            (Self::ArrayRange, [first, last, step]) => arrays::range(first, last, step),
            (Self::ArrayUnique, [array]) => arrays::unique(array),
            (Self::MathAdd, [left, right]) => arrays::add(left, right),
            (Self::MathRandom, [start, end]) => arrays::random(start, end, random()),
            (Self::MathRandom, [start, end, seed]) => arrays::seeded_random(start, end, seed),
            (Self::Base64Decode, [text]) => strings::base64_decode(text),
            (Self::Base64Encode, [text]) => strings::base64_encode(text),
            (Self::Format, [template, rest @ ..]) => strings::format(raw, template, rest),
            (Self::Hash, [data, algorithm]) => strings::hash(data, algorithm),
            (Self::JsonMerge, [left, right, deep]) => strings::json_merge(left, right, deep),
            (Self::JsonToString, [value]) => Ok(Value::String(value.to_string())),
            (Self::StringSplit, [text, splitter]) => strings::split(text, splitter),
            (Self::StringToJson, [text]) => strings::string_to_json(text),
            (Self::Uuid, []) => Ok(Value::String(uuid::Uuid::new_v4().to_string())),
            _ => Err("wrong number of arguments".into()),
        }
    }
}
