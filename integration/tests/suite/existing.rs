//! Names that are taken at the target by other content: what happens to them is the profile's choice.

use domain::events::{Resend, Start, Summary};
use integration::World;
use serde_json::json;

const OURS: &[u8] = b"id\n1\n2\n";
const THEIRS: &[u8] = b"somebody else's";

fn world(policy: &str, rename: &str) -> World {
    let mut world = World::embedded();
    world.partner.profile["target"]["on_existing"] = json!(policy);
    world.partner.profile["target"]["rename"] = json!(rename);
    world
}

async fn run(world: &World) -> Summary {
    world.run().await.summary.expect("a summary")
}

/// Somebody else's file at the target.
fn occupy(world: &World, name: &str) {
    std::fs::write(world.target.folder.join(name), THEIRS).expect("a file at the target");
}

fn at_target(world: &World, name: &str) -> Vec<u8> {
    std::fs::read(world.target.folder.join(name)).expect("a file at the target")
}

/// The delivered file of that name, opened.
fn opened(world: &World, name: &str) -> Vec<u8> {
    let others = world.target.names().into_iter().filter(|other| other != name);
    for other in others.collect::<Vec<String>>() {
        std::fs::remove_file(world.target.folder.join(other)).expect("not asked for");
    }
    world.opened().into_values().next().expect("one file")
}

#[tokio::test]
async fn each_policy_does_what_it_says_with_every_way_to_rename() {
    for rename in ["auto", "posix", "fresh", "direct"] {
        for (policy, names, failed) in [
            ("fail", vec!["a.csv.pgp"], 1),
            ("replace", vec!["a.csv.pgp"], 0),
            ("rename", vec!["a-2.csv.pgp", "a-3.csv.pgp", "a.csv.pgp"], 0),
        ] {
            let world = world(policy, rename);
            world.put("a.csv", OURS);
            occupy(&world, "a.csv.pgp");
            if policy == "rename" {
                occupy(&world, "a-2.csv.pgp");
            }
            let summary = run(&world).await;
            let what = format!("{policy} by {rename}: {summary:?}");
            assert_eq!(world.target.names(), names, "{what}");
            assert_eq!((summary.totals.delivered, summary.totals.failed), (1 - failed, failed));
            match policy {
                "fail" => {
                    assert_eq!(summary.failed[0].failure.code, "upload.target_exists", "{what}");
                    assert_eq!(at_target(&world, "a.csv.pgp"), THEIRS, "{what}");
                    continue;
                }
                "rename" => {
                    assert_eq!(at_target(&world, "a.csv.pgp"), THEIRS, "{what}");
                    assert_eq!(at_target(&world, "a-2.csv.pgp"), THEIRS, "{what}");
                }
                _ => {}
            }
            let path = summary.receipts[0].remote_path.clone();
            let (_, name) = path.rsplit_once('/').expect("a path");
            assert_eq!(name, if policy == "rename" { "a-3.csv.pgp" } else { "a.csv.pgp" });
            assert_eq!(run(&world).await.totals.already_delivered, 1, "{what}");
            assert_eq!(opened(&world, name), OURS, "{what}");
        }
    }
}

#[tokio::test]
async fn members_of_one_name_get_numbers_where_the_profile_says_so() {
    let world = world("rename", "auto");
    world.put("a.csv", OURS);
    world.put("a.csv.gz", &integration::gzip(b"other\n"));
    let summary = run(&world).await;
    assert_eq!((summary.totals.delivered, summary.totals.failed), (2, 0), "{summary:?}");
    assert_eq!(world.target.names(), ["a-2.csv.pgp", "a.csv.pgp"]);
    let opened = world.opened();
    let mut contents: Vec<&[u8]> = opened.values().map(Vec::as_slice).collect();
    contents.sort_unstable();
    assert_eq!(contents, [OURS, b"other\n"]);
}

#[tokio::test]
async fn what_is_sent_again_replaces_our_own_file_and_not_the_one_beside_it() {
    let world = world("rename", "auto");
    world.put("a.csv", OURS);
    occupy(&world, "a.csv.pgp");
    assert_eq!(run(&world).await.totals.delivered, 1);
    let before = at_target(&world, "a-2.csv.pgp");
    let resend = Resend { paths: vec!["a.csv".to_owned()], reason: "they lost it".to_owned() };
    let start = Start { resend: Some(resend), ..world.start() };
    let summary = world.run_with(world.options(), start).await.summary.expect("a summary");
    assert_eq!(summary.totals.delivered, 1, "{summary:?}");
    assert_eq!(summary.receipts[0].resend.as_deref(), Some("they lost it"));
    assert_eq!(world.target.names(), ["a-2.csv.pgp", "a.csv.pgp"]);
    assert_eq!(at_target(&world, "a.csv.pgp"), THEIRS);
    assert_ne!(at_target(&world, "a-2.csv.pgp"), before, "not sent again");
    assert_eq!(opened(&world, "a-2.csv.pgp"), OURS);
}

/// Only a number of the wanted name is kept; a name that the profile no longer gives is not.
#[tokio::test]
async fn what_is_sent_again_gets_the_name_that_the_profile_gives_now() {
    let mut world = world("fail", "auto");
    world.partner.profile["target"]["name"] = json!("{member}");
    world.put("a.zip", &integration::zip(&[("b.csv", OURS)]));
    assert_eq!(run(&world).await.totals.delivered, 1);
    assert_eq!(world.target.names(), ["b.csv.pgp"]);
    world.partner.profile["target"]["name"] = json!("{file}_{member}");
    let resend = Resend { paths: vec!["a.zip".to_owned()], reason: "they lost it".to_owned() };
    let start = Start { resend: Some(resend), ..world.start() };
    let summary = world.run_with(world.options(), start).await.summary.expect("a summary");
    assert_eq!(summary.totals.delivered, 1, "{summary:?}");
    assert_eq!(world.target.names(), ["a_b.csv.pgp", "b.csv.pgp"]);
    assert_eq!(opened(&world, "a_b.csv.pgp"), OURS);
}
