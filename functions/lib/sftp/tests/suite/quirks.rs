//! Servers with small limits, and servers that break the protocol: what is stepped down from, what
//! is refused, and that no byte is ever wrong.

use std::sync::Arc;

use bytes::Bytes;
use domain::ErrorClass;
use sftp::server::{Hashes, Quirks, Reads, WireFault};
use sftp::{ListOptions, RenamePolicy, Session, WriteMode};
use sha2::{Digest, Sha256};

use crate::conformance::{code, get, put, same};
use crate::world::{World, noise};

const FILE_BYTES: usize = 5_000_003;

async fn world(quirks: Quirks) -> World {
    World::embedded_with(|options| options.quirks = quirks).await
}

/// Four files at once, each a round trip with its content compared on both sides.
async fn four_round_trips(world: &World, session: &Session) {
    let mut tasks = Vec::new();
    for number in 0..4_u64 {
        let data = noise(FILE_BYTES + number as usize, number + 1);
        let (name, session) = (format!("f{number}"), session.clone());
        let (path, local) = (world.remote(&name), world.folder.join(&name));
        tasks.push(tokio::spawn(async move {
            put(&session, &path, &data).await;
            same(&std::fs::read(local).unwrap(), &data);
            same(&get(&session, &path, 0).await, &data);
            same(&get(&session, &path, 4_321_000).await, &data[4_321_000..]);
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_quirks_is_asked_for_all_it_takes() {
    let world = world(Quirks::default()).await;
    let session = world.connect().await;
    four_round_trips(&world, &session).await;
    let effective = session.effective();
    assert_eq!((effective.reads_in_flight, effective.writes_in_flight), (64, 64));
    assert_eq!((effective.read_bytes, effective.write_bytes), (255 << 10, 255 << 10));
    assert_eq!((effective.files_at_once, effective.connections), (Some(1000), 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_one_file_may_be_open_the_others_wait() {
    for silent_about_files in [false, true] {
        let quirks = Quirks { max_open: Some(1), silent_about_files, ..Quirks::default() };
        let world = world(quirks).await;
        let session = world.connect().await;
        four_round_trips(&world, &session).await;
        assert_eq!(session.effective().files_at_once, Some(1), "{silent_about_files}");
        session.list(&world.remote, ListOptions::default()).await.unwrap();
    }
}

#[tokio::test]
async fn a_dropped_transfer_gives_its_place_back() {
    let world = world(Quirks { max_open: Some(1), ..Quirks::default() }).await;
    let session = world.connect().await;
    let data = noise(FILE_BYTES, 3);
    std::fs::write(world.folder.join("f"), &data).unwrap();
    for _ in 0..3 {
        let mut reader = session.reader(&world.remote("f"), 0).await.unwrap();
        assert!(reader.next().await.unwrap().is_some());
        drop(reader);
        let mut writer = session.writer(&world.remote("w"), WriteMode::Truncate).await.unwrap();
        writer.write(Bytes::from(data.clone())).await.unwrap();
        drop(writer);
        // An OPEN that nobody waits for any more is undone as well.
        let path = world.remote("f");
        let open = session.reader(&path, 0);
        let gone = tokio::time::timeout(std::time::Duration::ZERO, open).await;
        drop(gone);
    }
    same(&get(&session, &world.remote("f"), 0).await, &data);
}

#[tokio::test]
async fn waiting_for_a_place_that_nobody_gives_back_ends() {
    let mut world = world(Quirks { max_open: Some(1), ..Quirks::default() }).await;
    world.endpoint.timeouts.idle = std::time::Duration::from_millis(100);
    let session = world.connect().await;
    std::fs::write(world.folder.join("f"), b"abc").unwrap();
    let _held = session.reader(&world.remote("f"), 0).await.unwrap();
    let result = session.reader(&world.remote("f"), 0).await;
    assert_eq!(code(result), ("sftp.too_many_open_files", ErrorClass::Throttled));
}

#[tokio::test]
async fn a_plain_failure_to_open_stays_one() {
    let world = world(Quirks::default()).await;
    let session = world.connect().await;
    std::fs::create_dir(world.folder.join("d")).unwrap();
    std::fs::write(world.folder.join("f"), b"abc").unwrap();
    assert_eq!(code(session.reader(&world.remote("d"), 0).await).0, "sftp.failure");
    let open = session.reader(&world.remote("f"), 0).await.unwrap();
    let directory = world.remote("d");
    let (result, ()) = tokio::join!(session.reader(&directory, 0), async { drop(open) });
    assert_eq!(code(result).0, "sftp.failure");
    assert_eq!(session.effective().files_at_once, Some(1000), "nothing was learned");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_cannot_read_in_parallel_are_asked_one_at_a_time() {
    for (reads, hangs_up) in [(Reads::OneElseFailure, false), (Reads::OneElseHangUp, true)] {
        let world = world(Quirks { reads, ..Quirks::default() }).await;
        let session = world.connect().await;
        four_round_trips(&world, &session).await;
        let effective = session.effective();
        assert_eq!((effective.reads_in_flight, effective.writes_in_flight), (1, 64), "{reads:?}");
        assert_eq!(effective.read_bytes, 255 << 10, "{reads:?}");
        assert_eq!(effective.connections > 1, hangs_up, "{reads:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_file_and_one_read_at_a_time() {
    let reads = Reads::OneElseFailure;
    let quirks = Quirks { max_open: Some(1), reads, ..Quirks::default() };
    let world = world(quirks).await;
    let session = world.connect().await;
    four_round_trips(&world, &session).await;
    let effective = session.effective();
    assert_eq!((effective.reads_in_flight, effective.files_at_once), (1, Some(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_with_small_packets_are_sent_small_ones() {
    for (quirks, hangs_up) in [
        (Quirks { max_packet_bytes: Some(34_000), ..Quirks::default() }, true),
        (Quirks { max_write_bytes: Some(34_000), ..Quirks::default() }, false),
    ] {
        let world = world(quirks).await;
        let session = world.connect().await;
        four_round_trips(&world, &session).await;
        let effective = session.effective();
        assert_eq!((effective.write_bytes, effective.writes_in_flight), (32 << 10, 64));
        assert_eq!(effective.connections > 1, hangs_up);
    }
}

#[tokio::test]
async fn answers_that_are_always_short_are_asked_for_as_they_come() {
    for (max_answer_bytes, expected) in [(32 << 10, 32 << 10), (1000, 1000), (100, 512)] {
        let world =
            World::embedded_with(|options| options.max_answer_bytes = max_answer_bytes).await;
        let session = world.connect().await;
        let data = noise(1_000_001, 8);
        std::fs::write(world.folder.join("f"), &data).unwrap();
        same(&get(&session, &world.remote("f"), 0).await, &data);
        same(&get(&session, &world.remote("f"), 0).await, &data);
        assert_eq!(session.effective().read_bytes, expected);
        assert_eq!(session.effective().reads_in_flight, 64);
    }
}

#[tokio::test]
async fn the_end_of_a_file_is_no_limit() {
    let world = world(Quirks::default()).await;
    let session = world.connect().await;
    for (name, len) in [("a", 10), ("b", 10), ("c", 300_000)] {
        let data = noise(len, 1);
        std::fs::write(world.folder.join(name), &data).unwrap();
        same(&get(&session, &world.remote(name), 0).await, &data);
    }
    assert_eq!(session.effective().read_bytes, 255 << 10);
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_an_error_and_nothing_is_learned() {
    for bad_sector in [0, 1_000_000, 4_999_999] {
        let world = world(Quirks { bad_sector: Some(bad_sector), ..Quirks::default() }).await;
        let session = world.connect().await;
        let data = noise(FILE_BYTES, 4);
        std::fs::write(world.folder.join("f"), &data).unwrap();
        let mut reader = session.reader(&world.remote("f"), 0).await.unwrap();
        let mut found = Vec::new();
        let error = loop {
            match reader.next().await {
                Ok(Some(piece)) => found.extend_from_slice(&piece),
                Ok(None) => panic!("half a file was taken for a whole one"),
                Err(error) => break error,
            }
        };
        assert_eq!(code::<()>(Err(error)), ("sftp.failure", ErrorClass::Transient));
        same(&found, &data[..found.len()]);
        let effective = session.effective();
        assert_eq!((effective.reads_in_flight, effective.connections), (64, 1), "{bad_sector}");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_is_not_the_servers_limit_once_much_was_taken() {
    let after = 40 << 20;
    let quirks = Quirks { hangs_up_after_bytes: Some(after), ..Quirks::default() };
    let world = world(quirks).await;
    let session = world.connect().await;
    let data = noise(64 << 20, 4);
    std::fs::write(world.folder.join("f"), &data).unwrap();
    let mut reader = session.reader(&world.remote("f"), 0).await.unwrap();
    let mut found = Vec::new();
    let error = loop {
        match reader.next().await {
            Ok(Some(piece)) => found.extend_from_slice(&piece),
            Ok(None) => panic!("half a file was taken for a whole one"),
            Err(error) => break error,
        }
    };
    assert_eq!(code::<()>(Err(error)), ("sftp.connection_lost", ErrorClass::Transient));
    assert!(found.len() > after / 2);
    same(&found, &data[..found.len()]);
    assert_eq!((session.effective().reads_in_flight, session.effective().connections), (64, 1));
}

#[tokio::test]
async fn an_early_break_is_survived_byte_for_byte() {
    let quirks = Quirks { hangs_up_after_bytes: Some(3_000_000), ..Quirks::default() };
    let world = world(quirks).await;
    let session = world.connect().await;
    let data = noise(FILE_BYTES, 4);
    std::fs::write(world.folder.join("f"), &data).unwrap();
    same(&get(&session, &world.remote("f"), 0).await, &data);
    assert_eq!(session.effective().connections, 2);
}

#[tokio::test]
async fn an_upload_that_breaks_early_keeps_what_was_acknowledged() {
    // An answer to a WRITE is 30 bytes or so: the first ones are acknowledged, more are on their way.
    for after in [220, 244, 268] {
        let quirks = Quirks {
            hangs_up_after_bytes: Some(after),
            hung_up: Some(Arc::default()),
            ..Quirks::default()
        };
        let world = world(quirks).await;
        let session = world.connect().await;
        let data = noise(16 << 20, 4);
        put(&session, &world.remote("f"), &data).await;
        same(&std::fs::read(world.folder.join("f")).unwrap(), &data);
        assert_eq!(session.effective().connections, 2, "{after}");
    }
}

#[tokio::test]
async fn a_closed_session_never_connects_again() {
    let world = world(Quirks::default()).await;
    let session = world.connect().await;
    std::fs::write(world.folder.join("f"), noise(FILE_BYTES, 4)).unwrap();
    let mut reader = session.reader(&world.remote("f"), 0).await.unwrap();
    let mut writer = session.writer(&world.remote("w"), WriteMode::Truncate).await.unwrap();
    writer.write(Bytes::from(noise(300_000, 4))).await.unwrap();
    session.close().await;
    assert_eq!(code(reader.next().await).0, "sftp.connection_lost");
    assert_eq!(code(writer.finish().await).0, "sftp.connection_lost");
    assert_eq!(session.effective().connections, 1);
}

#[tokio::test]
async fn answers_in_any_order_or_too_many_do_no_harm() {
    for wire in [WireFault::OutOfOrder, WireFault::Repeated] {
        let world = world(Quirks { wire, ..Quirks::default() }).await;
        let session = world.connect().await;
        four_round_trips(&world, &session).await;
        assert_eq!(session.effective().connections, 1, "{wire:?}");
    }
}

#[tokio::test]
async fn a_giant_packet_ends_the_session_without_its_memory() {
    let world = world(Quirks { wire: WireFault::GiantPacket, ..Quirks::default() }).await;
    let session = world.connect().await;
    std::fs::write(world.folder.join("f"), noise(FILE_BYTES, 4)).unwrap();
    let mut reader = session.reader(&world.remote("f"), 0).await.unwrap();
    let error = loop {
        match reader.next().await {
            Ok(piece) => assert!(piece.is_some(), "half a file was taken for a whole one"),
            Err(error) => break error,
        }
    };
    assert_eq!(code::<()>(Err(error)), ("sftp.protocol", ErrorClass::Transient));
}

#[tokio::test]
async fn an_endless_listing_ends() {
    let world = world(Quirks { endless_listing: true, ..Quirks::default() }).await;
    let session = world.connect().await;
    let options = ListOptions { max_entries: 500, ..ListOptions::default() };
    let result = session.list(&world.remote, options).await;
    assert_eq!(code(result), ("sftp.too_many_entries", ErrorClass::Misconfigured));
}

#[tokio::test]
async fn an_early_end_and_a_false_size_are_told_as_they_are() {
    // Whoever knows the size compares: here nothing is made up.
    let quirks = Quirks { ends_at: Some(1_000_000), adds_to_sizes: 7, ..Quirks::default() };
    let world = world(quirks).await;
    let session = world.connect().await;
    let data = noise(FILE_BYTES, 4);
    std::fs::write(world.folder.join("f"), &data).unwrap();
    same(&get(&session, &world.remote("f"), 0).await, &data[..1_000_000]);
    let found = session.stat(&world.remote("f")).await.unwrap().unwrap();
    assert_eq!(found.size, FILE_BYTES as u64 + 7);
}

#[tokio::test]
async fn without_posix_rename_the_other_policies_are_left() {
    let world = world(Quirks { no_posix_rename: true, ..Quirks::default() }).await;
    let session = world.connect().await;
    put(&session, &world.remote("a"), b"x").await;
    let rename = |policy| session.rename("/files/a", "/files/b", policy);
    assert_eq!(code(rename(RenamePolicy::Posix).await).0, "sftp.unsupported");
    rename(RenamePolicy::Fresh).await.unwrap();
    assert_eq!(std::fs::read(world.folder.join("b")).unwrap(), b"x");
}

#[tokio::test]
async fn the_servers_hash_is_believed_only_when_it_is_one() {
    let data = noise(100_000, 4);
    let right: [u8; 32] = Sha256::digest(&data).into();
    let mut wrong = right;
    wrong.reverse();
    for (hashes, drop_box, expected) in [
        (Hashes::None, false, None),
        (Hashes::ByName, false, Some(right)),
        (Hashes::ByName, true, Some(right)),
        (Hashes::ByHandle, false, Some(right)),
        (Hashes::ByHandle, true, None),
        (Hashes::OnlyMd5, false, None),
        (Hashes::Wrong, false, Some(wrong)),
        (Hashes::Refused, false, None),
    ] {
        let world = world(Quirks { hashes, drop_box, ..Quirks::default() }).await;
        let session = world.connect().await;
        std::fs::write(world.folder.join("f"), &data).unwrap();
        let found = session.server_hash(&world.remote("f"), data.len() as u64).await.unwrap();
        assert_eq!(found, expected, "{hashes:?} {drop_box}");
    }
}

#[tokio::test]
async fn a_real_proftpd_hashes() {
    let world = World::proftpd();
    let session = world.connect().await;
    let data = noise(3_000_001, 21);
    std::fs::write(world.folder.join("f"), &data).unwrap();
    let hash: [u8; 32] = Sha256::digest(&data).into();
    let ask = |bytes| session.server_hash("/files/f", bytes);
    assert_eq!(ask(3_000_001).await.unwrap(), Some(hash));
    assert_eq!(ask(u64::from(u32::MAX)).await.unwrap(), Some(hash));
    assert_eq!(ask(1 << 32).await.unwrap(), None, "of large files it hashes less than all");
}

#[tokio::test]
async fn a_full_disk_is_told_before_anything_is_sent() {
    for (free_bytes, needed_bytes, refused) in
        [(1000, 1000, false), (1000, 1001, true), (0, 1001, false)]
    {
        let world = world(Quirks { free_bytes: Some(free_bytes), ..Quirks::default() }).await;
        let session = world.connect().await;
        let result = session.refuse_full(&world.remote, needed_bytes).await;
        assert_eq!(result.is_err(), refused, "{free_bytes} {needed_bytes}");
        if let Err(error) = result {
            let text = error.to_string();
            assert!(text.contains("1000 bytes are free and 1001 are needed"), "{text}");
            assert_eq!(code::<()>(Err(error)), ("sftp.disk_full", ErrorClass::Transient));
        }
    }
}
