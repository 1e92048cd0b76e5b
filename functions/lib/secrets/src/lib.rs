//! Passwords, keys and tokens by name: from AWS Secrets Manager, or from a folder on a laptop.
//!
//! A profile holds names such as `acme/source-key`; this is the only place where a name becomes a
//! value. A [`Secret`] cannot be printed, and is overwritten when its last holder drops it.

mod error;
mod folder;
mod manager;
mod name;
mod secret;
mod store;

use async_trait::async_trait;

pub use error::Error;
pub use folder::FolderSecrets;
pub use manager::SecretsManager;
pub use secret::Secret;

/// Where secrets come from.
#[async_trait]
pub trait Secrets: Send + Sync {
    /// The value of one secret. May come from a cache that lives as long as this instance.
    ///
    /// # Errors
    ///
    /// See [`Error`]: missing, denied and empty are `Misconfigured`; what may pass is retryable.
    async fn get(&self, name: &str) -> Result<Secret, Error>;

    /// The value as it is now, past any cache: for one more try after a login was refused, since
    /// the secret may have been rotated.
    ///
    /// # Errors
    ///
    /// As [`Secrets::get`].
    async fn refresh(&self, name: &str) -> Result<Secret, Error> {
        self.get(name).await
    }
}
