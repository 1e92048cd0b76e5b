//! Finds every problem of a profile at once, each with its path, so that one edit mends them all.

use std::fmt;
use std::sync::LazyLock;

use serde_json::Value;

use super::{AfterDelivery, Profile, RecordModel, SshAuth};
use crate::Failure;

/// Two looks and the listings around them have to fit into Discover's five minutes.
const MAX_SETTLE_SECONDS: u64 = 200;

/// One thing that is wrong with a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where: `source.host_keys`.
    pub path: String,
    /// What is wrong and what to write instead.
    pub message: String,
}

/// Everything that is wrong with a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(f, "The profile has {count} problem{}:", if count == 1 { "" } else { "s" })?;
        for problem in &self.0 {
            write!(f, "\n  {}: {}", problem.path, problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::misconfigured("profile.invalid", problems.to_string())
    }
}

/// The JSON Schema of a profile.
#[must_use]
pub fn schema() -> Value {
    schemars::schema_for!(Profile).to_value()
}

impl Profile {
    /// Reads a profile and checks it.
    ///
    /// # Errors
    /// [`Problems`] with every fault of shape, or, when the shape is right, of meaning.
    pub fn parse(text: &str) -> Result<Self, Problems> {
        let one =
            |path: &str, message: String| Problems(vec![Problem { path: path.into(), message }]);
        let value: Value = serde_json::from_str(text)
            .map_err(|error| one("(whole file)", format!("is not JSON: {error}.")))?;
        let mut problems = shape_problems(&value);
        if problems.is_empty() {
            let profile: Self = serde_json::from_value(value)
                .map_err(|error| one("(whole file)", format!("{error}.")))?;
            problems = profile.meaning_problems();
            if problems.is_empty() {
                return Ok(profile);
            }
        }
        Err(Problems(problems))
    }

    fn meaning_problems(&self) -> Vec<Problem> {
        let mut found = Found::default();
        found.check(
            is_partner_name(&self.partner),
            "partner",
            "must be 1 to 63 lower-case letters, digits or dashes, beginning with a letter or digit.",
        );
        endpoint_problems(
            &mut found,
            "source",
            (&self.source.host, &self.source.username, &self.source.directory),
            &self.source.auth,
            &self.source.host_keys,
            (self.source.max_connections, self.source.transfers_per_connection),
        );
        endpoint_problems(
            &mut found,
            "target",
            (&self.target.host, &self.target.username, &self.target.directory),
            &self.target.auth,
            &self.target.host_keys,
            (self.target.max_connections, self.target.transfers_per_connection),
        );
        self.source_problems(&mut found);
        self.target_problems(&mut found);
        self.unpack_problems(&mut found);
        self.records_problems(&mut found);
        self.report_problems(&mut found);
        for (number, expectation) in self.expects.iter().enumerate() {
            if let Err(message) = expectation.calendar() {
                found.add(&format!("expects.{number}"), message);
            }
        }
        if let Err(message) = self.spark.check() {
            found.add("spark", message);
        }
        found.0
    }

    fn source_problems(&self, found: &mut Found) {
        let source = &self.source;
        found.check(
            !source.include.is_empty(),
            "source.include",
            "must hold at least one pattern, such as \"*\".",
        );
        for (list, path) in
            [(&source.include, "source.include"), (&source.exclude, "source.exclude")]
        {
            for pattern in list {
                if let Err(error) = globset::Glob::new(pattern) {
                    found.add(path, format!("holds {pattern:?}, which is no pattern: {error}."));
                }
            }
        }
        found.check(
            source.after_delivery != AfterDelivery::Move || source.move_to.is_some(),
            "source.move_to",
            "must name a directory when after_delivery is \"move\".",
        );
        found.check(
            source.settle_seconds <= MAX_SETTLE_SECONDS,
            "source.settle_seconds",
            "must be at most 200, for both looks happen in one invocation.",
        );
        found.check(
            source.done_file.as_deref() != Some(""),
            "source.done_file",
            "must be a suffix such as \".done\", or null.",
        );
    }

