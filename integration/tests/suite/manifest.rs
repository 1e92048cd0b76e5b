//! What a partner is told beside the files: the manifest.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use domain::events::Verdict;
use engine::{Event, EventType, Injection, Injections, Notice, When};
use integration::World;
use serde_json::{Value, json};
use sftp::server::Quirks;
use sha2::{Digest, Sha256};

use crate::heard::{CONTENT, json_at, lease_path, names, run, run_with, with, world};

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
    for rename in ["auto", "direct"] {
        refused_and_listed(rename).await;
    }
}

async fn refused_and_listed(rename: &str) {
    let mut world = world(json!({"manifest": {"name": "list.json"}, "rename": rename}));
    world.partner.profile["source"]["after_delivery"] = json!("delete");
    let path = world.target.folder.join("list.json");
    std::fs::write(&path, b"theirs").expect("somebody else's file");
    let summary = run(&world).await;
    assert_eq!((summary.verdict, summary.totals.delivered), (Verdict::Incomplete, 3));
    assert_eq!((summary.totals.members, summary.totals.delivered_before), (3, 0));
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
async fn a_run_that_lost_its_partner_delivers_no_manifest_and_leaves_none_behind() {
    let world = world(json!({"manifest": {}}));
    let lease = lease_path(&world);
    let ended = run_with(&world, "Finish", move || {
        let mut taken = json_at(&lease);
        taken["run"] = json!("another");
        taken["execution"] = json!("an execution that is not running");
        std::fs::write(&lease, taken.to_string()).expect("the lease is another run's");
    })
    .await;
    assert_eq!(ended.outcome.error.as_deref(), Some("RunIncomplete"));
    let told = |event: &Event| format!("{:?}", event.details).contains("finish.lease_lost");
    assert!(ended.outcome.history.iter().any(told));
    assert_eq!(manifests(&world), Vec::<String>::new());
    let summary = run(&world).await;
    assert_eq!((summary.verdict, summary.totals.delivered_before), (Verdict::Delivered, 3));
    assert_eq!(manifests(&world), [format!("acme-{}.manifest.json", summary.run)]);
}

/// The dead run stopped right before the rename of its manifest.
#[tokio::test]
async fn what_a_dead_run_left_of_its_manifest_is_swept_and_speaks_for_no_rename() {
    let world = world(json!({"manifest": {}}));
    let dead = run(&world).await.run;
    let folder = &world.target.folder;
    let whole = folder.join(format!("acme-{dead}.manifest.json"));
    std::fs::rename(&whole, folder.join(format!("acme-{dead}.manifest.json.{dead}.part")))
        .expect("the rename never happened");
    let sending = world.run_folder("acme", &dead).join("manifest.json");
    for (path, changes) in [
        (sending.clone(), json!({"delivered": false, "renaming": true})),
        (lease_path(&world), json!({"released_at": null})),
    ] {
        let mut document = json_at(&path);
        for (field, value) in changes.as_object().expect("fields") {
            document[field] = value.clone();
        }
        std::fs::write(&path, document.to_string()).expect("as the dead run left it");
    }
    std::fs::remove_dir_all(world.state.join("s3/drayage/ledger/acme/files")).expect("rows");
    let summary = run(&world).await;
    assert_eq!((summary.verdict, summary.totals.delivered_before), (Verdict::Delivered, 3));
    assert_eq!(manifests(&world), [format!("acme-{}.manifest.json", summary.run)]);
    assert_eq!(json_at(&sending)["renaming"], false, "whoever wakes up believes in the rename");
}

/// How far the first call of Finish came with the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CutOff {
    /// Right before the rename; without one, with half of it written.
    Half,
    /// The same, and then somebody else took the name.
    HalfAndTaken,
    /// Right after the rename.
    Renamed,
}

impl CutOff {
    /// Leaves bucket and target as they were at that moment.
    fn leave(self, run: &Path, lease: &Path, folder: &Path) {
        let mut held = json_at(lease);
        held["released_at"] = Value::Null;
        std::fs::write(lease, held.to_string()).expect("the lease is held");
        let kept = run.join("manifest.json");
        let mut sending = json_at(&kept);
        sending["delivered"] = json!(false);
        sending["renaming"] = json!(true);
        std::fs::write(&kept, sending.to_string()).expect("as it stood then");
        let name = |path: &Value| {
            folder.join(path.as_str().expect("a path").rsplit('/').next().expect("a name"))
        };
        let (whole, half) = (name(&sending["manifest"]["remote_path"]), name(&sending["half"]));
        if self == Self::Renamed {
            return;
        }
        if whole == half {
            std::fs::write(whole, b"{").expect("half of it");
            return;
        }
        std::fs::rename(&whole, half).expect("before the rename");
        if self == Self::HalfAndTaken {
            std::fs::write(whole, b"theirs").expect("somebody else's file");
        }
    }
}

