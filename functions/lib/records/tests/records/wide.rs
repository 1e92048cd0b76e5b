//! UTF-16 and UTF-32 without a byte order mark, and what must not be taken for them.

use records::{Csv, Model, Terminator};

use crate::reference::*;

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn utf16_big(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

fn utf32(text: &str) -> Vec<u8> {
    text.chars().flat_map(|char| u32::from(char).to_le_bytes()).collect()
}

/// In every text model and cut at every place: refused as wide, or not.
fn check(what: &str, bytes: &[u8], wide: bool) {
    let lines = Model::Lines { terminator: Terminator::Auto };
    for model in [lines, Model::Csv(Csv::default()), Model::Jsonl] {
        let is_wide = |verdict| verdict == Err("records.utf16");
        assert_eq!(is_wide(count(&model, bytes)), wide, "reference: {what} {model:?}");
        for cut in 0..=bytes.len() {
            let (left, right) = bytes.split_at(cut);
            let sum = partial(&model, left, true).combine(&partial(&model, right, false)).unwrap();
            let ours = verdict(sum.finish(&model, 0, 0));
            assert_eq!(is_wide(ours), wide, "{what} {model:?} cut at {cut}");
        }
    }
}

#[test]
fn wide_text_is_refused_without_a_mark() {
    let rows = [
        ("one letter", utf16("a")),
        ("one letter of UTF-32", utf32("a")),
        ("only a line end", utf16_big("\n")),
        ("a line", utf16("a\tb\r\n")),
        ("an odd last byte", [utf16("ab\n"), vec![b'x']].concat()),
        ("U+4E00, whose low half is zero", utf16("一,二,三\n")),
        ("the same, big", utf16_big("一,二,三\n")),
        ("half alphabetic exactly", utf16("ab\u{6161}\u{6162}")),
        ("all of ASCII bytes, but alphabetic", utf16("ба\n")),
        ("beyond the first plane", utf16("\u{1f600}\u{1f600}\n")),
        ("cut within a character", utf16(&format!("a{}", "\u{1f600}".repeat(100)))),
        ("a control character far away", utf16(&format!("{}\u{1}", "a".repeat(128)))),
        ("an open quote", utf16("\"abc")),
        ("highest characters", utf32("\u{10ffff}a")),
    ];
    for (what, bytes) in rows {
        check(what, &bytes, true);
    }
}

#[test]
fn other_text_is_counted_even_with_stray_nuls() {
    let rows: [(&str, Vec<u8>); 21] = [
        ("half a mark", b"\xff".to_vec()),
        ("the other half", b"\xfe".to_vec()),
        ("no NUL", "番号,名前\n".into()),
        ("bytes that read as UTF-16 but hold no NUL", utf16("ба番")),
        ("one NUL", b"abcd\0fgh\n".to_vec()),
        ("a NUL alone", b"\0".to_vec()),
        ("a stray NUL in UTF-8", "größe\0,größe\n".into()),
        ("UTF-8 that the head cuts", ["a\0bc".as_bytes(), "üü".repeat(80).as_bytes()].concat()),
        ("strings of C", b"abc\0abc\0abcdefg\0abcdefg\0".to_vec()),
        ("padding", b"a\0\0\0b\0\0\0\0\0\0\0".to_vec()),
        ("a NUL character", utf16("ab\0cd")),
        ("a control character", utf16("ab\u{1}cd")),
        ("a control character of the other kind", utf16("ab\u{85}cd")),
        ("a first half alone", [utf16("ab"), b"\x00\xd8".to_vec(), utf16("cd")].concat()),
        ("a second half alone at the end", [utf16("abcd"), b"\x00\xdc".to_vec()].concat()),
        ("U+0100 is not narrow", utf16("a\u{100}")),
        ("U+2000 is of no alphabet", utf16("ab\u{2000}\u{6161}\u{6162}\u{6163}")),
        ("as many zeros below as above", utf16("a\u{4e00}\u{fffd}")),
        ("beyond the last character", [utf32("a"), vec![0, 0, 0x11, 0]].concat()),
        ("gzip", b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x4b\x04\0\x43\xbe\xb7\xe8\x01\0\0\0".to_vec()),
        ("behind the head", [vec![b'x'; 256], utf16("abc\n")].concat()),
    ];
    for (what, bytes) in rows {
        check(what, &bytes, false);
    }
}
