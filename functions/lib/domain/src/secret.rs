//! Secrets as stages receive them: by name, redacted in every print, wiped when dropped.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use zeroize::Zeroizing;

use crate::failure::Failure;

/// One secret. Clones share the bytes; the last one dropped overwrites them.
#[derive(Clone)]
pub struct SecretBytes {
    name: Arc<str>,
    bytes: Arc<Zeroizing<Vec<u8>>>,
}

impl SecretBytes {
    /// A secret of that name.
    #[must_use]
    pub fn new(name: &str, bytes: Vec<u8>) -> Self {
        Self { name: name.into(), bytes: Arc::new(Zeroizing::new(bytes)) }
    }

    /// The name it was asked for by.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The bytes as stored.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The secret as text, as stored: keys need their line ends.
    ///
    /// # Errors
    /// `Misconfigured` when it is not UTF-8.
    pub fn text(&self) -> Result<&str, Failure> {
        std::str::from_utf8(&self.bytes).map_err(|_| {
            Failure::misconfigured(
                "secrets.not_text",
                format!("Secret {} is not UTF-8 text; store it again.", self.name),
            )
        })
    }

    /// The secret as one line, without the newline that editors put at the end.
    ///
    /// # Errors
    /// `Misconfigured` when it is not UTF-8 or holds several lines.
    pub fn line(&self) -> Result<&str, Failure> {
        let line = self.text()?.trim_end_matches(['\r', '\n']);
        if line.contains(['\r', '\n']) {
            return Err(Failure::misconfigured(
                "secrets.not_a_line",
                format!("Secret {} holds several lines and must hold one.", self.name),
            ));
        }
        Ok(line)
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretBytes({}, redacted)", self.name)
    }
}

/// Whoever keeps secrets.
#[async_trait]
pub trait SecretStore: Send + Sync {
    /// The secret of that name.
    ///
    /// # Errors
    /// `Misconfigured` when there is none or it may not be read; `Transient` from the network.
    async fn secret(&self, name: &str) -> Result<SecretBytes, Failure>;

    /// The secret as it is now, past any cache: for one more try after a login was refused, since
    /// it may have been rotated.
    ///
    /// # Errors
    /// As [`SecretStore::secret`].
    async fn fresh(&self, name: &str) -> Result<SecretBytes, Failure> {
        self.secret(name).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_prints_itself() {
        let secret = SecretBytes::new("acme/p", b"hunter2\n".to_vec());
        assert!(!format!("{secret:?}").contains("hunter2"));
        assert_eq!(secret.line(), Ok("hunter2"));
        assert!(SecretBytes::new("acme/p", b"a\nb".to_vec()).line().is_err());
    }
}
