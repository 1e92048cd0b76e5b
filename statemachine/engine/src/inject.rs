//! Failures on purpose: tests and users rehearse what happens when a task fails, runs twice or dies.
//!
//! As text an injection is `STATE=WHAT`, where WHAT is one of
//!
//! ```text
//! error[:NAME[:TIMES[:before|after]]]   NAME is Transient unless given
//! repeat
//! kill[:MILLISECONDS[:TIMES]]           MILLISECONDS is 0 unless given
//! ```
//!
//! and TIMES is a number or `always`; it is 1 unless given. So `Upload=error` fails the first call
//! of Upload with `Transient`, and `Upload=error:Rejected:always:after` lets every call do its work
//! and loses its answer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::machine::{Machine, StateKind};

/// What is done to the calls of a Task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Injection {
    /// The call fails.
    Error {
        /// Error name that the state sees.
        error: String,
        /// Cause that the state sees.
        cause: String,
        /// How many calls fail; `None` is all of them.
        times: Option<u32>,
        /// Whether the task does its work.
        when: When,
    },
    /// Every call is made twice with the same input; the second answer is used, whatever the first
    /// one was.
    Repeat,
    /// The call is dropped half-way, as if its process had died. The state sees `Lambda.Unknown`
    /// (of other services `States.TaskFailed`), also if the work was done by then.
    Kill {
        /// How long the call lives, in real time under every clock, for the work is real.
        after: Duration,
        /// How many calls die; `None` is all of them.
        times: Option<u32>,
    },
}

/// When an injected error strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// The task is not called.
    Before,
    /// The task did its work, but its answer is lost.
    After,
}

/// An injection that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InjectionError {
    /// The text does not follow the grammar.
    #[error(
        "`{text}` is no injection: {reason}; write STATE=error[:NAME[:TIMES[:before|after]]], STATE=repeat or STATE=kill[:MILLISECONDS[:TIMES]]"
    )]
    Grammar {
        /// The text.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The machine has no such state.
    #[error("the machine has no state `{state}`; its tasks are {tasks}")]
    UnknownState {
        /// The name that was given.
        state: String,
        /// The names that could be given.
        tasks: String,
    },
    /// Only Tasks can be made to fail.
    #[error("`{state}` is no Task state, so nothing can be injected into it; tasks are {tasks}")]
    NotATask {
        /// The name that was given.
        state: String,
        /// The names that could be given.
        tasks: String,
    },
}

/// Injections by state. A state may have several: each call takes the first that is not used up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Injections {
    by_state: BTreeMap<String, Vec<Injection>>,
}

impl Injections {
    /// No injection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one for a state.
    #[must_use]
    pub fn with(mut self, state: impl Into<String>, injection: Injection) -> Self {
        self.by_state.entry(state.into()).or_default().push(injection);
        self
    }

    /// Reads injections from texts such as `Upload=error:Rejected`.
    ///
    /// # Errors
    /// Names the first text that does not follow the grammar.
    pub fn parse<T: AsRef<str>>(
        texts: impl IntoIterator<Item = T>,
    ) -> Result<Self, InjectionError> {
        texts.into_iter().try_fold(Self::new(), |injections, text| {
            let (state, injection) = parse(text.as_ref())
                .map_err(|reason| InjectionError::Grammar { text: text.as_ref().into(), reason })?;
            Ok(injections.with(state, injection))
        })
    }

    /// Checks the states' names and starts counting.
    pub(crate) fn arm(self, machine: &Machine) -> Result<Armed, InjectionError> {
        let tasks = || {
            let tasks = machine.states().filter(|state| state.kind == StateKind::Task);
            tasks.map(|state| state.name).collect::<Vec<_>>().join(", ")
        };
        let mut armed = BTreeMap::new();
        for (state, injections) in self.by_state {
            match machine.state(&state) {
                None => return Err(InjectionError::UnknownState { state, tasks: tasks() }),
                Some(info) if info.kind != StateKind::Task => {
                    return Err(InjectionError::NotATask { state, tasks: tasks() });
                }
                Some(_) => {}
            }
            let counted = injections.into_iter().map(|it| (it, AtomicU32::new(0))).collect();
            armed.insert(state, counted);
        }
        Ok(Armed { by_state: armed })
    }
}

