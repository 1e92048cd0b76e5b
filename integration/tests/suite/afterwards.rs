//! What happens at the source after delivery: only to files whose every member has a receipt.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain::events::{Summary, Verdict};
use engine::Notice;
use integration::{Reply, World, gzip, zip};
use serde_json::json;

#[tokio::test]
async fn only_delivered_files_are_moved_or_deleted() {
    for rule in ["delete", "move"] {
        let mut world = World::embedded();
        world.partner.profile["source"]["after_delivery"] = json!(rule);
        world.partner.profile["source"]["move_to"] = json!("done");
        world.partner.profile["source"]["recursive"] = json!(true);
        world.put("good.csv", b"id\n1\n");
        let mut cut = gzip(b"id\n1\n2\n3\n");
        cut.truncate(cut.len() - 6);
        world.put("cut.csv.gz", &cut);
        // One of its two members is delivered, the other is refused.
        world.put("half.zip", &zip(&[("taken.csv", b"id\n1\n"), ("refused.csv", b"id\n2\n")]));
        world.api.answer(|told| match told.body["member"] == "refused.csv" {
            true => Reply::Status(422, json!({"error": "unknown"})),
            false => Reply::accepted(),
        });
        let summary = world.run().await.summary.expect("a summary");
        assert_eq!((summary.totals.delivered, summary.totals.failed), (2, 2), "{summary:?}");
        assert!(summary.warnings.is_empty(), "{:?}", summary.warnings);
        content_is_kept_of_what_failed(&world, &summary);
        report_tells(&world, &summary);
        let source = &world.source.folder;
        assert!(!source.join("good.csv").exists(), "{rule}: still in its place");
        assert!(source.join("cut.csv.gz").exists(), "{rule}: a file without receipt was touched");
        assert!(source.join("half.zip").exists(), "{rule}: a file with one receipt was touched");
        assert_eq!(source.join("done/good.csv").exists(), rule == "move");

        for name in ["cut.csv.gz", "half.zip"] {
            std::fs::remove_file(source.join(name)).expect("the partner takes it back");
        }
        let again = world.run().await.summary.expect("a summary");
        assert_eq!(again.verdict, Verdict::Nothing, "{rule}: what was moved was taken again");
    }
}

/// Of what failed the bucket keeps the content for a person to look at, of the rest none.
fn content_is_kept_of_what_failed(world: &World, summary: &Summary) {
    let data = world.state.join("s3/drayage/data/acme").join(&summary.run);
    let mut kept = BTreeSet::new();
    for folder in std::fs::read_dir(data).expect("content") {
        for object in std::fs::read_dir(folder.expect("a folder").path()).expect("objects") {
            let name = object.expect("an object").file_name().to_string_lossy().into_owned();
            kept.insert(name.split('-').next().unwrap_or_default().to_owned());
        }
    }
    let delivered = summary.receipts.iter().map(|it| (it.file.path.as_str(), it.name.id()));
    for (path, id) in delivered {
        assert!(!kept.contains(id), "the content of a delivered member of {path} is kept");
    }
    let good = summary.receipts.iter().find(|it| it.file.path == "good.csv").expect("delivered");
    assert!(!kept.contains(good.file.name.id()), "the content of good.csv is kept");
    for failed in &summary.failed {
        assert!(kept.contains(failed.file.name.id()), "{} is gone", failed.file.path);
    }
}

fn report_tells(world: &World, summary: &Summary) {
    let report = world.run_folder("acme", &summary.run).join("report.html");
    let report = std::fs::read_to_string(report).expect("a report");
    for words in [
        "<td>Members delivered</td><td class=\"n\">2</td>",
        "<h2>Quarantined</h2>",
        "<td>cut.csv.gz</td>",
        "<h2>Receipts</h2>",
        "<td>good.csv</td>",
    ] {
        assert!(report.contains(words), "{words} is not in the report");
    }
}

#[tokio::test]
async fn an_archive_without_members_stays_where_it_is() {
    let mut world = World::embedded();
    world.partner.profile["source"]["after_delivery"] = json!("delete");
    world.put("empty.zip", &zip(&[]));
    let summary = world.run().await.summary.expect("a summary");
    assert_eq!(summary.totals.members, 0, "{summary:?}");
    assert_eq!(world.source.names(), ["empty.zip"]);
}

