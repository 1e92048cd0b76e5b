//! First inputs of the archive target: every format and method, good ones and ones with a lie.

use std::io::{Cursor, Write};

use crate::zip::{Member, write};

const TEXT: &[u8] =
    b"id,name\n1,Ada\n2,Grace\n3,Edsger\n1,Ada\n2,Grace\n3,Edsger\n1,Ada\n2,Grace\n";
const PASSWORD: &str = "secret";

/// All of them, each behind the two bytes that choose how it is read.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let mut made: Vec<(u8, Vec<u8>)> = zips().into_iter().map(|bytes| (0, bytes)).collect();
    made.extend(encrypted().into_iter().flat_map(|bytes| [(4, bytes.clone()), (0, bytes)]));
    let tars = tars();
    for tar in &tars {
        made.extend(compressed(tar).into_iter().map(|bytes| (0, bytes)));
    }
    made.extend(tars.into_iter().map(|bytes| (0, bytes)));
    made.extend(compressed(TEXT).into_iter().map(|bytes| (0, bytes)));
    made.extend(compressed(&vec![0; 3 << 20]).into_iter().map(|bytes| (8, bytes)));
    made.extend(
        [TEXT, b"", b"PK\x05\x06", b"\x1f\x8b\x08", b"BZh9", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"]
            .map(|bytes| (0, bytes.to_vec())),
    );
    let charsets = (1..4)
        .map(|charset| (charset, write(&[Member { name: b"\x83\x65\x81ber.csv", ..plain(b"") }])));
    made.extend(charsets);
    // How the sink behaves: it has every other member, it stops, it fails.
    for control in [0x20, 0x40, 0x60, 0x18] {
        made.push((control, write(&[plain(b"a"), plain(b"b"), plain(b"c"), plain(b"d")])));
    }
    made.into_iter()
        .filter(|(_, bytes)| bytes.len() < 60 << 10)
        .map(|(control, bytes)| [&[control, 3], bytes.as_slice()].concat())
        .collect()
}

fn plain(name: &[u8]) -> Member<'_> {
    Member { name, stored: TEXT, plain: TEXT, ..Member::default() }
}

