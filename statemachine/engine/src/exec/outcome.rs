//! How an execution ended.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::history::Event;

/// The state that an execution ended in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// It came to a Succeed state or an End.
    Succeeded,
    /// An error was not caught, or it came to a Fail state.
    Failed,
    /// It took longer than the machine's TimeoutSeconds.
    TimedOut,
    /// It was told to stop, or the Map that it belongs to failed.
    Aborted,
}

/// Which item of which Map a child execution worked on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MapChild {
    /// Name of the Map state.
    pub state: String,
    /// Index of the item.
    pub index: usize,
    /// ARN of the Map Run; a Map that is retried has several.
    pub map_run_arn: String,
}

/// All that is known of an execution that has ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// Id, an ARN.
    pub id: String,
    /// Name.
    pub name: String,
    /// What the execution worked on, if it is a child of a distributed Map.
    pub item: Option<MapChild>,
    /// How it ended.
    pub status: Status,
    /// Its input.
    pub input: Value,
    /// Its output, if it succeeded.
    pub output: Option<Value>,
    /// Error name, if it did not.
    pub error: Option<String>,
    /// Cause of the error.
    pub cause: Option<String>,
    /// Its events, those of children not included.
    pub history: Vec<Event>,
    /// The children of its distributed Maps, by Map Run and index.
    pub children: Vec<Outcome>,
    /// When it started.
    pub started: Timestamp,
    /// When it ended.
    pub stopped: Timestamp,
}

impl Outcome {
    /// This execution and, below it, all its children.
    pub fn all(&self) -> Vec<&Outcome> {
        let mut found = vec![self];
        for child in &self.children {
            found.extend(child.all());
        }
        found
    }
}
