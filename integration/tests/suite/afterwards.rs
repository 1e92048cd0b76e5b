//! What happens at the source after delivery: only to files whose every member has a receipt.

use domain::events::Verdict;
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
