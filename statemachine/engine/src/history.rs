//! What happened in an execution, event by event, in the words of GetExecutionHistory.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::Value;

use crate::clock::Clock;

/// One event of an execution's history. It serializes as AWS writes it: `details` stands under the
/// name that belongs to the type, such as `stateEnteredEventDetails`; payloads in it are JSON text.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Number in its history, from 1.
    pub id: u64,
    /// The event that led to this one; 0 for the first.
    pub previous_event_id: u64,
    /// When it happened.
    pub timestamp: Timestamp,
    /// What happened.
    pub event_type: EventType,
    /// The particulars; null if the type has none.
    pub details: Value,
}

macro_rules! event_types {
    ($($name:ident => $details:literal,)*) => {
        /// What can happen, named as in AWS.
        #[expect(missing_docs, reason = "the names are AWS' own and documented there")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
        pub enum EventType { $($name,)* }

        impl EventType {
            /// The name that AWS uses.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            fn details_key(self) -> &'static str {
                match self { $(Self::$name => $details,)* }
            }
        }
    };
}

event_types! {
    ExecutionStarted => "executionStartedEventDetails",
    ExecutionSucceeded => "executionSucceededEventDetails",
    ExecutionFailed => "executionFailedEventDetails",
    ExecutionTimedOut => "executionTimedOutEventDetails",
    ExecutionAborted => "executionAbortedEventDetails",
    TaskStateEntered => "stateEnteredEventDetails",
    TaskScheduled => "taskScheduledEventDetails",
    TaskStarted => "taskStartedEventDetails",
    TaskSucceeded => "taskSucceededEventDetails",
    TaskFailed => "taskFailedEventDetails",
    TaskTimedOut => "taskTimedOutEventDetails",
    LambdaFunctionScheduled => "lambdaFunctionScheduledEventDetails",
    LambdaFunctionStarted => "lambdaFunctionStartedEventDetails",
    LambdaFunctionSucceeded => "lambdaFunctionSucceededEventDetails",
    LambdaFunctionFailed => "lambdaFunctionFailedEventDetails",
    LambdaFunctionTimedOut => "lambdaFunctionTimedOutEventDetails",
    TaskStateExited => "stateExitedEventDetails",
    MapStateEntered => "stateEnteredEventDetails",
    MapStateStarted => "mapStateStartedEventDetails",
    MapIterationStarted => "mapIterationStartedEventDetails",
    MapIterationSucceeded => "mapIterationSucceededEventDetails",
    MapIterationFailed => "mapIterationFailedEventDetails",
    MapIterationAborted => "mapIterationAbortedEventDetails",
    MapRunStarted => "mapRunStartedEventDetails",
    MapRunSucceeded => "mapRunSucceededEventDetails",
    MapRunFailed => "mapRunFailedEventDetails",
    MapStateSucceeded => "mapStateSucceededEventDetails",
    MapStateFailed => "mapStateFailedEventDetails",
    MapStateExited => "stateExitedEventDetails",
    ParallelStateEntered => "stateEnteredEventDetails",
    ParallelStateStarted => "parallelStateStartedEventDetails",
    ParallelStateSucceeded => "parallelStateSucceededEventDetails",
    ParallelStateFailed => "parallelStateFailedEventDetails",
    ParallelStateExited => "stateExitedEventDetails",
    ChoiceStateEntered => "stateEnteredEventDetails",
    ChoiceStateExited => "stateExitedEventDetails",
    PassStateEntered => "stateEnteredEventDetails",
    PassStateExited => "stateExitedEventDetails",
    WaitStateEntered => "stateEnteredEventDetails",
    WaitStateExited => "stateExitedEventDetails",
    SucceedStateEntered => "stateEnteredEventDetails",
    SucceedStateExited => "stateExitedEventDetails",
    FailStateEntered => "stateEnteredEventDetails",
}

impl Event {
    /// The state that was entered or exited, for events that say so.
    pub fn state(&self) -> Option<&str> {
        self.details.get("name")?.as_str()
    }
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("previousEventId", &self.previous_event_id)?;
        map.serialize_entry("timestamp", &self.timestamp)?;
        map.serialize_entry("type", &self.event_type)?;
        if !self.details.is_null() {
            map.serialize_entry(self.event_type.details_key(), &self.details)?;
        }
        map.end()
    }
}

/// An event, and the execution that it belongs to.
#[derive(Debug, Clone, Copy)]
pub struct Notice<'a> {
    /// Id (ARN) of the execution.
    pub execution_id: &'a str,
    /// Name of the execution.
    pub execution_name: &'a str,
    /// For a child of a distributed Map: the Map's state and the item's index.
    pub item: Option<(&'a str, usize)>,
    /// What happened.
    pub event: &'a Event,
}

/// Sees every event of an execution and its children as it happens. Called while the engine waits:
/// it must be quick. Events of one execution come in order.
pub trait Observer: Send + Sync {
    /// Takes note of an event.
    fn event(&self, notice: Notice<'_>);
}

impl<F: Fn(Notice<'_>) + Send + Sync> Observer for F {
    fn event(&self, notice: Notice<'_>) {
        self(notice);
    }
}

/// Writes the history of one execution.
pub(crate) struct Recorder {
    pub(crate) execution_id: String,
    pub(crate) execution_name: String,
    pub(crate) item: Option<(String, usize)>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) observer: Option<Arc<dyn Observer>>,
    pub(crate) events: Mutex<Vec<Event>>,
}

impl Recorder {
    /// Adds an event that follows the one numbered `cursor`, and moves `cursor` on to it.
    pub(crate) fn record(&self, cursor: &mut u64, event_type: EventType, details: Value) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let event = Event {
            id: events.len() as u64 + 1,
            previous_event_id: *cursor,
            timestamp: self.clock.now(),
            event_type,
            details,
        };
        *cursor = event.id;
        if let Some(observer) = &self.observer {
            observer.event(Notice {
                execution_id: &self.execution_id,
                execution_name: &self.execution_name,
                item: self.item.as_ref().map(|(state, index)| (state.as_str(), *index)),
                event: &event,
            });
        }
        events.push(event);
    }

    /// Adds an event after the last one.
    pub(crate) fn record_last(&self, event_type: EventType, details: Value) {
        self.record(&mut self.last(), event_type, details);
    }

    /// The number of the last event.
    pub(crate) fn last(&self) -> u64 {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).len() as u64
    }

    /// Takes the history out.
    pub(crate) fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
