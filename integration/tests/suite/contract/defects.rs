//! A stage that panics, hangs or dies, and services that do not do their part.

use std::net::TcpListener;

use domain::ErrorClass;
use integration::{Rie, Setting};
use serde_json::{Value, json};

use super::{cloud, fails, start};
use crate::samples::sample;

/// Seconds; two of them are kept back for the answer.
const SHORT_TIMEOUT: u32 = 6;

fn odd(timeout_seconds: Option<u32>) -> Rie {
    let mut setting = Setting::default().with("DRAYAGE_BUCKET", "bucket");
    setting.timeout_seconds = timeout_seconds;
    Rie::start(&[env!("CARGO_BIN_EXE_odd")], &setting)
}

/// The lines of the function's log with that code.
fn logged(rie: &Rie, code: &str) -> Vec<Value> {
    let output = rie.output();
    let lines = output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["code"] == code).collect()
}

/// Whatever a function logs as an error has a class and a code, and it is logged once.
fn errors(rie: &Rie) -> Vec<Value> {
    let output = rie.output();
    let lines = output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let errors: Vec<Value> = lines.filter(|line| line["level"] == "ERROR").collect();
    for line in &errors {
        let class = line["class"].as_str().and_then(ErrorClass::from_name);
        assert!(class.is_some() && line["code"].is_string(), "{line}");
    }
    errors
}

#[test]
fn a_panic_is_transient_and_its_text_stays_in_the_log_under_that_class() {
    let rie = odd(None);
    let told = fails(&rie, b"\"panic\"", ErrorClass::Transient, "runtime.panic");
    assert!(!told.message.contains("on purpose"), "{told:?}");
    assert_eq!(rie.invoke(b"\"answer\""), json!("well"), "the next event is answered");
    let lines = logged(&rie, "runtime.panic");
    let [panic, outcome] = &lines[..] else { panic!("{}", rie.output()) };
    assert_eq!(panic["message"], "A defect: on purpose");
    assert!(panic["place"].as_str().is_some_and(|place| place.contains("odd.rs:")), "{panic}");
    assert_eq!((&panic["class"], &outcome["class"]), (&json!("Transient"), &json!("Transient")));
    assert_eq!(errors(&rie).len(), 2, "{}", rie.output());
    // Nowhere else: each line of the panic is a line of the log.
    assert_eq!(rie.output().matches("on purpose").count(), 1, "{}", rie.output());
}

#[test]
fn a_panic_on_a_thread_that_the_stage_looks_after_is_the_stages_own_failure() {
    let rie = odd(None);
    fails(&rie, b"\"panic_aside\"", ErrorClass::Transient, "odd.aside");
    assert_eq!(logged(&rie, "runtime.panic").len(), 1, "{}", rie.output());
}

#[test]
fn a_stage_that_hangs_is_answered_for_before_its_time_runs_out() {
    let rie = odd(Some(SHORT_TIMEOUT));
    let told = fails(&rie, b"\"hang\"", ErrorClass::Transient, "runtime.deadline");
    assert!(told.message.starts_with("odd was not done"), "{told:?}");
    assert_eq!(errors(&rie).len(), 1, "{}", rie.output());
    assert_eq!(rie.invoke(b"\"answer\""), json!("well"), "the next event is answered");
}

#[test]
fn a_process_that_ends_is_what_the_machine_knows_as_such_and_the_next_one_answers() {
    let rie = odd(None);
    let answer = rie.invoke(b"\"exit\"");
    // The only errorType that is not ours: nobody is left to say anything else.
    assert_eq!(answer["errorType"], "Runtime.ExitError", "{answer}");
    assert_eq!(rie.invoke(b"\"answer\""), json!("well"), "a new process answers");
}

#[test]
fn a_service_that_never_answers_is_a_deadline_that_passed() {
    let (_world, cloud) = cloud();
    // It takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("an address"));
    let mut setting = cloud.setting().with("AWS_ENDPOINT_URL_S3", url);
    setting.timeout_seconds = Some(SHORT_TIMEOUT);
    let rie = start("plan", &setting);
    let event = sample("plan-fetch").to_string();
    fails(&rie, event.as_bytes(), ErrorClass::Transient, "runtime.deadline");
}

#[test]
fn a_key_that_s3_does_not_take_is_a_misconfiguration_and_is_not_told() {
    let (_world, cloud) = cloud();
    let wrong = "a-secret-key-that-is-wrong-3f9c27d1";
    let rie = start("plan", &cloud.setting().with("AWS_SECRET_ACCESS_KEY", wrong));
    let event = sample("plan-fetch").to_string();
    let answer = rie.invoke(event.as_bytes());
    let told = super::told(&answer);
    assert_eq!(told.class, ErrorClass::Misconfigured, "{told:?}");
    assert_eq!(errors(&rie).len(), 1, "{}", rie.output());
    assert!(!rie.output().contains(wrong) && !answer.to_string().contains(wrong), "{answer}");
}
