//! Faults of one file: it stays behind alone.

use std::os::unix::fs::PermissionsExt;

use domain::ErrorClass;
use domain::events::Verdict;
use integration::{Kind, Sample, World, mixed};

use super::{assert_says, only_failure};

#[tokio::test]
async fn a_file_that_may_not_be_read_stays_behind_alone() {
    let world = World::new(Kind::OpenSshUnprivileged);
    let neighbours = mixed(6);
    world.put_all(&neighbours);
    world.put("locked.csv", b"id\n1\n");
    let locked = world.source.folder.join("locked.csv");
    std::fs::set_permissions(&locked, PermissionsExt::from_mode(0o000)).unwrap();

    let failure = only_failure(&world, &world.run().await, "locked.csv", &neighbours);
    let words = ["denies permission", "locked.csv", "The partner has to grant it"];
    assert_says(&failure, ErrorClass::Rejected, "sftp.permission_denied", &words);

    std::fs::set_permissions(&locked, PermissionsExt::from_mode(0o644)).unwrap();
    let summary = world.run().await.summary.unwrap();
    assert_eq!((summary.verdict, summary.totals.delivered), (Verdict::Delivered, 1));
}

#[tokio::test]
async fn a_corrupt_zip_stays_behind_alone() {
    let world = World::embedded();
    let neighbours = mixed(6);
    world.put_all(&neighbours);
    let mut bytes = Sample::zip("cut", &[("a.csv", 500), ("b.csv", 9)], 1).bytes;
    bytes.truncate(bytes.len() - 30);
    world.put("cut.zip", &bytes);
    let failure = only_failure(&world, &world.run().await, "cut.zip", &neighbours);
    assert_eq!(failure.class, ErrorClass::Rejected);
    assert!(failure.code.starts_with("archive."), "{}", failure.code);
    assert!(failure.message.contains("cut.zip"), "{}", failure.message);
}
