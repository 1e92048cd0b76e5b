//! Passwords, keys and tokens by name: from AWS Secrets Manager, or from a folder on a laptop.
//!
//! A profile holds names such as `acme/source-key`; this is the only place where a name becomes a
//! value. Both stores implement [`domain::SecretStore`], which is all that stages know of them.

mod error;
mod folder;
mod manager;
mod name;

pub use error::Error;
pub use folder::FolderSecrets;
pub use manager::SecretsManager;
