//! How a state goes wrong: an error name, by which Retry and Catch choose, and a cause in words.

use serde::Serialize;
use serde_json::{Value, json};

/// No state matched in a Choice.
pub(crate) const NO_CHOICE_MATCHED: &str = "States.NoChoiceMatched";
/// A payload was larger than [`crate::PAYLOAD_LIMIT_BYTES`].
pub(crate) const DATA_LIMIT_EXCEEDED: &str = "States.DataLimitExceeded";
/// The execution cannot go on; nothing retries or catches it.
pub(crate) const RUNTIME: &str = "States.Runtime";
/// A task took longer than its TimeoutSeconds.
pub(crate) const TIMEOUT: &str = "States.Timeout";
/// Any failure of a task but a timeout.
pub(crate) const TASK_FAILED: &str = "States.TaskFailed";
/// Any failure.
pub(crate) const ALL: &str = "States.ALL";

/// What a state failed with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Fault {
    pub(crate) error: String,
    pub(crate) cause: String,
}

impl Fault {
    pub(crate) fn new(error: impl Into<String>, cause: impl Into<String>) -> Self {
        Self { error: error.into(), cause: cause.into() }
    }

    pub(crate) fn runtime(cause: impl Into<String>) -> Self {
        Self::new(RUNTIME, cause)
    }

    pub(crate) fn intrinsic(cause: impl Into<String>) -> Self {
        Self::new("States.IntrinsicFailure", cause)
    }

    /// The document that a Catch hands to its next state.
    pub(crate) fn document(&self) -> Value {
        json!({"Error": self.error, "Cause": self.cause})
    }

    /// True if a row with this `ErrorEquals` handles the fault. `States.Runtime` is never handled,
    /// and the wildcards leave `States.DataLimitExceeded` alone.
    pub(crate) fn matches(&self, error_equals: &[String]) -> bool {
        if self.error == RUNTIME {
            return false;
        }
        error_equals.iter().any(|name| match name.as_str() {
            ALL => self.error != DATA_LIMIT_EXCEEDED,
            TASK_FAILED => self.error != DATA_LIMIT_EXCEEDED && self.error != TIMEOUT,
            name => name == self.error,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_leave_out_what_the_language_says() {
        let row = |name: &str| vec![name.to_owned()];
        let table = [
            ("Rejected", ALL, true),
            ("Rejected", TASK_FAILED, true),
            ("Rejected", "Rejected", true),
            ("Rejected", "Reject", false),
            (TIMEOUT, ALL, true),
            (TIMEOUT, TASK_FAILED, false),
            (TIMEOUT, TIMEOUT, true),
            (TASK_FAILED, TASK_FAILED, true),
            (DATA_LIMIT_EXCEEDED, ALL, false),
            (DATA_LIMIT_EXCEEDED, TASK_FAILED, false),
            (DATA_LIMIT_EXCEEDED, DATA_LIMIT_EXCEEDED, true),
            (RUNTIME, ALL, false),
            (RUNTIME, TASK_FAILED, false),
            (RUNTIME, RUNTIME, false),
        ];
        for (error, name, expected) in table {
            assert_eq!(Fault::new(error, "").matches(&row(name)), expected, "{error} by {name}");
        }
    }
}