#[tokio::test]
async fn a_file_that_changed_after_it_was_delivered_is_left_to_the_next_run() {
    for (content, later) in [(&b"id\n2\n"[..], true), (&b"id\n2\n3\n"[..], false)] {
        let mut world = World::embedded();
        world.partner.profile["source"]["after_delivery"] = json!("delete");
        world.partner.profile["target"]["on_existing"] = json!("replace");
        world.put("a.csv", b"id\n1\n");
        let path = world.source.folder.join("a.csv");
        let mut options = world.options();
        options.observer = Some(Arc::new(move |notice: Notice<'_>| {
            if notice.event.state() == Some("Finish")
                && content != std::fs::read(&path).expect("it")
            {
                let before = std::fs::metadata(&path).and_then(|it| it.modified()).expect("a time");
                std::fs::write(&path, content).expect("written again");
                let modified = before + Duration::from_secs(if later { 1 } else { 0 });
                let file = std::fs::File::options().write(true).open(&path).expect("that file");
                file.set_modified(modified).expect("its time");
            }
        }));
        let summary = world.run_with(options, world.start()).await.summary.expect("a summary");
        let [warning] = &summary.warnings[..] else { panic!("{:?}", summary.warnings) };
        assert!(warning.contains("changed after it was delivered"), "{warning}");
        assert_eq!(world.run().await.summary.expect("a summary").totals.delivered, 1);
        assert_eq!(world.opened()["a.csv"], content);
        assert_eq!(world.source.names(), Vec::<String>::new());
    }
}

/// Hands connections on, unless it is down.
async fn relay(before: u16, down: Arc<AtomicBool>) -> u16 {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let port = listener.local_addr().expect("its number").port();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            if down.load(Ordering::SeqCst) {
                continue;
            }
            let far = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, before)).await;
            let mut far = far.expect("the server");
            tokio::spawn(async move {
                drop(tokio::io::copy_bidirectional(&mut near, &mut far).await);
            });
        }
    });
    port
}

#[tokio::test]
async fn a_source_that_is_away_when_the_run_ends_is_tidied_by_the_next_one() {
    for rule in ["delete", "move"] {
        let mut world = World::embedded();
        let down = Arc::new(AtomicBool::new(false));
        let port = world.partner.profile["source"]["port"].as_u64().expect("a port");
        let port = relay(port as u16, Arc::clone(&down)).await;
        let source = &mut world.partner.profile["source"];
        source["port"] = port.into();
        source["after_delivery"] = json!(rule);
        source["move_to"] = json!("done");
        world.put("a.csv", b"id\n1\n");
        let mut options = world.options();
        let falls = Arc::clone(&down);
        options.observer = Some(Arc::new(move |notice: Notice<'_>| {
            if notice.event.state() == Some("Finish") {
                falls.store(true, Ordering::SeqCst);
            }
        }));
        let summary = world.run_with(options, world.start()).await.summary.expect("a summary");
        assert_eq!((summary.verdict, summary.totals.delivered), (Verdict::Delivered, 1), "{rule}");
        assert_eq!(summary.warnings.len(), 1, "{rule}: {:?}", summary.warnings);
        let file = world.source.folder.join("a.csv");
        assert!(file.exists(), "{rule}: nobody could touch it");
        let arrived = world.target.marks();

        down.store(false, Ordering::SeqCst);
        let next = world.run().await.summary.expect("a summary");
        assert_eq!((next.totals.delivered, next.totals.delivered_before), (1, 1), "{rule}");
        assert!(!file.exists(), "{rule}: still in its place");
        assert_eq!(world.source.folder.join("done/a.csv").exists(), rule == "move");
        assert_eq!(world.target.marks(), arrived, "{rule}: sent again");
        assert_eq!(world.api.requests().len(), 1, "{rule}: reported again");
        assert_eq!(world.run().await.summary.expect("a summary").verdict, Verdict::Nothing);
    }
}