    fn target_problems(&self, found: &mut Found) {
        let target = &self.target;
        found.check(
            !target.temporary_suffix.is_empty() && !target.temporary_suffix.contains('/'),
            "target.temporary_suffix",
            "must be a suffix such as \".part\", without a slash.",
        );
        found.check(
            target.name.contains("{member}"),
            "target.name",
            "must contain {member}, or members of one archive would overwrite each other.",
        );
        // Something stays in a placeholder's place, or what stood around it could become another one.
        let rest = target.name.replace("{member}", "-").replace("{file}", "-");
        found.check(
            !rest.contains(['{', '}', '/']),
            "target.name",
            "may use only the placeholders {file} and {member}, and no slash.",
        );
        target.other_names(found);
    }

    fn unpack_problems(&self, found: &mut Found) {
        let unpack = &self.unpack;
        for (value, path) in [
            (unpack.max_ratio, "unpack.max_ratio"),
            (unpack.max_entries, "unpack.max_entries"),
            (unpack.max_bytes, "unpack.max_bytes"),
        ] {
            found.check(value > 0, path, "must be at least 1.");
        }
        found.check(
            ["utf-8", "cp437", "cp932", "cp1252"].contains(&unpack.name_charset.as_str()),
            "unpack.name_charset",
            "must be one of utf-8, cp437, cp932, cp1252.",
        );
    }

    fn records_problems(&self, found: &mut Found) {
        let records = &self.records;
        let characters = [
            ("records.quote", Some(&records.quote)),
            ("records.delimiter", Some(&records.delimiter)),
            ("records.escape", records.escape.as_ref()),
        ];
        for (path, text) in characters {
            let absent = path == "records.quote" && records.quote.is_empty();
            let single = text.is_none_or(|text| text.len() == 1 && text.is_ascii());
            found.check(absent || single, path, "must be one ASCII character.");
        }
        found.check(
            records.model != RecordModel::Fixed || records.record_bytes.is_some_and(|n| n > 0),
            "records.record_bytes",
            "must be at least 1 for the fixed model.",
        );
    }

    fn report_problems(&self, found: &mut Found) {
        let url = &self.report.url;
        found.check(
            url.starts_with("https://") || is_loopback_http(url),
            "report.url",
            "must begin with https:// (plain http:// is taken for this machine's own addresses only).",
        );
        let auth = &self.report.auth;
        let token = auth.oauth2.as_ref().map(|oauth2| oauth2.token_url.as_str());
        found.check(
            token.is_none_or(|url| url.starts_with("https://") || is_loopback_http(url)),
            "report.auth.oauth2.token_url",
            "must begin with https://, for it is sent the client secret.",
        );
        let kinds = [
            auth.bearer.is_some(),
            auth.header.is_some(),
            auth.basic.is_some(),
            auth.oauth2.is_some(),
            auth.hmac.is_some(),
        ];
        let given = kinds.into_iter().filter(|given| *given).count();
        found.check(given <= 1, "report.auth", "must hold at most one kind of authentication.");
        found.check(
            self.report.timeout_seconds > 0 && self.report.timeout_seconds <= 300,
            "report.timeout_seconds",
            "must be between 1 and 300.",
        );
    }
}

#[derive(Default)]
pub(super) struct Found(Vec<Problem>);

impl Found {
    fn add(&mut self, path: &str, message: impl Into<String>) {
        self.0.push(Problem { path: path.to_owned(), message: message.into() });
    }

    pub(super) fn check(&mut self, holds: bool, path: &str, message: &str) {
        if !holds {
            self.add(path, message);
        }
    }
}

