//! Archives that nobody makes by accident, built byte by byte: each is refused by name and reason.

use std::io::{Read, Write};
use std::sync::atomic::Ordering;

use archive::{Limits, Options, unpack};
use zip::write::SimpleFileOptions;

use crate::world::*;

/// One zip entry as the bytes will say it, true or not.
#[derive(Clone)]
struct Fake {
    name: Vec<u8>,
    local_name: Option<Vec<u8>>,
    flags: u16,
    method: u16,
    crc: Option<u32>,
    data: Vec<u8>,
    stored: Option<u32>,
    size: Option<u32>,
    mode: u32,
    offset: Option<u32>,
    extra: Vec<u8>,
}

fn fake(name: &str, data: &[u8]) -> Fake {
    Fake {
        name: name.as_bytes().to_vec(),
        local_name: None,
        flags: 1 << 11,
        method: 0,
        crc: None,
        data: data.to_vec(),
        stored: None,
        size: None,
        mode: 0o100_644,
        offset: None,
        extra: Vec::new(),
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// The archive, and where its directory starts.
fn forge(entries: &[Fake]) -> (Vec<u8>, usize) {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for entry in entries {
        let offset = entry.offset.unwrap_or(out.len() as u32);
        let stored = entry.stored.unwrap_or(entry.data.len() as u32);
        let size = entry.size.unwrap_or(entry.data.len() as u32);
        let crc = entry.crc.unwrap_or_else(|| crc32(&entry.data));
        let local = entry.local_name.as_ref().unwrap_or(&entry.name);
        let mut common = Vec::new();
        for word in [20, entry.flags, entry.method, 0, 0x21] {
            common.extend(word.to_le_bytes());
        }
        for word in [crc, stored, size] {
            common.extend(word.to_le_bytes());
        }
        let local_length = (local.len() as u16).to_le_bytes();
        if entry.offset.is_none() {
            let parts: [&[u8]; 6] =
                [b"PK\x03\x04", &common, &local_length, &[0, 0], local, &entry.data];
            out.extend(parts.concat());
        }
        let name_length = (entry.name.len() as u16).to_le_bytes();
        let extra_length = (entry.extra.len() as u16).to_le_bytes();
        let (mode, offset) = ((entry.mode << 16).to_le_bytes(), offset.to_le_bytes());
        let parts: [&[u8]; 10] = [
            b"PK\x01\x02\x14\x03",
            &common,
            &name_length,
            &extra_length,
            &[0; 6],
            &mode,
            &offset,
            &entry.name,
            &entry.extra,
            b"",
        ];
        directory.extend(parts.concat());
    }
    let start = out.len();
    out.extend(&directory);
    let count = (entries.len() as u16).to_le_bytes();
    let (length, at) = ((directory.len() as u32).to_le_bytes(), (start as u32).to_le_bytes());
    let end: [&[u8]; 7] = [b"PK\x05\x06", &[0; 4], &count, &count, &length, &at, &[0, 0]];
    out.extend(end.concat());
    (out, start)
}

fn refused(bytes: &[u8]) -> domain::Failure {
    refusal(bytes, "x.zip", &Limits::default(), &Options::default())
}

#[test]
fn the_forger_can_forge_a_good_archive() {
    let (bytes, _) = forge(&[fake("a", b"1"), fake("d/", b""), fake("d/b", b"22")]);
    assert_eq!(good(&bytes, "x.zip", None), expected(&[("a", b"1"), ("d/b", b"22")]));
}

#[test]
fn bad_zip_entries_are_refused_by_name_before_any_member_is_passed_on() {
    let link = Fake { mode: 0o120_777, ..fake("link", b"/etc/passwd") };
    let rows: [(&str, Fake, &str); 22] = [
        ("traversal", fake("../evil", b"x"), "archive.traversal"),
        ("traversal folder", fake("a/../../", b""), "archive.traversal"),
        ("backslashes", fake("..\\evil", b"x"), "archive.traversal"),
        ("absolute", fake("/etc/cron.d/x", b"x"), "archive.absolute"),
        ("drive", fake("C:\\evil", b"x"), "archive.absolute"),
        ("share", fake("\\\\host\\x", b"x"), "archive.absolute"),
        ("nul", fake("a\0.csv", b"x"), "archive.name"),
        ("newline", fake("a\nb", b"x"), "archive.name"),
        ("empty name", fake("", b"x"), "archive.name"),
        ("dot", fake(".//.", b"x"), "archive.corrupt"),
        ("link", link, "archive.link"),
        ("device", Fake { mode: 0o060_644, ..fake("dev", b"") }, "archive.special"),
        ("fifo", Fake { mode: 0o010_644, ..fake("fifo", b"") }, "archive.special"),
        ("socket", Fake { mode: 0o140_644, ..fake("sock", b"") }, "archive.special"),
        ("duplicate", fake("good", b"x"), "archive.duplicate"),
        ("duplicate in disguise", fake("./good", b"x"), "archive.duplicate"),
        ("full folder", fake("folder/", b"x"), "archive.corrupt"),
        ("encrypted", Fake { flags: 1, ..fake("e", b"0123456789ab") }, "archive.encrypted"),
        ("strong", Fake { flags: 0x41, ..fake("e", b"0123456789ab") }, "archive.unsupported"),
        ("method", Fake { method: 97, ..fake("w", b"x") }, "archive.unsupported"),
        ("utf-8", Fake { name: b"\xff.csv".to_vec(), ..fake("", b"x") }, "archive.charset"),
        ("beyond", Fake { stored: Some(1 << 30), ..fake("b", b"x") }, "archive.corrupt"),
    ];
    for (what, entry, code) in rows {
        let (bytes, _) = forge(&[fake("good", b"content"), entry]);
        let failure = refused(&bytes);
        assert_eq!(failure.code, code, "{what}: {failure}");
        let shelf = Shelf::default();
        unpack(&Memory::new(&bytes), "x", &Limits::default(), &Options::default(), &shelf)
            .unwrap_err();
        assert_eq!(shelf.begun.load(Ordering::Relaxed), 0, "{what}");
    }
}

#[test]
fn contents_that_contradict_the_directory_are_never_committed() {
    let packed = deflated(b"content content content content");
    let deflate = Fake {
        method: 8,
        data: packed.clone(),
        crc: Some(crc32(b"content content content content")),
        size: Some(31),
        ..fake("m", b"")
    };
    assert!(refuse_or_members(&forge(std::slice::from_ref(&deflate)).0).is_ok());
    let slack = [packed.as_slice(), b"slack"].concat();
    let rows: [(&str, Fake, &str); 9] = [
        ("crc", Fake { crc: Some(1), ..fake("m", b"x") }, "archive.crc"),
        ("deflate crc", Fake { crc: Some(1), ..deflate.clone() }, "archive.crc"),
        ("says less", Fake { size: Some(30), ..deflate.clone() }, "archive.corrupt"),
        ("says more", Fake { size: Some(32), ..deflate.clone() }, "archive.corrupt"),
        ("slack", Fake { data: slack, ..deflate.clone() }, "archive.corrupt"),
        ("stored says more", Fake { size: Some(3), ..fake("m", b"x") }, "archive.corrupt"),
        ("no deflate", Fake { data: b"\xff\xff".to_vec(), ..deflate.clone() }, "archive.corrupt"),
        ("cut", Fake { data: packed[..9].to_vec(), ..deflate.clone() }, "archive.truncated"),
        ("other name", Fake { local_name: Some(b"n".to_vec()), ..deflate }, "archive.corrupt"),
    ];
    for (what, entry, code) in rows {
        let (bytes, _) = forge(&[entry]);
        assert_eq!(refused(&bytes).code, code, "{what}");
        let (_, members) = open(&bytes, "x", &Limits::default(), &Options::default());
        assert!(members.is_empty(), "{what}");
    }
}

fn refuse_or_members(bytes: &[u8]) -> Result<Members, archive::Error> {
    let (outcome, members) = open(bytes, "x.zip", &Limits::default(), &Options::default());
    outcome.map(|_| members)
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::best();
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), level);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn overlapping_entries_are_refused() {
    // The quine-like bomb: many directory records over one piece of data.
    let kernel = fake("kernel", &[7; 1000]);
    let echo = Fake { offset: Some(0), ..fake("echo__", &[7; 1000]) };
    assert_eq!(refused(&forge(&[kernel, echo]).0).code, "archive.overlap");
    // The nested bomb: each entry's data holds the next entry's header and data.
    let (inner, _) = forge(&[fake("b", &[1; 100])]);
    let inner = &inner[..131];
    let outer = fake("a", inner);
    let nested = Fake { offset: Some(31), ..fake("b", &[1; 100]) };
    assert_eq!(refused(&forge(&[outer, nested]).0).code, "archive.overlap");
    // A local extra field that pushes the data over the next entry is seen when it is read.
    let (mut bytes, _) = forge(&[fake("a", b"0123456789"), fake("b", b"0123456789")]);
    bytes[28] = 5;
    assert_eq!(refused(&bytes).code, "archive.overlap");
}

#[test]
fn a_directory_that_can_be_read_in_two_ways_is_refused() {
    let (bytes, start) = forge(&[fake("a", b"1")]);
    let end = bytes.len() - 22;
    let (whole, _) = forge(&[fake("a", b"1"), fake("b", b"2")]);
    let edit = |at: usize, value: u8| {
        let mut copy = bytes.clone();
        copy[at] = value;
        copy
    };
    let mut commented = edit(end + 20, 22);
    commented.extend(&bytes[end..]);
    let rows: [(&str, Vec<u8>); 8] = [
        ("a second end in the comment", commented),
        ("bytes after the end", [bytes.as_slice(), b"x"].concat()),
        ("prepended bytes", [b"PK\x03\x04".as_slice(), &bytes].concat()),
        ("a count too low", edit(end + 8, 0)),
        ("both counts too low", {
            let mut b = edit(end + 8, 0);
            b[end + 10] = 0;
            b
        }),
        ("both counts too high", {
            let mut b = edit(end + 8, 2);
            b[end + 10] = 2;
            b
        }),
        ("a directory shifted", edit(end + 16, start as u8 + 1)),
        ("another disk", edit(end + 4, 1)),
    ];
    for (what, bytes) in rows {
        let failure = refused(&bytes);
        assert!(!failure.code.is_empty(), "{what}");
    }
    assert_eq!(refused(&whole[..whole.len() - 1]).code, "archive.truncated");
}

#[test]
fn limits_hold_and_name_their_field() {
    let zeros = vec![0; 3 << 20];
    let bomb = zip_of(&[("zeros", &zeros)], SimpleFileOptions::default());
    let tight = Limits { max_ratio: 100, ..Limits::default() };
    let tar = tar_of(&[("zeros", &zeros)]);
    for (name, bytes) in [("x.zip", bomb.clone()), ("x.gz", gzip(&zeros)), ("x.tgz", gzip(&tar))] {
        let failure = refusal(&bytes, name, &tight, &Options::default());
        assert_eq!(failure.code, "archive.ratio", "{name}");
        assert!(failure.message.contains("unpack.max_ratio"));
        let loose = Limits { max_ratio: 100_000, ..Limits::default() };
        assert!(open(&bytes, name, &loose, &Options::default()).0.is_ok());
        let small = Limits { max_bytes: 1 << 20, max_ratio: 100_000, ..Limits::default() };
        let failure = refusal(&bytes, name, &small, &Options::default());
        assert_eq!(failure.code, "archive.bytes", "{name}");
        assert!(failure.message.contains("unpack.max_bytes"));
    }
    // Tiny files may compress as well as they like.
    let tiny = gzip(&vec![0; 1 << 20]);
    assert!(
        open(&tiny, "x.gz", &Limits { max_ratio: 2, ..tight.clone() }, &Options::default())
            .0
            .is_ok()
    );
    // A zip that claims little cannot deliver much.
    let mut lying = bomb;
    let directory = lying.windows(4).rposition(|window| window == b"PK\x01\x02").unwrap();
    lying[directory + 24..directory + 28].copy_from_slice(&100_u32.to_le_bytes());
    lying[22..26].copy_from_slice(&100_u32.to_le_bytes());
    let failure = refusal(&lying, "x.zip", &tight, &Options::default());
    assert_eq!(failure.code, "archive.corrupt");
    let three: [(&str, &[u8]); 3] = [("a", b""), ("b", b""), ("c", b"")];
    let two = Limits { max_entries: 2, ..Limits::default() };
    let archives =
        [zip_of(&three, SimpleFileOptions::default()), tar_of(&three), gzip(&tar_of(&three))];
    for bytes in archives {
        let failure = refusal(&bytes, "x", &two, &Options::default());
        assert_eq!(failure.code, "archive.entries");
        assert!(failure.message.contains("unpack.max_entries"));
    }
    let short = Limits { max_name_bytes: 3, ..Limits::default() };
    for bytes in [forge(&[fake("long", b"")]).0, tar_of(&[("long", b"")])] {
        assert_eq!(refusal(&bytes, "x", &short, &Options::default()).code, "archive.name");
    }
}

/// A tar header as told, with a right checksum.
fn header(name: &[u8], flag: u8, size: u64, magic: &[u8; 8]) -> Vec<u8> {
    let mut block = vec![0; 512];
    block[..name.len()].copy_from_slice(name);
    block[100..107].copy_from_slice(b"0000644");
    block[108..115].copy_from_slice(b"0000000");
    block[116..123].copy_from_slice(b"0000000");
    block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    block[136..147].copy_from_slice(b"00000000000");
    block[156] = flag;
    block[257..265].copy_from_slice(magic);
    sign(&mut block);
    block
}

fn sign(block: &mut [u8]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
}

const POSIX: &[u8; 8] = b"ustar\x0000";
const GNU: &[u8; 8] = b"ustar  \0";

fn content(bytes: &[u8]) -> Vec<u8> {
    let mut content = bytes.to_vec();
    content.resize(bytes.len().next_multiple_of(512), 0);
    content
}

fn tarred(parts: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = parts.concat();
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

fn pax(record: &str) -> Vec<u8> {
    let length = (1..).find(|length| format!("{length} {record}\n").len() == *length).unwrap();
    format!("{length} {record}\n").into_bytes()
}

#[test]
fn bad_tar_entries_are_refused_by_name() {
    let file = |name: &str| vec![header(name.as_bytes(), b'0', 1, POSIX), content(b"x")];
    let pax_then = |record: &str, flag| {
        let record = pax(record);
        let head = header(b"pax", flag, record.len() as u64, POSIX);
        [vec![head, content(&record)], file("plain")].concat()
    };
    let mut broken = header(b"broken", b'0', 1, POSIX);
    broken[0] ^= 1;
    let mut size = header(b"size", b'0', 1, POSIX);
    size[124] = b'9';
    sign(&mut size);
    let mut huge = header(b"huge", b'0', 1, GNU);
    huge[124..136]
        .copy_from_slice(&[0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    sign(&mut huge);
    let rows: [(&str, Vec<Vec<u8>>, &str); 26] = [
        ("traversal", file("../x"), "archive.traversal"),
        ("absolute", file("/x"), "archive.absolute"),
        ("drive", file("c:\\x"), "archive.absolute"),
        ("duplicate", file("good"), "archive.duplicate"),
        ("disguised duplicate", file(".//good"), "archive.duplicate"),
        ("control", file("a\x1b[2J"), "archive.name"),
        ("hard link", vec![header(b"l", b'1', 0, POSIX)], "archive.link"),
        ("soft link", vec![header(b"l", b'2', 0, POSIX)], "archive.link"),
        ("char device", vec![header(b"d", b'3', 0, POSIX)], "archive.special"),
        ("block device", vec![header(b"d", b'4', 0, POSIX)], "archive.special"),
        ("fifo", vec![header(b"d", b'6', 0, POSIX)], "archive.special"),
        ("sparse", vec![header(b"s", b'S', 0, GNU)], "archive.sparse"),
        ("volume", vec![header(b"s", b'M', 0, GNU)], "archive.unsupported"),
        ("unknown type", vec![header(b"s", b'Q', 0, GNU)], "archive.unsupported"),
        ("full folder", vec![header(b"d", b'5', 512, POSIX), content(b"x")], "archive.corrupt"),
        ("v7 folder", vec![header(b"d/", b'0', 1, POSIX), content(b"x")], "archive.corrupt"),
        ("checksum", vec![broken, content(b"x")], "archive.corrupt"),
        ("size", vec![size, content(b"x")], "archive.corrupt"),
        ("huge", vec![huge, content(b"x")], "archive.corrupt"),
        ("pax traversal", pax_then("path=../x", b'x'), "archive.traversal"),
        ("pax sparse", pax_then("GNU.sparse.major=1", b'x'), "archive.sparse"),
        ("pax size", pax_then("size=99999", b'x'), "archive.corrupt"),
        ("pax number", pax_then("size=-1", b'x'), "archive.corrupt"),
        ("global path", pax_then("path=x", b'g'), "archive.corrupt"),
        ("latin-1", vec![header(b"\xfc", b'0', 0, POSIX)], "archive.charset"),
        ("header at the end", vec![header(b"pax", b'x', 0, POSIX)], "archive.truncated"),
    ];
    for (what, parts, code) in rows {
        let bytes = tarred(&[file("good"), parts].concat());
        for (name, bytes) in [("x.tar", bytes.clone()), ("x.tar.gz", gzip(&bytes))] {
            let failure = refusal(&bytes, name, &Limits::default(), &Options::default());
            assert_eq!(failure.code, code, "{what}: {failure}");
            let (_, members) = open(&bytes, name, &Limits::default(), &Options::default());
            assert_eq!(members, expected(&[("good", b"x")]), "{what}");
        }
    }
}

#[test]
fn malformed_pax_records_are_refused() {
    let file = |name: &str| vec![header(name.as_bytes(), b'0', 1, POSIX), content(b"x")];
    for malformed in
        ["", "x", "5 a=b\n", "99 a=b\n", "0 a=b\n", "6 aab\n", "99999999999999999999999 a=b\n"]
    {
        let head = header(b"pax", b'x', malformed.len() as u64, POSIX);
        let bytes =
            tarred(&[file("good"), vec![head, content(malformed.as_bytes())], file("b")].concat());
        let (outcome, _) = open(&bytes, "x.tar", &Limits::default(), &Options::default());
        assert_eq!(outcome.is_ok(), malformed.is_empty(), "{malformed:?}");
    }
}

#[test]
fn tars_must_end_properly() {
    let file = |name: &str| [header(name.as_bytes(), b'0', 1, POSIX), content(b"x")].concat();
    let unended = file("a");
    assert_eq!(refused(&unended).code, "archive.truncated");
    assert_eq!(refused(&gzip(&unended)).code, "archive.truncated");
    let two = [tarred(&[file("a")]), tarred(&[file("b")])].concat();
    assert_eq!(refused(&two).code, "archive.corrupt");
    assert_eq!(refused(&gzip(&two)).code, "archive.corrupt");
    let one_block = [file("a"), vec![0; 512]].concat();
    assert_eq!(good(&one_block, "x.tar", None), expected(&[("a", b"x")]));
    let padded = [file("a"), vec![0; 10240]].concat();
    assert_eq!(good(&padded, "x.tar", None), expected(&[("a", b"x")]));
}

#[test]
fn extended_headers_cannot_eat_memory() {
    let big = 2 << 20;
    let parts =
        vec![header(b"L", b'L', big, GNU), vec![b'a'; big as usize], header(b"a", b'0', 0, GNU)];
    assert_eq!(refused(&tarred(&parts)).code, "archive.name");
    let chain = |length: usize| {
        let mut chain = vec![[header(b"L", b'L', 1, GNU), content(b"a")].concat(); length];
        chain.push(header(b"a", b'0', 0, GNU));
        tarred(&chain)
    };
    assert_eq!(good(&chain(8), "x.tar", None), expected(&[("a", b"")]));
    assert_eq!(refused(&chain(9)).code, "archive.name");
    // The largest is read, and its name is what is wrong with it.
    for (size, words) in [(1 << 20, "longer than"), ((1 << 20) + 1, "too large")] {
        let long = [header(b"L", b'L', size, GNU), content(&vec![b'a'; size as usize])].concat();
        let failure = refused(&tarred(&[long, header(b"a", b'0', 0, GNU)]));
        assert!(failure.message.contains(words), "{failure}");
    }
}

#[test]
fn members_named_by_the_file_are_checked_too() {
    let bytes = gzip(b"text");
    let rows = [
        ("a.csv.gz", "a.csv"),
        ("dir/a.csv.GZ", "a.csv"),
        ("dir\\a.gz", "a"),
        ("a.tgz", "a.tar"),
        ("a.csv", "a.csv"),
        (".gz", ".gz"),
    ];
    for (name, member) in rows {
        assert_eq!(good(&bytes, name, None), expected(&[(member, b"text")]), "{name}");
    }
    for (name, code) in
        [("...gz", "archive.traversal"), ("a\n.gz", "archive.name"), ("", "archive.name")]
    {
        assert_eq!(refusal(&bytes, name, &Limits::default(), &Options::default()).code, code);
    }
    let mut named = flate2::GzBuilder::new()
        .filename("../../etc/passwd")
        .read(&b"text"[..], flate2::Compression::default());
    let mut bytes = Vec::new();
    named.read_to_end(&mut bytes).unwrap();
    assert_eq!(good(&bytes, "a.gz", None), expected(&[("a", b"text")]));
}

#[test]
fn an_archive_in_an_archive_is_delivered_as_it_is() {
    let inner = gzip(&tar_of(&[("x", b"y")]));
    let outer = zip_of(&[("in.tgz", &inner)], SimpleFileOptions::default());
    assert_eq!(good(&outer, "x.zip", None), expected(&[("in.tgz", &inner)]));
}
