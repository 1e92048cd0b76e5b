//! What is wrong with a machine's text: all of it at once, each with its place.

use std::fmt::{self, Display};

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// JSON pointer into the definition, such as `/States/Fetch/Retry/0/Foo`.
    pub pointer: String,
    /// One sentence.
    pub message: String,
}

impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.pointer.is_empty() { "/" } else { &self.pointer };
        write!(f, "{place}: {}", self.message)
    }
}

/// A text that is no machine this engine can run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the state machine cannot be loaded:{}", lines(problems))]
pub struct LoadError {
    /// Everything that is wrong, in the order of the definition's places.
    pub problems: Vec<Problem>,
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("\n  {problem}")).collect()
}

/// Collects problems while a definition is read.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    found: Vec<Problem>,
}

impl Problems {
    pub(crate) fn add(&mut self, pointer: &str, message: impl Into<String>) {
        self.found.push(Problem { pointer: pointer.into(), message: message.into() });
    }

    /// Ends the collection: an error if there is any problem.
    pub(crate) fn into_result(mut self) -> Result<(), LoadError> {
        if self.found.is_empty() {
            return Ok(());
        }
        self.found.sort();
        self.found.dedup();
        Err(LoadError { problems: self.found })
    }
}

/// The pointer to a member of the value at `at`.
pub(crate) fn child(at: &str, key: impl Display) -> String {
    format!("{at}/{}", key.to_string().replace('~', "~0").replace('/', "~1"))
}
