//! A function's configuration: environment variables, read once, all missing names told together.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::{Deadline, Failure, INVOCATION_MAX, sealable_bytes};

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

    /// The largest member in bytes that Encrypt seals within one invocation; 26 GiB when not set.
    pub const SEALABLE_BYTES: &'static str = "DRAYAGE_SEALABLE_BYTES";

    /// The largest member that Encrypt seals within one invocation.
    ///
    /// # Errors
    /// `Misconfigured` when it is set to something else than a number of bytes.
    pub fn sealable_bytes() -> Result<u64, Failure> {
        let default = sealable_bytes(INVOCATION_MAX, Deadline::MARGIN);
        Self::whole(Self::SEALABLE_BYTES, "bytes", default)
    }

    /// The time that an invocation keeps back for finishing what is in hand.
    ///
    /// # Errors
    /// `Misconfigured` when it is set to something else than a number of seconds.
    pub fn deadline_margin() -> Result<Duration, Failure> {
        let default = Deadline::MARGIN.as_secs();
        Self::whole(Self::DEADLINE_MARGIN, "seconds", default).map(Duration::from_secs)
    }

    /// A variable that may be missing.
    fn whole(name: &str, unit: &str, default: u64) -> Result<u64, Failure> {
        Self::whole_of(std::env::var(name).ok().as_deref(), name, unit, default)
    }

    fn whole_of(text: Option<&str>, name: &str, unit: &str, default: u64) -> Result<u64, Failure> {
        let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(default) };
        text.parse().ok().filter(|number| *number > 0).ok_or_else(|| {
            Failure::misconfigured(
                "runtime.environment",
                format!("{name} is {text:?} and must be whole {unit}, at least 1."),
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
    fn what_may_be_missing_is_a_whole_number_or_the_default() {
        let read = |text| Config::whole_of(text, "MARGIN", "seconds", 45);
        assert_eq!(read(None), Ok(45));
        assert_eq!(read(Some("")), Ok(45));
        assert_eq!(read(Some("90")), Ok(90));
        for bad in ["0", "-1", "1.5", "45s"] {
            let failure = read(Some(bad)).expect_err("bad");
            assert!(
                failure.message.contains(bad) && failure.message.contains("MARGIN"),
                "{failure}"
            );
        }
    }
}
