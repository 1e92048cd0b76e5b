//! What an upload finds when the one before it was cut off between the rename and the receipt, or
//! when somebody else put a file where it wants to write.

use std::path::PathBuf;
use std::sync::Arc;

use domain::events::{Summary, Verdict};
use domain::items::LedgerRow;
use engine::{EventType, Injection, Injections, Notice, When};
use integration::World;
use serde_json::json;
use sftp::server::{Quirks, Renames};

const CONTENT: &[u8] = b"id\n1\n2\n";

/// A world whose only file was delivered, by a run that died before it could write the receipt.
async fn cut_off(renaming: bool) -> World {
    let mut world = World::embedded();
    world.partner.profile["target"]["verify"] = json!("auto");
    deliver_and_forget(&world, renaming).await;
    world
}

async fn deliver_and_forget(world: &World, renaming: bool) {
    world.put("a.csv", CONTENT);
    let summary = run(world).await;
    assert_eq!(summary.totals.delivered, 1, "{summary:?}");
    let ledger = world.state.join("s3/drayage/ledger/acme");
    std::fs::remove_dir_all(ledger.join("files")).expect("the file's row");
    let path = row_path(world);
    let mut row = row(world);
    row.delivered = None;
    row.claim.renaming = renaming;
    std::fs::write(path, serde_json::to_vec(&row).expect("a row")).expect("the member's row");
}

async fn run(world: &World) -> Summary {
    world.run().await.summary.expect("a summary")
}

fn row_path(world: &World) -> PathBuf {
    let folder = world.state.join("s3/drayage/ledger/acme/members");
    let mut rows = std::fs::read_dir(folder).expect("rows");
    rows.next().expect("one row").expect("a row").path()
}

fn row(world: &World) -> LedgerRow {
    let text = std::fs::read(row_path(world)).expect("the member's row");
    serde_json::from_slice(&text).expect("a row")
}

/// Where the claim's bytes lay before their rename.
fn half_name(row: &LedgerRow) -> String {
    format!("a.csv.pgp.{}.{}.part", row.claim.run, &row.claim.nonce[..8])
}

#[tokio::test]
async fn bytes_that_have_their_name_are_adopted_and_not_sent_again() {
    for renaming in [true, false] {
        let world = cut_off(renaming).await;
        let before = world.target.marks();
        let summary = run(&world).await;
        assert_eq!(world.target.marks(), before, "sent again, renaming {renaming}");
        assert!(summary.receipts[0].adopted && summary.totals.delivered == 1, "{summary:?}");
        assert!(row(&world).delivered.is_some());
        assert_eq!(run(&world).await.totals.already_delivered, 1);
    }
}

/// The size alone proves little: it takes a claim that had come to its rename, or without one to its
/// first byte.
#[tokio::test]
async fn a_size_speaks_for_the_bytes_once_their_rename_had_begun() {
    for rename in ["auto", "direct"] {
        for renaming in [true, false] {
            let mut world = World::embedded();
            world.partner.profile["target"]["verify"] = json!("size");
            world.partner.profile["target"]["rename"] = json!(rename);
            deliver_and_forget(&world, renaming).await;
            let before = world.target.marks();
            let summary = run(&world).await;
            let what = format!("{rename}, renaming {renaming}: {summary:?}");
            let adopted = summary.receipts.iter().any(|receipt| receipt.adopted);
            assert_eq!(adopted, renaming, "{what}");
            if renaming || rename == "auto" {
                assert_eq!(world.target.marks(), before, "{what}");
            }
        }
    }
}

#[tokio::test]
async fn nothing_is_decided_while_nobody_can_tell_what_lies_under_the_name() {
    let mut world = cut_off(true).await;
    let path = world.target.paths()[0].clone();
    let sealed = std::fs::read(&path).expect("delivered");
    let quirks = Quirks { bad_sector: Some(0), ..Quirks::default() };
    world.partner.move_target(quirks, &world.secrets);
    let moved = world.target.folder.join(path.file_name().expect("a name"));
    std::fs::write(&moved, &sealed).expect("the same file");
    let summary = run(&world).await;
    let code = &summary.failed[0].failure.code;
    assert!(code.starts_with("sftp."), "{summary:?}");
    assert_eq!(std::fs::read(&moved).expect("still there"), sealed);
}

