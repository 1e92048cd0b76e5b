//! A transfer takes the same memory for any size, in both directions. A binary of its own, for the
//! peak that the kernel tells is the whole process's; the server is another process.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::time::Instant;

use bytes::Bytes;
use sftp::WriteMode;
use sha2::{Digest, Sha256};

#[cfg(test)]
#[path = "suite/world.rs"]
#[expect(dead_code, reason = "one test needs one server of many")]
mod world;

const MIB: u64 = 1024 * 1024;
const FILE_BYTES: u64 = 512 * MIB;
/// 32 MiB in flight, a window of 16 MiB, and what the allocator keeps.
const GROWTH_MAX_BYTES: u64 = 96 * MIB;

/// The highest resident size so far.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

fn tell(direction: &str, before: u64, start: Instant) {
    let growth = peak_bytes() - before;
    println!(
        "{direction}: {} MiB in {:.1?}, {} MiB of memory",
        FILE_BYTES / MIB,
        start.elapsed(),
        growth / MIB
    );
    assert!(growth < GROWTH_MAX_BYTES, "{direction}: grew by {} MiB", growth / MIB);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_stays_flat() {
    let world = world::World::openssh();
    let session = world.connect().await;
    let chunk = Bytes::from(world::noise(8 << 20, 1));
    let mut sent = Sha256::new();
    let (before, start) = (peak_bytes(), Instant::now());
    let mut writer = session.writer(&world.remote("f"), WriteMode::Truncate).await.unwrap();
    for _ in 0..FILE_BYTES / chunk.len() as u64 {
        sent.update(&chunk);
        // A copy each time, as it comes from a store: only what is in flight may stay.
        writer.write(Bytes::copy_from_slice(&chunk)).await.unwrap();
    }
    assert_eq!(writer.finish().await.unwrap(), FILE_BYTES);
    tell("up", before, start);
    let (before, start) = (peak_bytes(), Instant::now());
    let found = session.hash(&world.remote("f")).await.unwrap();
    tell("down", before, start);
    let sent: [u8; 32] = sent.finalize().into();
    assert_eq!(found, sent);
    session.close().await;
}
