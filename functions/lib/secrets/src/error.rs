//! Why a secret could not be had, in words that name it and never hold it.

use std::error::Error as StdError;
use std::io;

use domain::Failure;

/// Why a secret could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not a name that a secret can have.
    #[error("The secret name {name:?} in the profile is not allowed: {reason}.")]
    Name {
        /// The name, cut and printable.
        name: String,
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// There is no such secret.
    #[error("The secret {name:?} does not exist: create {place}.")]
    Missing {
        /// The name in the profile.
        name: String,
        /// What to create: a path, or a name in Secrets Manager.
        place: String,
    },
    /// There is one, and it holds nothing.
    #[error("The secret {name:?} is empty: write its value to {place}.")]
    Empty {
        /// The name in the profile.
        name: String,
        /// Where it lies.
        place: String,
    },
    /// There is one, and we may not read it.
    #[error("The secret {name:?} may not be read: allow reading {place} ({reason}).")]
    Denied {
        /// The name in the profile.
        name: String,
        /// Where it lies.
        place: String,
        /// The other side's words.
        reason: String,
    },
    /// There is something, and it cannot be used as a secret.
    #[error("The secret {name:?} cannot be used: {place} {reason}.")]
    Unusable {
        /// The name in the profile.
        name: String,
        /// Where it lies.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Too many requests.
    #[error("Secrets Manager asked to slow down while reading {name:?}.")]
    Throttled {
        /// The name in the profile.
        name: String,
        /// The SDK's error.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// Network, timeout, 5xx.
    #[error("Secrets Manager could not be asked for {name:?}: {reason}.")]
    Unreachable {
        /// The name in the profile.
        name: String,
        /// One line for a person.
        reason: String,
        /// The SDK's error.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The disk failed.
    #[error("The secret {name:?} could not be read from {place}: {source}.")]
    Read {
        /// The name in the profile.
        name: String,
        /// The path.
        place: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        let code = match error {
            Error::Throttled { .. } => return Self::throttled("secrets.throttled", message),
            Error::Unreachable { .. } => return Self::transient("secrets.unreachable", message),
            Error::Read { .. } => return Self::transient("secrets.read", message),
            Error::Name { .. } => "secrets.name",
            Error::Missing { .. } => "secrets.missing",
            Error::Empty { .. } => "secrets.empty",
            Error::Denied { .. } => "secrets.denied",
            Error::Unusable { .. } => "secrets.unusable",
        };
        Self::misconfigured(code, message)
    }
}