fn zips() -> Vec<Vec<u8>> {
    let deflated = flate(TEXT);
    let zstd = zstd::encode_all(TEXT, 1).unwrap_or_default();
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    let bzip2 = bzip2.write_all(TEXT).and_then(|()| bzip2.finish()).unwrap_or_default();
    let (xz, lzma) = (xz(TEXT), lzma(TEXT));
    let method = |method, stored, flags| Member { method, stored, flags, ..plain(b"in/a.csv") };
    let name = |name| write(&[plain(name)]);
    let mode = |mode: u32| write(&[Member { attributes: mode << 16, ..plain(b"x") }]);
    let extra = |extra| write(&[Member { extra, ..plain(b"x.csv") }]);
    let folder = Member { name: b"in/", ..Member::default() };
    let unicode = [
        &[0x75, 0x70, 11, 0, 1][..],
        &crc32fast::hash(b"x.csv").to_le_bytes(),
        "\u{fc}.csv".as_bytes(),
    ]
    .concat();
    let names: Vec<Vec<u8>> = (0..600).map(|n| format!("{n:03}").into_bytes()).collect();
    let many: Vec<Member<'_>> =
        names.iter().map(|name| Member { stored: b"", plain: b"", ..plain(name) }).collect();
    let mut commented = write(&[plain(b"a")]);
    let at = commented.len() - 2;
    commented.splice(at.., [&[9, 0][..], b"a comment"].concat());
    vec![
        write(&[]),
        write(&[plain(b"a.csv"), plain(b"b.csv"), folder.clone(), plain(b"in/c.csv")]),
        write(&[method(8, &deflated, 0), method(0, TEXT, 0)]),
        write(&[method(8, &deflated, 0x800), plain(b"b")]),
        write(&[method(9, &deflated, 0), plain(b"b")]),
        write(&[method(12, &bzip2, 0), plain(b"b")]),
        write(&[method(14, &lzma, 2), plain(b"b")]),
        write(&[method(14, &lzma, 0), plain(b"b")]),
        write(&[method(93, &zstd, 0), plain(b"b")]),
        write(&[method(95, &xz, 0), plain(b"b")]),
        write(&[method(98, TEXT, 0)]),
        write(&[method(99, TEXT, 0)]),
        write(&[method(0, TEXT, 0x40)]),
        write(&[method(0, TEXT, 8), plain(b"b")]),
        name(b"../up"),
        name(b"/root"),
        name(b"C:\\x"),
        name(b"a\\b"),
        name(b"a/ /b"),
        name(b"a/./b//c"),
        name(b""),
        mode(0o120_777),
        mode(0o010_644),
        mode(0o100_644),
        mode(0o040_755),
        extra(&unicode),
        extra(&[0x01, 0x99, 7, 0, 2, 0, 0x41, 0x45, 3, 8, 0]),
        extra(&[1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        write(&many),
        commented,
        zip64(),
    ]
}

/// Sizes, place and end in their 64-bit forms.
fn zip64() -> Vec<u8> {
    let size = (TEXT.len() as u64).to_le_bytes();
    let extra = [&[1, 0, 24, 0][..], &size, &size, &0_u64.to_le_bytes()].concat();
    let mut bytes = write(&[Member { extra: &extra, ..plain(b"wide.csv") }]);
    let end = bytes.len() - 22;
    let start = 30 + 8 + TEXT.len();
    bytes[start + 20..start + 28].fill(0xff);
    bytes[start + 42..start + 46].fill(0xff);
    let (length, start) = ((end - start) as u64, start as u64);
    let mut tail = [b"PK\x06\x06", &44_u64.to_le_bytes()[..], &[45, 0, 45, 0], &[0; 8]].concat();
    for number in [1, 1, length, start] {
        tail.extend(number.to_le_bytes());
    }
    tail.extend(b"PK\x06\x07\0\0\0\0");
    tail.extend((end as u64).to_le_bytes());
    tail.extend([1, 0, 0, 0]);
    bytes[end + 8..end + 20].fill(0xff);
    bytes.splice(end..end, tail);
    bytes
}

/// Both ciphers, from a writer that is not ours.
fn encrypted() -> Vec<Vec<u8>> {
    use zip::unstable::write::FileOptionsExt;
    use zip::write::SimpleFileOptions;
    let base = || SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    let modes = [zip::AesMode::Aes128, zip::AesMode::Aes192, zip::AesMode::Aes256];
    let mut options: Vec<_> =
        modes.into_iter().map(|mode| base().with_aes_encryption(mode, PASSWORD)).collect();
    options.extend(base().with_deprecated_encryption(PASSWORD.as_bytes()).ok());
    let archive = |options| -> Option<Vec<u8>> {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        writer.start_file("secret.csv", options).ok()?;
        writer.write_all(TEXT).ok()?;
        writer.finish().ok().map(Cursor::into_inner)
    };
    options.into_iter().filter_map(archive).collect()
}

fn tars() -> Vec<Vec<u8>> {
    use tar::{Builder, EntryType, Header};
    let header = |kind, size: usize| {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size as u64);
        header.set_mode(0o644);
        header
    };
    let one = |fill: &dyn Fn(&mut Builder<Vec<u8>>)| {
        let mut builder = Builder::new(Vec::new());
        fill(&mut builder);
        builder.into_inner().unwrap_or_default()
    };
    let put = |builder: &mut Builder<Vec<u8>>, kind, name: &str, content: &[u8]| {
        let _ = builder.append_data(&mut header(kind, content.len()), name, content);
    };
    let long = format!("deep/{}/x.csv", "folder/".repeat(20));
    let mut all = vec![
        one(&|b| {
            put(b, EntryType::Directory, "in", b"");
            put(b, EntryType::Regular, "in/a.csv", TEXT);
            put(b, EntryType::Regular, "in/b.csv", b"");
        }),
        one(&|b| put(b, EntryType::Regular, &long, TEXT)),
        one(&|b| {
            let _ = b.append_pax_extensions([("path", "\u{fc}.csv".as_bytes()), ("size", b"3")]);
            put(b, EntryType::Regular, "x", b"abc");
        }),
        one(&|b| {
            let _ = b.append_pax_extensions([("GNU.sparse.major", b"1".as_slice())]);
            put(b, EntryType::Regular, "x", b"abc");
        }),
        one(&|b| {
            put(b, EntryType::XGlobalHeader, "g", b"20 comment=whatever\n");
            put(b, EntryType::Regular, "x", TEXT);
        }),
    ];
    for kind in [EntryType::Symlink, EntryType::Link, EntryType::Fifo, EntryType::GNUSparse] {
        all.push(one(&|b| put(b, kind, "odd", b"")));
    }
    all.push(one(&|b| put(b, EntryType::new(b'V'), "label", b"")));
    all.push(one(&|b| put(b, EntryType::new(b'M'), "part", b"")));
    all
}

fn flate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).unwrap_or_default()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 0);
    encoder.write_all(bytes).and_then(|()| encoder.finish()).unwrap_or_default()
}

/// What zip stores: a version, the properties' length, the properties, the stream.
fn lzma(bytes: &[u8]) -> Vec<u8> {
    let made = liblzma::stream::LzmaOptions::new_preset(0)
        .and_then(|options| liblzma::stream::Stream::new_lzma_encoder(&options));
    let Ok(stream) = made else { return Vec::new() };
    let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
    let alone = encoder.write_all(bytes).and_then(|()| encoder.finish()).unwrap_or_default();
    [&[9, 20, 5, 0], alone.get(..5).unwrap_or_default(), alone.get(13..).unwrap_or_default()]
        .concat()
}

/// The bytes in each compression of one stream.
#[must_use]
pub fn compressed(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let gzip = gzip.write_all(bytes).and_then(|()| gzip.finish()).unwrap_or_default();
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    let bzip2 = bzip2.write_all(bytes).and_then(|()| bzip2.finish()).unwrap_or_default();
    vec![gzip, bzip2, xz(bytes), zstd::encode_all(bytes, 1).unwrap_or_default()]
}
