//! A function's configuration: environment variables, read once, all missing names told together.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::{Deadline, Failure};

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

    /// Seconds before its end at which an invocation stops taking on work; 45 when not set.
    pub const DEADLINE_MARGIN: &'static str = "DRAYAGE_DEADLINE_MARGIN_SECONDS";

    /// The time that an invocation keeps back for finishing what is in hand.
    ///
    /// # Errors
    /// `Misconfigured` when it is set to something else than a number of seconds.
    pub fn deadline_margin() -> Result<Duration, Failure> {
        Self::margin_of(std::env::var(Self::DEADLINE_MARGIN).ok().as_deref())
    }

    fn margin_of(text: Option<&str>) -> Result<Duration, Failure> {
        let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(Deadline::MARGIN) };
        let seconds = text.parse().ok().filter(|seconds| *seconds > 0);
        seconds.map(Duration::from_secs).ok_or_else(|| {
            Failure::misconfigured(
                "runtime.environment",
                format!("{} is {text:?} and must be whole seconds.", Self::DEADLINE_MARGIN),
            )
        })
    }

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

    #[test]
    fn the_deadlines_margin_is_whole_seconds_or_the_default() {
        assert_eq!(Config::margin_of(None).expect("default"), Deadline::MARGIN);
        assert_eq!(Config::margin_of(Some("")).expect("default"), Deadline::MARGIN);
        assert_eq!(Config::margin_of(Some("90")).expect("90"), Duration::from_secs(90));
        for bad in ["0", "-1", "1.5", "45s"] {
            let failure = Config::margin_of(Some(bad)).expect_err("bad");
            assert!(failure.message.contains(bad), "{failure}");
        }
    }
}
