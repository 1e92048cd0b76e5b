//! Archives as partners make them: the zip and tar crates, Python, GNU tar, Info-ZIP, gzip and co.

use std::fs;
use std::path::Path;

use archive::{Format, Limits, NameCharset, Options, detect, is_document_container, unpack};
use zip::unstable::write::FileOptionsExt;
use zip::write::SimpleFileOptions;
use zip::{AesMode, CompressionMethod};

use crate::world::*;

#[test]
fn every_zip_method_and_cipher_of_the_zip_crate_opens() {
    let (small, large) = (sample(1, 300), sample(2, 700_000));
    let members: [(&str, &[u8]); 4] =
        [("a.csv", &small), ("deep/b.bin", &large), ("empty", b""), ("ü/c.txt", b"x")];
    let methods = [
        CompressionMethod::Stored,
        CompressionMethod::Deflated,
        CompressionMethod::Bzip2,
        CompressionMethod::Zstd,
        CompressionMethod::Xz,
    ];
    for method in methods {
        for large_file in [false, true] {
            let options =
                SimpleFileOptions::default().compression_method(method).large_file(large_file);
            let plain = zip_of(&members, options);
            assert_eq!(good(&plain, "p.zip", None), expected(&members), "{method:?}");
            let old = zip_of(&members, options.with_deprecated_encryption(b"secret").unwrap());
            assert_eq!(good(&old, "o.zip", Some("secret")), expected(&members), "{method:?}");
            for mode in [AesMode::Aes128, AesMode::Aes192, AesMode::Aes256] {
                let aes = zip_of(&members, options.with_aes_encryption(mode, "secret"));
                assert_eq!(good(&aes, "s.zip", Some("secret")), expected(&members), "{method:?}");
            }
        }
    }
}

#[test]
fn wrong_and_missing_passwords_are_told_apart() {
    let members: [(&str, &[u8]); 1] = [("a.csv", b"1,2,3\n4,5,6\n")];
    let options = SimpleFileOptions::default();
    let aes = zip_of(&members, options.with_aes_encryption(AesMode::Aes256, "right"));
    let old = zip_of(&members, options.with_deprecated_encryption(b"right").unwrap());
    for bytes in [aes, old] {
        let none = refusal(&bytes, "x.zip", &Limits::default(), &Options::default());
        assert_eq!(none.code, "archive.encrypted");
        assert!(none.message.contains("unpack.password"), "{none}");
        for attempt in 0..600 {
            let wrong = format!("wrong{attempt}");
            let options = Options { password: Some(&wrong), ..Options::default() };
            let failure = refusal(&bytes, "x.zip", &Limits::default(), &options);
            assert_eq!(failure.code, "archive.wrong_password");
            assert!(!failure.message.contains(&wrong));
        }
    }
}

