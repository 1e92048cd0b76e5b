//! What a partner owes: the word that a delivery arrived, and files that have to come.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use domain::events::{Summary, Verdict};
use domain::heard::Acknowledgement;
use dray::run::Ended;
use engine::{EventType, Injection, Injections, Notice, When};
use integration::{World, states};
use serde_json::{Value, json};

pub(crate) const CONTENT: &[u8] = b"id\n1\n2\n";

pub(crate) fn world(target: Value) -> World {
    with(World::embedded(), &target)
}

/// A world with three members to deliver and those settings of the target.
pub(crate) fn with(mut world: World, target: &Value) -> World {
    for (field, value) in target.as_object().expect("fields") {
        world.partner.profile["target"][field] = value.clone();
    }
    world.partner.profile["records"]["header_records"] = json!(1);
    world.put("a.csv", CONTENT);
    world.put("b.zip", &integration::zip(&[("x.csv", b"id\n1\n"), ("y.csv", b"id\n")]));
    world
}

pub(crate) async fn run(world: &World) -> Summary {
    world.run().await.summary.expect("a summary")
}

/// Calls a closure whenever the execution enters that state.
pub(crate) async fn run_with(
    world: &World,
    state: &'static str,
    act: impl Fn() + Send + Sync + 'static,
) -> Ended {
    let mut options = world.options();
    options.observer = Some(Arc::new(move |notice: Notice<'_>| {
        let event = notice.event;
        let entered = event.event_type.name().ends_with("StateEntered");
        if entered && event.state() == Some(state) {
            act();
        }
    }));
    world.run_with(options, world.start()).await
}

pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut names: Vec<String> = entries
        .map(|it| it.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

pub(crate) fn json_at(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("a document")).expect("JSON")
}

pub(crate) fn lease_path(world: &World) -> PathBuf {
    world.state.join("s3/drayage/leases/acme.json")
}

#[tokio::test]
async fn files_that_have_to_come_are_in_the_summary_and_the_report() {
    let mut world = world(json!({}));
    let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    // A zone in which it is about noon, so that the day does not end in the middle.
    let hour = i64::from(jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).hour()) - 12;
    let zone = format!("Etc/GMT{hour:+}");
    let row = |pattern: &str, due: &str| json!({"pattern": pattern, "due": due, "days": days, "time_zone": zone});
    let none = json!({"pattern": "q-*.csv", "due": "00:00", "days": days,
        "holidays": [jiff::Timestamp::now().in_tz(&zone).expect("a zone").date().to_string()],
        "time_zone": zone});
    world.partner.profile["expects"] = json!([
        row("a.csv", "23:59"),
        row("b.zip", "00:00"),
        row("prices-*.csv", "00:00"),
        row("stock-*.csv", "23:59"),
        none,
    ]);
    let log = tempfile::NamedTempFile::new().expect("a log");
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(format!("{}=info", domain::METRICS))
        .with_ansi(false)
        .with_writer(log.reopen().expect("the log"));
    let guard = tracing::subscriber::set_default(subscriber.finish());
    let summary = run(&world).await;
    drop(guard);
    let metrics = std::fs::read_to_string(log.path()).expect("metrics");
    let counted = "expected_on_time=1 expected_late=1 expected_missing=1 expected_pending=1";
    assert!(metrics.contains(counted), "{metrics}");
    let states: Vec<_> = summary.expected.iter().map(|row| row.state.words()).collect();
    assert_eq!(states, ["on time", "late", "missing", "pending", "not expected"]);
    assert_eq!(summary.verdict, Verdict::Delivered);
    assert!(summary.warnings.iter().any(|it| it.contains("prices-*.csv")), "{summary:?}");
    let report = world.run_folder("acme", &summary.run).join("report.html");
    let report = std::fs::read_to_string(report).expect("a report");
    for words in ["<td>prices-*.csv</td>", ">missing<", ">late<"] {
        assert!(report.contains(words), "{words} is not in the report");
    }
    let lines = |summary: &Summary, words: &str| {
        summary.warnings.iter().filter(|it| it.contains(words)).count()
    };
    assert_eq!((lines(&summary, "came late"), lines(&summary, "are missing")), (1, 1));
    let next = run(&world).await;
    assert_eq!(next.expected, summary.expected);
    assert_eq!((lines(&next, "came late"), lines(&next, "are missing")), (0, 1), "{next:?}");
}

/// Writes the acknowledgements of everything that lies in a folder.
fn acknowledge(folder: &Path, to: &Path) {
    for name in names(folder).iter().filter(|name| name.ends_with(".pgp")) {
        std::fs::write(to.join(format!("{name}.ack")), b"").expect("an acknowledgement");
    }
}

