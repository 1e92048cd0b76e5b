//! Every rule of a profile, one row each: what is written, and the one problem that must be told.

use domain::profile::{is_partner_name, schema};
use domain::{ErrorClass, Failure, Profile};
use serde_json::{Value, json};

fn minimal() -> Value {
    let key = format!("SHA256:{}", "a".repeat(43));
    json!({
        "partner": "acme",
        "source": {"host": "s", "username": "u", "auth": {"private_key": "acme/k"},
                   "host_keys": [key], "directory": "/out"},
        "report": {"url": "https://api.example/v1"},
        "encryption": {"certificate": "acme/cert"},
        "target": {"host": "t", "username": "u", "auth": {"password": "acme/p"},
                   "host_keys": [key], "directory": "/in"}
    })
}

/// The paths of the problems that a profile has when `value` stands at `pointer`.
fn problems(pointer: &str, value: &Value) -> Vec<String> {
    let mut profile = minimal();
    let mut at = &mut profile;
    for step in pointer.split('.') {
        at = &mut at[step];
    }
    *at = value.clone();
    match Profile::parse(&profile.to_string()) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.0.into_iter().map(|problem| problem.path).collect(),
    }
}

fn fingerprint(length: usize) -> Value {
    json!([format!("SHA256:{}", "b".repeat(length))])
}

fn oauth2(token_url: &str) -> Value {
    json!({"oauth2": {"token_url": token_url, "client_id": "us", "client_secret": "acme/s"}})
}

/// Where, what, and the path of the one problem; none for what is fine.
fn endpoint_rows() -> Vec<(&'static str, Value, Option<&'static str>)> {
    vec![
        ("partner", json!("a"), None),
        ("partner", json!("9-lives"), None),
        ("partner", json!("a".repeat(63)), None),
        ("partner", json!("a".repeat(64)), Some("partner")),
        ("partner", json!(""), Some("partner")),
        ("partner", json!("-acme"), Some("partner")),
        ("partner", json!("Acme"), Some("partner")),
        ("partner", json!("a_b"), Some("partner")),
        ("source.host", json!(" "), Some("source.host")),
        ("source.username", json!(""), Some("source.username")),
        ("target.directory", json!(""), Some("target.directory")),
        ("source.auth", json!({}), Some("source.auth")),
        ("source.auth", json!({"private_key": "a/k", "password": "a/p"}), None),
        ("source.auth", json!({"private_key": "a/k", "passphrase": "a/w"}), None),
        (
            "source.auth",
            json!({"password": "a/p", "passphrase": "a/w"}),
            Some("source.auth.passphrase"),
        ),
        ("source.host_keys", json!([]), Some("source.host_keys")),
        ("source.host_keys", fingerprint(42), Some("source.host_keys")),
        ("source.host_keys", fingerprint(43), None),
        ("target.host_keys", json!(["MD5:00:11"]), Some("target.host_keys")),
        ("source.algorithms", json!("legacy"), None),
        ("target.algorithms", json!("default"), None),
        ("target.algorithms", json!("any"), Some("target.algorithms")),
        ("source.max_connections", json!(0), Some("source.max_connections")),
        ("source.max_connections", json!(1), None),
        ("target.max_connections", json!(100), None),
        ("target.max_connections", json!(101), Some("target.max_connections")),
    ]
}

fn source_and_target_rows() -> Vec<(&'static str, Value, Option<&'static str>)> {
    vec![
        ("source.include", json!([]), Some("source.include")),
        ("source.include", json!(["[a"]), Some("source.include")),
        ("source.exclude", json!(["[a"]), Some("source.exclude")),
        ("source.exclude", json!(["*.tmp"]), None),
        ("source.after_delivery", json!("move"), Some("source.move_to")),
        ("source.after_delivery", json!("delete"), None),
        ("source.move_to", json!("/done"), None),
        ("source.settle_seconds", json!(200), None),
        ("source.settle_seconds", json!(201), Some("source.settle_seconds")),
        ("source.done_file", json!(""), Some("source.done_file")),
        ("source.done_file", json!(".done"), None),
        ("target.temporary_suffix", json!(""), Some("target.temporary_suffix")),
        ("target.temporary_suffix", json!("tmp/x"), Some("target.temporary_suffix")),
        ("target.name", json!("{file}"), Some("target.name")),
        ("target.name", json!("{member}"), None),
        ("target.name", json!("{member}{date}"), Some("target.name")),
        ("target.name", json!("x/{member}"), Some("target.name")),
        ("target.name", json!("{fi{member}le}_{member}"), Some("target.name")),
    ]
}

fn rule_rows() -> Vec<(&'static str, Value, Option<&'static str>)> {
    vec![
        ("unpack", json!({"max_ratio": 0}), Some("unpack.max_ratio")),
        ("unpack", json!({"max_entries": 0}), Some("unpack.max_entries")),
        ("unpack", json!({"max_bytes": 0}), Some("unpack.max_bytes")),
        ("unpack", json!({"max_ratio": 1, "max_entries": 1, "max_bytes": 1}), None),
        ("unpack", json!({"name_charset": "latin-1"}), Some("unpack.name_charset")),
        ("unpack", json!({"name_charset": "cp437"}), None),
        ("unpack", json!({"name_charset": "cp932"}), None),
        ("unpack", json!({"name_charset": "cp1252"}), None),
        ("records", json!({"quote": ""}), None),
        ("records", json!({"quote": "''"}), Some("records.quote")),
        ("records", json!({"delimiter": ""}), Some("records.delimiter")),
        ("records", json!({"delimiter": "§"}), Some("records.delimiter")),
        ("records", json!({"escape": "\\\\"}), Some("records.escape")),
        ("records", json!({"escape": "\\", "quote": "'", "delimiter": ";"}), None),
        ("records", json!({"model": "fixed"}), Some("records.record_bytes")),
        ("records", json!({"model": "fixed", "record_bytes": 0}), Some("records.record_bytes")),
        ("records", json!({"model": "fixed", "record_bytes": 1}), None),
        ("spark", json!({"executors": 1, "cores": 1, "memory_gb": 2}), None),
        ("spark", json!({"executors": 1, "cores": 8, "memory_gb": 20}), None),
        ("spark", json!({"executors": 1, "cores": 8, "memory_gb": 60}), None),
        ("spark", json!({"executors": 1, "cores": 8, "memory_gb": 64}), Some("spark")),
        ("spark", json!({"executors": 1, "cores": 8, "memory_gb": 21}), Some("spark")),
        ("spark", json!({"executors": 1, "cores": 2, "memory_gb": 3}), Some("spark")),
        ("spark", json!({"executors": 0}), Some("spark")),
    ]
}

