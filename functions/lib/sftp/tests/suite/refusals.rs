//! What a server does not let us do: the error says so, and nothing is left half done.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use bytes::Bytes;
use domain::ErrorClass;
use sftp::{ListOptions, RenamePolicy, Session, WriteMode};

use crate::conformance::{code, get};
use crate::servers::{Case, Difference, Kind};
use crate::world::{World, noise};

fn allow(world: &World, name: &str, mode: u32) {
    std::fs::set_permissions(world.folder.join(name), Permissions::from_mode(mode)).unwrap();
}

/// Writes until the server refuses, at the latest when the file is closed.
async fn write(session: &Session, path: &str, data: &[u8]) -> Result<u64, sftp::Error> {
    let mut writer = session.writer(path, WriteMode::Truncate).await?;
    writer.write(Bytes::copy_from_slice(data)).await?;
    writer.finish().await
}

pub async fn a_file_that_may_not_be_read(kind: Kind) {
    let world = kind.start(Case::Unprivileged).await;
    let session = world.connect().await;
    std::fs::write(world.folder.join("f"), b"abc").unwrap();
    allow(&world, "f", 0o000);
    let result = session.reader(&world.remote("f"), 0).await;
    assert_eq!(code(result), ("sftp.permission_denied", ErrorClass::Rejected));
    allow(&world, "f", 0o644);
    assert_eq!(get(&session, &world.remote("f"), 0).await, b"abc");
}

pub async fn a_directory_that_may_not_be_listed(kind: Kind) {
    let world = kind.start(Case::Unprivileged).await;
    let session = world.connect().await;
    std::fs::create_dir(world.folder.join("d")).unwrap();
    allow(&world, "d", 0o000);
    let result = session.list(&world.remote("d"), ListOptions::default()).await;
    assert_eq!(code(result), ("sftp.permission_denied", ErrorClass::Misconfigured));
    allow(&world, "d", 0o755);
    assert!(session.list(&world.remote("d"), ListOptions::default()).await.unwrap().is_empty());
}

pub async fn a_directory_that_may_not_be_written(kind: Kind) {
    let world = kind.start(Case::Unprivileged).await;
    let session = world.connect().await;
    std::fs::create_dir(world.folder.join("d")).unwrap();
    std::fs::write(world.folder.join("d/f"), b"abc").unwrap();
    allow(&world, "d", 0o555);
    let denied = ("sftp.permission_denied", ErrorClass::Misconfigured);
    assert_eq!(code(write(&session, &world.remote("d/new"), b"x").await), denied);
    let (from, to) = (world.remote("d/f"), world.remote("d/g"));
    assert_eq!(code(session.rename(&from, &to, RenamePolicy::Fresh).await), denied);
    let unknown = kind.differs(Difference::NoPosixRename);
    let unsupported = ("sftp.unsupported", ErrorClass::Misconfigured);
    let refused = if unknown { unsupported } else { denied };
    assert_eq!(code(session.rename(&from, &to, RenamePolicy::Posix).await), refused);
    assert_eq!(code(session.remove(&from).await), denied);
    assert_eq!(code(session.mkdir_all(&world.remote("d/below")).await), denied);
    let left: Vec<_> = std::fs::read_dir(world.folder.join("d")).unwrap().collect();
    assert_eq!(left.len(), 1);
    assert_eq!(get(&session, &from, 0).await, b"abc");
    allow(&world, "d", 0o755);
}

pub async fn a_target_that_is_read_only(kind: Kind) {
    let world = kind.start(Case::ReadOnly).await;
    let session = world.connect().await;
    std::fs::write(world.folder.join("f"), b"abc").unwrap();
    let denied = ("sftp.permission_denied", ErrorClass::Misconfigured);
    assert_eq!(code(write(&session, &world.remote("new"), b"x").await), denied);
    assert_eq!(code(write(&session, &world.remote("f"), b"x").await), denied);
    let (from, to) = (world.remote("f"), world.remote("g"));
    assert_eq!(code(session.rename(&from, &to, RenamePolicy::Fresh).await), denied);
    assert_eq!(code(session.remove(&from).await), denied);
    assert_eq!(code(session.mkdir_all(&world.remote("d")).await), denied);
    assert_eq!(code(session.set_times(&from, 1).await), denied);
    assert_eq!(get(&session, &from, 0).await, b"abc");
    assert_eq!(std::fs::read_dir(&world.folder).unwrap().count(), 1);
}

pub async fn a_disk_that_is_full(kind: Kind) {
    let world = kind.start(Case::Full).await;
    let session = world.connect().await;
    let result = write(&session, &world.remote("full"), &noise(1 << 20, 3)).await;
    let told = kind.differs(Difference::TellsFull);
    let expected = if told { "sftp.disk_full" } else { "sftp.failure" };
    assert_eq!(code(result), (expected, ErrorClass::Transient));
    // The session is as good as before.
    assert!(session.stat(&world.remote).await.unwrap().is_some());
}
