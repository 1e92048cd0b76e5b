//! One 512-byte tar header: strict about its checksum and its numbers, for v7, ustar, GNU and PAX.

use crate::error::Reason;

/// Everything in a tar is a multiple of this.
pub(crate) const BLOCK_BYTES: usize = 512;

/// A header's block.
pub(crate) type Block = [u8; BLOCK_BYTES];

/// What a header announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// PAX records for the next header.
    Pax,
    /// PAX records for all later headers.
    PaxGlobal,
    /// The next header's long name, GNU style.
    GnuName,
    /// The next header's long link target, GNU style.
    GnuLink,
    /// The name of the tape.
    Label,
}

/// A header's fields, as far as they matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// What follows, or why an entry of this kind is refused.
    pub(crate) kind: Result<Kind, Reason>,
    /// The name's bytes, the ustar prefix put before it.
    pub(crate) name: Vec<u8>,
    /// Bytes of content after the header.
    pub(crate) size: u64,
}

/// Whether a block is a tar header beyond doubt: right checksum, a name, numbers that are numbers.
pub(crate) fn looks_like_tar(block: &Block) -> bool {
    block.first().is_some_and(|&byte| byte != 0)
        && checksum_matches(block)
        && [100..108, 108..116, 116..124, 124..136]
            .into_iter()
            .all(|range| number(block.get(range).unwrap_or_default()).is_some())
        // GNU tar writes a volume's label without its magic.
        && (magic(block) != Magic::Old || matches!(type_flag(block), 0 | b'0'..=b'7' | b'V'))
}

/// Reads a header; `Ok(None)` is the block of zeros that ends an archive.
pub(crate) fn parse(block: &Block) -> Result<Option<Header>, Reason> {
    if block.iter().all(|&byte| byte == 0) {
        return Ok(None);
    }
    if !checksum_matches(block) {
        return Err(Reason::corrupt("a header's checksum is wrong"));
    }
    let size = number(block.get(124..136).unwrap_or_default())
        .ok_or_else(|| Reason::corrupt("a header's size is no number"))?;
    let name = name(block);
    let kind = match kind(type_flag(block)) {
        Ok(Kind::File) if name.ends_with(b"/") => Ok(Kind::Folder),
        other => other,
    };
    Ok(Some(Header { kind, name, size }))
}

/// The name as far as it can be read, for a sentence about a header that is refused.
pub(crate) fn display_name(block: &Block) -> String {
    String::from_utf8_lossy(&name(block)).into_owned()
}

