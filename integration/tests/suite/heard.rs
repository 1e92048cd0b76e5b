//! What a partner is told beside the files, and what it owes: the manifest, the acknowledgement, and
//! files that have to come.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::events::{Summary, Verdict};
use domain::heard::Acknowledgement;
use dray::run::Ended;
use engine::{EventType, Injection, Injections, Notice, When};
use integration::{World, states};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const CONTENT: &[u8] = b"id\n1\n2\n";

fn world(target: Value) -> World {
    let mut world = World::embedded();
    for (field, value) in target.as_object().expect("fields") {
        world.partner.profile["target"][field] = value.clone();
    }
    world.partner.profile["records"]["header_records"] = json!(1);
    world.put("a.csv", CONTENT);
    world.put("b.zip", &integration::zip(&[("x.csv", b"id\n1\n"), ("y.csv", b"id\n")]));
    world
}

async fn run(world: &World) -> Summary {
    world.run().await.summary.expect("a summary")
}

/// Calls a closure whenever the execution enters that state.
async fn run_with(
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

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The names of manifests at the target.
fn manifests(world: &World) -> Vec<String> {
    world.target.names().into_iter().filter(|name| !name.ends_with(".pgp")).collect()
}

fn read(world: &World, name: &str) -> String {
    std::fs::read_to_string(world.target.folder.join(name)).expect("a manifest")
}

#[tokio::test]
async fn a_manifest_lists_names_sizes_hashes_and_counts_of_what_lies_there() {
    let world = world(json!({"manifest": {}}));
    let summary = run(&world).await;
    let name = format!("acme-{}.manifest.json", summary.run);
    assert_eq!(manifests(&world), std::slice::from_ref(&name));
    let manifest: Value = serde_json::from_str(&read(&world, &name)).expect("JSON");
    assert_eq!((&manifest["partner"], &manifest["run"]), (&json!("acme"), &json!(summary.run)));
    let mut rows = manifest["files"].as_array().expect("rows").clone();
    rows.sort_by_key(|row| row["name"].to_string());
    let told: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!([row["name"], row["records"], row["content_bytes"], row["source"], row["member"]])
        })
        .collect();
    assert_eq!(
        json!(told),
        json!([
            ["a.csv.pgp", 2, 7, "a.csv", "a.csv"],
            ["b_x.csv.pgp", 1, 5, "b.zip", "x.csv"],
            ["b_y.csv.pgp", 0, 3, "b.zip", "y.csv"],
        ])
    );
    for row in &rows {
        let sealed = std::fs::read(world.target.folder.join(row["name"].as_str().expect("a name")));
        let sealed = sealed.expect("a delivered file");
        assert_eq!(row["bytes"], sealed.len());
        assert_eq!(row["sha256"], sha256(&sealed));
    }
    assert_eq!(rows[0]["content_sha256"], sha256(CONTENT));
    let delivered = summary.manifest.expect("told in the summary");
    assert!(delivered.remote_path.ends_with(&name), "{delivered:?}");
    assert_eq!(run(&world).await.verdict, Verdict::Nothing);
    assert_eq!(manifests(&world), [name], "a run without deliveries has none");
}

#[tokio::test]
async fn a_manifest_can_be_csv() {
    let world = world(json!({"manifest": {"name": "list-{run}.csv", "format": "csv"}}));
    let summary = run(&world).await;
    let text = read(&world, &format!("list-{}.csv", summary.run));
    let mut lines = text.lines();
    assert_eq!(
        lines.next(),
        Some("name,bytes,sha256,records,content_bytes,content_sha256,source,member")
    );
    assert!(lines.any(|line| line.starts_with("b_x.csv.pgp,") && line.ends_with(",b.zip,x.csv")));
}

