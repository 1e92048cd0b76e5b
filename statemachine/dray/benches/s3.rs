//! How far the embedded S3 is from what the machine can do: large and small objects and a long listing
//! through the client that the stages use, beside a plain file and a plain connection.
//!
//! `cargo bench -p dray --bench s3 [-- MIB]`; every line is one round, so look at several.

#![expect(clippy::unwrap_used, reason = "a measurement ends where something fails")]

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Instant;

use bytes::Bytes;
use dray::s3::{Options, S3Server};
use futures::future::join_all;
use storage::{Condition, Range, Store};

const MIB: usize = 1024 * 1024;
const ROUNDS: usize = 3;
const SMALL_AT_ONCE: usize = 64;
const SMALL_BYTES: usize = 2_000;
const KEYS: usize = 10_000;

#[tokio::main]
async fn main() {
    // Cargo adds an argument of its own.
    let mib = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(1_024);
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let options = Options { folder: folder.path().to_path_buf(), buckets: vec!["work".to_owned()] };
    let server = S3Server::start(options).await.unwrap();
    let store = Store::local(server.endpoint(), server.access_key(), server.secret_key(), "work");
    let many = folder.path().join("work/many");
    std::fs::create_dir(&many).unwrap();
    for number in 0..KEYS {
        std::fs::write(many.join(format!("{number:05}")), b"x").unwrap();
    }
    println!("{mib} MiB, {SMALL_AT_ONCE} small objects at once, {KEYS} keys; seconds");
    for _ in 0..ROUNDS {
        print!("plain file {:.2}, plain connection {:.2};", file(folder.path(), mib), tcp(mib));
        let (sent, end) = write(&store, mib).await;
        print!(" write {sent:.2} and {end:.2} to finish,");
        print!(" read {:.2},", read(&store, Range::ALL).await);
        print!(" in four ranges {:.2};", read_in_ranges(&store, mib).await);
        let (put, get) = small(&store).await;
        println!(" small put {put:.2}, get {get:.2}; list {:.2}", list(&store).await);
    }
    server.stop().await;
}

fn file(folder: &Path, mib: usize) -> f64 {
    let path = folder.join("plain");
    let piece = vec![7; MIB];
    let begun = Instant::now();
    let mut file = std::fs::File::create(&path).unwrap();
    for _ in 0..mib {
        file.write_all(&piece).unwrap();
    }
    let seconds = begun.elapsed().as_secs_f64();
    std::fs::remove_file(path).unwrap();
    seconds
}

fn tcp(mib: usize) -> f64 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let reader = std::thread::spawn(move || {
        std::io::copy(&mut listener.accept().unwrap().0, &mut std::io::sink()).unwrap()
    });
    let piece = vec![7; MIB];
    let begun = Instant::now();
    let mut writer = TcpStream::connect(address).unwrap();
    for _ in 0..mib {
        writer.write_all(&piece).unwrap();
    }
    drop(writer);
    reader.join().unwrap();
    begun.elapsed().as_secs_f64()
}

async fn write(store: &Store, mib: usize) -> (f64, f64) {
    let piece = Bytes::from(vec![7; MIB]);
    let begun = Instant::now();
    let mut writer = store.writer("large");
    for _ in 0..mib {
        writer.write(piece.clone()).await.unwrap();
    }
    let sent = begun.elapsed();
    writer.finish().await.unwrap();
    (sent.as_secs_f64(), (begun.elapsed() - sent).as_secs_f64())
}

async fn read(store: &Store, range: Range) -> f64 {
    let begun = Instant::now();
    let mut reader = store.reader("large", range).await.unwrap();
    while reader.next().await.unwrap().is_some() {}
    begun.elapsed().as_secs_f64()
}

async fn read_in_ranges(store: &Store, mib: usize) -> f64 {
    let len = (mib * MIB / 4) as u64;
    let begun = Instant::now();
    let ranges = (0..4).map(|number| {
        let store = store.clone();
        tokio::spawn(async move { read(&store, Range::of(number * len, len)).await })
    });
    assert!(join_all(ranges).await.into_iter().all(|done| done.is_ok()));
    begun.elapsed().as_secs_f64()
}

async fn small(store: &Store) -> (f64, f64) {
    let begun = Instant::now();
    let puts = (0..SMALL_AT_ONCE).map(|number| {
        let store = store.clone();
        tokio::spawn(async move {
            let (key, body) = (format!("small/{number}"), Bytes::from(vec![7; SMALL_BYTES]));
            assert!(store.put_bytes(&key, body, Condition::Any).await.unwrap().is_written());
        })
    });
    assert!(join_all(puts).await.into_iter().all(|done| done.is_ok()));
    let put = begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    let gets = (0..SMALL_AT_ONCE).map(|number| {
        let store = store.clone();
        tokio::spawn(async move { store.get_bytes(&format!("small/{number}")).await.unwrap() })
    });
    assert!(join_all(gets).await.into_iter().all(|done| done.is_ok_and(|got| got.is_some())));
    (put, begun.elapsed().as_secs_f64())
}

async fn list(store: &Store) -> f64 {
    let begun = Instant::now();
    assert_eq!(store.list("many/").await.unwrap().len(), KEYS);
    begun.elapsed().as_secs_f64()
}
