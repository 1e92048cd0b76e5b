//! The rules of counting once more, one byte at a time, with no thought of speed and no line in
//! common with the library.

use records::{Csv, Model, Terminator};

/// The number of records, or the code of the refusal.
pub fn count(model: &Model, bytes: &[u8]) -> Result<u64, &'static str> {
    if let Model::Fixed { record_bytes } = model {
        let length = bytes.len() as u64;
        return match length % record_bytes {
            0 => Ok(length / record_bytes),
            _ => Err("records.partial_record"),
        };
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err("records.utf16");
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match model {
        Model::Lines { terminator } => Ok(lines(bytes, *terminator)),
        Model::Csv(csv) => rows(bytes, csv),
        _ => Ok(values(bytes)),
    }
}

/// Whether the bytes could be UTF-16 or UTF-32 without a mark: only NULs among the first make it so.
pub fn may_be_wide(bytes: &[u8]) -> bool {
    bytes.iter().take(256).any(|&byte| byte == 0)
}

/// Length of the end of line that begins at `at`.
fn end(bytes: &[u8], at: usize, terminator: Terminator) -> Option<usize> {
    match (terminator, bytes[at], bytes.get(at + 1)) {
        (Terminator::Auto | Terminator::CrLf, b'\r', Some(b'\n')) => Some(2),
        (Terminator::Auto | Terminator::Lf, b'\n', _)
        | (Terminator::Auto | Terminator::Cr, b'\r', _) => Some(1),
        _ => None,
    }
}

fn lines(bytes: &[u8], terminator: Terminator) -> u64 {
    let (mut count, mut open, mut at) = (0, false, 0);
    while at < bytes.len() {
        if let Some(length) = end(bytes, at, terminator) {
            count += 1;
            open = false;
            at += length;
        } else {
            open = true;
            at += 1;
        }
    }
    count + u64::from(open)
}

fn values(bytes: &[u8]) -> u64 {
    let lines = bytes.split(|&byte| byte == b'\n');
    lines.filter(|line| line.iter().any(|byte| !b" \t\r".contains(byte))).count() as u64
}

fn rows(bytes: &[u8], csv: &Csv) -> Result<u64, &'static str> {
    let (mut count, mut at) = (0, 0);
    // Whether the record has a byte yet, and whether a field begins here.
    let (mut open, mut begins) = (false, true);
    while at < bytes.len() {
        let byte = bytes[at];
        if let Some(length) = end(bytes, at, csv.terminator) {
            count += u64::from(open);
            (open, begins) = (false, true);
            at += length;
            continue;
        }
        open = true;
        at += 1;
        if byte == csv.delimiter {
            begins = true;
        } else if begins && csv.quote == Some(byte) {
            begins = false;
            at = quoted(bytes, at, byte, csv.escape).ok_or("records.unterminated_quote")?;
        } else {
            begins = false;
            if csv.escape == Some(byte) {
                at += 1;
            }
        }
    }
    Ok(count + u64::from(open))
}

/// Where the text goes on after the closing quote.
fn quoted(bytes: &[u8], mut at: usize, quote: u8, escape: Option<u8>) -> Option<usize> {
    loop {
        let byte = *bytes.get(at)?;
        at += 1;
        if escape == Some(byte) {
            bytes.get(at)?;
            at += 1;
        } else if byte == quote {
            if bytes.get(at) != Some(&quote) {
                return Some(at);
            }
            at += 1;
        }
    }
}