fn endpoint_problems(
    found: &mut Found,
    side: &str,
    (host, username, directory): (&str, &str, &str),
    auth: &SshAuth,
    host_keys: &[String],
    (max_connections, transfers_per_connection): (u32, u32),
) {
    for (field, value) in [("host", host), ("username", username), ("directory", directory)] {
        found.check(!value.trim().is_empty(), &format!("{side}.{field}"), "must not be empty.");
    }
    found.check(
        auth.private_key.is_some() || auth.password.is_some(),
        &format!("{side}.auth"),
        "must name a secret under private_key, password or both.",
    );
    found.check(
        auth.passphrase.is_none() || auth.private_key.is_some(),
        &format!("{side}.auth.passphrase"),
        "is of no use without private_key.",
    );
    let path = format!("{side}.host_keys");
    found.check(
        !host_keys.is_empty(),
        &path,
        "must pin at least one fingerprint; `ssh-keyscan HOST | ssh-keygen -lf -` prints them, \
         and the partner confirms them.",
    );
    for key in host_keys {
        found.check(
            key.strip_prefix("SHA256:").is_some_and(|rest| rest.len() == 43),
            &path,
            &format!("holds {key:?}; a fingerprint is SHA256: and 43 characters."),
        );
    }
    found.check(
        (1..=100).contains(&max_connections),
        &format!("{side}.max_connections"),
        "must be between 1 and 100.",
    );
    found.check(
        (1..=16).contains(&transfers_per_connection),
        &format!("{side}.transfers_per_connection"),
        "must be between 1 and 16.",
    );
}

/// Whether a text can be a partner's name, and so part of a storage key.
#[must_use]
pub fn is_partner_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=63).contains(&name.len()) && name.chars().all(allowed) && !name.starts_with('-')
}

fn is_loopback_http(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else { return false };
    // What stands before an @ is a user name, whatever it looks like.
    if rest.split('/').next().is_some_and(|authority| authority.contains('@')) {
        return false;
    }
    ["127.0.0.1", "localhost", "[::1]"].iter().any(|host| {
        rest.strip_prefix(host)
            .is_some_and(|tail| tail.is_empty() || tail.starts_with(':') || tail.starts_with('/'))
    })
}

/// Built once: every stage reads a profile. `None` if our own schema were no schema; serde reports
/// the shape then.
static VALIDATOR: LazyLock<Option<jsonschema::Validator>> =
    LazyLock::new(|| jsonschema::validator_for(&schema()).ok());