/// Nothing that comes to the target after the manifest is from the same run.
#[tokio::test]
async fn a_manifest_comes_last_and_under_its_name_it_is_whole() {
    let world = world(json!({"manifest": {}}));
    let folder = world.target.folder.clone();
    let ended = run_with(&world, "Finish", move || {
        let names = names(&folder);
        assert_eq!(names, ["a.csv.pgp", "b_x.csv.pgp", "b_y.csv.pgp"], "before Finish");
    })
    .await;
    assert_eq!(ended.summary.expect("a summary").verdict, Verdict::Delivered);
    assert_eq!(manifests(&world).len(), 1);
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut names: Vec<String> = entries
        .map(|it| it.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_manifest_is_sent_once_though_finish_runs_twice_and_the_partner_takes_it() {
    for rename in ["auto", "fresh", "direct"] {
        let world = world(json!({"manifest": {}, "rename": rename}));
        let taken = world.target.folder.clone();
        let mut options = world.options();
        let cause = r#"{"errorMessage": "The answer was lost. [test.injected]"}"#.to_owned();
        let (error, when) = ("Transient".to_owned(), When::After);
        let once = Injection::Error { error, cause, times: Some(1), when };
        options.injections = Injections::new().with("Finish", once);
        // The partner takes the manifest as soon as Finish has returned for the first time.
        options.observer = Some(Arc::new(move |notice: Notice<'_>| {
            if notice.event.event_type == EventType::TaskFailed {
                for name in names(&taken).iter().filter(|name| !name.ends_with(".pgp")) {
                    std::fs::remove_file(taken.join(name)).expect("taken");
                }
            }
        }));
        let ended = world.run_with(options, world.start()).await;
        assert_eq!(ended.outcome.error, None, "{rename}: {:?}", ended.outcome.cause);
        let summary = ended.summary.expect("a summary");
        assert_eq!(summary.verdict, Verdict::Delivered, "{rename}: {summary:?}");
        assert!(summary.manifest.is_some());
        assert_eq!(manifests(&world), Vec::<String>::new(), "{rename}: sent again");
    }
}

#[tokio::test]
async fn files_whose_manifest_was_refused_stay_open_and_are_listed_by_the_next_run() {
    let mut world = world(json!({"manifest": {"name": "list.json"}}));
    world.partner.profile["source"]["after_delivery"] = json!("delete");
    let path = world.target.folder.join("list.json");
    std::fs::write(&path, b"theirs").expect("somebody else's file");
    let summary = run(&world).await;
    assert_eq!((summary.verdict, summary.totals.delivered), (Verdict::Incomplete, 3));
    let error = summary.error.expect("why");
    assert_eq!(error.code, "finish.manifest_exists");
    assert_eq!(std::fs::read(&path).expect("still there"), b"theirs");
    assert_eq!(world.source.names(), ["a.csv", "b.zip"], "the source was touched");
    let before = world.target.marks();
    std::fs::remove_file(&path).expect("moved away");
    let summary = run(&world).await;
    assert_eq!((summary.verdict, summary.totals.delivered_before), (Verdict::Delivered, 3));
    let manifest: Value = serde_json::from_str(&read(&world, "list.json")).expect("JSON");
    assert_eq!(manifest["files"].as_array().map(Vec::len), Some(3));
    for (name, mark) in world.target.marks() {
        assert!(name == "list.json" || before[&name] == mark, "{name} was sent again");
    }
    assert_eq!(world.source.names(), Vec::<String>::new());
}

#[tokio::test]
async fn a_manifest_of_one_name_replaces_the_last_one_where_the_profile_says_so() {
    let world = world(json!({"manifest": {"name": "latest.json"}, "on_existing": "replace"}));
    assert_eq!(run(&world).await.verdict, Verdict::Delivered);
    world.put("c.csv", CONTENT);
    assert_eq!(run(&world).await.verdict, Verdict::Delivered);
    let manifest: Value = serde_json::from_str(&read(&world, "latest.json")).expect("JSON");
    assert_eq!(manifest["files"][0]["name"], "c.csv.pgp");
    assert_eq!(manifest["files"].as_array().map(Vec::len), Some(1));
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
    let summary = run(&world).await;
    let states: Vec<_> = summary.expected.iter().map(|row| row.state.words()).collect();
    assert_eq!(states, ["on time", "late", "missing", "pending", "not expected"]);
    assert_eq!(summary.verdict, Verdict::Delivered);
    assert!(summary.warnings.iter().any(|it| it.contains("prices-*.csv")), "{summary:?}");
    let report = world.run_folder("acme", &summary.run).join("report.html");
    let report = std::fs::read_to_string(report).expect("a report");
    for words in ["<td>prices-*.csv</td>", ">missing<", ">late<"] {
        assert!(report.contains(words), "{words} is not in the report");
    }
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
    let (folder, state) = (world.target.folder.clone(), world.state.clone());
    let ended = run_with(&world, "AwaitAcknowledgement", move || {
        let lease = std::fs::read(state.join("s3/drayage/leases/acme.json")).expect("a lease");
        let lease: Value = serde_json::from_slice(&lease).expect("JSON");
        assert!(lease["released_at"].is_string(), "the lease is held while it waits: {lease}");
        acknowledge(&folder, &folder);
    })
    .await;
    assert!(states(&ended.outcome).contains(&"AwaitAcknowledgement".to_owned()));
    let summary = ended.summary.expect("a summary");
    let acknowledged = summary.acknowledged.expect("how it stands");
    assert_eq!((summary.verdict, summary.warnings), (Verdict::Delivered, Vec::new()));
    assert_eq!((acknowledged.state, acknowledged.wanted), (Acknowledgement::Received, 3));
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
