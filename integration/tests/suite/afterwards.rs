//! What happens at the source after delivery: only to files whose every member has a receipt.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use domain::events::Verdict;
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
