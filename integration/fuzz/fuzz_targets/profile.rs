//! Any text as a profile: refused with every problem named, or accepted and then all that the stages
//! rely on holds, read here a second time without the library's own checks.

#![no_main]

use std::str::FromStr;
use std::sync::LazyLock;

use domain::Profile;
use domain::profile::{AfterDelivery, RecordModel, SshAuth, schema};
use fuzz::json::{Words, mutate};
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use serde_json::{Value, json};

static SCHEMA: LazyLock<jsonschema::Validator> =
    LazyLock::new(|| jsonschema::validator_for(&schema()).expect("our schema is one"));

const WORDS: Words = Words {
    keys: &[
        "partner",
        "source",
        "target",
        "unpack",
        "records",
        "spark",
        "report",
        "encryption",
        "host",
        "port",
        "username",
        "auth",
        "private_key",
        "passphrase",
        "password",
        "host_keys",
        "directory",
        "include",
        "exclude",
        "recursive",
        "settle_seconds",
        "done_file",
        "max_connections",
        "after_delivery",
        "move_to",
        "max_ratio",
        "max_entries",
        "max_bytes",
        "name_charset",
        "model",
        "header_records",
        "trailer_records",
        "quote",
        "escape",
        "delimiter",
        "record_bytes",
        "declared",
        "place",
        "pattern",
        "large_above_bytes",
        "executors",
        "cores",
        "memory_gb",
        "url",
        "bearer",
        "header",
        "basic",
        "oauth2",
        "hmac",
        "timeout_seconds",
        "name",
        "value",
        "token_url",
        "client_id",
        "client_secret",
        "scope",
        "secret",
        "certificate",
        "armor",
        "format",
        "sign_with",
        "temporary_suffix",
        "rename",
        "verify",
    ],
    texts: &[
        "",
        " ",
        "*",
        "**/*.csv",
        "[a-",
        "{a,b}",
        "acme",
        "-acme",
        "acme/key",
        "move",
        "delete",
        "keep",
        "lines",
        "csv",
        "jsonl",
        "fixed",
        "parquet",
        "avro",
        "none",
        "header",
        "trailer",
        "utf-8",
        "cp437",
        "cp932",
        "cp1252",
        "auto",
        "v1",
        "v2",
        "posix",
        "fresh",
        "replace",
        "direct",
        "read_back",
        "server_hash",
        "size",
        "https://",
        "http://",
        "http://localhost",
        "http://127.0.0.1",
        "http://[::1]",
        "localhost",
        "@",
        ":",
        "/",
        "{member}",
        "{file}",
        "{",
        ".part",
        ".done",
        "SHA256:",
        "(\\d+)",
        "(",
        ",",
        "\"",
        "\u{fc}",
        "SHA256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ],
};

/// Where mutation begins anew.
static SEEDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(seeds);

fuzz_target!(init: fuzz::start(seeds, |_, bytes| bytes.to_vec()), |data: &[u8]| fuzz::run(|| judge(data)));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let input = data.get(..size).unwrap_or_default();
    let made = if seed.is_multiple_of(8) { None } else { mutate(input, &SEEDS, seed, &WORDS) };
    made.and_then(|made| fuzz::place(data, size, max_size, &made))
        .unwrap_or_else(|| fuzzer_mutate(data, size, max_size))
});

fn judge(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Profile::parse(text) {
        Ok(profile) => {
            let value: Value = serde_json::from_str(text).expect("what was accepted is JSON");
            assert!(SCHEMA.is_valid(&value), "accepted against the schema");
            let written = serde_json::to_string(&profile).expect("a profile is JSON");
            assert_eq!(Profile::parse(&written).as_ref(), Ok(&profile), "{written}");
            promises(&profile);
            used(&profile);
        }
        Err(problems) => {
            assert!(!problems.0.is_empty(), "refused without a reason");
            for problem in &problems.0 {
                assert!(!problem.path.is_empty() && !problem.message.is_empty());
            }
            assert!(problems.to_string().starts_with("The profile has "));
        }
    }
}

