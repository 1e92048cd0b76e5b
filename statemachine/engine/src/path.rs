//! Reference paths: the part of JSONPath that names exactly one place in a document.
//!
//! `$` is the data, `$$` the context object; after it come `.name`, `['name']` and `[0]`. Whatever
//! could match several places (filters, slices, wildcards, `..`) is no reference path: where it may
//! stand, it is a [`crate::query::Query`].

use serde_json::{Map, Value};

/// Where a path starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Root {
    /// `$`: the document that the state works on.
    Data,
    /// `$$`: the context object.
    Context,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

/// A parsed reference path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path {
    text: String,
    root: Root,
    steps: Vec<Step>,
}

/// Places of the context object that this engine fills.
const CONTEXT_PLACES: [&[&str]; 11] = [
    &["Execution", "Id"],
    &["Execution", "Input"],
    &["Execution", "Name"],
    &["Execution", "RedriveCount"],
    &["Execution", "RoleArn"],
    &["Execution", "StartTime"],
    &["State", "EnteredTime"],
    &["State", "Name"],
    &["State", "RetryCount"],
    &["StateMachine", "Id"],
    &["StateMachine", "Name"],
];

/// Places of the context object that only exist for an item of a Map.
const ITEM_PLACES: [&[&str]; 2] = [&["Map", "Item", "Index"], &["Map", "Item", "Value"]];

impl Path {
    /// The whole data, `$`.
    pub(crate) fn whole() -> Self {
        Self { text: "$".into(), root: Root::Data, steps: Vec::new() }
    }

    /// Reads a path, or says in one sentence why it is refused.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (root, rest) = match text.strip_prefix("$$") {
            Some(rest) => (Root::Context, rest),
            None => match text.strip_prefix('$') {
                Some(rest) => (Root::Data, rest),
                None => return Err(format!("a path starts with `$`, `{text}` does not")),
            },
        };
        let path = Self { text: text.into(), root, steps: steps(text, rest)? };
        path.known_place()?;
        Ok(path)
    }

    /// The path as it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Where the path starts.
    pub(crate) fn root(&self) -> Root {
        self.root
    }

    /// The value at this place, or `None` if there is no such place.
    pub(crate) fn find<'v>(&self, data: &'v Value, context: &'v Value) -> Option<&'v Value> {
        let start = match self.root {
            Root::Data => data,
            Root::Context => context,
        };
        self.steps.iter().try_fold(start, |value, step| match step {
            Step::Key(key) => value.as_object()?.get(key),
            Step::Index(index) => value.as_array()?.get(*index),
        })
    }

    /// Puts `value` at this place of `target`. Missing objects on the way are made; an existing
    /// value that is no object, or an array without that element, is an error.
    pub(crate) fn put(&self, mut target: Value, value: Value) -> Result<Value, String> {
        let mut place = &mut target;
        for step in &self.steps {
            place = match (step, place) {
                (Step::Key(key), Value::Object(map)) => {
                    map.entry(key.as_str()).or_insert_with(|| Value::Object(Map::new()))
                }
                (Step::Index(index), Value::Array(items)) => items
                    .get_mut(*index)
                    .ok_or_else(|| format!("`{}` names an element that is not there", self.text))?,
                (_, other) => {
                    let kind = kind_of(other);
                    return Err(format!("`{}` leads through {kind}", self.text));
                }
            };
        }
        *place = value;
        Ok(target)
    }

    fn known_place(&self) -> Result<(), String> {
        if self.root == Root::Data {
            return Ok(());
        }
        let keys: Vec<&str> = self
            .steps
            .iter()
            .map_while(|step| match step {
                Step::Key(key) => Some(key.as_str()),
                Step::Index(_) => None,
            })
            .collect();
        let fits =
            |place: &&[&str]| place.iter().zip(&keys).all(|(expected, actual)| expected == actual);
        if CONTEXT_PLACES.iter().chain(&ITEM_PLACES).any(fits) {
            Ok(())
        } else {
            Err(format!("`{}` is no place of the context object that this engine fills", self.text))
        }
    }
}

/// The kind of a JSON value in words.
pub(crate) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn steps(text: &str, mut rest: &str) -> Result<Vec<Step>, String> {
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (step, after) = if let Some(after) = rest.strip_prefix('.') {
            dotted(text, after)?
        } else if let Some(after) = rest.strip_prefix('[') {
            bracketed(text, after)?
        } else {
            return Err(format!("`{text}` has `{rest}` where `.name` or `[…]` must stand"));
        };
        found.push(step);
        rest = after;
    }
    Ok(found)
}

