//! What a file is, by its first bytes. Its name is never believed.

use std::io::{self, BufReader, Read};

use crate::frames::{Codec, Frames, Room};
use crate::source::{Cursor, Source, read_exact_at};
use crate::tarheader;
use crate::window::Window;

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

/// How a zip may begin: with a member, as an empty one, and as the first volume of several.
const ZIP_STARTS: [&[u8]; 5] =
    [b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x06", b"PK\x07\x08PK\x03\x04", b"PK00PK\x03\x04"];
/// Skippable frames that may stand before the first zstd frame that holds something.
const SKIPPABLE_FRAMES: usize = 16;
/// Bytes that tell all about a zstd frame.
const FRAME_BYTES: usize = 18;

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
    look(source).map(|sight| sight.format)
}

/// What the first bytes tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sight {
    /// The format.
    pub(crate) format: Format,
    /// What the decompressor of the first frame takes.
    pub(crate) window: Window,
}

/// Looks as [`detect`] does, and at what unpacking will take.
pub(crate) fn look(source: &dyn Source) -> io::Result<Sight> {
    let mut head = [0; tarheader::BLOCK_BYTES];
    let available = usize::try_from(source.len()).unwrap_or(usize::MAX).min(head.len());
    let head = head.get_mut(..available).unwrap_or_default();
    if !read_exact_at(source, 0, head)? {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let plain = |format| Ok(Sight { format, window: Window::Small });
    if ZIP_STARTS.into_iter().any(|magic| starts(head, magic)) {
        return plain(Format::Zip);
    }
    if is_tar(head) {
        return plain(Format::Tar);
    }
    let mut first = head.to_vec();
    let (codec, single, tar) = if starts(head, b"\x1f\x8b\x08") {
        (Codec::Gzip, Format::Gzip, Format::TarGz)
    } else if is_bzip2(head) {
        (Codec::Bzip2, Format::Bzip2, Format::TarBz2)
    } else if starts(head, b"\xfd7zXZ\0") {
        (Codec::Xz, Format::Xz, Format::TarXz)
    } else if let Some(frame) = zstd_frame(source, head)? {
        first = frame;
        (Codec::Zstd, Format::Zstd, Format::TarZst)
    } else {
        return plain(Format::Plain);
    };
    let format = if holds_tar(source, codec)? { tar } else { single };
    Ok(Sight { format, window: Window::of_stream(codec, &first) })
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

/// The start of the first zstd frame that is no skippable one. A skippable frame alone proves
/// nothing, for lz4 has the same.
fn zstd_frame(source: &dyn Source, head: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let mut head = head.get(..head.len().min(FRAME_BYTES)).unwrap_or_default().to_vec();
    let mut offset: u64 = 0;
    for _ in 0..SKIPPABLE_FRAMES {
        let [0x50..=0x5f, 0x2a, 0x4d, 0x18, a, b, c, d, ..] = *head.as_slice() else { break };
        offset = offset.saturating_add(8 + u64::from(u32::from_le_bytes([a, b, c, d])));
        let left = source.len().saturating_sub(offset);
        head.resize(usize::try_from(left).unwrap_or(FRAME_BYTES).min(FRAME_BYTES), 0);
        if !read_exact_at(source, offset, &mut head)? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(starts(&head, b"\x28\xb5\x2f\xfd").then_some(head))
}

fn holds_tar(source: &dyn Source, codec: Codec) -> io::Result<bool> {
    let cursor = Cursor::new(source, 0);
    let fault = cursor.fault();
    let mut block = Vec::with_capacity(tarheader::BLOCK_BYTES);
    let read = Frames::new(BufReader::with_capacity(16 << 10, cursor), codec, Room::Peek)
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