#[test]
fn python_zips_open() {
    let folder = tempfile::tempdir().unwrap();
    let script = r#"
import io, sys, zipfile
body = b"id,name\n" * 5000
for name, method in [("stored", 0), ("deflated", 8), ("bzip2", 12), ("lzma", 14)]:
    with zipfile.ZipFile(name + ".zip", "w", method) as z:
        z.writestr("a.csv", body); z.writestr("d/", b""); z.writestr("d/\u00fc.csv", b"1"); z.writestr("e", b"")
# written to a pipe: sizes and checksums only in data descriptors
class Pipe(io.RawIOBase):
    def __init__(self): self.b = bytearray()
    def writable(self): return True
    def write(self, d): self.b += bytes(d); return len(d)
p = Pipe()
with zipfile.ZipFile(p, "w", 8) as z:
    z.writestr("a.csv", body)
    with z.open("big.csv", "w", force_zip64=True) as f: f.write(body)
open("streamed.zip", "wb").write(p.b)
with zipfile.ZipFile("many.zip", "w") as z:
    for i in range(70000): z.writestr(zipfile.ZipInfo("f%d" % i), b"")
with zipfile.ZipFile("empty.zip", "w") as z: z.comment = b"nothing here"
"#;
    run(folder.path(), "python3", &["-c", script]);
    let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
    let body = "id,name\n".repeat(5000).into_bytes();
    for name in ["stored", "deflated", "bzip2", "lzma"] {
        let members = good(&read(&format!("{name}.zip")), name, None);
        assert_eq!(members, expected(&[("a.csv", &body), ("d/ü.csv", b"1"), ("e", b"")]), "{name}");
    }
    let streamed = good(&read("streamed.zip"), "streamed.zip", None);
    assert_eq!(streamed, expected(&[("a.csv", &body), ("big.csv", &body)]));
    assert!(good(&read("empty.zip"), "empty.zip", None).is_empty());
    let limits = Limits { max_entries: 70_000, ..Limits::default() };
    let (outcome, members) = open(&read("many.zip"), "many.zip", &limits, &Options::default());
    assert_eq!((outcome.unwrap().members, members.len()), (70_000, 70_000));
    let limits = Limits { max_entries: 69_999, ..Limits::default() };
    let failure = refusal(&read("many.zip"), "many.zip", &limits, &Options::default());
    assert_eq!(failure.code, "archive.entries");
}

#[test]
fn info_zip_archives_open() {
    if !installed("zip") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("d")).unwrap();
    let body = sample(5, 60_000);
    fs::write(folder.path().join("d/a.csv"), &body).unwrap();
    fs::write(folder.path().join("ü.csv"), b"umlaut").unwrap();
    let wanted = expected(&[("d/a.csv", &body), ("ü.csv", b"umlaut")]);
    let rows: [(&str, &[&str], Option<&str>); 5] = [
        ("1.zip", &["-r"], None),
        ("2.zip", &["-r", "-0"], None),
        ("3.zip", &["-r", "-P", "pw"], Some("pw")),
        ("4.zip", &["-r", "-fz"], None),
        ("5.zip", &["-r", "-Z", "bzip2"], None),
    ];
    for (name, flags, password) in rows {
        let arguments = [&["-q"], flags, &[name, "d", "ü.csv"]].concat();
        run(folder.path(), "zip", &arguments);
        let bytes = fs::read(folder.path().join(name)).unwrap();
        assert_eq!(good(&bytes, name, password), wanted, "{name}");
    }
    let piped = run(folder.path(), "sh", &["-c", "zip -q -r - d ü.csv | cat"]);
    assert_eq!(good(&piped, "piped.zip", None), wanted);
}

#[test]
fn tars_of_python_and_gnu_tar_open_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let long = format!("{}/{}.csv", "f".repeat(90), "n".repeat(120));
    let body = sample(7, 100_000);
    fs::create_dir(folder.path().join("f".repeat(90))).unwrap();
    fs::write(folder.path().join(&long), &body).unwrap();
    fs::write(folder.path().join("ü.csv"), b"umlaut").unwrap();
    fs::write(folder.path().join("empty"), b"").unwrap();
    let members: [(&str, &[u8]); 3] = [(&long, &body), ("ü.csv", b"umlaut"), ("empty", b"")];
    for format in ["gnu", "pax", "oldgnu", "posix"] {
        let flag = format!("--format={format}");
        let paths = [&"f".repeat(90), "ü.csv", "empty"].map(str::to_owned);
        let arguments = ["-cf", "-", &flag, &paths[0], &paths[1], &paths[2]];
        let bytes = run(folder.path(), "tar", &arguments);
        assert_eq!(good(&bytes, "x.tar", None), expected(&members), "{format}");
    }
    for format in ["USTAR_FORMAT", "GNU_FORMAT", "PAX_FORMAT"] {
        let script = format!(
            "import sys,tarfile\nt=tarfile.open(fileobj=sys.stdout.buffer,mode='w|gz',format=tarfile.{format})\n\
             t.add('ü.csv')\nt.add('empty')\nt.close()"
        );
        let bytes = run(folder.path(), "python3", &["-c", &script]);
        assert_eq!(detect(&Memory::new(&bytes)).unwrap(), Format::TarGz);
        assert_eq!(good(&bytes, "x.tgz", None), expected(&members[1..]), "{format}");
    }
    for (flag, tool) in [("-z", "gzip"), ("-j", "bzip2"), ("-J", "xz"), ("--zstd", "zstd")] {
        if installed(tool) {
            let bytes = run(folder.path(), "tar", &["-c", flag, "-f", "-", "ü.csv", "empty"]);
            assert_eq!(good(&bytes, "x.tar", None), expected(&members[1..]), "{tool}");
        }
    }
}