fn kind(flag: u8) -> Result<Kind, Reason> {
    match flag {
        0 | b'0' | b'7' => Ok(Kind::File),
        b'5' => Ok(Kind::Folder),
        b'x' | b'X' => Ok(Kind::Pax),
        b'g' => Ok(Kind::PaxGlobal),
        b'L' => Ok(Kind::GnuName),
        b'K' => Ok(Kind::GnuLink),
        b'V' => Ok(Kind::Label),
        b'1' | b'2' => Err(Reason::Link),
        b'3' | b'4' | b'6' => Err(Reason::Special),
        b'S' => Err(Reason::Sparse),
        b'M' => Err(Reason::Unsupported("a tar of several volumes".to_owned())),
        other => Err(Reason::Unsupported(format!("the tar entry type {:?}", char::from(other)))),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Magic {
    Posix,
    Gnu,
    Old,
}

fn magic(block: &Block) -> Magic {
    match block.get(257..263) {
        Some(b"ustar\0") => Magic::Posix,
        Some(b"ustar ") => Magic::Gnu,
        _ => Magic::Old,
    }
}

fn type_flag(block: &Block) -> u8 {
    block.get(156).copied().unwrap_or_default()
}

fn name(block: &Block) -> Vec<u8> {
    let short = until_nul(block.get(..100).unwrap_or_default());
    let prefix = until_nul(block.get(345..500).unwrap_or_default());
    if magic(block) == Magic::Posix && !prefix.is_empty() {
        [prefix, b"/", short].concat()
    } else {
        short.to_vec()
    }
}

/// The bytes before the first NUL.
pub(crate) fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// The sum of all bytes with the checksum field as blanks; some old makers summed signed bytes.
fn checksum_matches(block: &Block) -> bool {
    let Some(stated) = number(block.get(148..156).unwrap_or_default()) else { return false };
    let field = |position: usize| (148..156).contains(&position);
    let bytes = || block.iter().enumerate().map(|(at, &byte)| if field(at) { b' ' } else { byte });
    let unsigned: u64 = bytes().map(u64::from).sum();
    let signed: i64 = bytes().map(|byte| i64::from(byte.cast_signed())).sum();
    stated == unsigned || i64::try_from(stated) == Ok(signed)
}

/// A numeric field: octal digits with blanks around, or base 256 when the first bit is set.
fn number(field: &[u8]) -> Option<u64> {
    let (&first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        return rest.iter().try_fold(u64::from(first & 0x7f), |value, &byte| {
            value.checked_mul(256)?.checked_add(u64::from(byte))
        });
    }
    let text = until_nul(field).trim_ascii();
    text.iter().try_fold(0_u64, |value, &byte| {
        let digit = byte.checked_sub(b'0').filter(|&digit| digit < 8)?;
        value.checked_mul(8)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header with these fields; the checksum is the sum of its bytes, signed if asked.
    fn header(fields: &[(usize, &[u8])], signed: bool) -> Block {
        let mut block = [0; BLOCK_BYTES];
        let usual: [(usize, &[u8]); 3] =
            [(0, b"name"), (124, b"00000000017\0"), (257, b"ustar\x0000")];
        for (at, bytes) in usual.iter().chain(fields) {
            block[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        block[148..156].fill(b' ');
        let unsigned: i64 = block.iter().map(|&byte| i64::from(byte)).sum();
        let high = block.iter().filter(|&&byte| byte > 127).count() as i64;
        let sum = if signed { unsigned - 256 * high } else { unsigned };
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        block
    }

    fn parsed(fields: &[(usize, &[u8])]) -> Header {
        parse(&header(fields, false)).unwrap().unwrap()
    }

    #[test]
    fn numbers_are_octal_or_base_256() {
        let rows: [(&[u8], Option<u64>); 14] = [
            (b"00000000017\0", Some(15)),
            (b"     17 \0\0\0\0", Some(15)),
            (b"17\0junk", Some(15)),
            (b"77777777777\0", Some((8 << 30) - 1)),
            (b"777777777777", Some((64 << 30) - 1)),
            (b"\0\0\0\0", Some(0)),
            (b"1 7", None),
            (b"8", None),
            (b"-1", None),
            (b"\x80\0\0\0\0\0\0\x02\0\0\0\0", Some(8 << 30)),
            (b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", Some(u64::MAX)),
            (b"\x80\0\0\x01\0\0\0\0\0\0\0\0", None),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", None),
            (b"\x83\x01", Some(3 * 256 + 1)),
        ];
        for (field, value) in rows {
            assert_eq!(number(field), value, "{field:?}");
        }
    }

    #[test]
    fn checksums_may_be_signed_and_are_never_wrong() {
        let high: [(usize, &[u8]); 1] = [(0, b"\xfc\xfc\xfcname")];
        for signed in [false, true] {
            let good = header(&high, signed);
            assert!(looks_like_tar(&good) && parse(&good).is_ok());
            for at in [0, 147, 156, 511] {
                let mut bad = good;
                bad[at] ^= 1;
                assert!(!looks_like_tar(&bad), "{at}");
                assert_eq!(parse(&bad).unwrap_err().code(), "archive.corrupt", "{at}");
            }
        }
        let mut none = header(&[], false);
        none[148..156].fill(b'x');
        assert!(!looks_like_tar(&none));
    }

    #[test]
    fn only_numbers_and_known_types_look_like_a_tar() {
        assert!(looks_like_tar(&header(&[], false)));
        assert!(!looks_like_tar(&header(&[(0, b"\0")], false)));
        for at in [100, 108, 116, 124] {
            assert!(!looks_like_tar(&header(&[(at, b"x")], false)), "{at}");
        }
        for flag in [0, b'0', b'7', b'V'] {
            assert!(looks_like_tar(&header(&[(257, &[0; 8]), (156, &[flag])], false)), "{flag}");
        }
        for flag in [b'8', b'x', 1] {
            assert!(!looks_like_tar(&header(&[(257, &[0; 8]), (156, &[flag])], false)), "{flag}");
            assert!(looks_like_tar(&header(&[(156, &[flag])], false)), "{flag}");
        }
    }

    #[test]
    fn headers_tell_kind_name_and_size() {
        let kinds = [
            (0, Ok(Kind::File)),
            (b'0', Ok(Kind::File)),
            (b'7', Ok(Kind::File)),
            (b'5', Ok(Kind::Folder)),
            (b'x', Ok(Kind::Pax)),
            (b'X', Ok(Kind::Pax)),
            (b'g', Ok(Kind::PaxGlobal)),
            (b'L', Ok(Kind::GnuName)),
            (b'K', Ok(Kind::GnuLink)),
            (b'V', Ok(Kind::Label)),
            (b'1', Err("archive.link")),
            (b'2', Err("archive.link")),
            (b'3', Err("archive.special")),
            (b'4', Err("archive.special")),
            (b'6', Err("archive.special")),
            (b'S', Err("archive.sparse")),
            (b'M', Err("archive.unsupported")),
            (b'8', Err("archive.unsupported")),
        ];
        for (flag, kind) in kinds {
            let header = parsed(&[(156, &[flag])]);
            assert_eq!(header.kind.map_err(|reason| reason.code()), kind, "{flag}");
            assert_eq!((header.name.as_slice(), header.size), (&b"name"[..], 15));
        }
        assert_eq!(parsed(&[(0, b"name/")]).kind, Ok(Kind::Folder));
        assert_eq!(parsed(&[(0, b"name/"), (156, b"2")]).kind, Err(Reason::Link));
        assert_eq!(parsed(&[(345, b"pre")]).name, b"pre/name");
        assert_eq!(parsed(&[(345, b"pre"), (257, b"ustar  \0")]).name, b"name");
        assert_eq!(parsed(&[(345, b"pre"), (257, &[0; 8])]).name, b"name");
        assert_eq!(parsed(&[(0, &[b'n'; 100])]).name, [b'n'; 100]);
        assert_eq!(parse(&[0; BLOCK_BYTES]), Ok(None));
        assert_eq!(display_name(&header(&[], false)), "name");
    }
}
