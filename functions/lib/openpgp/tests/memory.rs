//! Sealing and proving take the same memory for any size. A binary of its own, for the peak that
//! the kernel tells is the whole process's.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::fs::File;
use std::io::{self, Read};
use std::time::Instant;

use jiff::Timestamp;
use openpgp::{Format, GenerateOptions, Recipient, SealOptions, generate, prove, seal};

const MIB: u64 = 1024 * 1024;
/// A few chunks of the container of version 1; the library takes more for version 2.
const GROWTH_MAX_MIB: u64 = 4;
const LIBRARY_GROWTH_MAX_MIB: u64 = 48;

/// The highest resident size so far.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn memory_stays_flat() {
    let pair = generate(&GenerateOptions::new("acme")).unwrap();
    let recipient = Recipient::parse(pair.public.as_bytes(), Timestamp::now()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sealed");
    for (format, armor, file_mib, growth_max_mib) in [
        (Format::V1, false, 384, GROWTH_MAX_MIB),
        (Format::V1, true, 64, LIBRARY_GROWTH_MAX_MIB),
        (Format::V2, false, 128, LIBRARY_GROWTH_MAX_MIB),
    ] {
        let file_bytes = file_mib * MIB;
        let before = peak_bytes();
        let options = SealOptions { format, armor, signer: None };
        let start = Instant::now();
        let mut plaintext = io::repeat(7).take(file_bytes);
        let mut file = File::create(&path).unwrap();
        let sealed = seal(&[&recipient], &options, &mut plaintext, &mut file).unwrap();
        let sealed_in = start.elapsed();
        prove(&sealed, &[&recipient], &mut File::open(&path).unwrap()).unwrap();
        let proven_in = start.elapsed() - sealed_in;
        let growth = peak_bytes() - before;
        println!(
            "{format:?} armor {armor}: {file_mib} MiB sealed in {sealed_in:.1?}, proven in {proven_in:.1?}, \
             {} MiB of memory",
            growth / MIB,
        );
        assert_eq!(sealed.plaintext_bytes, file_bytes);
        assert!(growth < growth_max_mib * MIB, "{format:?}: grew by {} MiB", growth / MIB);
    }
}
