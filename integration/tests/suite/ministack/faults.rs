//! What functions answer when they fail, and what the world does to them: both engines retry, catch,
//! quarantine and give up alike.

use engine::{Injection, Injections, When};
use integration::{Faults, Jobs, Kind, Reply, Sample, World, zip};
use serde_json::json;

use super::both::{Both, Case};
use super::{RUN, plain, verdicts, world};
use crate::samples::sample;

/// A function, and the first state that calls it.
const FIRST: [(&str, &str); 10] = [
    ("discover", "Discover"),
    ("plan", "PlanFetch"),
    ("download", "Download"),
    ("unpack", "Unpack"),
    ("inspect", "Inspect"),
    ("size", "Size"),
    ("report", "Report"),
    ("encrypt", "Encrypt"),
    ("upload", "Upload"),
    ("finish", "Finish"),
];
/// What a function says when it fails.
const MESSAGE: &str = "upload.example: The words of a function.";

/// The same failure for our engine, so many times.
fn injected(name: &str, times: u32) -> Injection {
    let cause = format!(r#"{{"errorType": "{name}", "errorMessage": "{MESSAGE}"}}"#);
    let (error, times) = (name.to_owned(), Some(times));
    Injection::Error { error, cause, times, when: When::Before }
}

/// Runs a world of which one function fails that often, and tells how it ended.
async fn fails(function: &'static str, name: &str, times: u32) -> (String, usize, Option<String>) {
    let faults = (0..times).fold(Faults::default(), |all, _| all.error(function, name, MESSAGE));
    let (_, state) = FIRST.iter().find(|(one, _)| *one == function).expect("a function");
    let injections = Injections::new().with(*state, injected(name, times));
    let mut both = Both::of(world(Kind::Embedded, 1 << 30), &faults, &Jobs::Threads).await;
    let case = Case::new(RUN, sample("start-by-hand")).injected(injections);
    let left = both.run(vec![case]).await.remove(0);
    (left.status, left.delivered.len(), left.error)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_once_or_loses_its_process_is_tried_again() {
    let mut faults = Faults::default();
    let mut injections = Injections::new();
    for (function, state) in FIRST {
        faults = faults.error(function, "Transient", MESSAGE).exit(function);
        injections = injections
            .with(state, injected("Transient", 1))
            .with(state, injected("Runtime.ExitError", 1));
    }
    let mut both = Both::of(world(Kind::Embedded, 1 << 30), &faults, &Jobs::Threads).await;
    let case = Case::new(RUN, sample("start-by-hand")).injected(injections);
    assert_eq!(verdicts(&both.run(vec![case]).await), [("SUCCEEDED", 3, 3)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_file_is_quarantined_and_its_neighbours_go_on() {
    let (status, delivered, error) = fails("unpack", "Rejected", 1).await;
    assert_eq!((&*status, delivered, error.as_deref()), ("FAILED", 0, Some("RunIncomplete")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_who_cannot_be_reached_ends_the_run() {
    let (status, delivered, error) = fails("discover", "Misconfigured", 1).await;
    assert_eq!((&*status, delivered), ("FAILED", 0), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_come_to_an_end_and_the_upload_is_given_up() {
    let (status, delivered, error) = fails("upload", "Transient", 6).await;
    assert_eq!((&*status, delivered, error.as_deref()), ("FAILED", 0, Some("RunIncomplete")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_fails_gives_the_lease_back() {
    let (status, delivered, error) = fails("plan", "Misconfigured", 1).await;
    assert_eq!((&*status, delivered), ("FAILED", 0), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_archive_and_a_refused_report_stay_alone() {
    let world = world(Kind::Embedded, 1 << 30);
    let mut bytes = zip(&[("data.csv", b"id\n1\n2\n3\n4\n5\n6\n7\n")]);
    // The first byte of the member's content, after its header and name.
    bytes[30 + "data.csv".len()] ^= 1;
    world.put("bad.zip", &bytes);
    world.put_all(&[Sample::plain("refused.csv", b"id\n1\n".to_vec(), 1)]);
    world.api.answer(|told| {
        let refused = told.body["file"] == "refused.csv";
        let why = json!({"error": "no such file type"});
        if refused { Reply::Status(422, why) } else { Reply::accepted() }
    });
    let mut both = plain(world).await;
    let left = both.run(vec![Case::new(RUN, sample("start-by-hand"))]).await;
    assert_eq!(verdicts(&left), [("FAILED", 3, 3)]);
    let failed = left[0].objects.keys().filter(|key| key.contains("/failed/")).count();
    assert_eq!(failed, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_key_that_is_not_the_partners_ends_the_run() {
    let mut world = world(Kind::Embedded, 1 << 30);
    let other = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    world.partner.profile["target"]["host_keys"] = json!([other]);
    let mut both = plain(world).await;
    let left = both.run(vec![Case::new(RUN, json!({"partner": "acme"}))]).await;
    assert_eq!(verdicts(&left), [("FAILED", 0, 0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_new_is_a_result() {
    let mut both = plain(World::embedded()).await;
    let left = both.run(vec![Case::new(RUN, json!({"partner": "acme"}))]).await;
    assert_eq!(verdicts(&left), [("SUCCEEDED", 0, 0)]);
}
