//! Names of files as other systems have them: bytes, which need not be UTF-8.
//!
//! Everything of ours is text, so a byte that is no UTF-8 travels as a character that no name has
//! for itself, U+10FE80 to U+10FEFF, and becomes that byte again on the wire. A name that does hold
//! one of these characters is written byte by byte, so that two names never become one.

use std::borrow::Cow;
use std::fmt::Write;

/// The character that stands for byte 0; only bytes from 0x80 on can be no UTF-8.
const BASE: u32 = 0x10_FE00;

/// The byte that a character stands for, if it stands for one.
fn byte(character: char) -> Option<u8> {
    let byte = u8::try_from(u32::from(character).checked_sub(BASE)?).ok()?;
    (byte >= 0x80).then_some(byte)
}

fn escape(bytes: &[u8], text: &mut String) {
    text.extend(bytes.iter().filter_map(|byte| char::from_u32(BASE + u32::from(*byte))));
}

/// The text of a name. Every name has its own; of UTF-8 it is the name itself.
#[must_use]
pub fn from_bytes(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        for character in chunk.valid().chars() {
            match byte(character) {
                None => text.push(character),
                Some(_) => escape(character.encode_utf8(&mut [0; 4]).as_bytes(), &mut text),
            }
        }
        escape(chunk.invalid(), &mut text);
    }
    text
}

/// The name that [`from_bytes`] made a text of.
#[must_use]
pub fn to_bytes(text: &str) -> Cow<'_, [u8]> {
    if !text.chars().any(|character| byte(character).is_some()) {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut name = Vec::with_capacity(text.len());
    for character in text.chars() {
        match byte(character) {
            Some(byte) => name.push(byte),
            None => name.extend(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Cow::Owned(name)
}

/// The name for people, and for names that we give: what is no UTF-8 as `%FF`, the rest as it is.
#[must_use]
pub fn readable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|character| byte(character).is_some()) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match byte(character) {
            Some(byte) => drop(write!(shown, "%{byte:02X}")),
            None => shown.push(character),
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_comes_back_and_has_a_text_of_its_own() {
        let odd = "\u{10FEFF}".as_bytes();
        let names: [&[u8]; 12] = [
            b"",
            b"a.csv",
            "ü日本\u{1F980}".as_bytes(),
            b"caf\xe9.csv",
            b"\xff",
            b"%FF",
            odd,
            b"\xf4\x8f\xbb",
            b"\xed\xa0\x80",
            b"\xc3",
            b"a\xc3\x28b",
            b"\xff\xc3\xbc\xfe",
        ];
        let mut texts = Vec::new();
        for name in names {
            let text = from_bytes(name);
            assert_eq!(to_bytes(&text).as_ref(), name, "{text:?}");
            assert_eq!(
                std::str::from_utf8(name) == Ok(&text),
                name != odd && std::str::from_utf8(name).is_ok()
            );
            texts.push(text);
        }
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), names.len());
    }

    #[test]
    fn every_two_bytes_come_back() {
        for first in 0..=u8::MAX {
            for second in 0..=u8::MAX {
                let name = [first, second];
                assert_eq!(to_bytes(&from_bytes(&name)).as_ref(), name);
            }
        }
    }

    #[test]
    fn people_read_what_is_no_utf8_as_percent_signs() {
        assert_eq!(readable(&from_bytes(b"caf\xe9 100%.csv")), "caf%E9 100%.csv");
        assert_eq!(readable("caf\u{e9}.csv"), "caf\u{e9}.csv");
        assert_eq!(readable(&from_bytes("\u{10FEFF}".as_bytes())), "%F4%8F%BB%BF");
    }
}
