//! The five error classes: the only words about failure that leave a function.
//!
//! The state machine retries and catches by [`ErrorClass`]; people read the message; tools match
//! the code.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// What the state machine should do about a failure.
///
/// The variant's name is the `errorType` that Step Functions sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ErrorClass {
    /// Network, timeout, 5xx, busy server: try again with backoff.
    Transient,
    /// 429, `Retry-After`, too many connections: try again, later.
    Throttled,
    /// Size or modification time moved while we read: leave it to the next run.
    SourceChanged,
    /// This file cannot be delivered as it is; trying again would not help.
    Rejected,
    /// Profile, secret, host key, login or certificate: nothing of this partner can work.
    Misconfigured,
}

impl ErrorClass {
    /// Every class, in the order of the documentation.
    pub const ALL: [Self; 5] = [
        Self::Transient,
        Self::Throttled,
        Self::SourceChanged,
        Self::Rejected,
        Self::Misconfigured,
    ];

    /// The `errorType` as the state machine spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transient => "Transient",
            Self::Throttled => "Throttled",
            Self::SourceChanged => "SourceChanged",
            Self::Rejected => "Rejected",
            Self::Misconfigured => "Misconfigured",
        }
    }

    /// The class of that name, if it is one of ours.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }

    /// Whether the same call may succeed when it is simply made again.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::Transient | Self::Throttled)
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A failure as it crosses a function's border: class, stable code, and a sentence for a person.
///
/// The sentence names the thing and the fix and never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What the state machine does about it.
    pub class: ErrorClass,
    /// Stable, dotted, lower case: `sftp.host_key_changed`.
    pub code: Cow<'static, str>,
    /// A whole sentence: what failed, on what, and what to do.
    pub message: String,
}

impl Failure {
    /// A failure of the given class.
    pub fn new(
        class: ErrorClass,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Self { class, code: code.into(), message: message.into() }
    }

    /// Worth trying again.
    pub fn transient(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Transient, code, message)
    }

    /// Worth trying again, later.
    pub fn throttled(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Throttled, code, message)
    }

    /// The source moved under us.
    pub fn source_changed(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::SourceChanged, code, message)
    }

    /// This file cannot be delivered.
    pub fn rejected(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Rejected, code, message)
    }

    /// This partner cannot be served.
    pub fn misconfigured(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Misconfigured, code, message)
    }

    /// The `errorMessage` of a Lambda error: the sentence, then the code in brackets.
    #[must_use]
    pub fn error_message(&self) -> String {
        format!("{} [{}]", self.message, self.code)
    }

    /// Reads an error as Step Functions hands it to a `Catch`: a name and a cause.
    ///
    /// The cause is the JSON of a Lambda error, or any text. A name that is not one of our classes
    /// (a timeout, a dead sandbox) is `Transient`: its retries were spent, the file is not to blame.
    #[must_use]
    pub fn from_catch(error: &str, cause: &str) -> Self {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct LambdaError {
            error_message: Option<String>,
        }
        let text = serde_json::from_str::<LambdaError>(cause)
            .ok()
            .and_then(|parsed| parsed.error_message)
            .unwrap_or_else(|| cause.to_owned());
        let Some(class) = ErrorClass::from_name(error) else {
            if let Ok(job) = serde_json::from_str::<EndedJob>(cause) {
                return Self::transient("count_large.job_failed", job.to_string());
            }
            let message = if text.trim().is_empty() {
                format!("The step ended with {error} and gave no reason.")
            } else {
                format!("The step ended with {error}: {text}")
            };
            return Self::transient("machine.gave_up", message);
        };
        let split = text.strip_suffix(']').and_then(|rest| rest.rsplit_once(" ["));
        match split {
            Some((message, code)) => Self::new(class, code.to_owned(), message),
            None => Self::new(class, "machine.unnamed", text),
        }
    }
}

/// The cause that a Spark job leaves when it does not succeed.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EndedJob {
    job_run_id: String,
    state: String,
    #[serde(default)]
    state_details: String,
}

impl fmt::Display for EndedJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { job_run_id, state, state_details } = self;
        match state_details.trim() {
            "" => write!(f, "The Spark job {job_run_id} ended as {state} and gave no reason."),
            details => write!(f, "The Spark job {job_run_id} ended as {state}: {details}"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.class, self.error_message())
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spark_job_that_failed_is_told_with_its_details() {
        let cause = |details: &str| {
            format!(r#"{{"ApplicationId":"a","JobRunId":"00f1","State":"FAILED"{details}}}"#)
        };
        let failure = Failure::from_catch(
            "States.TaskFailed",
            &cause(r#","StateDetails":"It broke.\nthe log""#),
        );
        assert_eq!(failure.class, ErrorClass::Transient);
        assert_eq!(failure.code, "count_large.job_failed");
        assert_eq!(failure.message, "The Spark job 00f1 ended as FAILED: It broke.\nthe log");
        let failure = Failure::from_catch("States.TaskFailed", &cause(""));
        assert_eq!(failure.message, "The Spark job 00f1 ended as FAILED and gave no reason.");
    }

    #[test]
    fn a_failure_survives_the_way_through_the_state_machine() {
        let failure = Failure::rejected("archive.crc", "Entry [a] of x.zip is corrupt.");
        let cause = serde_json::json!({
            "errorType": failure.class.name(),
            "errorMessage": failure.error_message(),
        })
        .to_string();
        assert_eq!(Failure::from_catch("Rejected", &cause), failure);
    }

    #[test]
    fn foreign_errors_become_transient_and_keep_their_words() {
        let failure = Failure::from_catch("Sandbox.Timedout", "plain text");
        assert_eq!(failure.class, ErrorClass::Transient);
        assert!(failure.message.contains("Sandbox.Timedout") && failure.message.contains("plain"));
    }
}