#[tokio::test]
async fn half_a_file_without_a_temporary_name_is_written_anew() {
    let mut world = World::embedded();
    world.partner.profile["target"]["rename"] = json!("direct");
    deliver_and_forget(&world, true).await;
    let path = world.target.paths()[0].clone();
    let file = std::fs::File::options().write(true).open(&path).expect("delivered");
    file.set_len(10).expect("only so much had arrived");
    let summary = run(&world).await;
    assert_eq!(summary.totals.delivered, 1, "{summary:?}");
    assert!(!summary.receipts[0].adopted, "{summary:?}");
    assert_eq!(world.opened()["a.csv"], CONTENT);
}

#[tokio::test]
async fn a_file_that_the_partner_took_on_arrival_is_not_sent_again() {
    let world = cut_off(true).await;
    std::fs::remove_file(&world.target.paths()[0]).expect("the partner takes it");
    let summary = run(&world).await;
    assert!(summary.receipts[0].adopted, "{summary:?}");
    assert!(world.target.paths().is_empty(), "sent again");
}

#[tokio::test]
async fn a_file_that_never_came_to_its_rename_is_sent() {
    let world = cut_off(false).await;
    std::fs::remove_file(&world.target.paths()[0]).expect("it never arrived");
    let summary = run(&world).await;
    assert!(!summary.receipts[0].adopted, "{summary:?}");
    assert_eq!(world.opened()["a.csv"], CONTENT);
}

#[tokio::test]
async fn what_a_dead_run_left_half_written_is_removed_and_speaks_for_no_rename() {
    let world = cut_off(true).await;
    let arrived = world.target.paths()[0].clone();
    let half = arrived.with_file_name(half_name(&row(&world)));
    std::fs::rename(&arrived, half).expect("the rename never happened");
    let summary = run(&world).await;
    assert!(!summary.receipts[0].adopted, "{summary:?}");
    let names: Vec<String> = world.target.files().into_keys().collect();
    assert_eq!(names, ["a.csv.pgp"], "the dead run's file is still there");
}

#[tokio::test]
async fn another_file_under_the_name_is_left_as_it_is_whatever_its_size() {
    for (verify, renaming) in [("auto", false), ("auto", true), ("size", false), ("size", true)] {
        let mut world = World::embedded();
        world.partner.profile["target"]["verify"] = json!(verify);
        deliver_and_forget(&world, renaming).await;
        let path = world.target.paths()[0].clone();
        let foreign = vec![b'x'; std::fs::metadata(&path).expect("delivered").len() as usize];
        let half = path.with_file_name(half_name(&row(&world)));
        std::fs::rename(&path, half).expect("the rename never happened");
        std::fs::write(&path, &foreign).expect("somebody else's file");
        for _ in 0..3 {
            let summary = run(&world).await;
            assert_eq!(summary.failed[0].failure.code, "upload.target_exists", "{verify}");
            assert_eq!(std::fs::read(&path).expect("still there"), foreign);
            assert_eq!(world.target.paths().len(), 1, "something was left behind");
        }
        std::fs::remove_file(&path).expect("moved away");
        assert_eq!(run(&world).await.totals.delivered, 1);
        assert_eq!(world.opened()["a.csv"], CONTENT, "{verify} {renaming}");
    }
}

#[tokio::test]
async fn two_members_of_one_name_never_overwrite_each_other() {
    let world = World::embedded();
    world.put("a.csv", CONTENT);
    world.put("a.csv.gz", &integration::gzip(b"other\n"));
    let summary = run(&world).await;
    assert_eq!((summary.totals.delivered, summary.totals.failed), (1, 1), "{summary:?}");
    let failure = &summary.failed[0].failure;
    assert_eq!(failure.code, "upload.name_taken");
    assert!(failure.message.contains("a.csv.gz") && failure.message.contains("target.name"));
    let opened = world.opened();
    assert_eq!(opened.len(), 1);
    assert!(opened["a.csv"] == CONTENT || opened["a.csv"] == b"other\n");
}

