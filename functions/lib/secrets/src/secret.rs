//! A value that does not print itself and does not stay behind in memory.

use std::fmt;
use std::str;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::error::Error;

/// One secret. Clones share the bytes; the last one dropped overwrites them.
#[derive(Clone)]
pub struct Secret {
    name: Arc<str>,
    bytes: Arc<Zeroizing<Vec<u8>>>,
}

impl Secret {
    /// Wraps a value under its name.
    #[must_use]
    pub fn new(name: &str, bytes: Vec<u8>) -> Self {
        Self { name: name.into(), bytes: Arc::new(Zeroizing::new(bytes)) }
    }

    /// The name it was asked for by.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All bytes, as stored: for binary keys and certificates.
    #[must_use]
    pub fn expose_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The text as stored, last newline included: for PEM and armored keys.
    ///
    /// # Errors
    ///
    /// [`Error::NotText`] when it is not UTF-8.
    pub fn expose(&self) -> Result<&str, Error> {
        str::from_utf8(&self.bytes).map_err(|_| Error::NotText { name: self.name().to_owned() })
    }

    /// The text without newlines at its end: for passwords and tokens, which editors and `echo`
    /// end with one.
    ///
    /// # Errors
    ///
    /// [`Error::NotText`] when it is not UTF-8.
    pub fn expose_line(&self) -> Result<&str, Error> {
        self.expose().map(|text| text.trim_end_matches(['\r', '\n']))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({}, redacted)", self.name)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_prints_it() {
        let secret = Secret::new("acme/token", b"hunter2".to_vec());
        for printed in [format!("{secret}"), format!("{secret:?}"), format!("{secret:#?}")] {
            assert!(printed.contains("redacted"), "{printed}");
            assert!(!printed.contains("hunter2"), "{printed}");
            assert!(!printed.contains("104"), "as bytes: {printed}");
        }
    }

    #[test]
    fn a_line_loses_its_newlines_and_nothing_else() {
        for (stored, line) in [
            ("p", "p"),
            ("p\n", "p"),
            ("p\r\n", "p"),
            ("p\n\n", "p"),
            (" p \n", " p "),
            ("a\nb\n", "a\nb"),
        ] {
            let secret = Secret::new("x", stored.into());
            assert_eq!(secret.expose_line().unwrap(), line);
            assert_eq!(secret.expose().unwrap(), stored);
        }
    }

    #[test]
    fn what_is_no_text_is_still_bytes() {
        let secret = Secret::new("acme/cert", vec![0x99, 0xff, 0x0a]);
        assert_eq!(secret.expose_bytes(), [0x99, 0xff, 0x0a]);
        let error = secret.expose_line().unwrap_err().to_string();
        assert!(error.contains("acme/cert") && !error.contains("255"), "{error}");
    }
}
