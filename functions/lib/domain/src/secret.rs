//! Secrets as stages receive them: by name, redacted in every print, wiped when dropped.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

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

/// Remembers which secrets an attempt was made with: one that is refused is made once more if any of
/// them was rotated since, and not otherwise, for servers count what they refuse.
#[derive(Default)]
pub struct Given(Mutex<BTreeMap<String, SecretBytes>>);

impl Given {
    /// The secret of that name.
    ///
    /// # Errors
    /// As [`SecretStore::secret`].
    pub async fn secret(
        &self,
        secrets: &dyn SecretStore,
        name: &str,
    ) -> Result<SecretBytes, Failure> {
        let secret = secrets.secret(name).await?;
        self.remember(secret.clone());
        Ok(secret)
    }

    /// Reads all of them anew and tells whether any is another one now. What cannot be read is not.
    pub async fn rotated(&self, secrets: &dyn SecretStore) -> bool {
        let given: Vec<SecretBytes> = {
            let given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            given.values().cloned().collect()
        };
        let mut rotated = false;
        for before in given {
            if let Ok(now) = secrets.fresh(before.name()).await {
                rotated |= now.bytes() != before.bytes();
                self.remember(now);
            }
        }
        rotated
    }

    /// Takes the given secrets out of words that somebody else said, should they be repeated there.
    #[must_use]
    pub fn redact(&self, said: &str) -> String {
        let given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        given.values().fold(said.to_owned(), |said, secret| match secret.text() {
            Ok(text) => redact(&said, text.trim()),
            Err(_) => said,
        })
    }

    fn remember(&self, secret: SecretBytes) {
        let mut given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        given.insert(secret.name().to_owned(), secret);
    }
}

/// Words without a secret.
#[must_use]
pub fn redact(said: &str, secret: &str) -> String {
    if secret.is_empty() { said.to_owned() } else { said.replace(secret, "(redacted)") }
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

    /// Gives the first value until it is asked for the present one.
    struct Cached(Mutex<Vec<u8>>);

    #[async_trait]
    impl SecretStore for Cached {
        async fn secret(&self, name: &str) -> Result<SecretBytes, Failure> {
            Ok(SecretBytes::new(name, self.0.lock().unwrap().clone()))
        }

        async fn fresh(&self, name: &str) -> Result<SecretBytes, Failure> {
            if name == "gone" {
                return Err(Failure::misconfigured("secrets.missing", "It is gone."));
            }
            *self.0.lock().unwrap() = b"new".to_vec();
            self.secret(name).await
        }
    }

    #[tokio::test]
    async fn a_rotation_is_found_once() {
        let store = Cached(Mutex::new(b"old".to_vec()));
        let given = Given::default();
        assert!(!given.rotated(&store).await, "nothing was given");
        assert_eq!(given.secret(&store, "a").await.unwrap().bytes(), b"old");
        assert!(given.rotated(&store).await);
        assert_eq!(given.secret(&store, "a").await.unwrap().bytes(), b"new");
        assert!(!given.rotated(&store).await);
        let lost = Given::default();
        lost.secret(&store, "gone").await.unwrap();
        assert!(!lost.rotated(&store).await, "what is gone is no reason to try again");
    }

    #[tokio::test]
    async fn what_somebody_repeats_of_a_secret_is_taken_out() {
        let store = Cached(Mutex::new(b" hunter2\n".to_vec()));
        let given = Given::default();
        assert_eq!(given.redact("no hunter2 yet"), "no hunter2 yet");
        given.secret(&store, "a").await.unwrap();
        assert_eq!(given.redact("hunter2 and hunter2!"), "(redacted) and (redacted)!");
        assert_eq!(redact("words", ""), "words");
        let binary = Cached(Mutex::new(vec![0xff]));
        given.secret(&binary, "b").await.unwrap();
        assert_eq!(given.redact("hunter2"), "(redacted)");
    }
}
