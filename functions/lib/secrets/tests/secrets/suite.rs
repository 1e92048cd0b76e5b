//! What every source of secrets must do.

use domain::{ErrorClass, Failure};
use secrets::{Error, Secrets};

/// What the suite expects to find, name and bytes.
pub const STORED: [(&str, &[u8]); 6] = [
    ("acme/target-password", b"correct horse\n"),
    ("acme/windows", b"from notepad\r\n"),
    ("acme/source-key", b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END-----\n"),
    ("acme/recipient-cert", &[0x99, 0x00, 0xff, 0x0d, 0x0a]),
    ("top", b"no folder"),
    ("acme/blank", b" \n"),
];

pub fn failure<T: std::fmt::Debug>(result: Result<T, Error>) -> Failure {
    Failure::from(result.unwrap_err())
}

pub fn misconfigured<T: std::fmt::Debug>(result: Result<T, Error>, code: &str) -> String {
    let failure = failure(result);
    assert_eq!((failure.class, &*failure.code), (ErrorClass::Misconfigured, code), "{failure}");
    failure.message
}

/// Runs against a source that holds [`STORED`]; `place` appears in the words about a missing one.
pub async fn run(source: &dyn Secrets, place: &str) {
    for (name, bytes) in STORED.iter().filter(|(name, _)| *name != "acme/blank") {
        for secret in [source.get(name).await, source.get(name).await, source.refresh(name).await] {
            let secret = secret.unwrap();
            assert_eq!(secret.expose_bytes(), *bytes, "{name}");
            assert_eq!(secret.name(), *name);
        }
    }
    let line =
        |name| async move { source.get(name).await.unwrap().expose_line().unwrap().to_owned() };
    assert_eq!(line("acme/target-password").await, "correct horse");
    assert_eq!(line("acme/windows").await, "from notepad");
    let key = source.get("acme/source-key").await.unwrap();
    assert!(key.expose().unwrap().ends_with("-----END-----\n"));
    let binary = source.get("acme/recipient-cert").await.unwrap();
    misconfigured(binary.expose(), "secrets.not_text");
    misconfigured(binary.expose_line(), "secrets.not_text");
    let printed = format!("{key} {key:?}");
    assert!(!printed.contains("OPENSSH"), "{printed}");

    let words = misconfigured(source.get("acme/nothing").await, "secrets.missing");
    assert!(words.contains("acme/nothing") && words.contains(place), "{words}");
    misconfigured(source.refresh("acme/nothing").await, "secrets.missing");
    misconfigured(source.get("top/below").await, "secrets.missing");
    misconfigured(source.get("acme/blank").await, "secrets.empty");
    for name in ["", "../top", "/etc/passwd", "acme/../top", "a\0b", "acme//x", "a b"] {
        misconfigured(source.get(name).await, "secrets.name");
        misconfigured(source.refresh(name).await, "secrets.name");
    }
}
