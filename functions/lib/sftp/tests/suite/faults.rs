//! Faults that real servers cannot be told to make, from the scripted one: what is told of each, and
//! what stands at the server afterwards.

use std::time::Duration;

use bytes::Bytes;
use domain::ErrorClass;
use sftp::server::{Quirks, Renames};
use sftp::{ListOptions, RenamePolicy, Session, WriteMode};

use crate::conformance::{code, get, put};
use crate::world::{World, noise};

async fn world(quirks: Quirks) -> World {
    World::embedded_with(|options| options.quirks = quirks).await
}

#[tokio::test]
async fn a_server_that_stalls_in_the_middle_is_a_timeout() {
    let quirks = Quirks { stalls_after_bytes: Some(3_000_000), ..Quirks::default() };
    let mut world = world(quirks).await;
    world.endpoint.timeouts.idle = Duration::from_millis(300);
    let data = noise(5_000_003, 1);
    std::fs::write(world.folder.join("f"), &data).unwrap();
    let session = world.connect().await;
    let mut reader = session.reader(&world.remote("f"), 0).await.unwrap();
    let mut found = Vec::new();
    let error = loop {
        match reader.next().await {
            Ok(Some(piece)) => found.extend_from_slice(&piece),
            Ok(None) => panic!("half a file was taken for a whole one"),
            Err(error) => break error,
        }
    };
    assert_eq!(code::<()>(Err(error)), ("sftp.timeout", ErrorClass::Transient));
    assert_eq!(found, data[..found.len()]);
}

#[tokio::test]
async fn a_server_that_stalls_under_an_upload_is_a_timeout() {
    let quirks = Quirks { stalls_after_bytes: Some(200), ..Quirks::default() };
    let mut world = world(quirks).await;
    world.endpoint.timeouts.idle = Duration::from_millis(300);
    let session = world.connect().await;
    let mut writer = session.writer(&world.remote("f"), WriteMode::Truncate).await.unwrap();
    let sent = writer.write(Bytes::from(noise(5_000_003, 1))).await;
    let ended = match sent {
        Ok(()) => writer.finish().await.map(drop),
        Err(error) => Err(error),
    };
    assert_eq!(code(ended), ("sftp.timeout", ErrorClass::Transient));
}

#[tokio::test]
async fn a_rename_is_done_once_however_the_connection_ends() {
    for renames in [Renames::AnsweredThenHungUp, Renames::HungUpUnanswered] {
        for policy in [RenamePolicy::Posix, RenamePolicy::Fresh] {
            let world = world(Quirks { renames, ..Quirks::default() }).await;
            let session = world.connect().await;
            put(&session, &world.remote("a"), b"new").await;
            let renamed = session.rename(&world.remote("a"), &world.remote("b"), policy).await;
            let what = format!("{renames:?} {policy:?}");
            match renames {
                Renames::AnsweredThenHungUp => renamed.expect(&what),
                // Nobody can know from this alone: whoever renames looks at both names.
                _ => {
                    let lost = ("sftp.connection_lost", ErrorClass::Transient);
                    assert_eq!(code(renamed), lost, "{what}");
                }
            }
            let session = world.connect().await;
            let stands = async |name: &str| session.stat(&world.remote(name)).await.unwrap();
            assert!(stands("a").await.is_none() && stands("b").await.is_some(), "{what}");
            assert_eq!(get(&session, &world.remote("b"), 0).await, b"new");
        }
    }
}

#[tokio::test]
async fn a_posix_rename_that_is_announced_and_refused_leaves_both_files() {
    let world = world(Quirks { renames: Renames::PosixRefused, ..Quirks::default() }).await;
    let session = world.connect().await;
    put(&session, &world.remote("a"), b"new").await;
    put(&session, &world.remote("b"), b"old").await;
    let (from, to) = (world.remote("a"), world.remote("b"));
    let refused = session.rename(&from, &to, RenamePolicy::Posix).await;
    assert_eq!(code(refused), ("sftp.unsupported", ErrorClass::Misconfigured));
    assert!(!session.capabilities().posix_rename, "it is not believed a second time");
    assert_eq!(get(&session, &from, 0).await, b"new");
    assert_eq!(get(&session, &to, 0).await, b"old");
    session.rename(&from, &world.remote("c"), RenamePolicy::Fresh).await.unwrap();
}

