//! What every source of secrets must do.

use domain::SecretStore;
use domain::{ErrorClass, Failure};

/// What the suite expects to find, name and bytes.
pub const STORED: [(&str, &[u8]); 6] = [
    ("acme/target-password", b"correct horse\n"),
    ("acme/windows", b"from notepad\r\n"),
    ("acme/source-key", b"-----BEGIN SOME KEY-----\nAAAA\n-----END-----\n"),
    ("acme/recipient-cert", &[0x99, 0x00, 0xff, 0x0d, 0x0a]),
    ("top", b"no folder"),
    ("acme/blank", b" \n"),
];

pub fn failure<T: std::fmt::Debug>(result: Result<T, Failure>) -> Failure {
    result.unwrap_err()
}

pub fn misconfigured<T: std::fmt::Debug>(result: Result<T, Failure>, code: &str) -> String {
    let failure = failure(result);
    assert_eq!((failure.class, &*failure.code), (ErrorClass::Misconfigured, code), "{failure}");
    failure.message
}

/// Runs against a source that holds [`STORED`]; `place` appears in the words about a missing one.
pub async fn run(source: &dyn SecretStore, place: &str) {
    for (name, bytes) in STORED.iter().filter(|(name, _)| *name != "acme/blank") {
        for secret in
            [source.secret(name).await, source.secret(name).await, source.fresh(name).await]
        {
            let secret = secret.unwrap();
            assert_eq!(secret.bytes(), *bytes, "{name}");
            assert_eq!(secret.name(), *name);
        }
    }
    let line = |name| async move { source.secret(name).await.unwrap().line().unwrap().to_owned() };
    assert_eq!(line("acme/target-password").await, "correct horse");
    assert_eq!(line("acme/windows").await, "from notepad");
    let key = source.secret("acme/source-key").await.unwrap();
    assert!(key.text().unwrap().ends_with("-----END-----\n"));
    let binary = source.secret("acme/recipient-cert").await.unwrap();
    misconfigured(binary.text(), "secrets.not_text");
    misconfigured(binary.line(), "secrets.not_text");
    let printed = format!("{key:?}");
    assert!(!printed.contains("SOME KEY"), "{printed}");

    let words = misconfigured(source.secret("acme/nothing").await, "secrets.missing");
    assert!(words.contains("acme/nothing") && words.contains(place), "{words}");
    misconfigured(source.fresh("acme/nothing").await, "secrets.missing");
    misconfigured(source.secret("top/below").await, "secrets.missing");
    misconfigured(source.secret("acme/blank").await, "secrets.empty");
    for name in ["", "../top", "/etc/passwd", "acme/../top", "a\0b", "acme//x", "a b"] {
        misconfigured(source.secret(name).await, "secrets.name");
        misconfigured(source.fresh(name).await, "secrets.name");
    }
}
