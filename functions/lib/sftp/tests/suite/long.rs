//! Long transfers: new keys on the way, a quiet line, an end over all.

use std::time::Duration;

use bytes::Bytes;
use domain::ErrorClass;
use sftp::WriteMode;

use crate::conformance::{code, get, put, same};
use crate::world::{Server, World, noise};

const FILE_BYTES: usize = 24 << 20;

/// Both directions at once, with new keys every megabyte.
async fn rekeys(world: &World) {
    let session = world.connect().await;
    let data = noise(FILE_BYTES, 6);
    std::fs::write(world.folder.join("down"), &data).unwrap();
    let (up, down) = (world.remote("up"), world.remote("down"));
    let (found, ()) = tokio::join!(get(&session, &down, 0), put(&session, &up, &data));
    same(&found, &data);
    same(&std::fs::read(world.folder.join("up")).unwrap(), &data);
    assert_eq!(session.effective().connections, 1);
    session.close().await;
}

fn rekeys_in_log(world: &World) -> usize {
    let Server::Program(daemon) = &world.server else { panic!("an sshd was expected") };
    let log = std::fs::read_to_string(&daemon.log).unwrap();
    log.lines().filter(|line| line.contains("SSH2_MSG_KEXINIT received")).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_wants_new_keys() {
    let config = "RekeyLimit 1M\nLogLevel DEBUG";
    let world = World::openssh_with(&["ed25519"], &["-t", "ed25519"], "", config);
    rekeys(&world).await;
    let count = rekeys_in_log(&world);
    assert!(count > 10, "{count} exchanges of keys");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn we_want_new_keys() {
    let config = "LogLevel DEBUG";
    let mut world = World::openssh_with(&["ed25519"], &["-t", "ed25519"], "", config);
    world.endpoint.rekey_bytes = 1 << 20;
    let session = world.connect().await;
    let data = noise(FILE_BYTES, 6);
    put(&session, &world.remote("f"), &data).await;
    same(&get(&session, &world.remote("f"), 0).await, &data);
    let count = rekeys_in_log(&world);
    assert!(count > 10, "{count} exchanges of keys");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_want_new_keys_at_every_server() {
    for mut world in [World::embedded().await, World::proftpd()] {
        world.endpoint.rekey_bytes = 1 << 20;
        rekeys(&world).await;
    }
}

#[tokio::test]
async fn a_quiet_connection_is_probed_and_given_up() {
    let mut world = World::openssh();
    world.endpoint.timeouts.keepalive = Duration::from_millis(100);
    let session = world.connect().await;
    let Server::Program(sshd) = &world.server else { panic!("an sshd was expected") };
    sshd.pause();
    // Nothing but the probes can notice before the idle timeout of a minute.
    let error = session.stat("/").await.unwrap_err();
    assert!(error.to_string().contains("keepalive"), "{error}");
    assert_eq!(code::<()>(Err(error)), ("sftp.connection_lost", ErrorClass::Transient));
}

#[tokio::test]
async fn an_end_over_all_cuts_a_transfer_that_goes_on() {
    let world = World::openssh();
    let session = world.connect().await;
    let Server::Program(sshd) = &world.server else { panic!("an sshd was expected") };
    std::fs::write(world.folder.join("f"), noise(FILE_BYTES, 1)).unwrap();
    let mut reader = session.reader(&world.remote("f"), 0).await.unwrap();
    let mut writer = session.writer(&world.remote("w"), WriteMode::Truncate).await.unwrap();
    assert!(reader.next().await.unwrap().is_some());
    sshd.pause();
    session.end_after(Duration::from_millis(50));
    let error = loop {
        match reader.next().await {
            Ok(piece) => assert!(piece.is_some()),
            Err(error) => break error,
        }
    };
    assert_eq!(code::<()>(Err(error)), ("sftp.deadline", ErrorClass::Transient));
    writer.write(Bytes::from(noise(1000, 1))).await.unwrap();
    assert_eq!(code(writer.finish().await).0, "sftp.deadline");
}