fn subfolder(world: &World, name: &str) -> PathBuf {
    let path = world.target.folder.join(name);
    std::fs::create_dir(&path).expect("a folder");
    path
}

#[tokio::test]
async fn a_partner_that_acknowledges_is_waited_for_and_nobody_is_locked_out_meanwhile() {
    let world = world(json!({"acknowledgement": {"within_seconds": 600}}));
    let (folder, lease) = (world.target.folder.clone(), lease_path(&world));
    let ended = run_with(&world, "AwaitAcknowledgement", move || {
        let lease = json_at(&lease);
        assert!(lease["released_at"].is_string(), "the lease is held while it waits: {lease}");
        acknowledge(&folder, &folder);
    })
    .await;
    assert!(states(&ended.outcome).contains(&"AwaitAcknowledgement".to_owned()));
    let summary = ended.summary.expect("a summary");
    let acknowledged = summary.acknowledged.expect("how it stands");
    assert_eq!((summary.verdict, summary.warnings), (Verdict::Delivered, Vec::new()));
    assert_eq!((acknowledged.state, acknowledged.wanted), (Acknowledgement::Received, 3));
    assert!(acknowledged.complete_at.is_some(), "{acknowledged:?}");
    let report =
        std::fs::read_to_string(world.run_folder("acme", &summary.run).join("report.html"));
    assert!(report.expect("a report").contains("The partner acknowledged."));
}

/// Finish tells nobody what it saw: the partner stays silent, is looked for again, and then answers.
#[tokio::test]
async fn a_look_whose_answer_was_lost_is_taken_again_and_a_late_word_counts() {
    let world = world(json!({"acknowledgement": {"within_seconds": 600}}));
    let mut options = world.options();
    let cause = r#"{"errorMessage": "The answer was lost. [test.injected]"}"#.to_owned();
    let (error, when) = ("Transient".to_owned(), When::After);
    let thrice = Injection::Error { error, cause, times: Some(3), when };
    options.injections = Injections::new().with("Finish", thrice);
    let (runs, folder) = (world.state.join("s3/drayage/runs/acme"), world.target.folder.clone());
    let seen: Arc<Mutex<Vec<Value>>> = Arc::default();
    let told = Arc::clone(&seen);
    options.observer = Some(Arc::new(move |notice: Notice<'_>| {
        if notice.event.event_type != EventType::TaskFailed {
            return;
        }
        let run = std::fs::read_dir(&runs).expect("runs").next().expect("one").expect("one").path();
        let mut told = told.lock().expect("summaries");
        told.push(json_at(&run.join("summary.json")));
        if told.len() == 1 {
            let path = run.join("acknowledgements.json");
            let mut awaited = json_at(&path);
            awaited["deadline"] = json!("2026-01-01T00:00:00Z");
            std::fs::write(path, awaited.to_string()).expect("its time is over");
        }
        if told.len() == 3 {
            acknowledge(&folder, &folder);
        }
    }));
    let ended = world.run_with(options, world.start()).await;
    assert_eq!(ended.outcome.error, None, "{:?}", ended.outcome.cause);
    let seen = seen.lock().expect("summaries");
    let verdicts: Vec<_> = seen.iter().map(|it| it["verdict"].clone()).collect();
    assert_eq!(json!(verdicts), json!(["Delivered", "Unacknowledged", "Unacknowledged"]));
    assert_eq!(seen[1], seen[2], "what was seen before is no news");
    assert_eq!(seen[2]["acknowledged"]["complete_at"], Value::Null);
    let summary = ended.summary.expect("a summary");
    assert_eq!((summary.verdict, summary.warnings.len()), (Verdict::Delivered, 1), "{summary:?}");
    assert_eq!(summary.acknowledged.expect("how it stands").state, Acknowledgement::Received);
}

#[tokio::test]
async fn a_run_that_ended_early_alarms_by_itself_and_waits_for_nobody() {
    let world = world(json!({"acknowledgement": {"within_seconds": 600}}));
    let mut options = world.options();
    let cause = r#"{"errorMessage": "The account was closed. [test.injected]"}"#.to_owned();
    let (error, when) = ("Misconfigured".to_owned(), When::After);
    let once = Injection::Error { error, cause, times: Some(1), when };
    options.injections = Injections::new().with("Upload", once);
    let summary = world.run_with(options, world.start()).await.summary.expect("a summary");
    assert_eq!((summary.verdict, summary.acknowledged), (Verdict::Misconfigured, None));
}

