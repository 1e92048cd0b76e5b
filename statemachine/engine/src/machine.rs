//! A state machine: loading it from its text, and walking over its states.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use serde_json::Value;

mod check;
pub(crate) mod fields;
mod load;
mod load_choice;
mod load_map;
mod load_parallel;
mod load_reader;
mod load_task;
pub(crate) mod model;
pub(crate) mod problem;
mod strict;
mod substitute;

use model::{Body, Limit, Mode, Resource, Scope, State, Task, function_name};
pub use model::{CatchRow, RetryRow};
use problem::Problems;
pub use problem::{LoadError, Problem};

/// AWS refuses longer definitions.
const MAX_DEFINITION_BYTES: usize = 1024 * 1024;

/// A machine that was found to use only what this engine supports.
#[derive(Debug)]
pub struct Machine {
    definition: Value,
    root: Arc<Scope>,
    timeout_seconds: Option<u64>,
}

/// The type of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StateKind {
    /// Calls a service.
    Task,
    /// Runs its processor once per item, inside this execution.
    InlineMap,
    /// Runs its processor once per item, each in an execution of its own.
    DistributedMap,
    /// Runs its branches side by side.
    Parallel,
    /// Chooses what comes next.
    Choice,
    /// Makes or moves data.
    Pass,
    /// Waits.
    Wait,
    /// Ends well.
    Succeed,
    /// Ends with an error.
    Fail,
}

/// What a test or a progress view may want to know about a state.
#[derive(Debug, Clone)]
pub struct StateInfo<'m> {
    /// Name, unique in the whole machine.
    pub name: &'m str,
    /// Type, with the mode of a Map.
    pub kind: StateKind,
    /// JSON pointer into the definition.
    pub pointer: &'m str,
    /// Name of the Map or Parallel that holds the state.
    pub inside: Option<&'m str>,
    /// Resource of a Task.
    pub resource: Option<&'m str>,
    /// Name of the function that a Task invokes.
    pub function: Option<&'m str>,
    /// `TimeoutSeconds` of a Task, if it is a number in the machine.
    pub timeout_seconds: Option<u64>,
    /// Rows of Retry.
    pub retry: &'m [RetryRow],
    /// Rows of Catch.
    pub catch: &'m [CatchRow],
    /// Every state of the same scope that may come next, Catch included.
    pub targets: Vec<&'m str>,
    /// True if the scope can end here: `End`, Succeed or Fail.
    pub terminal: bool,
}

impl Machine {
    /// Reads a definition in the Amazon States Language after putting `substitutions` in the place
    /// of its `${Name}` placeholders.
    ///
    /// # Errors
    /// Lists everything in the text that is wrong or that this engine does not support.
    pub fn load(text: &str, substitutions: &BTreeMap<String, String>) -> Result<Self, LoadError> {
        let mut problems = Problems::default();
        if text.len() > MAX_DEFINITION_BYTES {
            let sentence = format!("a definition has at most {MAX_DEFINITION_BYTES} bytes");
            problems.add("", sentence);
        }
        let mut definition = match strict::parse(text) {
            Ok(definition) => definition,
            Err(error) => {
                let message = format!("the text is not proper JSON: {error}");
                return Err(LoadError { problems: vec![Problem { pointer: "".into(), message }] });
            }
        };
        substitute::substitute(&mut definition, "", substitutions, &mut problems);
        let (root, timeout_seconds) = load::machine(&definition, &mut problems);
        if let Some(root) = &root {
            check::machine(root, &mut problems);
        }
        problems.into_result()?;
        match root {
            Some(root) => Ok(Self { definition, root: Arc::new(root), timeout_seconds }),
            None => Err(LoadError { problems: Vec::new() }),
        }
    }

    /// The definition, with its placeholders replaced.
    pub fn definition(&self) -> &Value {
        &self.definition
    }

    /// Top-level `TimeoutSeconds`.
    pub fn timeout_seconds(&self) -> Option<u64> {
        self.timeout_seconds
    }

    /// All states, breadth-first from StartAt; those inside a Map or Parallel follow it.
    pub fn states(&self) -> impl Iterator<Item = StateInfo<'_>> {
        let mut found = Vec::new();
        collect(&self.root, None, &mut found);
        found.into_iter()
    }

    /// The state of that name, wherever it is.
    pub fn state(&self, name: &str) -> Option<StateInfo<'_>> {
        self.states().find(|state| state.name == name)
    }

    pub(crate) fn root(&self) -> &Arc<Scope> {
        &self.root
    }
}

fn collect<'m>(scope: &'m Scope, inside: Option<&'m str>, found: &mut Vec<StateInfo<'m>>) {
    let mut seen = BTreeSet::from([scope.start_at.as_str()]);
    let mut queue = VecDeque::from([scope.start_at.as_str()]);
    while let Some(state) = queue.pop_front().and_then(|name| scope.states.get(name)) {
        found.push(info(state, inside));
        for (scope, _) in state.scopes() {
            collect(scope, Some(&state.name), found);
        }
        queue.extend(state.targets().into_iter().filter(|target| seen.insert(target)));
    }
}

fn info<'m>(state: &'m State, inside: Option<&'m str>) -> StateInfo<'m> {
    let task = match &state.body {
        Body::Task(task) => Some(task),
        _ => None,
    };
    StateInfo {
        name: &state.name,
        kind: kind(&state.body),
        pointer: &state.pointer,
        inside,
        resource: task.map(|task| task.arn.as_str()),
        function: task.and_then(function),
        timeout_seconds: task.and_then(|task| match task.timeout {
            Limit::Fixed(seconds) => Some(seconds),
            _ => None,
        }),
        retry: &state.retry,
        catch: &state.catch,
        targets: state.targets(),
        terminal: state.is_terminal(),
    }
}

fn function(task: &Task) -> Option<&str> {
    match task.resource {
        Resource::Function => function_name(&task.arn),
        _ => task.parameters.field("FunctionName")?.text(),
    }
}

fn kind(body: &Body) -> StateKind {
    match body {
        Body::Task(_) => StateKind::Task,
        Body::Map(map) => match map.mode {
            Mode::Inline => StateKind::InlineMap,
            Mode::Distributed(_) => StateKind::DistributedMap,
        },
        Body::Parallel(_) => StateKind::Parallel,
        Body::Choice(_) => StateKind::Choice,
        Body::Pass(_) => StateKind::Pass,
        Body::Wait(_) => StateKind::Wait,
        Body::Succeed => StateKind::Succeed,
        Body::Fail(_) => StateKind::Fail,
    }
}
