//! What can fail here, one variant per operation, and which error class each failure belongs to.

use domain::{ErrorClass, Failure};

use crate::fault::{Fault, FaultKind};

/// A failed operation on one bucket; names the key or the prefix it was about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Reading an object, its size or a range of it.
    #[error("cannot read s3://{bucket}/{key}")]
    Read {
        /// The bucket.
        bucket: String,
        /// The object's key.
        key: String,
        /// What S3 said.
        source: Fault,
    },
    /// Writing a small object in one request.
    #[error("cannot write s3://{bucket}/{key}")]
    Write {
        /// The bucket.
        bucket: String,
        /// The object's key.
        key: String,
        /// What S3 said.
        source: Fault,
    },
    /// Starting, feeding, finishing or aborting a multipart upload.
    #[error("cannot upload s3://{bucket}/{key}")]
    Upload {
        /// The bucket.
        bucket: String,
        /// The object's key.
        key: String,
        /// What S3 said.
        source: Fault,
    },
    /// Deleting one object or everything under a prefix.
    #[error("cannot delete s3://{bucket}/{key}")]
    Delete {
        /// The bucket.
        bucket: String,
        /// The object's key, or the prefix.
        key: String,
        /// What S3 said.
        source: Fault,
    },
    /// Listing a prefix, or asking for the bucket itself (empty prefix).
    #[error("cannot list s3://{bucket}/{prefix}")]
    List {
        /// The bucket.
        bucket: String,
        /// The prefix.
        prefix: String,
        /// What S3 said.
        source: Fault,
    },
    /// An object that must exist does not.
    #[error("s3://{bucket}/{key} does not exist")]
    Missing {
        /// The bucket.
        bucket: String,
        /// The object's key.
        key: String,
    },
    /// An object was replaced while it was being read.
    #[error("s3://{bucket}/{key} was replaced while it was being read")]
    Replaced {
        /// The bucket.
        bucket: String,
        /// The object's key.
        key: String,
    },
    /// A multipart upload that was to go on exists no more; start again from the first byte.
    #[error("the upload of s3://{bucket}/{key} cannot go on, it exists no more")]
    UploadGone {
        /// The bucket.
        bucket: String,
        /// The object's key.
        key: String,
    },
    /// A document is not the JSON that it should be.
    #[error("s3://{bucket}/{key} is damaged")]
    Damaged {
        /// The bucket.
        bucket: String,
        /// The object's key.
        key: String,
        /// Where and why it does not parse.
        source: serde_json::Error,
    },
    /// A value cannot be written as JSON.
    #[error("the value for s3://{bucket}/{key} cannot be written as JSON")]
    Encode {
        /// The bucket.
        bucket: String,
        /// The object's key.
        key: String,
        /// Why.
        source: serde_json::Error,
    },
    /// The background task of a blocking stream ended without an answer (the runtime shut down).
    #[error("the transfer of s3://{bucket}/{key} was cut off")]
    CutOff {
        /// The bucket.
        bucket: String,
        /// The object's key.
        key: String,
    },
}

impl Error {
    /// What kind of trouble S3 reported, for the variants that carry one.
    #[must_use]
    pub fn kind(&self) -> Option<FaultKind> {
        self.fault().map(|fault| fault.kind)
    }

    fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Read { source, .. }
            | Self::Write { source, .. }
            | Self::Upload { source, .. }
            | Self::Delete { source, .. }
            | Self::List { source, .. } => Some(source),
            _ => None,
        }
    }

    fn class_and_code(&self) -> (ErrorClass, &'static str) {
        match self {
            Self::Missing { .. } => (ErrorClass::Rejected, "storage.missing"),
            Self::Replaced { .. } => (ErrorClass::Transient, "storage.replaced"),
            Self::UploadGone { .. } => (ErrorClass::Transient, "storage.upload_gone"),
            Self::Damaged { .. } => (ErrorClass::Rejected, "storage.damaged"),
            Self::Encode { .. } => (ErrorClass::Rejected, "storage.unwritable"),
            Self::CutOff { .. } => (ErrorClass::Transient, "storage.cut_off"),
            _ => self.kind().map_or((ErrorClass::Transient, "storage.unreachable"), of_kind),
        }
    }
}

const fn of_kind(kind: FaultKind) -> (ErrorClass, &'static str) {
    match kind {
        FaultKind::Unreachable => (ErrorClass::Transient, "storage.unreachable"),
        FaultKind::Throttled => (ErrorClass::Throttled, "storage.throttled"),
        FaultKind::Denied => (ErrorClass::Misconfigured, "storage.denied"),
        FaultKind::NoBucket => (ErrorClass::Misconfigured, "storage.no_bucket"),
        FaultKind::Missing => (ErrorClass::Rejected, "storage.missing"),
        FaultKind::Garbled => (ErrorClass::Transient, "storage.garbled"),
        FaultKind::NoUpload => (ErrorClass::Transient, "storage.upload_gone"),
        FaultKind::Precondition | FaultKind::Conflict => {
            (ErrorClass::Transient, "storage.contended")
        }
        FaultKind::Range | FaultKind::Refused => (ErrorClass::Rejected, "storage.refused"),
    }
}

const fn advice(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::Denied => " Check the credentials and the policy of the role for this bucket.",
        FaultKind::NoBucket => " Check the bucket's name in the environment.",
        _ => "",
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let (class, code) = error.class_and_code();
        let message = match error {
            Error::Damaged { source, .. } | Error::Encode { source, .. } => {
                format!("Storage: {error}: {source}.")
            }
            _ => match error.fault() {
                Some(fault) => {
                    let detail = fault.to_string();
                    format!(
                        "Storage: {error}: {}.{}",
                        detail.trim_end_matches('.'),
                        advice(fault.kind)
                    )
                }
                None => format!("Storage: {error}."),
            },
        };
        Self::new(class, code, message)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::from(&error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(code: &str) -> Failure {
        let source = Fault::reported(code, format!("S3 answered {code}"));
        Error::Read { bucket: "work".to_owned(), key: "runs/a.json".to_owned(), source }.into()
    }

    #[test]
    fn every_failure_names_the_key_and_keeps_its_class() {
        let denied = read("AccessDenied");
        assert_eq!(denied.class, ErrorClass::Misconfigured);
        assert_eq!(denied.code, "storage.denied");
        assert!(denied.message.contains("s3://work/runs/a.json"), "{}", denied.message);
        assert_eq!(read("SlowDown").class, ErrorClass::Throttled);
        assert_eq!(read("InternalError").code, "storage.unreachable");
        assert_eq!(read("InvalidArgument").code, "storage.refused");
    }
}