fn report_rows() -> Vec<(&'static str, Value, Option<&'static str>)> {
    let url = "report.url";
    let token = "report.auth.oauth2.token_url";
    let timeout = "report.timeout_seconds";
    let two = json!({"bearer": "a/t", "hmac": {"secret": "a/h"}});
    vec![
        (url, json!("ftp://api.example"), Some(url)),
        (url, json!("http://api.example"), Some(url)),
        (url, json!("http://127.0.0.1"), None),
        (url, json!("http://127.0.0.1:80/x"), None),
        (url, json!("http://localhost/x"), None),
        (url, json!("http://[::1]:8080"), None),
        (url, json!("http://127.0.0.1.evil.example/"), Some(url)),
        (url, json!("http://localhost:80@evil.example/"), Some(url)),
        ("report.auth", oauth2("https://id.example/token"), None),
        ("report.auth", oauth2("http://localhost:1/token"), None),
        ("report.auth", oauth2("http://id.example/token"), Some(token)),
        ("report.auth", json!({"bearer": "a/t"}), None),
        ("report.auth", two, Some("report.auth")),
        (timeout, json!(0), Some(timeout)),
        (timeout, json!(1), None),
        (timeout, json!(300), None),
        (timeout, json!(301), Some(timeout)),
    ]
}

#[test]
fn every_rule_is_told_by_its_path_and_what_keeps_it_is_taken() {
    let rows = [endpoint_rows(), source_and_target_rows(), rule_rows(), report_rows()].concat();
    let mut wrong = Vec::new();
    for (pointer, value, expected) in rows {
        let found = problems(pointer, &value);
        if found != expected.map(str::to_owned).into_iter().collect::<Vec<_>>() {
            wrong.push(format!("{pointer} = {value}: {found:?} instead of {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn problems_are_a_list_that_a_person_can_work_off() {
    let mut profile = minimal();
    profile["partner"] = "A".into();
    profile["source"]["include"] = json!([]);
    let problems = Profile::parse(&profile.to_string()).unwrap_err();
    let text = problems.to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "The profile has 2 problems:");
    assert!(lines[1].starts_with("  partner: must be 1 to 63 lower-case"), "{text}");
    assert_eq!(lines[2], "  source.include: must hold at least one pattern, such as \"*\".");
    let failure = Failure::from(problems);
    assert_eq!(failure, Failure::misconfigured("profile.invalid", text));
    assert_eq!(failure.class, ErrorClass::Misconfigured);
    let one = Profile::parse("{").unwrap_err();
    assert!(one.to_string().starts_with("The profile has 1 problem:\n  (whole file): is not JSON"));
}

#[test]
fn what_is_left_out_has_its_documented_default() {
    let profile = Profile::parse(&minimal().to_string()).unwrap();
    let whole = serde_json::to_value(&profile).unwrap();
    for (path, expected) in [
        ("/source/port", json!(22)),
        ("/source/algorithms", json!("default")),
        ("/source/include", json!(["*"])),
        ("/source/exclude", json!([])),
        ("/source/settle_seconds", json!(30)),
        ("/source/max_connections", json!(9)),
        ("/source/after_delivery", json!("keep")),
        ("/unpack/max_ratio", json!(200)),
        ("/unpack/max_entries", json!(10_000)),
        ("/unpack/max_bytes", json!(1_099_511_627_776_u64)),
        ("/unpack/name_charset", json!("utf-8")),
        ("/records/model", json!("lines")),
        ("/records/large_above_bytes", json!(5_368_709_120_u64)),
        ("/spark", json!({"executors": 4, "cores": 2, "memory_gb": 8})),
        ("/report/timeout_seconds", json!(10)),
        ("/target/port", json!(22)),
        ("/target/algorithms", json!("default")),
        ("/target/max_connections", json!(9)),
        ("/target/temporary_suffix", json!(".part")),
        ("/target/name", json!("{file}_{member}")),
        ("/target/rename", json!("auto")),
        ("/target/verify", json!("auto")),
    ] {
        assert_eq!(whole.pointer(path), Some(&expected), "{path}");
    }
    assert_eq!(Profile::parse(&whole.to_string()), Ok(profile), "what is written reads the same");
    let mut hmac = minimal();
    hmac["report"]["auth"] = json!({"hmac": {"secret": "acme/h"}});
    let profile = Profile::parse(&hmac.to_string()).unwrap();
    assert_eq!(profile.report.auth.hmac.unwrap().header, "X-Signature");
}

#[test]
fn the_schema_is_a_profile_s() {
    let schema = schema();
    assert_eq!(schema["title"], "Profile");
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["required"].as_array().unwrap().len(), 5);
    assert!(is_partner_name("acme-2") && !is_partner_name("acme/2"));
}
