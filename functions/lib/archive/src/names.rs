//! Entry names: from an archive's bytes to a relative path that is safe to create anywhere.

use crate::error::Reason;
use crate::limits::{Limits, NameCharset};

/// CP437's upper half, from 0x80.
const CP437_HIGH: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»\
    ░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";

/// Where a name stands and what it says about its own charset.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Declared {
    /// A zip name flagged as UTF-8.
    Utf8,
    /// A zip name without the flag.
    ZipLegacy,
    /// A tar name: whatever the maker's system used.
    Tar,
    /// A name in PAX records: UTF-8 by the format, but some makers copy what their system used.
    Pax,
}

/// Turns a name's bytes into text.
pub(crate) fn decode(
    bytes: &[u8],
    declared: Declared,
    charset: NameCharset,
) -> Result<String, Reason> {
    let utf8 = std::str::from_utf8(bytes);
    match (declared, charset) {
        (Declared::Utf8, _) | (Declared::Tar | Declared::Pax, NameCharset::Utf8) => {
            utf8.map(str::to_owned).map_err(|_| Reason::Charset("UTF-8"))
        }
        (Declared::Pax, _) if let Ok(name) = utf8 => Ok(name.to_owned()),
        (Declared::ZipLegacy, NameCharset::Utf8) => {
            Ok(utf8.map_or_else(|_| cp437(bytes), str::to_owned))
        }
        (_, NameCharset::Cp437) => Ok(cp437(bytes)),
        (_, NameCharset::Cp932) => foreign(bytes, encoding_rs::SHIFT_JIS, "CP932"),
        (_, NameCharset::Cp1252) => foreign(bytes, encoding_rs::WINDOWS_1252, "CP1252"),
    }
}

/// The name for sentences: as it reads, or as near as possible.
pub(crate) fn shown(bytes: &[u8], declared: Declared, charset: NameCharset) -> String {
    decode(bytes, declared, charset).unwrap_or_else(|_| String::from_utf8_lossy(bytes).into_owned())
}

fn cp437(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|&byte| match byte.checked_sub(0x80) {
            None => char::from(byte),
            Some(high) => CP437_HIGH.chars().nth(usize::from(high)).unwrap_or('\u{fffd}'),
        })
        .collect()
}

fn foreign(
    bytes: &[u8],
    encoding: &'static encoding_rs::Encoding,
    name: &'static str,
) -> Result<String, Reason> {
    encoding
        .decode_without_bom_handling_and_without_replacement(bytes)
        .map(std::borrow::Cow::into_owned)
        .ok_or(Reason::Charset(name))
}

/// A checked path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SafePath {
    /// Relative, `/` between parts, no empty or dot parts.
    pub(crate) path: String,
    /// The name ended with a separator: a folder.
    pub(crate) folder: bool,
}

/// Checks a name and normalises it: `\` counts as `/`, empty and `.` parts vanish.
///
/// A folder may come out empty (`./`), a file may not; the caller knows which it is.
pub(crate) fn check(raw: &str, limits: &Limits) -> Result<SafePath, Reason> {
    if raw.len() > limits.max_name_bytes {
        return Err(Reason::Name(format!("longer than {} bytes", limits.max_name_bytes)));
    }
    if raw.chars().any(is_hidden) {
        return Err(Reason::Name("it holds control characters".to_owned()));
    }
    let slashed = raw.replace('\\', "/");
    let mut start = slashed.bytes();
    let drive = matches!((start.next(), start.next()), (Some(letter), Some(b':'))
        if letter.is_ascii_alphabetic());
    if slashed.starts_with('/') || drive {
        return Err(Reason::Absolute);
    }
    let mut parts = Vec::new();
    for part in slashed.split('/') {
        match part.trim() {
            ".." => return Err(Reason::Traversal),
            _ if part.is_empty() || part == "." => {}
            blank if blank.trim_matches(['.', ' ']).is_empty() => {
                return Err(Reason::Name("a part of it is blank".to_owned()));
            }
            _ if is_device(part) => {
                return Err(Reason::Name("a part of it is a device on Windows".to_owned()));
            }
            _ => parts.push(part),
        }
    }
    if parts.len() > limits.max_nesting.saturating_add(1) {
        return Err(Reason::Name(format!("deeper than {} folders", limits.max_nesting)));
    }
    let last = slashed.rsplit('/').next().unwrap_or_default();
    Ok(SafePath { path: parts.join("/"), folder: !raw.is_empty() && matches!(last, "" | ".") })
}