#[tokio::test]
async fn silence_is_an_alarm_and_nothing_is_sent_again() {
    let world = world(json!({"acknowledgement": {"within_seconds": 1}}));
    let folder = world.target.folder.clone();
    // All but one.
    let ended = run_with(&world, "AwaitAcknowledgement", move || {
        acknowledge(&folder, &folder);
        std::fs::remove_file(folder.join("b_x.csv.pgp.ack")).expect("one");
    })
    .await;
    assert_eq!(ended.outcome.error.as_deref(), Some("Unacknowledged"));
    let summary = ended.summary.expect("a summary");
    assert_eq!((summary.verdict, summary.totals.delivered), (Verdict::Unacknowledged, 3));
    let acknowledged = summary.acknowledged.expect("how it stands");
    assert_eq!(acknowledged.state, Acknowledgement::Missing);
    let [missing] = &acknowledged.missing[..] else { panic!("{acknowledged:?}") };
    assert!(missing.ends_with("/b_x.csv.pgp.ack"), "{missing}");
    assert!(
        summary.warnings.iter().any(|it| it.contains("b_x.csv.pgp.ack")),
        "{:?}",
        summary.warnings
    );
    let before = world.target.marks();
    assert_eq!(run(&world).await.verdict, Verdict::Nothing);
    assert_eq!(world.target.marks(), before);
}

#[tokio::test]
async fn an_acknowledgement_of_an_earlier_delivery_does_not_count() {
    let world = world(json!({"acknowledgement": {"within_seconds": 1, "name": "{partner}.ok"}}));
    let path = world.target.folder.join("acme.ok");
    let file = std::fs::File::create(&path).expect("an old acknowledgement");
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    file.set_modified(old).expect("its time");
    let summary = run(&world).await;
    assert_eq!(summary.verdict, Verdict::Unacknowledged);
}

#[tokio::test]
async fn one_acknowledgement_may_stand_for_the_manifest_and_lie_elsewhere() {
    let mut world = world(json!({"manifest": {}}));
    let answers = subfolder(&world, "answers");
    let directory = world.partner.profile["target"]["directory"].as_str().expect("a path");
    let directory = format!("{directory}/answers");
    world.partner.profile["target"]["acknowledgement"] =
        json!({"within_seconds": 600, "directory": directory, "name": "{manifest}.ok"});
    let folder = world.target.folder.clone();
    let ended = run_with(&world, "AwaitAcknowledgement", move || {
        for name in names(&folder).iter().filter(|name| name.ends_with(".manifest.json")) {
            std::fs::write(answers.join(format!("{name}.ok")), b"").expect("an acknowledgement");
        }
    })
    .await;
    let acknowledged = ended.summary.expect("a summary").acknowledged.expect("how it stands");
    assert_eq!((acknowledged.state, acknowledged.wanted), (Acknowledgement::Received, 1));
}

#[tokio::test]
async fn a_target_in_trouble_is_looked_at_until_the_time_is_over() {
    let world = Arc::new(world(json!({"acknowledgement": {"within_seconds": 1}})));
    let down = Arc::clone(&world);
    let ended = run_with(&world, "AwaitAcknowledgement", move || {
        down.partner.target.embedded().stop();
    })
    .await;
    let waits = states(&ended.outcome).iter().filter(|it| *it == "AwaitAcknowledgement").count();
    assert!(waits > 1, "{waits}");
    let summary = ended.summary.expect("a summary");
    assert_eq!((summary.verdict, summary.totals.delivered), (Verdict::Unacknowledged, 3));
    let [warning] = &summary.warnings[..] else { panic!("{:?}", summary.warnings) };
    let port = world.partner.target.embedded().port().to_string();
    assert!(warning.contains(&port), "why nobody could look: {warning}");
}

#[tokio::test]
async fn a_target_that_must_be_mended_first_is_not_waited_for() {
    let world = Arc::new(world(json!({"acknowledgement": {"within_seconds": 86_400}})));
    let closed = Arc::clone(&world);
    let ended = run_with(&world, "AwaitAcknowledgement", move || {
        closed.secret("acme/target-password", "wrong");
    })
    .await;
    let waits = states(&ended.outcome).iter().filter(|it| *it == "AwaitAcknowledgement").count();
    assert_eq!(waits, 1);
    let summary = ended.summary.expect("a summary");
    assert_eq!((summary.verdict, summary.totals.delivered), (Verdict::Unacknowledged, 3));
    let [warning] = &summary.warnings[..] else { panic!("{:?}", summary.warnings) };
    assert!(warning.contains("password"), "{warning}");
}