/// Faults of shape: missing and unknown fields, wrong types.
fn shape_problems(value: &Value) -> Vec<Problem> {
    let Some(validator) = VALIDATOR.as_ref() else { return Vec::new() };
    validator
        .iter_errors(value)
        .map(|error| {
            let pointer = error.instance_path().to_string();
            let path = pointer.trim_start_matches('/').replace('/', ".");
            let path = if path.is_empty() { "(top level)".to_owned() } else { path };
            Problem { path, message: format!("{error}.") }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn minimal() -> Value {
        let key = format!("SHA256:{}", "a".repeat(43));
        serde_json::json!({
            "partner": "acme",
            "source": {"host": "s", "username": "u", "auth": {"private_key": "acme/k"},
                       "host_keys": [key], "directory": "/out"},
            "report": {"url": "https://api.example/v1"},
            "encryption": {"certificate": "acme/cert"},
            "target": {"host": "t", "username": "u", "auth": {"password": "acme/p"},
                       "host_keys": [key], "directory": "/in"}
        })
    }

    #[test]
    fn the_required_fields_are_enough_and_the_rest_has_the_documented_defaults() {
        let profile = Profile::parse(&minimal().to_string()).expect("minimal profile");
        assert_eq!(profile.source.port, 22);
        assert_eq!(profile.target.max_connections, 9);
        assert_eq!(profile.source.transfers_per_connection, 4);
        assert_eq!(profile.target.transfers_per_connection, 4);
        assert_eq!(profile.unpack.max_ratio, 200);
        assert_eq!(profile.records.large_above_bytes, 5_368_709_120);
    }

    #[test]
    fn faults_of_shape_are_reported_together_with_their_paths() {
        let mut value = minimal();
        value["source"]["port"] = "22".into();
        value["target"]["colour"] = "red".into();
        value.as_object_mut().expect("object").remove("encryption");
        let problems = Profile::parse(&value.to_string()).expect_err("three faults").0;
        let text = format!("{problems:?}");
        assert_eq!(problems.len(), 3, "{text}");
        assert!(problems.iter().any(|p| p.path == "source.port"), "{text}");
        assert!(problems.iter().any(|p| p.path == "target" && p.message.contains("colour")));
        assert!(problems.iter().any(|p| p.message.contains("encryption")), "{text}");
    }

    #[test]
    fn faults_of_meaning_are_reported_together_with_their_paths() {
        let mut value = minimal();
        value["partner"] = "Acme Corp".into();
        value["source"]["host_keys"] = serde_json::json!([]);
        value["source"]["after_delivery"] = "move".into();
        value["target"]["auth"] = serde_json::json!({});
        value["target"]["name"] = "fixed".into();
        value["report"]["url"] = "http://api.example".into();
        let problems = Profile::parse(&value.to_string()).expect_err("six faults").0;
        let paths: Vec<_> = problems.iter().map(|p| p.path.as_str()).collect();
        for path in [
            "partner",
            "source.host_keys",
            "source.move_to",
            "target.auth",
            "target.name",
            "report.url",
        ] {
            assert!(paths.contains(&path), "{path} missing in {paths:?}");
        }
    }

    #[test]
    fn names_beside_the_delivered_files_have_to_be_names() {
        for (field, value, good) in [
            ("manifest", serde_json::json!({}), true),
            ("manifest", serde_json::json!({"name": "list.csv", "format": "csv"}), true),
            ("manifest", serde_json::json!({"name": ""}), false),
            ("manifest", serde_json::json!({"name": ".."}), false),
            ("manifest", serde_json::json!({"name": "in/{run}.json"}), false),
            ("manifest", serde_json::json!({"name": "{file}.json"}), false),
            ("acknowledgement", serde_json::json!({}), true),
            ("acknowledgement", serde_json::json!({"name": "{name}"}), false),
            ("acknowledgement", serde_json::json!({"name": "{name}", "directory": "/ack"}), true),
            ("acknowledgement", serde_json::json!({"directory": " "}), false),
            ("acknowledgement", serde_json::json!({"name": "{manifest}.ok"}), false),
            ("acknowledgement", serde_json::json!({"name": "../{name}.ok"}), false),
            ("acknowledgement", serde_json::json!({"within_seconds": 0}), false),
            ("acknowledgement", serde_json::json!({"within_seconds": 86_400}), true),
            ("acknowledgement", serde_json::json!({"within_seconds": 86_401}), false),
        ] {
            let mut profile = minimal();
            profile["target"][field] = value.clone();
            let parsed = Profile::parse(&profile.to_string());
            assert_eq!(parsed.is_ok(), good, "{field} {value}: {parsed:?}");
        }
    }

    #[test]
    fn an_expectation_that_nobody_understands_is_told_with_its_place() {
        let mut profile = minimal();
        profile["expects"] = serde_json::json!([
            {"pattern": "*.csv", "due": "06:30"},
            {"pattern": "*.csv", "due": "06:30", "time_zone": "Mars/Olympus"},
        ]);
        let problems = Profile::parse(&profile.to_string()).expect_err("a fault").0;
        let paths: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
        assert_eq!(paths, ["expects.1"]);
    }

    #[test]
    fn transfers_per_connection_have_a_range_and_the_schema_tells_it() {
        for side in ["source", "target"] {
            for (number, good) in [(0, false), (1, true), (16, true), (17, false)] {
                let mut value = minimal();
                value[side]["transfers_per_connection"] = number.into();
                let result = Profile::parse(&value.to_string());
                let path = format!("{side}.transfers_per_connection");
                match result {
                    Ok(_) => assert!(good, "{path} {number}"),
                    Err(problems) => {
                        assert!(!good && problems.0.len() == 1, "{path} {number}: {problems}");
                        assert_eq!(problems.0[0].path, path);
                    }
                }
            }
        }
        let schema = schema();
        for side in ["Source", "Target"] {
            let field = &schema["$defs"][side]["properties"]["transfers_per_connection"];
            assert_eq!((&field["minimum"], &field["maximum"]), (&1.into(), &16.into()), "{schema}");
        }
    }

    #[test]
    fn plain_http_is_for_loopback_only() {
        assert!(is_loopback_http("http://127.0.0.1:80/x") && is_loopback_http("http://localhost"));
        assert!(!is_loopback_http("http://127.0.0.1.evil.example/"));
        assert!(!is_loopback_http("http://localhost:80@evil.example/"));
    }
}
