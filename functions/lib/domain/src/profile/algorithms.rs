//! Which cryptography an SFTP server is spoken to with.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The SSH algorithms that are offered to one server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Algorithms {
    /// What OpenSSH's client offers today, without its last SHA-1.
    #[default]
    Default,
    /// SHA-1, CBC and small Diffie-Hellman groups as well, after all others: for a server that
    /// offers nothing else.
    Legacy,
}