#[test]
fn single_streams_of_the_real_tools_open_once_and_concatenated() {
    let folder = tempfile::tempdir().unwrap();
    let body = sample(9, 300_000);
    fs::write(folder.path().join("orders.csv"), &body).unwrap();
    fs::write(folder.path().join("none.csv"), b"").unwrap();
    for (tool, ending) in [("gzip", "gz"), ("bzip2", "bz2"), ("xz", "xz"), ("zstd", "zst")] {
        if !installed(tool) {
            continue;
        }
        let one = run(folder.path(), tool, &["-c", "orders.csv"]);
        let none = run(folder.path(), tool, &["-c", "none.csv"]);
        let name = format!("ORDERS.csv.{}", ending.to_uppercase());
        assert_eq!(good(&one, &name, None), expected(&[("ORDERS.csv", &body)]), "{tool}");
        assert_eq!(good(&none, &name, None), expected(&[("ORDERS.csv", b"")]), "{tool}");
        let twice = [one.as_slice(), &none, &one].concat();
        let both = [body.as_slice(), &body].concat();
        assert_eq!(good(&twice, &name, None), expected(&[("ORDERS.csv", &both)]), "{tool}");
        let padded = [one.as_slice(), &[0; 700]].concat();
        assert_eq!(good(&padded, "odd", None), expected(&[("odd", &body)]), "{tool}");
        for garbage in [&b"x"[..], &[0, 0, 0, b'x'], &b"garbage, quite a bit of it"[..]] {
            let bytes = [one.as_slice(), garbage].concat();
            refusal(&bytes, &name, &Limits::default(), &Options::default());
        }
    }
}