/// What people do not see, or see elsewhere than it stands: controls, line ends, reversed writing.
fn is_hidden(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Names that Windows gives to devices, in any case and with any ending.
fn is_device(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or_default().trim_end().to_ascii_lowercase();
    match stem.as_str() {
        "con" | "prn" | "aux" | "nul" => true,
        stem => stem
            .strip_prefix("com")
            .or_else(|| stem.strip_prefix("lpt"))
            .is_some_and(|port| matches!(port.as_bytes(), [b'1'..=b'9'])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalised_or_refused_with_the_rule() {
        let limits = Limits { max_name_bytes: 40, max_nesting: 2, ..Limits::default() };
        let good = [
            ("a.csv", "a.csv", false),
            ("./a.csv", "a.csv", false),
            ("x//y/./a.csv", "x/y/a.csv", false),
            ("x\\a.csv", "x/a.csv", false),
            ("x/", "x", true),
            ("x\\", "x", true),
            ("./", "", true),
            ("a.", "a.", false),
            ("console/nul0/com10.csv", "console/nul0/com10.csv", false),
            ("x.con/lpt0/com", "x.con/lpt0/com", false),
            ("a..b/c..", "a..b/c..", false),
            ("12:30 report.csv", "12:30 report.csv", false),
            ("日本.csv", "日本.csv", false),
        ];
        for (raw, path, folder) in good {
            let safe = check(raw, &limits).unwrap();
            assert_eq!((safe.path.as_str(), safe.folder), (path, folder), "{raw:?}");
        }
        let bad = [
            ("../a", "archive.traversal"),
            ("a/../b", "archive.traversal"),
            ("a\\..\\b", "archive.traversal"),
            ("..", "archive.traversal"),
            ("a/.. /b", "archive.traversal"),
            ("/etc/passwd", "archive.absolute"),
            ("\\\\server\\share", "archive.absolute"),
            ("C:\\x", "archive.absolute"),
            ("c:x", "archive.absolute"),
            ("a\0b", "archive.name"),
            ("a\nb", "archive.name"),
            ("a\u{9b}b", "archive.name"),
            ("a\u{2028}b", "archive.name"),
            ("gpj\u{202e}b", "archive.name"),
            ("gpj\u{2066}b", "archive.name"),
            ("a/ /b", "archive.name"),
            ("a/. /b", "archive.name"),
            ("...", "archive.name"),
            ("a/. ./b", "archive.name"),
            ("con", "archive.name"),
            ("a/NUL .tar.gz", "archive.name"),
            ("com1.csv/x", "archive.name"),
            ("LPT9", "archive.name"),
            ("1/2/3/4", "archive.name"),
            ("0123456789012345678901234567890123456789x", "archive.name"),
        ];
        for (raw, code) in bad {
            assert_eq!(check(raw, &limits).unwrap_err().code(), code, "{raw:?}");
        }
    }

    #[test]
    fn charsets_read_what_makers_wrote() {
        assert_eq!(CP437_HIGH.chars().count(), 128);
        let read = |bytes: &[u8], declared, charset| decode(bytes, declared, charset).ok();
        let some = |text: &str| Some(text.to_owned());
        let (zip, tar) = (Declared::ZipLegacy, Declared::Tar);
        assert_eq!(read(b"\x81ber", zip, NameCharset::Utf8), some("über"));
        assert_eq!(read("über".as_bytes(), zip, NameCharset::Utf8), some("über"));
        assert_eq!(read("über".as_bytes(), zip, NameCharset::Cp437), some("├╝ber"));
        assert_eq!(read(b"\xfcber", zip, NameCharset::Cp1252), some("über"));
        assert_eq!(read(b"\x93\xfa\x96\x7b", zip, NameCharset::Cp932), some("日本"));
        assert_eq!(read(b"\x93", zip, NameCharset::Cp932), None);
        assert_eq!(read(b"\xff", Declared::Utf8, NameCharset::Cp437), None);
        assert_eq!(read(b"\xfcber", tar, NameCharset::Utf8), None);
        assert_eq!(read(b"\xfcber", tar, NameCharset::Cp1252), some("über"));
    }
}