fn dotted<'t>(text: &str, rest: &'t str) -> Result<(Step, &'t str), String> {
    if rest.starts_with('.') {
        return Err(format!("`{text}` searches with `..`, which this engine refuses"));
    }
    if rest.starts_with('*') {
        return Err(format!("`{text}` has a wildcard, which this engine refuses"));
    }
    let end = rest.find(['.', '[']).unwrap_or(rest.len());
    let (name, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
    if name.is_empty() {
        return Err(format!("`{text}` has a dot without a name after it"));
    }
    if !name.chars().all(|c| c.is_alphanumeric() || "_-".contains(c)) {
        return Err(format!(
            "`{text}` has the name `{name}`: outside ['…'] a name is letters, digits, `_` and `-`"
        ));
    }
    Ok((Step::Key(name.into()), after))
}

fn bracketed<'t>(text: &str, rest: &'t str) -> Result<(Step, &'t str), String> {
    for quote in ['\'', '"'] {
        if let Some(quoted_text) = rest.strip_prefix(quote) {
            return quoted(text, quoted_text, quote);
        }
    }
    let (inside, after) =
        rest.split_once(']').ok_or_else(|| format!("`{text}` has a `[` that is never closed"))?;
    if let Ok(index) = inside.parse::<usize>() {
        return Ok((Step::Index(index), after));
    }
    let what = if inside.starts_with('?') {
        "a filter"
    } else if inside.contains(':') {
        "a slice"
    } else if inside.contains('*') {
        "a wildcard"
    } else if inside.contains(',') {
        "a list of places"
    } else if inside.starts_with('-') {
        "an index counted from the end"
    } else {
        "something that is no index"
    };
    Err(format!("`{text}` has {what} in `[{inside}]`, which this engine refuses"))
}

fn quoted<'t>(text: &str, rest: &'t str, quote: char) -> Result<(Step, &'t str), String> {
    let mut name = String::new();
    let mut chars = rest.chars();
    loop {
        match chars.next() {
            None => return Err(format!("`{text}` has a quoted name that is never closed")),
            Some('\\') => match chars.next() {
                Some(escaped) => name.push(escaped),
                None => return Err(format!("`{text}` ends in a backslash")),
            },
            Some(c) if c == quote => break,
            Some(c) => name.push(c),
        }
    }
    let after = chars.as_str();
    match after.strip_prefix(']') {
        Some(after) => Ok((Step::Key(name), after)),
        None if after.trim_start().starts_with(',') => {
            Err(format!("`{text}` has a list of places in `[…]`, which this engine refuses"))
        }
        None => Err(format!("`{text}` has no `]` after a quoted name")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn find(path: &str, data: &Value) -> Option<Value> {
        Path::parse(path).unwrap().find(data, &json!({"Execution": {"Id": "e"}})).cloned()
    }

    #[test]
    fn finds_names_indexes_and_quoted_names() {
        let data = json!({"a": {"b": [{"c d": 7, "it's": 8, "]": 9}, [1, [2]]]}, "ü_1": 3, "detail-type": 4});
        assert_eq!(find("$", &data), Some(data.clone()));
        assert_eq!(find("$.a.b[0]['c d']", &data), Some(json!(7)));
        assert_eq!(find(r"$['a']['b'][0]['it\'s']", &data), Some(json!(8)));
        assert_eq!(find("$.a.b[0][\"]\"]", &data), Some(json!(9)));
        assert_eq!(find("$.a.b[1][1][0]", &data), Some(json!(2)));
        assert_eq!(find("$.ü_1", &data), Some(json!(3)));
        assert_eq!(find("$.detail-type", &data), Some(json!(4)));
        assert_eq!(find("$$.Execution.Id", &data), Some(json!("e")));
        for missing in ["$.x", "$.a.b[9]", "$.a[0]", "$.a.b.c", "$$.State.Name"] {
            assert_eq!(find(missing, &data), None, "{missing}");
        }
    }

    #[test]
    fn refuses_everything_that_may_match_several_places() {
        let table = [
            ("a.b", "starts with"),
            ("$..a", "`..`"),
            ("$.a.*", "wildcard"),
            ("$.a[*]", "wildcard"),
            ("$.a[1:2]", "slice"),
            ("$.a[?(@.x>1)]", "filter"),
            ("$.a[0,1]", "list of places"),
            ("$['a','b']", "list of places"),
            ("$.a[-1]", "from the end"),
            ("$.a.length()", "letters"),
            ("$.a+b", "letters"),
            ("$.a[", "never closed"),
            ("$['a", "never closed"),
            ("$.a.", "without a name"),
            ("$a", "must stand"),
            ("$.a[x]", "no index"),
            ("$$.Task.Token", "context object"),
            ("$$.Execution.Nope", "context object"),
        ];
        for (path, words) in table {
            let sentence = Path::parse(path).unwrap_err();
            assert!(sentence.contains(words), "{path}: {sentence}");
        }
    }

    #[test]
    fn puts_values_and_makes_objects_on_the_way() {
        let put = |path: &str, target: Value| Path::parse(path).unwrap().put(target, json!(1));
        assert_eq!(put("$", json!({"a": 2})), Ok(json!(1)));
        assert_eq!(put("$.a", json!({"a": 2, "b": 3})), Ok(json!({"a": 1, "b": 3})));
        assert_eq!(put("$.x.y", json!({"b": 3})), Ok(json!({"b": 3, "x": {"y": 1}})));
        assert_eq!(put("$.a[1]", json!({"a": [5, 6]})), Ok(json!({"a": [5, 1]})));
        assert!(put("$.a[2]", json!({"a": [5, 6]})).unwrap_err().contains("not there"));
        assert!(put("$.a.b", json!({"a": "text"})).unwrap_err().contains("a string"));
        assert!(put("$.a", json!([1])).unwrap_err().contains("an array"));
    }
}