#[test]
fn magic_bytes_decide_and_names_do_not() {
    let tar = tar_of(&[("a", b"1")]);
    let stored = zip_of(&[("a", b"1")], SimpleFileOptions::default());
    let rows: [(&[u8], Format); 12] = [
        (b"", Format::Plain),
        (b"P", Format::Plain),
        (b"id,name\n", Format::Plain),
        (b"BZh9 is how this text begins", Format::Plain),
        (&[0; 2048], Format::Plain),
        (&tar, Format::Tar),
        (&stored, Format::Zip),
        (b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", Format::Zip),
        (&gzip(&tar), Format::TarGz),
        (&gzip(b"text"), Format::Gzip),
        (b"\x1f\x8b\x08broken", Format::Gzip),
        (b"\x50\x2a\x4d\x18\x02\0\0\0xx\x28\xb5\x2f\xfd", Format::Zstd),
    ];
    for (bytes, format) in rows {
        assert_eq!(detect(&Memory::new(bytes)).unwrap(), format, "{bytes:?}");
    }
    let mut broken = tar;
    broken[0] ^= 1;
    assert_eq!(detect(&Memory::new(&broken)).unwrap(), Format::Plain);
    assert!(is_document_container("Report.XLSX") && !is_document_container("xlsx"));
}

#[test]
fn names_follow_flag_field_and_charset() {
    let folder = tempfile::tempdir().unwrap();
    // Python writes cp437 without the flag for what cp437 can hold only from raw bytes, so patch it.
    let named = |raw: &[u8]| {
        let filler = "#".repeat(raw.len());
        let mut bytes = zip_of(&[(&filler, b"1")], SimpleFileOptions::default());
        for at in 0..bytes.len() - raw.len() {
            if bytes[at..].starts_with(filler.as_bytes()) {
                bytes[at..at + raw.len()].copy_from_slice(raw);
            }
        }
        bytes
    };
    let rows: [(&[u8], NameCharset, &str); 5] = [
        (b"\x81.csv", NameCharset::Utf8, "ü.csv"),
        (b"\x81.csv", NameCharset::Cp437, "ü.csv"),
        (b"\xfc.csv", NameCharset::Cp1252, "ü.csv"),
        (b"\x93\xfa\x96\x7b.csv", NameCharset::Cp932, "日本.csv"),
        ("ü.csv".as_bytes(), NameCharset::Utf8, "ü.csv"),
    ];
    for (raw, name_charset, path) in rows {
        let options = Options { name_charset, ..Options::default() };
        let (outcome, members) = open(&named(raw), "n.zip", &Limits::default(), &options);
        outcome.unwrap();
        assert_eq!(members.keys().collect::<Vec<_>>(), [path]);
    }
    let options = Options { name_charset: NameCharset::Cp932, ..Options::default() };
    let failure = refusal(&named(b"\x93.csv"), "n.zip", &Limits::default(), &options);
    assert_eq!(failure.code, "archive.charset");
    drop(folder);
}

#[test]
fn stopping_and_going_on_ends_in_the_same_place() {
    let bodies: Vec<Vec<u8>> = (0..9).map(|seed| sample(seed, 20_000)).collect();
    let names: Vec<String> = (0..9).map(|seed| format!("m{seed}")).collect();
    let members: Vec<(&str, &[u8])> =
        names.iter().map(String::as_str).zip(bodies.iter().map(Vec::as_slice)).collect();
    let archives =
        [zip_of(&members, SimpleFileOptions::default()), tar_of(&members), gzip(&tar_of(&members))];
    for bytes in archives {
        let mut shelf = Shelf::default();
        let mut calls = 0;
        loop {
            calls += 1;
            shelf.stop_after = Some(shelf.begun.into_inner() + 2);
            shelf.begun = (shelf.stop_after.unwrap() - 2).into();
            let source = Memory::new(&bytes);
            let outcome =
                unpack(&source, "x", &Limits::default(), &Options::default(), &shelf).unwrap();
            assert_eq!(outcome.members + outcome.skipped, shelf.contents().len() as u64);
            if !outcome.more {
                break;
            }
        }
        assert_eq!(calls, 5);
        assert_eq!(shelf.contents(), expected(&members));
    }
}

#[test]
fn a_zip_of_many_small_members_needs_few_requests() {
    let names: Vec<String> = (0..2000).map(|at| format!("m{at}")).collect();
    let members: Vec<(&str, &[u8])> =
        names.iter().map(|name| (name.as_str(), &b"12"[..])).collect();
    let source = Memory::new(&zip_of(&members, SimpleFileOptions::default()));
    unpack(&source, "x", &Limits::default(), &Options::default(), &Shelf::default()).unwrap();
    // The tail is read in short pieces by this source; a request of the real one fills its buffer.
    let requests = source.requests.into_inner();
    assert!(requests < 50, "{requests}");
}

#[test]
fn a_file_on_disk_is_a_source_too() {
    let folder = tempfile::tempdir().unwrap();
    let path: &Path = &folder.path().join("x.tar");
    fs::write(path, tar_of(&[("a", b"1"), ("b", b"22")])).unwrap();
    let shelf = Shelf::default();
    let source = OnDisk(fs::File::open(path).unwrap());
    let outcome = unpack(&source, "x", &Limits::default(), &Options::default(), &shelf).unwrap();
    assert_eq!((outcome.members, outcome.bytes), (2, 3));
}
