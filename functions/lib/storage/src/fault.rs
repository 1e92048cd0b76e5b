//! Reads an SDK error once and says what kind of trouble it is, so that nothing else in this
//! package matches on error codes of S3.

use std::error::Error as StdError;
use std::fmt;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

/// What kind of trouble a request met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// No answer, a dropped connection, or a 5xx that is not throttling.
    Unreachable,
    /// S3 asks for a slower pace: 503 `SlowDown`, 429, 503.
    Throttled,
    /// Credentials missing, wrong, expired, or not allowed to do this.
    Denied,
    /// The bucket does not exist.
    NoBucket,
    /// The object does not exist.
    Missing,
    /// The multipart upload does not exist (finished, aborted or swept).
    NoUpload,
    /// 412: the condition does not hold.
    Precondition,
    /// 409: another conditional write of the same key is in flight.
    Conflict,
    /// 416: the range begins at or after the end of the object.
    Range,
    /// The bytes that arrived, here or there, are not those that were sent.
    Garbled,
    /// Any other answer of the 4xx kind: the request itself is wrong.
    Refused,
}

/// One failed request: its kind, and the SDK's error for the log.
#[derive(Debug)]
pub struct Fault {
    /// What kind of trouble.
    pub kind: FaultKind,
    detail: String,
    source: Box<dyn StdError + Send + Sync>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl StdError for Fault {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(self.source.as_ref())
    }
}

impl Fault {
    /// Reads an error that the SDK returned for one operation.
    pub(crate) fn of<E>(error: SdkError<E, HttpResponse>) -> Self
    where
        E: StdError + ProvideErrorMetadata + Send + Sync + 'static,
    {
        let code = error.code().map(str::to_owned);
        let status = error.raw_response().map(|response| response.status().as_u16());
        let kind = match (&error, status) {
            (SdkError::ServiceError(_) | SdkError::ResponseError(_), Some(status)) => {
                kind_of_answer(code.as_deref().unwrap_or_default(), status)
            }
            _ if blames_credentials(&error) => FaultKind::Denied,
            _ => FaultKind::Unreachable,
        };
        let said = error.message().map(str::to_owned);
        let detail = match (code, said, status) {
            (Some(code), Some(said), _) => format!("S3 answered {code}: {said}"),
            (Some(code), None, _) => format!("S3 answered {code}"),
            (None, _, Some(status)) => format!("S3 answered with status {status}"),
            (None, _, None) => deepest(&error),
        };
        Self { kind, detail, source: Box::new(error) }
    }

    /// A connection that ended in the middle of a body.
    pub(crate) fn dropped(source: impl StdError + Send + Sync + 'static) -> Self {
        let detail = format!("the connection dropped: {}", deepest(&source));
        Self { kind: FaultKind::Unreachable, detail, source: Box::new(source) }
    }

    /// Bytes that do not have the checksum they should.
    pub(crate) fn garbled(detail: &str) -> Self {
        Self { kind: FaultKind::Garbled, detail: detail.to_owned(), source: detail.into() }
    }

    /// A fault that S3 reported in words, inside an answer that was otherwise fine.
    pub(crate) fn reported(code: &str, detail: String) -> Self {
        let kind = match code {
            "AccessDenied" => FaultKind::Denied,
            "SlowDown" | "ServiceUnavailable" => FaultKind::Throttled,
            "InternalError" => FaultKind::Unreachable,
            _ => FaultKind::Refused,
        };
        Self { kind, source: detail.clone().into(), detail }
    }
}

fn kind_of_answer(code: &str, status: u16) -> FaultKind {
    match code {
        "NoSuchBucket" => FaultKind::NoBucket,
        "NoSuchKey" | "NotFound" => FaultKind::Missing,
        "NoSuchUpload" => FaultKind::NoUpload,
        "SlowDown"
        | "Throttling"
        | "ThrottlingException"
        | "RequestLimitExceeded"
        | "TooManyRequests"
        | "TooManyRequestsException"
        | "ServiceUnavailable" => FaultKind::Throttled,
        "ExpiredToken"
        | "InvalidToken"
        | "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "AuthorizationHeaderMalformed"
        | "PermanentRedirect" => FaultKind::Denied,
        // The body broke off on its way.
        "RequestTimeout" | "IncompleteBody" => FaultKind::Unreachable,
        // A clock was set while the request was on its way.
        "RequestTimeTooSkewed" => FaultKind::Unreachable,
        "BadDigest" | "XAmzContentChecksumMismatch" | "XAmzContentSHA256Mismatch" => {
            FaultKind::Garbled
        }
        "PreconditionFailed" => FaultKind::Precondition,
        "ConditionalRequestConflict" => FaultKind::Conflict,
        "InvalidRange" => FaultKind::Range,
        _ => match status {
            200..=299 => FaultKind::Unreachable,
            301 | 307 | 401 | 403 => FaultKind::Denied,
            404 => FaultKind::Missing,
            409 => FaultKind::Conflict,
            412 => FaultKind::Precondition,
            416 => FaultKind::Range,
            429 | 503 => FaultKind::Throttled,
            500.. => FaultKind::Unreachable,
            _ => FaultKind::Refused,
        },
    }
}

/// Whether no request was sent because no credentials could be had.
///
/// The SDK reports that as a failed dispatch like any other, so only the words tell.
fn blames_credentials(error: &(dyn StdError + 'static)) -> bool {
    chain(error).any(|cause| {
        let words = cause.to_string();
        words.contains("credential") || words.contains("no providers in chain")
    })
}

fn deepest(error: &(dyn StdError + 'static)) -> String {
    chain(error).last().map(ToString::to_string).unwrap_or_default()
}

fn chain<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&cause| cause.source())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart_by_code_first_and_status_second() {
        assert_eq!(kind_of_answer("SlowDown", 503), FaultKind::Throttled);
        assert_eq!(kind_of_answer("InternalError", 500), FaultKind::Unreachable);
        assert_eq!(kind_of_answer("NoSuchBucket", 404), FaultKind::NoBucket);
        assert_eq!(kind_of_answer("", 404), FaultKind::Missing);
        assert_eq!(kind_of_answer("AccessDenied", 403), FaultKind::Denied);
        assert_eq!(kind_of_answer("ConditionalRequestConflict", 409), FaultKind::Conflict);
        assert_eq!(kind_of_answer("RequestTimeout", 400), FaultKind::Unreachable);
        assert_eq!(kind_of_answer("IncompleteBody", 400), FaultKind::Unreachable);
        assert_eq!(kind_of_answer("RequestTimeTooSkewed", 403), FaultKind::Unreachable);
        assert_eq!(kind_of_answer("BadDigest", 400), FaultKind::Garbled);
        assert_eq!(kind_of_answer("InvalidArgument", 400), FaultKind::Refused);
    }
}
