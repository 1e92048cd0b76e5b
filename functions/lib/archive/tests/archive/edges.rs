//! The edges of limits: what is exactly allowed passes, and one more does not.

use archive::{Format, Limits, Options, detect};
use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

use crate::world::*;

fn stored() -> SimpleFileOptions {
    SimpleFileOptions::default().compression_method(CompressionMethod::Stored)
}

/// `None` when the archive passes, else the code.
fn verdict(bytes: &[u8], name: &str, limits: &Limits) -> Option<String> {
    let (outcome, _) = open(bytes, name, limits, &Options::default());
    outcome.err().map(|error| domain::Failure::from(error).code.into_owned())
}

#[test]
fn every_limit_is_inclusive() {
    let members: [(&str, &[u8]); 3] = [("a/b/c", b"12345"), ("d", b"6789"), ("e", b"0")];
    let archives = [("x.zip", zip_of(&members, stored())), ("x.tar", tar_of(&members))];
    let packed = gzip(&archives[1].1);
    let limits = |bytes, entries, name, nesting| Limits {
        max_bytes: bytes,
        max_entries: entries,
        max_name_bytes: name,
        max_nesting: nesting,
        ..Limits::default()
    };
    let rows = [
        (limits(10, 3, 5, 2), None),
        (limits(9, 3, 5, 2), Some("archive.bytes")),
        (limits(10, 2, 5, 2), Some("archive.entries")),
        (limits(10, 3, 4, 2), Some("archive.name")),
        (limits(10, 3, 5, 1), Some("archive.name")),
    ];
    for (limits, code) in rows {
        for (name, bytes) in archives.iter().chain([&("x.tar.gz", packed.clone())]) {
            assert_eq!(verdict(bytes, name, &limits).as_deref(), code, "{name} {limits:?}");
        }
    }
    let single = gzip(b"0123456789");
    assert_eq!(verdict(&single, "x.gz", &limits(10, 1, 5, 1)), None);
    assert_eq!(verdict(&single, "x.gz", &limits(9, 1, 5, 1)).as_deref(), Some("archive.bytes"));
}

#[test]
fn the_ratio_is_inclusive_and_counts_stored_bytes() {
    let body = sample(5, 4 << 20);
    let limits = |max_ratio| Limits { max_ratio, ..Limits::default() };
    // Stored content has a ratio of exactly one.
    let zip = zip_of(&[("a", &body)], stored());
    assert_eq!(verdict(&zip, "x.zip", &limits(1)), None);
    assert_eq!(verdict(&zip, "x.zip", &limits(0)).as_deref(), Some("archive.ratio"));
    // Zeros behind a stream make its file exactly half as long as its content, or one byte less.
    let mut packed = gzip(&vec![0; 4 << 20]);
    packed.resize(2 << 20, 0);
    assert_eq!(verdict(&packed, "x.gz", &limits(2)), None);
    packed.pop();
    assert_eq!(verdict(&packed, "x.gz", &limits(2)).as_deref(), Some("archive.ratio"));
}

#[test]
fn what_archives_begin_with_is_known() {
    let skippable = |count: usize| {
        let frames = b"\x50\x2a\x4d\x18\x01\0\0\0x".repeat(count);
        [frames, zstd::encode_all(&b"text"[..], 1).unwrap()].concat()
    };
    let rows: [(&[u8], Format); 13] = [
        (b"PK\x06\x06 an empty zip64", Format::Zip),
        (b"PK\x07\x08PK\x03\x04 the first of several volumes", Format::Zip),
        (b"PK00PK\x03\x04 the only one of several", Format::Zip),
        (b"PK\x07\x08 data descriptor", Format::Plain),
        (b"BZh01AY&SY", Format::Plain),
        (b"BZh11AY&SY", Format::Bzip2),
        (b"BZh9\x17\x72\x45\x38\x50\x90", Format::Bzip2),
        (b"\x1f\x8b\x07", Format::Plain),
        (&skippable(1), Format::Zstd),
        (&skippable(16), Format::Zstd),
        (&skippable(17), Format::Plain),
        (b"\x50\x2a\x4d\x18\x01\0\0\0x", Format::Plain),
        (b"\x50\x2a\x4d\x18\xff\xff\xff\xffx", Format::Plain),
    ];
    for (bytes, format) in rows {
        assert_eq!(detect(&Memory::new(bytes)).unwrap(), format, "{bytes:?}");
    }
    let formats = [
        (Format::Zip, "zip"),
        (Format::Tar, "tar"),
        (Format::Gzip, "gz"),
        (Format::TarGz, "tar.gz"),
        (Format::Bzip2, "bz2"),
        (Format::TarBz2, "tar.bz2"),
        (Format::Xz, "xz"),
        (Format::TarXz, "tar.xz"),
        (Format::Zstd, "zst"),
        (Format::TarZst, "tar.zst"),
        (Format::Plain, "plain"),
    ];
    for (format, name) in formats {
        assert_eq!(format.to_string(), name);
    }
}

#[test]
fn a_name_is_shown_as_far_as_a_sentence_bears() {
    let long = format!("../{}", "l".repeat(900));
    for bytes in [zip_of(&[("fine", b"1")], stored()), tar_of(&[("fine", b"1")])] {
        assert_eq!(verdict(&bytes, "x", &Limits::default()), None);
    }
    let mut bytes = zip_of(&[(&"#".repeat(long.len()), b"1")], stored());
    for at in 0..bytes.len() - long.len() {
        if bytes[at..].starts_with(&b"#".repeat(long.len())) {
            bytes[at..at + long.len()].copy_from_slice(long.as_bytes());
        }
    }
    let failure = refusal(&bytes, "x.zip", &Limits::default(), &Options::default());
    assert_eq!(failure.code, "archive.traversal");
    assert!(failure.message.contains(&format!("[../{}…]", "l".repeat(197))), "{failure}");
}
