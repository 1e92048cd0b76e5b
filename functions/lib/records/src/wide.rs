//! UTF-16 and UTF-32, told from other text by the first bytes of the file.
//!
//! In such text no byte means what it means elsewhere: half a character may look like a quote or an
//! LF, and a count would be wrong without a sign. A byte order mark settles it. Without one, only a
//! NUL gives it away, since no other text holds any; and because some files do hold stray NULs, the
//! bytes must also read as the wide text that they are taken for.

use std::char::TryFromCharError;

use serde::{Deserialize, Serialize};

/// How much of a file is judged: more than a header line, little enough to keep with each count.
pub(crate) const HEAD_BYTES: usize = 256;

/// The first bytes of a range. Every ASCII letter, digit and sign is an `a`: the verdict needs no more,
/// and what a count carries along is nobody's data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) struct Head(Vec<u8>);

impl Head {
    /// Adds what follows, as far as there is room.
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        let room = HEAD_BYTES.saturating_sub(self.0.len());
        let plain = |&byte: &u8| if byte.is_ascii_graphic() { b'a' } else { byte };
        self.0.extend(bytes.iter().take(room).map(plain));
    }

    /// The head of this range and the next one.
    pub(crate) fn then(&self, next: &Self) -> Self {
        let mut both = self.clone();
        both.extend(&next.0);
        both
    }

    /// Whether a file that begins so is UTF-16 or UTF-32.
    pub(crate) fn is_wide(&self) -> bool {
        let head = self.0.as_slice();
        if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
            return true;
        }
        head.contains(&0)
            && (is_utf32(head, u32::from_le_bytes)
                || is_utf32(head, u32::from_be_bytes)
                || is_utf16(head, u16::from_le_bytes)
                || is_utf16(head, u16::from_be_bytes))
    }
}

/// One character for each byte.
impl From<Head> for String {
    fn from(head: Head) -> Self {
        head.0.into_iter().map(char::from).collect()
    }
}

impl TryFrom<String> for Head {
    type Error = TryFromCharError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.chars().map(u8::try_from).collect::<Result<_, _>>().map(Self)
    }
}

/// Every four bytes are a character.
fn is_utf32(head: &[u8], read: fn([u8; 4]) -> u32) -> bool {
    let (groups, _) = head.as_chunks::<4>();
    let is_letter = |&group: &[u8; 4]| char::from_u32(read(group)).is_some_and(|char| char != '\0');
    !groups.is_empty() && groups.iter().all(is_letter)
}

/// Every two bytes are a unit of well-formed text, and there is a sign that they are not two letters.
///
/// Text in a script of an alphabet has most of its first halves below 0x20, where other text has
/// nothing but a few tabs and line ends. Text in other scripts is no UTF-8; among its characters more
/// have a high half of zero (commas, digits, line ends) than a low one.
fn is_utf16(head: &[u8], read: fn([u8; 2]) -> u16) -> bool {
    let (pairs, _) = head.as_chunks::<2>();
    let units: Vec<u16> = pairs.iter().map(|&pair| read(pair)).collect();
    let count = |is: fn(u16) -> bool| units.iter().filter(|&&unit| is(unit)).count();
    let narrow = count(|unit| unit < 0x100);
    if narrow <= count(|unit| unit & 0xff == 0) || !is_text(&units) {
        return false;
    }
    let alphabetic = count(|unit| unit < 0x2000);
    alphabetic.saturating_mul(2) >= units.len() || !is_utf8(head)
}

/// Whether the units are characters, none of them a control character that no text file has. The last
/// may be the first half of one.
fn is_text(units: &[u16]) -> bool {
    let mut chars = char::decode_utf16(units.iter().copied()).peekable();
    while let Some(char) = chars.next() {
        match char {
            Ok('\t' | '\n' | '\r') => {}
            Ok(char) if char.is_control() => return false,
            Ok(_) => {}
            Err(half) => {
                let is_first = half.unpaired_surrogate() < 0xdc00;
                if !is_first || chars.peek().is_some() {
                    return false;
                }
            }
        }
    }
    true
}

/// Whether the head is UTF-8, apart from a character that its end may cut.
fn is_utf8(head: &[u8]) -> bool {
    match std::str::from_utf8(head) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    }
}