/// What every stage takes for granted.
fn promises(profile: &Profile) {
    let (source, target) = (&profile.source, &profile.target);
    let partner = profile.partner.as_bytes();
    let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
    assert!(partner.iter().all(plain) && (1..=63).contains(&partner.len()) && partner[0] != b'-');
    endpoint(&source.host, &source.auth, &source.host_keys, source.max_connections);
    endpoint(&target.host, &target.auth, &target.host_keys, target.max_connections);
    assert!(!source.directory.trim().is_empty() && !target.directory.trim().is_empty());
    assert!(!source.username.trim().is_empty() && !target.username.trim().is_empty());
    assert!(!source.include.is_empty());
    for pattern in source.include.iter().chain(&source.exclude) {
        assert!(globset::Glob::new(pattern).is_ok(), "{pattern:?}");
    }
    assert!(source.move_to.is_some() || source.after_delivery != AfterDelivery::Move);
    assert!(source.settle_seconds <= 200);
    let name = target.name.replace("{file}", "f").replace("{member}", "\u{1}");
    assert!(name.contains('\u{1}') && !name.contains(['{', '}', '/']), "{name:?}");
    assert!(!target.temporary_suffix.is_empty() && !target.temporary_suffix.contains('/'));
    assert!(safe(&profile.report.url), "{:?}", profile.report.url);
    let auth = &profile.report.auth;
    assert!(auth.oauth2.as_ref().is_none_or(|oauth2| safe(&oauth2.token_url)));
    let kinds = [
        auth.bearer.is_some(),
        auth.header.is_some(),
        auth.basic.is_some(),
        auth.oauth2.is_some(),
        auth.hmac.is_some(),
    ];
    assert!(kinds.into_iter().filter(|kind| *kind).count() <= 1);
    assert!((1..=300).contains(&profile.report.timeout_seconds));
}

fn endpoint(host: &str, auth: &SshAuth, keys: &[String], connections: u32) {
    assert!(!host.trim().is_empty() && (1..=100).contains(&connections));
    assert!(auth.private_key.is_some() || auth.password.is_some());
    assert!(auth.passphrase.is_none() || auth.private_key.is_some());
    assert!(!keys.is_empty());
    assert!(keys.iter().all(|key| key.len() == 50 && key.starts_with("SHA256:")), "{keys:?}");
}

/// Whether a secret may be sent there: over TLS, or to this machine.
fn safe(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let own = ["localhost", "127.0.0.1", "[::1]"];
    scheme == "https"
        || own.iter().any(|own| host.split_at_checked(own.len()) == Some((own, "")))
        || own.iter().any(|own| host.starts_with(&format!("{own}:")))
}

/// The options that libraries read from a profile can be read by them.
fn used(profile: &Profile) {
    assert!(archive::NameCharset::from_str(&profile.unpack.name_charset).is_ok());
    let records = &profile.records;
    let single = |text: &String| text.len() == 1 && text.is_ascii();
    assert!(single(&records.delimiter) && records.escape.as_ref().is_none_or(single));
    assert!(records.quote.is_empty() || single(&records.quote));
    assert!(records.model != RecordModel::Fixed || records.record_bytes > Some(0));
    assert!(profile.spark.check().is_ok());
}

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