/// The bytes in the bucket change after they were proven, in place and without a word.
#[tokio::test]
async fn a_ciphertext_that_is_not_the_proven_one_gets_no_name_at_the_target() {
    for (verify, drop_box) in [("auto", false), ("auto", true), ("size", false)] {
        let mut world = World::quirky(Quirks { drop_box, ..Quirks::default() });
        world.partner.profile["target"]["verify"] = json!(verify);
        world.put("a.csv", CONTENT);
        let runs = world.state.join("s3/drayage/data/acme");
        let mut options = world.options();
        options.observer = Some(Arc::new(move |notice: Notice<'_>| {
            let entered = notice.event.event_type == EventType::TaskStateEntered;
            if entered && notice.event.state() == Some("PlanDeliver") {
                for run in std::fs::read_dir(&runs).expect("runs") {
                    spoil(&run.expect("a run").path().join("sealed"));
                }
            }
        }));
        let start = world.start();
        let summary = world.run_with(options, start).await.summary.expect("a summary");
        let [failed] = &summary.failed[..] else { panic!("{verify}: {summary:?}") };
        assert_eq!(failed.failure.code, "upload.ciphertext_changed", "{verify}");
        let names: Vec<_> = world.target.files().into_keys().collect();
        assert!(names.iter().all(|name| name.ends_with(".part")), "{verify}: {names:?}");
        assert_eq!(run(&world).await.totals.delivered, 1, "{verify}: the next run seals anew");
    }
}

/// The first call wrote its items and died before it could say what it had found.
#[tokio::test]
async fn a_file_that_is_gone_when_discover_is_called_again_is_skipped() {
    let world = World::embedded();
    world.put("a.csv", CONTENT);
    world.put("gone.csv", CONTENT);
    let mut options = world.options();
    let cause = r#"{"errorMessage": "The answer was lost. [test.injected]"}"#.to_owned();
    let (error, when) = ("Transient".to_owned(), When::After);
    let once = Injection::Error { error, cause, times: Some(1), when };
    options.injections = Injections::new().with("Discover", once);
    let (runs, gone) =
        (world.state.join("s3/drayage/runs/acme"), world.source.folder.join("gone.csv"));
    options.observer = Some(Arc::new(move |notice: Notice<'_>| {
        if notice.event.event_type == EventType::TaskFailed {
            let run = std::fs::read_dir(&runs).expect("runs").next().expect("a run");
            let found = run.expect("a run").path().join("discovery.json");
            std::fs::remove_file(found).expect("never written");
            std::fs::remove_file(&gone).expect("taken back");
        }
    }));
    let summary = world.run_with(options, world.start()).await.summary.expect("a summary");
    assert_eq!(summary.verdict, Verdict::Delivered, "{summary:?}");
    let totals = &summary.totals;
    assert_eq!((totals.discovered, totals.skipped, totals.delivered), (2, 1, 1), "{totals:?}");
}

/// Turns over the last byte of every file below a folder.
fn spoil(folder: &std::path::Path) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            spoil(&path);
            continue;
        }
        let mut bytes = std::fs::read(&path).expect("a file");
        *bytes.last_mut().expect("a byte") ^= 1;
        std::fs::write(&path, bytes).expect("the same file");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_becomes_of_a_rename_the_file_is_delivered_once() {
    for renames in [Renames::PosixRefused, Renames::AnsweredThenHungUp, Renames::HungUpUnanswered] {
        let quirks = Quirks { renames, hung_up: Some(Arc::default()), ..Quirks::default() };
        let mut world = World::quirky(quirks);
        world.partner.profile["target"]["manifest"] = json!({"name": "list.json"});
        world.put("a.csv", CONTENT);
        let summary = run(&world).await;
        assert_eq!(summary.totals.delivered, 1, "{renames:?}: {summary:?}");
        assert_eq!(summary.error, None, "{renames:?}: {summary:?}");
        let names = world.target.names();
        assert_eq!(names, ["a.csv.pgp", "list.json"], "{renames:?}");
        assert_eq!(run(&world).await.totals.delivered, 0, "{renames:?}: delivered again");
    }
}

/// Nobody may read there, and the server hangs up with the rename: the claim says that it had begun.
#[tokio::test(flavor = "multi_thread")]
async fn a_rename_that_nobody_answered_is_adopted_by_its_size() {
    let quirks = Quirks {
        renames: Renames::HungUpUnanswered,
        hung_up: Some(Arc::default()),
        drop_box: true,
        ..Quirks::default()
    };
    let world = World::quirky(quirks);
    world.put("a.csv", CONTENT);
    let summary = run(&world).await;
    assert_eq!(summary.totals.delivered, 1, "{summary:?}");
    assert!(summary.receipts[0].adopted, "{summary:?}");
    assert_eq!(world.opened()["a.csv"], CONTENT);
}
