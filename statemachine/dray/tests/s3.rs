//! The embedded S3 server against the suite that every S3 must pass, and what only it promises.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use std::time::Duration;

use dray::s3::{Options, S3Server};
use storage::conformance::{self, CuttingProxy, MeddlingProxy};
use storage::{Condition, PutOutcome, Store};

const BUCKET: &str = "work";

async fn start(folder: &std::path::Path) -> S3Server {
    let options = Options { folder: folder.to_path_buf(), buckets: vec![BUCKET.to_owned()] };
    S3Server::start(options).await.unwrap()
}

fn store(server: &S3Server) -> Store {
    Store::local(server.endpoint(), server.access_key(), server.secret_key(), BUCKET)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_server_is_an_s3() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    conformance::conformance(store(&server)).await.unwrap();
    conformance::conformance(server.store(BUCKET)).await.unwrap();
    server.stop().await;
    let left: Vec<_> = std::fs::read_dir(folder.path().join(".uploads")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    let left: Vec<_> = std::fs::read_dir(folder.path().join(BUCKET)).unwrap().collect();
    assert!(left.is_empty(), "folders without objects are left: {left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_in_the_process_is_cut_off_with_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let (near, far) = (server.store(BUCKET), store(&server));
    let put = near.put_bytes("object", "from near".into(), Condition::Any).await;
    assert!(put.unwrap().is_written());
    assert_eq!(far.get_bytes("object").await.unwrap().unwrap().value, "from near");
    server.stop().await;
    for store in [near, far] {
        let failure = domain::Failure::from(store.get_bytes("object").await.unwrap_err());
        assert_eq!(failure.code, "storage.unreachable", "{failure}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_over_one_folder_have_one_winner() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (start(folder.path()).await, start(folder.path()).await);
    conformance::race(&[store(&one), store(&two)]).await.unwrap();
}

/// The window between look and rename is too short for a race to find it every time, so the test
/// plays the other process and holds the locks.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_waits_for_a_write_of_another_process() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let store = store(&server);
    let locks = (0..64).map(|stripe| {
        let path = folder.path().join(".locks").join(format!("{stripe:02}"));
        let lock = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        lock.lock().unwrap();
        lock
    });
    let locks: Vec<_> = locks.collect();
    let put = store.put_bytes("claim", "mine".into(), Condition::Absent);
    let mut put = std::pin::pin!(put);
    let early = tokio::time::timeout(Duration::from_millis(300), &mut put).await;
    assert!(early.is_err(), "written under the eyes of another process: {early:?}");
    // The other process wins the key and lets go.
    std::fs::write(folder.path().join(BUCKET).join("claim"), b"other").unwrap();
    drop(locks);
    assert_eq!(put.await.unwrap(), PutOutcome::Refused);
    assert_eq!(store.get_bytes("claim").await.unwrap().unwrap().value, "other");
}

#[tokio::test(flavor = "current_thread")]
async fn blocking_streams_work_on_a_runtime_with_one_thread() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    conformance::bridges(store(&server)).await.unwrap();
    conformance::bridges(server.store(BUCKET)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn blocking_streams_work_with_one_worker() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    conformance::bridges(store(&server)).await.unwrap();
    conformance::bridges(server.store(BUCKET)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_survives_dropped_connections() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let proxy = CuttingProxy::start(server.endpoint(), 1024 * 1024).await.unwrap();
    let through = Store::local(proxy.endpoint(), server.access_key(), server.secret_key(), BUCKET);
    conformance::reader_resumes(store(&server), through, &proxy).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_plain_files_and_files_are_objects() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let store = store(&server);
    let PutOutcome::Written(etag) =
        store.put_bytes("a/b.txt", "hello".into(), Condition::Any).await.unwrap()
    else {
        panic!("refused");
    };
    let path = folder.path().join(BUCKET).join("a/b.txt");
    assert_eq!(std::fs::read(&path).unwrap(), b"hello");
    // Edited by hand: the version that was known is not the current one any more.
    std::fs::write(&path, b"HELLO").unwrap();
    let outcome = store.put_bytes("a/b.txt", "x".into(), Condition::Unchanged(etag)).await.unwrap();
    assert_eq!(outcome, PutOutcome::Refused);
    std::fs::write(folder.path().join(BUCKET).join("by-hand"), b"1234567").unwrap();
    assert_eq!(store.size("by-hand").await.unwrap(), Some(7));
    store.delete("a/b.txt").await.unwrap();
    assert!(!folder.path().join(BUCKET).join("a").exists(), "an empty folder is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_cannot_be_files_are_refused_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let store = store(&server);
    let put = |key: &'static str| store.put_bytes(key, "x".into(), Condition::Any);
    assert!(put("a").await.unwrap().is_written());
    assert!(put("b/c").await.unwrap().is_written());
    for (key, words) in [("a/b", "itself an object"), ("b", "objects below"), ("c//d", "part")] {
        let failure = domain::Failure::from(put(key).await.unwrap_err());
        assert_eq!(failure.code, "storage.refused", "{failure}");
        assert!(failure.message.contains(words), "{failure}");
    }
    for key in ["../../outside", "c/../../outside", "./x"] {
        assert!(put(key).await.is_err(), "{key}");
    }
    assert!(!folder.path().parent().unwrap().join("outside").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_key_pair_of_this_start_opens_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let wrong = Store::local(server.endpoint(), server.access_key(), "guess", BUCKET);
    let failure = domain::Failure::from(wrong.check().await.unwrap_err());
    assert_eq!(failure.code, "storage.denied", "{failure}");
    let endpoint = server.endpoint().to_owned();
    server.stop().await;
    let nobody = Store::local(endpoint, "a", "b", BUCKET);
    let failure = domain::Failure::from(nobody.check().await.unwrap_err());
    assert_eq!(failure.code, "storage.unreachable", "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_bytes_are_noticed_and_failed_uploads_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let proxy = MeddlingProxy::start(server.endpoint()).await.unwrap();
    let through = Store::local(proxy.endpoint(), server.access_key(), server.secret_key(), BUCKET);
    conformance::damage_and_failures(store(&server), through, &proxy).await.unwrap();
    server.stop().await;
    let left: Vec<_> = std::fs::read_dir(folder.path().join(".uploads")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

/// The most memory that this process ever had, in bytes.
fn peak_memory_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// Nine uploads at once is what a run does; server and clients are in this process, as in a run.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nine_writers_stay_within_the_memory_of_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    conformance::many_writers(store(&server), 9, 100 * 1024 * 1024).await.unwrap();
    let peak = peak_memory_bytes() / 1024 / 1024;
    println!("peak resident memory: {peak} MiB");
    assert!(peak < 192, "{peak} MiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_larger_than_the_budget_travel_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    conformance::huge_parts(store(&server)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_goes_on_after_the_server_was_started_anew() {
    const MIB: usize = 1024 * 1024;
    let folder = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..27 * MIB).map(|at| (at % 251) as u8).collect();
    let piece = |from: usize, to: usize| bytes::Bytes::copy_from_slice(&bytes[from..to]);
    let server = start(folder.path()).await;
    let mut writer = store(&server).writer("object");
    writer.write(piece(0, 12 * MIB)).await.unwrap();
    let checkpoint = writer.checkpoint().await.unwrap();
    server.stop().await;
    let server = start(folder.path()).await;
    let mut writer = store(&server).resume("object", checkpoint).await.unwrap();
    writer.write(piece(12 * MIB, 27 * MIB)).await.unwrap();
    writer.finish().await.unwrap();
    let found = store(&server).get_bytes("object").await.unwrap().unwrap();
    assert!(found.value == bytes, "other bytes came back");
    server.stop().await;
}

/// Large objects are written to the disk once: the file that the parts go into is the object.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_an_upload_copies_nothing() {
    use std::os::unix::fs::MetadataExt;
    const MIB: usize = 1024 * 1024;
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let store = store(&server);
    let mut writer = store.writer("object");
    writer.write(vec![7; 32 * MIB].into()).await.unwrap();
    let upload = std::fs::read_dir(folder.path().join(".uploads")).unwrap().next();
    let whole = upload.unwrap().unwrap().path().join("whole");
    let whole = std::fs::metadata(whole).unwrap().ino();
    writer.finish().await.unwrap();
    let object = std::fs::metadata(folder.path().join(BUCKET).join("object")).unwrap();
    assert_eq!((object.ino(), object.len()), (whole, 32 * 1024 * 1024));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_damaged_on_disk_is_not_read_and_one_edited_by_hand_is() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let store = store(&server);
    assert!(store.put_bytes("a", "hello".into(), Condition::Any).await.unwrap().is_written());
    let path = folder.path().join(BUCKET).join("a");
    let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
    std::fs::write(&path, b"hellO").unwrap();
    assert_eq!(store.get_bytes("a").await.unwrap().unwrap().value, "hellO");
    // A disk changes bytes without telling anybody.
    std::fs::File::options().append(true).open(&path).unwrap().set_modified(modified).unwrap();
    let failure = domain::Failure::from(store.get_bytes("a").await.unwrap_err());
    assert_eq!(failure.code, "storage.garbled", "{failure}");
}