fn seeds() -> Vec<Vec<u8>> {
    let changes: &[(&str, Value)] = &[
        ("/partner", json!("Acme Corp")),
        ("/partner", json!(7)),
        ("/source/host_keys", json!([])),
        ("/source/host_keys/0", json!("MD5:x")),
        ("/source/host", json!(" ")),
        ("/source/auth", json!({})),
        ("/source/auth", json!({"password": "p", "passphrase": "q"})),
        ("/source/auth", json!({"private_key": "k", "passphrase": "q", "password": "p"})),
        ("/report/url", json!("http://api.example")),
        ("/report/url", json!("http://127.0.0.1:8080/x")),
        ("/report/url", json!("http://[::1]/")),
        ("/report", json!({"url": "https://a", "timeout_seconds": 0})),
        ("/encryption", json!(null)),
        (
            "/encryption",
            json!({"certificate": "c", "armor": true, "format": "v2",
                               "sign_with": "k"}),
        ),
    ];
    let auths = [
        json!({"bearer": "t"}),
        json!({"header": {"name": "X-Api-Key", "value": "k"}}),
        json!({"basic": {"username": "u", "password": "p"}}),
        json!({"oauth2": {"token_url": "https://t", "client_id": "i", "client_secret": "s"}}),
        json!({"oauth2": {"token_url": "http://t", "client_id": "i", "client_secret": "s",
                          "scope": "x"}}),
        json!({"hmac": {"secret": "s"}}),
        json!({"hmac": {"secret": "s", "header": "H"}, "bearer": "t"}),
    ];
    let sections: [(&str, Value); 14] = [
        ("records", json!({"model": "csv", "quote": "'", "escape": "\\", "delimiter": ";"})),
        ("records", json!({"model": "csv", "quote": "ab", "escape": "", "delimiter": "\u{fc}"})),
        ("records", json!({"model": "fixed"})),
        ("records", json!({"model": "fixed", "record_bytes": 80, "header_records": 1})),
        ("records", json!({"declared": {"place": "trailer", "pattern": "(\\d+)"}})),
        ("unpack", json!({"max_ratio": 0, "max_entries": 0, "max_bytes": 0})),
        ("unpack", json!({"name_charset": "latin-1", "password": "p"})),
        ("unpack", json!({"name_charset": "cp932", "max_ratio": 5})),
        ("spark", json!({"executors": 2, "cores": 8, "memory_gb": 20})),
        ("spark", json!({"executors": 0, "cores": 3, "memory_gb": 17})),
        ("colour", json!("red")),
        ("report", json!({"url": "https://a", "timeout_seconds": 301})),
        ("source", json!({})),
        ("target", json!([])),
    ];
    let ends: [(&str, Value); 10] = [
        ("include", json!([])),
        ("include", json!(["[a-", "{a", "*"])),
        ("exclude", json!(["*.tmp"])),
        ("after_delivery", json!("move")),
        ("move_to", json!("done")),
        ("settle_seconds", json!(201)),
        ("done_file", json!("")),
        ("done_file", json!(".done")),
        ("recursive", json!(true)),
        ("max_connections", json!(0)),
    ];
    let names: [(&str, Value); 8] = [
        ("name", json!("fixed")),
        ("name", json!("{file}_{member}")),
        ("name", json!("{member}/{x}")),
        ("temporary_suffix", json!("")),
        ("temporary_suffix", json!("/x")),
        ("rename", json!("replace")),
        ("verify", json!("read_back")),
        ("port", json!(70_000)),
    ];
    let mut made = vec![minimal(), json!({}), json!([]), json!("text")];
    for (pointer, value) in changes {
        let mut profile = minimal();
        profile.pointer_mut(pointer).expect("a place of the profile").clone_from(value);
        made.push(profile);
    }
    let inside = |section: &str, key: &str, value: &Value| {
        let mut profile = minimal();
        profile[section][key] = value.clone();
        profile
    };
    made.extend(auths.iter().map(|auth| inside("report", "auth", auth)));
    made.extend(ends.iter().map(|(key, value)| inside("source", key, value)));
    made.extend(names.iter().map(|(key, value)| inside("target", key, value)));
    for (key, value) in &sections {
        let mut profile = minimal();
        profile[*key] = value.clone();
        made.push(profile);
    }
    let mut texts: Vec<Vec<u8>> = made.iter().map(|value| value.to_string().into()).collect();
    texts.extend([b"".to_vec(), b"{".to_vec(), b"{\"partner\": \"a\", \"partner\": 1}".to_vec()]);
    texts
}
