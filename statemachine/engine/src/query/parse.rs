//! Reads the text of a path that may match many places.

use serde_json::Value;

use super::Step;
use super::filter::{Condition, Operand, Part, Place, Relation};

/// Deeper conditions are nobody's; the limit keeps a text from using up the stack.
const MAX_DEPTH: usize = 20;

const RELATIONS: [(&str, Relation); 6] = [
    ("==", Relation::Equals),
    ("!=", Relation::Differs),
    ("<=", Relation::LessOrEquals),
    (">=", Relation::GreaterOrEquals),
    ("<", Relation::Less),
    (">", Relation::Greater),
];

/// Reads what comes after `$`.
pub(super) fn steps(text: &str, rest: &str) -> Result<Vec<Step>, String> {
    let mut parser = Parser { text, rest, depth: 0 };
    let mut found = Vec::new();
    while !parser.rest.is_empty() {
        if parser.take("..") {
            found.push(Step::Deep);
            if parser.rest.starts_with('[') {
                continue;
            }
        } else if parser.take("[") {
            found.push(parser.bracketed()?);
            continue;
        } else if !parser.take(".") {
            return Err(parser.wrong("where `.name` or `[…]` must stand"));
        }
        let step = if parser.take("*") { Step::All } else { Step::Key(parser.name()?) };
        found.push(step);
    }
    Ok(found)
}

struct Parser<'t> {
    text: &'t str,
    rest: &'t str,
    depth: usize,
}

impl Parser<'_> {
    fn take(&mut self, wanted: &str) -> bool {
        match self.rest.strip_prefix(wanted) {
            Some(after) => {
                self.rest = after;
                true
            }
            None => false,
        }
    }

    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn wrong(&self, what: &str) -> String {
        format!("`{}` has `{}` {what}", self.text, self.rest)
    }

    /// The longest beginning of which every character fits.
    fn while_fits(&mut self, fits: impl Fn(char) -> bool) -> &str {
        let end = self.rest.find(|c| !fits(c)).unwrap_or(self.rest.len());
        let (taken, after) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = after;
        taken
    }

    fn name(&mut self) -> Result<String, String> {
        let name = self.while_fits(|c| c.is_alphanumeric() || "_-".contains(c)).to_owned();
        // `length()` and the like are no names.
        let ends = self.rest.is_empty()
            || self.rest.starts_with(['.', '[', ' ', ')', '=', '!', '<', '>', '&', '|']);
        if name.is_empty() || !ends {
            return Err(self.wrong("where a name of letters, digits, `_` and `-` must stand"));
        }
        Ok(name)
    }

    fn bracketed(&mut self) -> Result<Step, String> {
        let step = if self.take("*") {
            Step::All
        } else if self.take("?(") {
            let condition = self.condition()?;
            if !self.take(")") {
                return Err(self.wrong("where a filter must end"));
            }
            Step::Filter(condition)
        } else if self.rest.starts_with(['\'', '"']) {
            Step::Key(self.quoted()?)
        } else {
            self.places()?
        };
        if self.take("]") { Ok(step) } else { Err(self.wrong("where `]` must stand")) }
    }

    /// `1`, `0,2`, `-1`, `1:3`, `:2`, `-2:`.
    fn places(&mut self) -> Result<Step, String> {
        let first = self.integer()?;
        if self.take(":") {
            let to = self.integer()?;
            return Ok(Step::Slice(first, to));
        }
        let mut indexes = vec![first.ok_or_else(|| self.wrong("where an index must stand"))?];
        while self.take(",") {
            self.space();
            indexes.push(self.integer()?.ok_or_else(|| self.wrong("where an index must stand"))?);
        }
        Ok(Step::Indexes(indexes))
    }

    fn integer(&mut self) -> Result<Option<i64>, String> {
        let digits = self.while_fits(|c| c == '-' || c.is_ascii_digit()).to_owned();
        if digits.is_empty() {
            return Ok(None);
        }
        digits.parse().map(Some).map_err(|_| format!("`{}` has no index in `{digits}`", self.text))
    }

    fn quoted(&mut self) -> Result<String, String> {
        let mut chars = self.rest.chars();
        let open = chars.next();
        let mut text = String::new();
        loop {
            match chars.next() {
                None => return Err(format!("`{}` has a quote that is never closed", self.text)),
                Some('\\') => text.extend(chars.next()),
                c if c == open => break,
                Some(c) => text.push(c),
            }
        }
        self.rest = chars.as_str();
        if self.rest.starts_with(',') {
            return Err(format!(
                "`{}` has a list of places by name, which this engine refuses",
                self.text
            ));
        }
        Ok(text)
    }

    fn condition(&mut self) -> Result<Condition, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("`{}` nests conditions more than {MAX_DEPTH} deep", self.text));
        }
        let mut any = vec![self.conjunction()?];
        while self.take("||") {
            any.push(self.conjunction()?);
        }
        self.depth -= 1;
        Ok(if any.len() == 1 { any.remove(0) } else { Condition::Or(any) })
    }

    fn conjunction(&mut self) -> Result<Condition, String> {
        let mut all = vec![self.term()?];
        while self.take("&&") {
            all.push(self.term()?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Condition::And(all) })
    }

    fn term(&mut self) -> Result<Condition, String> {
        self.space();
        let negated = self.take("!");
        let condition = if self.take("(") {
            let condition = self.condition()?;
            if !self.take(")") {
                return Err(self.wrong("where a parenthesis must close"));
            }
            condition
        } else {
            self.comparison(negated)?
        };
        self.space();
        Ok(if negated { Condition::Not(Box::new(condition)) } else { condition })
    }

    fn comparison(&mut self, alone: bool) -> Result<Condition, String> {
        let left = self.operand()?;
        self.space();
        let relation = RELATIONS.into_iter().find(|(sign, _)| self.rest.starts_with(sign));
        match (relation, left) {
            (Some((sign, relation)), left) if !alone => {
                self.take(sign);
                self.space();
                Ok(Condition::Compare { left, relation, right: self.operand()? })
            }
            (None, Operand::Place(place)) => Ok(Condition::Exists(place)),
            _ => Err(self.wrong("where a comparison must stand")),
        }
    }

    fn operand(&mut self) -> Result<Operand, String> {
        if self.take("@") {
            return self.place().map(Operand::Place);
        }
        if self.rest.starts_with(['\'', '"']) {
            return self.quoted().map(|text| Operand::Literal(Value::String(text)));
        }
        let word = self.while_fits(|c| c.is_ascii_alphanumeric() || "+-.".contains(c)).to_owned();
        match serde_json::from_str(&word) {
            Ok(value @ (Value::Null | Value::Bool(_) | Value::Number(_))) => {
                Ok(Operand::Literal(value))
            }
            _ => Err(format!(
                "`{}` has `{word}{}` where a filter compares `@…`, a number, a quoted text, true, \
                 false or null",
                self.text, self.rest
            )),
        }
    }

    fn place(&mut self) -> Result<Place, String> {
        let mut parts = Vec::new();
        loop {
            if self.take(".") {
                parts.push(Part::Key(self.name()?));
            } else if self.take("[") {
                let part = if self.rest.starts_with(['\'', '"']) {
                    Part::Key(self.quoted()?)
                } else {
                    let index = self.integer()?.and_then(|index| usize::try_from(index).ok());
                    Part::Index(index.ok_or_else(|| self.wrong("where an index must stand"))?)
                };
                if !self.take("]") {
                    return Err(self.wrong("where `]` must stand"));
                }
                parts.push(part);
            } else {
                return Ok(Place(parts));
            }
        }
    }
}
