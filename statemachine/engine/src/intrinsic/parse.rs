//! Reads the text of an intrinsic call: nested calls, paths, quoted texts, numbers and constants.

use serde_json::Value;

use super::{Expression, FUNCTIONS};

/// AWS allows ten levels of calls inside one another.
const MAX_DEPTH: usize = 10;

/// Reads `States.Name(…)`, which must be the whole text.
pub(super) fn call(text: &str) -> Result<Expression, String> {
    let mut parser = Parser { text, rest: text, depth: 0 };
    let expression = parser.call()?;
    parser.skip_space();
    if parser.rest.is_empty() {
        Ok(expression)
    } else {
        Err(format!("`{text}` goes on with `{}` after its call", parser.rest))
    }
}

struct Parser<'t> {
    text: &'t str,
    rest: &'t str,
    depth: usize,
}

impl<'t> Parser<'t> {
    fn call(&mut self) -> Result<Expression, String> {
        let start = self.rest;
        let (name, after) = start
            .strip_prefix("States.")
            .and_then(|rest| rest.split_once('('))
            .ok_or_else(|| self.wrong("has no `(` after a function's name"))?;
        let (_, function, fewest, most) = FUNCTIONS
            .into_iter()
            .find(|(known, ..)| *known == name)
            .ok_or_else(|| format!("`States.{name}` is no intrinsic function of JSONPath"))?;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.wrong("nests calls more than ten deep"));
        }
        self.rest = after;
        let arguments = self.arguments()?;
        self.depth -= 1;
        if arguments.len() < fewest || arguments.len() > most {
            let wanted = match (fewest, most) {
                (fewest, usize::MAX) => format!("at least {fewest}"),
                (fewest, most) if fewest == most => format!("{fewest}"),
                (fewest, most) => format!("{fewest} or {most}"),
            };
            return Err(format!(
                "`States.{name}` takes {wanted} argument(s), `{}` gives {}",
                self.text,
                arguments.len()
            ));
        }
        let length = start.len() - self.rest.len();
        let text = start.get(..length).unwrap_or(start).to_owned();
        Ok(Expression::Call { function, text, arguments })
    }

    fn arguments(&mut self) -> Result<Vec<Expression>, String> {
        let mut arguments = Vec::new();
        self.skip_space();
        if self.take(')') {
            return Ok(arguments);
        }
        loop {
            self.skip_space();
            arguments.push(self.argument()?);
            self.skip_space();
            if self.take(')') {
                return Ok(arguments);
            }
            if !self.take(',') {
                return Err(self.wrong("has no `,` or `)` after an argument"));
            }
        }
    }

    fn argument(&mut self) -> Result<Expression, String> {
        if self.take('\'') {
            self.quoted()
        } else if self.rest.starts_with('$') {
            self.path()
        } else if self.rest.starts_with("States.") {
            self.call()
        } else {
            let end = self.rest.find([',', ')']).unwrap_or(self.rest.len());
            let (word, after) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
            self.rest = after;
            match serde_json::from_str::<Value>(word.trim()) {
                Ok(value @ (Value::Null | Value::Bool(_) | Value::Number(_))) => {
                    Ok(Expression::Constant(value))
                }
                _ => Err(format!(
                    "`{}` has the argument `{}`, which is no path, call, number, \
                                  boolean, null or text in single quotes",
                    self.text,
                    word.trim()
                )),
            }
        }
    }

    fn quoted(&mut self) -> Result<Expression, String> {
        let mut raw = String::new();
        let mut chars = self.rest.chars();
        loop {
            match chars.next() {
                None => return Err(self.wrong("has a text that is never closed")),
                Some('\'') => break,
                Some('\\') => match chars.next() {
                    Some(escaped @ ('\'' | '{' | '}' | '\\')) => {
                        raw.push('\\');
                        raw.push(escaped);
                    }
                    _ => {
                        return Err(
                            self.wrong("has a backslash before something else than ' { } \\")
                        );
                    }
                },
                Some(c) => raw.push(c),
            }
        }
        self.rest = chars.as_str();
        Ok(Expression::Quoted(raw))
    }

    /// A path ends at the first `,`, `)` or space that is not inside `[…]`.
    fn path(&mut self) -> Result<Expression, String> {
        let mut quote = None;
        let mut inside = false;
        let mut escaped = false;
        let end = self.rest.find(|c: char| {
            match (quote, c) {
                _ if escaped => escaped = false,
                (Some(_), '\\') => escaped = true,
                (Some(open), c) if c == open => quote = None,
                (Some(_), _) => {}
                (None, '\'' | '"') if inside => quote = Some(c),
                (None, '[') => inside = true,
                (None, ']') => inside = false,
                (None, ',' | ')' | ' ') => return !inside,
                _ => {}
            }
            false
        });
        let (path, after) =
            self.rest.split_at_checked(end.unwrap_or(self.rest.len())).unwrap_or((self.rest, ""));
        self.rest = after;
        Expression::path(path)
    }

    fn take(&mut self, wanted: char) -> bool {
        match self.rest.strip_prefix(wanted) {
            Some(after) => {
                self.rest = after;
                true
            }
            None => false,
        }
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn wrong(&self, what: &str) -> String {
        format!("`{}` {what}", self.text)
    }
}
