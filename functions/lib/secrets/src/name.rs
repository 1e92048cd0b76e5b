//! Which names are names: the same rule everywhere, so that a profile moves from laptop to AWS.

use crate::error::Error;

/// The longest name that Secrets Manager takes.
const NAME_MAX_BYTES: usize = 512;

/// Refuses what could leave the folder, and what Secrets Manager would not take.
pub(crate) fn check(name: &str) -> Result<(), Error> {
    let reason = if name.is_empty() {
        "it is empty"
    } else if name.len() > NAME_MAX_BYTES {
        "it is longer than 512 bytes"
    } else if name.starts_with('/') {
        "it starts with a slash"
    } else if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
        "one of its parts is empty, \".\" or \"..\""
    } else if !name.bytes().all(is_allowed) {
        "only letters, digits and / _ + = . @ - are allowed"
    } else {
        return Ok(());
    };
    Err(Error::Name { name: printable(name), reason })
}

const fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'+' | b'=' | b'.' | b'@' | b'-')
}

fn printable(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_stay_inside_are_allowed() {
        for name in ["a", "acme/source-key", "a.b/c..d", "UPPER_1+2=3@x", &"n".repeat(512)] {
            check(name).unwrap();
        }
    }

    #[test]
    fn names_that_leave_are_refused() {
        for name in [
            "",
            "/etc/passwd",
            "..",
            "../x",
            "a/../b",
            "a/..",
            "./a",
            "a//b",
            "a/",
            "a\0b",
            "a\\b",
            "C:x",
            "a b",
            "ä",
            "a\nb",
            &"n".repeat(513),
        ] {
            let error = check(name).unwrap_err().to_string();
            assert!(!error.contains(['\0', '\n']), "{error:?}");
        }
    }
}