#[tokio::test]
async fn a_manifest_that_was_cut_off_is_brought_to_its_end_wherever_that_was() {
    for (rename, cut_off) in [
        ("auto", CutOff::Half),
        ("auto", CutOff::HalfAndTaken),
        ("auto", CutOff::Renamed),
        ("fresh", CutOff::Half),
        ("fresh", CutOff::Renamed),
        ("direct", CutOff::Half),
    ] {
        let world = world(json!({"manifest": {"name": "list.json"}, "rename": rename}));
        let (runs, folder) =
            (world.state.join("s3/drayage/runs/acme"), world.target.folder.clone());
        let mut options = world.options();
        let cause = r#"{"errorMessage": "The answer was lost. [test.injected]"}"#.to_owned();
        let (error, when) = ("Transient".to_owned(), When::After);
        let once = Injection::Error { error, cause, times: Some(1), when };
        options.injections = Injections::new().with("Finish", once);
        let (lease, left) = (lease_path(&world), AtomicBool::new(false));
        options.observer = Some(Arc::new(move |notice: Notice<'_>| {
            let failed = notice.event.event_type == EventType::TaskFailed;
            if failed && !left.swap(true, Ordering::SeqCst) {
                let run = std::fs::read_dir(&runs).expect("runs").next().expect("one");
                cut_off.leave(&run.expect("one").path(), &lease, &folder);
            }
        }));
        let ended = world.run_with(options, world.start()).await;
        let summary = ended.summary.expect("a summary");
        let text = read(&world, "list.json");
        if cut_off == CutOff::HalfAndTaken {
            assert_eq!(summary.error.expect("why").code, "finish.manifest_exists");
            assert_eq!(text, "theirs");
            continue;
        }
        assert_eq!(summary.verdict, Verdict::Delivered, "{rename} {cut_off:?}: {summary:?}");
        let manifest = summary.manifest.expect("delivered");
        assert_eq!(manifest.sha256, sha256(text.as_bytes()), "{rename} {cut_off:?}");
        assert_eq!(manifests(&world), ["list.json"], "{rename} {cut_off:?}");
    }
}

#[tokio::test]
async fn a_manifest_that_the_target_holds_otherwise_gets_no_name() {
    let quirks = Quirks { ends_at: Some(100), ..Quirks::default() };
    let settings = json!({"manifest": {"name": "list.json"}, "verify": "size"});
    let world = with(World::quirky(quirks), &settings);
    let ended = world.run().await;
    assert_eq!(ended.outcome.error.as_deref(), Some("RunIncomplete"));
    let told = |event: &Event| format!("{:?}", event.details).contains("finish.manifest_mismatch");
    assert!(ended.outcome.history.iter().any(told));
    assert!(!world.target.folder.join("list.json").exists());
}

#[tokio::test]
async fn a_drop_box_gets_its_manifest_too() {
    let quirks = Quirks { drop_box: true, ..Quirks::default() };
    let world = with(World::quirky(quirks), &json!({"manifest": {"name": "list.json"}}));
    let summary = run(&world).await;
    assert_eq!(summary.verdict, Verdict::Delivered, "{summary:?}");
    let manifest = read(&world, "list.json");
    assert_eq!(summary.manifest.expect("delivered").sha256, sha256(manifest.as_bytes()));
}

#[tokio::test]
async fn after_a_fault_of_the_partner_the_manifest_waits_for_the_next_run() {
    let world = world(json!({"manifest": {}}));
    let mut options = world.options();
    let cause = r#"{"errorMessage": "The account was closed. [test.injected]"}"#.to_owned();
    let (error, when) = ("Misconfigured".to_owned(), When::After);
    let once = Injection::Error { error, cause, times: Some(1), when };
    options.injections = Injections::new().with("Upload", once);
    let ended = world.run_with(options, world.start()).await;
    let summary = ended.summary.expect("a summary");
    assert_eq!(summary.verdict, Verdict::Misconfigured, "{summary:?}");
    assert_eq!((manifests(&world), summary.manifest), (Vec::new(), None));
    let summary = run(&world).await;
    assert_eq!((summary.verdict, summary.totals.delivered), (Verdict::Delivered, 3));
    let manifest = summary.manifest.expect("delivered").remote_path;
    let manifest = read(&world, manifest.rsplit('/').next().expect("a name"));
    let manifest: Value = serde_json::from_str(&manifest).expect("JSON");
    assert_eq!(manifest["files"].as_array().map(Vec::len), Some(3));
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
