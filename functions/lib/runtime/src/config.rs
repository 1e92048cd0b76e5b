//! A function's configuration: environment variables, read once, all missing names told together.

use std::collections::BTreeMap;

use domain::Failure;

/// What a function is told by its environment.
#[derive(Clone, Debug)]
pub struct Config {
    values: BTreeMap<&'static str, String>,
}

impl Config {
    /// The bucket that holds runs, data and ledger.
    pub const BUCKET: &'static str = "DRAYAGE_BUCKET";
    /// Prefix of every secret's name in Secrets Manager.
    pub const SECRETS_PREFIX: &'static str = "DRAYAGE_SECRETS_PREFIX";
    /// Most parallel invocations that count records.
    pub const INSPECT_CONCURRENCY: &'static str = "DRAYAGE_INSPECT_CONCURRENCY";
    /// Most parallel invocations that report and seal.
    pub const SEAL_CONCURRENCY: &'static str = "DRAYAGE_SEAL_CONCURRENCY";
    /// Where the Spark job's program lies.
    pub const JOB_PREFIX: &'static str = "DRAYAGE_JOB_PREFIX";

    /// Reads the names from the process's environment.
    ///
    /// # Errors
    /// `Misconfigured` with every name that is missing or empty.
    pub fn from_env(names: &[&'static str]) -> Result<Self, Failure> {
        Self::from_lookup(names, |name| std::env::var(name).ok())
    }

    /// Reads the names from anywhere.
    ///
    /// # Errors
    /// `Misconfigured` with every name that is missing or empty.
    pub fn from_lookup(
        names: &[&'static str],
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Failure> {
        let mut values = BTreeMap::new();
        let mut missing = Vec::new();
        for name in names {
            match lookup(name).filter(|value| !value.is_empty()) {
                Some(value) => drop(values.insert(*name, value)),
                None => missing.push(*name),
            }
        }
        if missing.is_empty() {
            return Ok(Self { values });
        }
        Err(Failure::misconfigured(
            "runtime.environment",
            format!("Set the function's environment variables {}.", missing.join(", ")),
        ))
    }

    /// The value of one of the names that were asked for; empty for any other.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }

    /// The value as a number of at least 1.
    ///
    /// # Errors
    /// `Misconfigured` when it is not.
    pub fn number(&self, name: &str) -> Result<u32, Failure> {
        let text = self.get(name);
        text.parse().ok().filter(|number| *number > 0).ok_or_else(|| {
            Failure::misconfigured(
                "runtime.environment",
                format!(
                    "Environment variable {name} is {text:?} and must be a number of at least 1."
                ),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_missing_names_are_told_together() {
        let failure =
            Config::from_lookup(&["A", "B", "C"], |name| (name == "B").then(|| "set".to_owned()))
                .expect_err("two are missing");
        assert!(failure.message.contains("A, C"), "{failure}");
    }
}