#[tokio::test]
async fn a_size_that_is_a_lie_is_the_same_lie_everywhere() {
    let world = world(Quirks { adds_to_sizes: 7, ..Quirks::default() }).await;
    let session = world.connect().await;
    std::fs::write(world.folder.join("f"), b"abc").unwrap();
    let listed = session.list(&world.remote, ListOptions::default()).await.unwrap();
    assert_eq!(listed[0].size, 10);
    assert_eq!(session.stat(&world.remote("f")).await.unwrap().unwrap().size, 10);
    assert_eq!(get(&session, &world.remote("f"), 0).await, b"abc", "the end is where it is");
}

#[tokio::test]
async fn a_quota_is_told_by_its_name() {
    let world = world(Quirks { room: Some((1 << 20, "Disk quota exceeded")), ..Quirks::default() });
    let world = world.await;
    let session = world.connect().await;
    put(&session, &world.remote("small"), &noise(1 << 20, 1)).await;
    let mut writer = session.writer(&world.remote("large"), WriteMode::Truncate).await.unwrap();
    let sent = writer.write(Bytes::from(noise(3 << 20, 1))).await;
    let ended = match sent {
        Ok(()) => writer.finish().await.map(drop),
        Err(error) => Err(error),
    };
    assert_eq!(code(ended), ("sftp.quota", ErrorClass::Transient));
}

/// A session, as soon as the server has noticed that another one is over.
async fn let_in(world: &World) -> Session {
    loop {
        match Session::connect(&world.endpoint, &world.credentials).await {
            Ok(session) => return session,
            Err(error) => assert_eq!(error.code(), "sftp.too_many_connections", "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// What one connection too many is told, at the scripted server and at a real one.
async fn one_too_many(world: &World) {
    let first = world.connect().await;
    let second = world.connect().await;
    let third = Session::connect(&world.endpoint, &world.credentials).await;
    assert_eq!(code(third), ("sftp.too_many_connections", ErrorClass::Throttled));
    assert!(first.stat(&world.remote).await.unwrap().is_some(), "the others are not touched");
    second.close().await;
    let_in(world).await.close().await;
    first.close().await;
}

#[tokio::test]
async fn more_connections_than_are_taken_are_told_apart_from_a_refused_login() {
    let quirks = Quirks { max_startups: Some(2), ..Quirks::default() };
    one_too_many(&world(quirks).await).await;
}

#[tokio::test]
async fn no_session_after_the_login_is_too_many_connections() {
    for world in [
        world(Quirks { max_sessions: Some(0), ..Quirks::default() }).await,
        World::openssh_with(&["ed25519"], &["-t", "ed25519"], "", "MaxSessions 0"),
    ] {
        let refused = Session::connect(&world.endpoint, &world.credentials).await;
        assert_eq!(code(refused), ("sftp.too_many_connections", ErrorClass::Throttled));
    }
    let world = World::openssh_with(&["ed25519"], &["-t", "ed25519"], "", "MaxSessions 1");
    let session = world.connect().await;
    put(&session, &world.remote("f"), &noise(1 << 20, 1)).await;
}

#[tokio::test]
async fn a_real_sshd_with_few_startups_turns_away_and_says_nothing_else() {
    // MaxStartups counts connections that are not logged in yet: one that stays silent fills it.
    let mut world = World::sshd(
        &["ed25519"],
        &["-t", "ed25519"],
        "",
        "Subsystem sftp internal-sftp\nMaxStartups 1:100:1",
    );
    world.endpoint.timeouts.login = Duration::from_secs(5);
    let port = world.endpoint.port;
    // Whoever looked whether it listens may not be gone yet; then this one is turned away.
    let silent = loop {
        let silent = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        let mut greeting = [0; 4];
        if std::io::Read::read_exact(&mut &silent, &mut greeting).is_ok() && greeting == *b"SSH-" {
            break silent;
        }
    };
    let refused = Session::connect(&world.endpoint, &world.credentials).await;
    assert_eq!(code(refused), ("sftp.too_many_connections", ErrorClass::Throttled));
    drop(silent);
    let_in(&world).await.close().await;
}
