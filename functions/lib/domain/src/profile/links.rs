//! What becomes of symbolic links at a source.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What becomes of a symbolic link that the patterns let through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Symlinks {
    /// It is left alone, with a warning.
    #[default]
    Skip,
    /// The file that it leads to is taken under the link's name, if it lies inside the source
    /// directory; else the link is left alone, with a warning. Links to directories are not entered.
    Follow,
    /// The run ends before its first file.
    Refuse,
}
