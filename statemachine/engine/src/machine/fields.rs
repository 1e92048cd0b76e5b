//! Reads the fields of one JSON object and notes what is wrong with each.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::model::Limit;
use super::problem::{Problems, child};
use crate::intrinsic::Expression;
use crate::path::{Path, kind_of};

/// The largest number of seconds that AWS accepts.
pub(crate) const MAX_SECONDS: u64 = 99_999_999;

/// An object of the definition and the place where it stands.
pub(crate) struct Fields<'a> {
    map: &'a Map<String, Value>,
    at: String,
}

impl<'a> Fields<'a> {
    /// The object at `at`, or a problem if it is none.
    pub(crate) fn of(
        value: &'a Value,
        at: &str,
        what: &str,
        problems: &mut Problems,
    ) -> Option<Self> {
        match value {
            Value::Object(map) => Some(Self { map, at: at.into() }),
            other => {
                problems.add(at, format!("{what} is an object, this is {}", kind_of(other)));
                None
            }
        }
    }

    pub(crate) fn at(&self) -> &str {
        &self.at
    }

    pub(crate) fn place(&self, key: &str) -> String {
        child(&self.at, key)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key)
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'a String, &'a Value)> {
        self.map.iter()
    }

    /// Notes every field that `owner` does not have.
    pub(crate) fn only(&self, allowed: &[&str], owner: &str, problems: &mut Problems) {
        for key in self.map.keys().filter(|key| !allowed.contains(&key.as_str())) {
            let known = allowed.join(", ");
            problems.add(
                &self.place(key),
                format!("this engine supports no field `{key}` in {owner}; it supports {known}"),
            );
        }
    }

    pub(crate) fn string(&self, key: &str, problems: &mut Problems) -> Option<&'a str> {
        match self.get(key)? {
            Value::String(text) => Some(text),
            other => {
                let kind = kind_of(other);
                problems.add(&self.place(key), format!("`{key}` is a string, this is {kind}"));
                None
            }
        }
    }

    pub(crate) fn required_string(
        &self,
        key: &str,
        owner: &str,
        problems: &mut Problems,
    ) -> Option<&'a str> {
        if !self.has(key) {
            problems.add(&self.at, format!("{owner} needs the field `{key}`"));
        }
        self.string(key, problems)
    }

    pub(crate) fn integer(
        &self,
        key: &str,
        range: RangeInclusive<u64>,
        problems: &mut Problems,
    ) -> Option<u64> {
        let value = self.get(key)?;
        let number = value.as_u64().filter(|number| range.contains(number));
        if number.is_none() {
            let (from, to) = (range.start(), range.end());
            let sentence = format!("`{key}` is an integer from {from} to {to}, this is {value}");
            problems.add(&self.place(key), sentence);
        }
        number
    }

    /// A number that stands here as `fixed`, or in the input where `path` says.
    pub(crate) fn limit(
        &self,
        fixed: &str,
        path: &str,
        range: RangeInclusive<u64>,
        problems: &mut Problems,
    ) -> Limit {
        self.one_of(&[fixed, path], false, problems);
        match self.integer(fixed, range, problems) {
            Some(number) => Limit::Fixed(number),
            None => self.path(path, problems).map_or(Limit::None, Limit::Path),
        }
    }

    pub(crate) fn path(&self, key: &str, problems: &mut Problems) -> Option<Path> {
        let text = self.string(key, problems)?;
        match Path::parse(text) {
            Ok(path) => Some(path),
            Err(sentence) => {
                problems.add(&self.place(key), sentence);
                None
            }
        }
    }

    /// A path that may match many places, or be null (`None`); `$` if the field is missing.
    pub(crate) fn selection(&self, key: &str, problems: &mut Problems) -> Option<Expression> {
        match self.get(key) {
            None => Some(Expression::Path(Path::whole())),
            Some(Value::Null) => None,
            Some(_) => match Expression::path(self.string(key, problems)?) {
                Ok(path) => Some(path),
                Err(sentence) => {
                    problems.add(&self.place(key), sentence);
                    None
                }
            },
        }
    }

    /// A path that may also be null (`None`); `$` if the field is missing.
    pub(crate) fn path_or_null(&self, key: &str, problems: &mut Problems) -> Option<Path> {
        match self.get(key) {
            None => Some(Path::whole()),
            Some(Value::Null) => None,
            Some(_) => self.path(key, problems),
        }
    }

    /// A ResultPath: like [`Fields::path_or_null`], and never into the context object.
    pub(crate) fn result_path(&self, problems: &mut Problems) -> Option<Path> {
        let path = self.path_or_null("ResultPath", problems);
        if path.as_ref().is_some_and(|path| path.root() == crate::path::Root::Context) {
            problems
                .add(&self.place("ResultPath"), "a result cannot be put into the context object");
        }
        path
    }

    /// Notes if more than one, or (when `needed`) none, of the fields is there.
    pub(crate) fn one_of(&self, keys: &[&str], needed: bool, problems: &mut Problems) {
        let found = keys.iter().filter(|key| self.has(key)).count();
        if found > 1 || (needed && found == 0) {
            let what = if needed { "exactly one" } else { "at most one" };
            problems.add(&self.at, format!("{what} of {} may be given", keys.join(", ")));
        }
    }
}
