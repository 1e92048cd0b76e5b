//! Failures, labels, secrets and deadlines: what people and the state machine read.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use domain::events::CaughtError;
use domain::ids::Name;
use domain::items::{Failed, FileRef, MemberItem};
use domain::{Deadline, ErrorClass, Failure, SecretBytes, SecretStore};

#[test]
fn each_class_has_its_name_and_says_whether_to_try_again() {
    type Make = fn(&'static str, &'static str) -> Failure;
    let rows: [(&str, bool, Make); 5] = [
        ("Transient", true, Failure::transient),
        ("Throttled", true, Failure::throttled),
        ("SourceChanged", false, Failure::source_changed),
        ("Rejected", false, Failure::rejected),
        ("Misconfigured", false, Failure::misconfigured),
    ];
    for ((name, retryable, make), class) in rows.into_iter().zip(ErrorClass::ALL) {
        assert_eq!((class.name(), class.is_retryable()), (name, retryable));
        assert_eq!(class.to_string(), name);
        assert_eq!(ErrorClass::from_name(name), Some(class));
        let failure = make("x.y", "Why.");
        assert_eq!(failure, Failure::new(class, "x.y", "Why."));
        assert_eq!(failure.to_string(), format!("{name}: Why. [x.y]"));
    }
    assert_eq!(ErrorClass::from_name("States.Timeout"), None);
}

#[test]
fn what_a_catch_hands_over_becomes_a_failure_with_its_words() {
    let caught = |error: &str, cause: &str| {
        let (error, cause) = (error.to_owned(), cause.to_owned());
        CaughtError { error, cause }.failure()
    };
    assert_eq!(
        caught("Rejected", "no code"),
        Failure::rejected("machine.unnamed", "no code"),
        "words without a code keep the class"
    );
    assert_eq!(
        caught("States.Timeout", " "),
        Failure::transient(
            "machine.gave_up",
            "The step ended with States.Timeout and gave no reason."
        )
    );
    assert_eq!(
        caught("Lambda.Unknown", r#"{"errorMessage":"out of memory"}"#),
        Failure::transient("machine.gave_up", "The step ended with Lambda.Unknown: out of memory")
    );
}

fn failed(path: &str, member: Option<&str>) -> String {
    let file = FileRef::new("acme", path, 1, 2);
    Failed {
        name: file.name.clone(),
        file,
        member: member.map(str::to_owned),
        stage: "inspect".to_owned(),
        failure: Failure::rejected("x.y", "Why."),
        at: "2026-11-22T00:00:00Z".parse().unwrap(),
    }
    .label()
}

#[test]
fn a_label_names_the_member_inside_its_archive() {
    assert_eq!(failed("orders.zip", None), "orders.zip");
    assert_eq!(failed("orders.zip", Some("a/b.csv")), "orders.zip!a/b.csv");
    assert_eq!(failed("in/orders.csv", Some("in/orders.csv")), "in/orders.csv");
    assert_eq!(failed("in/orders.zip", Some("orders.zip")), "in/orders.zip!orders.zip");
}

#[test]
fn a_member_has_its_file_s_id_in_its_own() {
    let file = FileRef::new("acme", "orders.zip", 1, 2);
    let id = MemberItem::id_of(&file, "a/b.csv");
    assert_eq!(id, domain::ids::member_id(file.name.id(), "a/b.csv"));
    let mut item = MemberItem {
        name: Name::new(9, &id),
        file,
        resend: None,
        path: "a/b.csv".to_owned(),
        from_archive: true,
        bytes: 9,
        sha256: String::new(),
        key: String::new(),
        count: None,
        report: None,
        sealed: None,
    };
    assert_eq!(item.label(), "orders.zip!a/b.csv");
    item.from_archive = false;
    assert_eq!(item.label(), "orders.zip");
}

#[test]
fn a_secret_is_read_as_bytes_as_text_or_as_one_line() {
    let secret = SecretBytes::new("acme/p", b"one\r\n".to_vec());
    assert_eq!((secret.name(), secret.bytes()), ("acme/p", b"one\r\n".as_slice()));
    assert_eq!((secret.text(), secret.line()), (Ok("one\r\n"), Ok("one")));
    assert_eq!(format!("{secret:?}"), "SecretBytes(acme/p, redacted)");
    let code = |found: Result<&str, Failure>| found.unwrap_err().code;
    let binary = SecretBytes::new("acme/p", vec![0xff]);
    assert_eq!(code(binary.text()), "secrets.not_text");
    assert_eq!(code(binary.line()), "secrets.not_text");
    for several in ["a\nb", "a\rb"] {
        let several = SecretBytes::new("acme/p", several.into());
        assert_eq!(code(several.line()), "secrets.not_a_line");
    }
}

/// A keeper without a cache.
struct Counting(AtomicUsize);

#[async_trait]
impl SecretStore for Counting {
    async fn secret(&self, name: &str) -> Result<SecretBytes, Failure> {
        let asked = self.0.fetch_add(1, Ordering::Relaxed);
        Ok(SecretBytes::new(name, vec![u8::try_from(asked).unwrap()]))
    }
}

#[tokio::test]
async fn a_keeper_without_a_cache_is_simply_asked_again() {
    let keeper = Counting(AtomicUsize::new(5));
    assert_eq!(keeper.fresh("x").await.unwrap().bytes(), [5]);
    assert_eq!(keeper.fresh("x").await.unwrap().bytes(), [6]);
}

#[test]
fn a_deadline_is_near_when_no_more_than_its_margin_is_left() {
    let long = Deadline::after(Deadline::MARGIN + Duration::from_secs(600));
    assert!(!long.is_near() && long.remaining() > Deadline::MARGIN);
    assert!(long.remaining() <= Deadline::MARGIN + Duration::from_secs(600));
    assert!(Deadline::after(Deadline::MARGIN).is_near());
    assert!(Deadline::after(Duration::ZERO).is_near());
    assert!(!Deadline::NONE.is_near());
    assert_eq!(Deadline::NONE.remaining(), Duration::MAX);
}
