//! What a file is, by its first bytes. Its name is never believed.

use std::io::{self, BufReader, Read};

use crate::frames::{Codec, Frames};
use crate::source::{Cursor, Source, read_exact_at};
use crate::tarheader;

/// What [`unpack`](crate::unpack) would do with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A zip archive, an empty one included.
    Zip,
    /// A tar archive.
    Tar,
    /// One gzip stream.
    Gzip,
    /// A gzip stream that holds a tar.
    TarGz,
    /// One bzip2 stream.
    Bzip2,
    /// A bzip2 stream that holds a tar.
    TarBz2,
    /// One xz stream.
    Xz,
    /// An xz stream that holds a tar.
    TarXz,
    /// One zstd stream.
    Zstd,
    /// A zstd stream that holds a tar.
    TarZst,
    /// Anything else, the empty file included: its own single member.
    Plain,
}

/// Endings of file formats that are zip or gzip inside but are one document to people.
const DOCUMENT_CONTAINERS: [&str; 24] = [
    "xlsx", "xlsm", "xlsb", "xltx", "docx", "docm", "dotx", "pptx", "pptm", "vsdx", "ods", "odt",
    "odp", "odg", "epub", "jar", "war", "ear", "apk", "whl", "nupkg", "kmz", "3mf", "parquet",
];

/// Whether the name's ending says that the file is one document although it is a container inside
/// (`.xlsx`, `.docx`, `.jar`, …). Such a file is usually delivered as it is.
#[must_use]
pub fn is_document_container(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, ending)| {
        DOCUMENT_CONTAINERS.iter().any(|known| ending.eq_ignore_ascii_case(known))
    })
}

/// Looks at the first bytes, through the decompressor where there is one.
///
/// A stream too broken to look into counts as its outer format; unpacking it says what is wrong.
///
/// # Errors
///
/// Only those of the source.
pub fn detect(source: &dyn Source) -> io::Result<Format> {
    let mut head = [0; tarheader::BLOCK_BYTES];
    let available = usize::try_from(source.len()).unwrap_or(usize::MAX).min(head.len());
    let head = head.get_mut(..available).unwrap_or_default();
    if !read_exact_at(source, 0, head)? {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if starts(head, b"PK\x03\x04") || starts(head, b"PK\x05\x06") {
        return Ok(Format::Zip);
    }
    if is_tar(head) {
        return Ok(Format::Tar);
    }
    let (codec, single, tar) = if starts(head, b"\x1f\x8b\x08") {
        (Codec::Gzip, Format::Gzip, Format::TarGz)
    } else if is_bzip2(head) {
        (Codec::Bzip2, Format::Bzip2, Format::TarBz2)
    } else if starts(head, b"\xfd7zXZ\0") {
        (Codec::Xz, Format::Xz, Format::TarXz)
    } else if is_zstd(source, head)? {
        (Codec::Zstd, Format::Zstd, Format::TarZst)
    } else {
        return Ok(Format::Plain);
    };
    Ok(if holds_tar(source, codec)? { tar } else { single })
}

fn starts(head: &[u8], magic: &[u8]) -> bool {
    head.starts_with(magic)
}

fn is_tar(head: &[u8]) -> bool {
    head.first_chunk().is_some_and(tarheader::looks_like_tar)
}

/// The stream header and the magic of a block, or of the end of an empty stream.
fn is_bzip2(head: &[u8]) -> bool {
    match head {
        [b'B', b'Z', b'h', b'1'..=b'9', rest @ ..] => {
            starts(rest, b"1AY&SY") || starts(rest, b"\x17\x72\x45\x38\x50\x90")
        }
        _ => false,
    }
}

/// A zstd frame, possibly after one skippable frame, whose magic it shares with lz4.
fn is_zstd(source: &dyn Source, head: &[u8]) -> io::Result<bool> {
    const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
    match head {
        [0x50..=0x5f, 0x2a, 0x4d, 0x18, a, b, c, d, ..] => {
            let skipped = u64::from(u32::from_le_bytes([*a, *b, *c, *d])) + 8;
            let mut next = [0; 4];
            Ok(skipped + 4 <= source.len()
                && read_exact_at(source, skipped, &mut next)?
                && next == MAGIC)
        }
        _ => Ok(starts(head, &MAGIC)),
    }
}

fn holds_tar(source: &dyn Source, codec: Codec) -> io::Result<bool> {
    let cursor = Cursor::new(source, 0);
    let fault = cursor.fault();
    let mut block = Vec::with_capacity(tarheader::BLOCK_BYTES);
    let read = Frames::new(BufReader::with_capacity(16 << 10, cursor), codec)
        .take(tarheader::BLOCK_BYTES as u64)
        .read_to_end(&mut block);
    match (fault.take(), read) {
        (Some(error), _) => Err(error),
        (None, Ok(_)) => Ok(is_tar(&block)),
        (None, Err(_)) => Ok(false),
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Zip => "zip",
            Self::Tar => "tar",
            Self::Gzip => "gz",
            Self::TarGz => "tar.gz",
            Self::Bzip2 => "bz2",
            Self::TarBz2 => "tar.bz2",
            Self::Xz => "xz",
            Self::TarXz => "tar.xz",
            Self::Zstd => "zst",
            Self::TarZst => "tar.zst",
            Self::Plain => "plain",
        })
    }
}