fn parse(text: &str) -> Result<(String, Injection), String> {
    let (state, what) = text.split_once('=').ok_or("it has no `=`")?;
    if state.is_empty() {
        return Err("it names no state".into());
    }
    let mut parts = what.split(':');
    let injection = match parts.next() {
        Some("error") => {
            let error = parts.next().unwrap_or("Transient");
            if error.is_empty() {
                return Err("the error has no name".into());
            }
            let times = times(parts.next())?;
            let when = match parts.next() {
                None | Some("before") => When::Before,
                Some("after") => When::After,
                Some(other) => return Err(format!("`{other}` is neither `before` nor `after`")),
            };
            let cause = format!("injected into {state}");
            Injection::Error { error: error.into(), cause, times, when }
        }
        Some("repeat") => Injection::Repeat,
        Some("kill") => {
            let after = parts.next().unwrap_or("0");
            let after =
                after.parse().map_err(|_| format!("`{after}` is no number of milliseconds"))?;
            Injection::Kill { after: Duration::from_millis(after), times: times(parts.next())? }
        }
        other => {
            let other = other.unwrap_or_default();
            return Err(format!("`{other}` is none of error, repeat and kill"));
        }
    };
    match parts.next() {
        None => Ok((state.into(), injection)),
        Some(extra) => Err(format!("`{extra}` is too much")),
    }
}

fn times(text: Option<&str>) -> Result<Option<u32>, String> {
    match text {
        None => Ok(Some(1)),
        Some("always") => Ok(None),
        Some(text) => {
            text.parse().map(Some).map_err(|_| format!("`{text}` is neither a number nor `always`"))
        }
    }
}

/// Injections of a running machine, counted over all its executions.
#[derive(Debug, Default)]
pub(crate) struct Armed {
    by_state: BTreeMap<String, Vec<(Injection, AtomicU32)>>,
}

impl Armed {
    /// What befalls the next call of `state`.
    pub(crate) fn next(&self, state: &str) -> Option<&Injection> {
        let (injection, _) = self.by_state.get(state)?.iter().find(|(injection, used)| {
            let times = match injection {
                Injection::Error { times, .. } | Injection::Kill { times, .. } => *times,
                Injection::Repeat => None,
            };
            let Some(times) = times else { return true };
            let more = |used| (used < times).then_some(used + 1);
            used.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).is_ok()
        })?;
        Some(injection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Result<Injection, String> {
        parse(text).map(|(_, injection)| injection)
    }

    #[test]
    fn the_grammar_is_what_the_page_says() {
        let error = |error: &str, times, when| Injection::Error {
            error: error.into(),
            cause: "injected into Up".into(),
            times,
            when,
        };
        let kill = |after, times| Injection::Kill { after: Duration::from_millis(after), times };
        let table = [
            ("Up=error", error("Transient", Some(1), When::Before)),
            ("Up=error:Rejected", error("Rejected", Some(1), When::Before)),
            ("Up=error:Transient:always", error("Transient", None, When::Before)),
            ("Up=error:States.Timeout:3:after", error("States.Timeout", Some(3), When::After)),
            ("Up=repeat", Injection::Repeat),
            ("Up=kill", kill(0, Some(1))),
            ("Up=kill:250", kill(250, Some(1))),
            ("Up=kill:250:always", kill(250, None)),
        ];
        for (text, expected) in table {
            assert_eq!(one(text), Ok(expected), "{text}");
        }
        let wrong = [
            ("Up", "no `=`"),
            ("=error", "no state"),
            ("Up=explode", "none of"),
            ("Up=", "none of"),
            ("Up=error:", "no name"),
            ("Up=error:A:x", "neither a number"),
            ("Up=error:A:1:during", "neither `before`"),
            ("Up=error:A:1:after:x", "too much"),
            ("Up=repeat:2", "too much"),
            ("Up=kill:soon", "milliseconds"),
        ];
        for (text, words) in wrong {
            let sentence = one(text).unwrap_err();
            assert!(sentence.contains(words), "{text}: {sentence}");
            assert!(Injections::parse([text]).unwrap_err().to_string().contains(text));
        }
    }
}
