//! Proves who we are, by every method that the server asks for and we have the means for.

use std::sync::Arc;

use domain::profile::Algorithms;
use russh::MethodKind;
use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse as Prompted};
use russh::keys::{HashAlg, PrivateKey, PrivateKeyWithHashAlg, decode_secret_key};

use crate::algorithms::rsa_hashes;
use crate::connect::{Gate, NO_MORE_METHODS, Notes};
use crate::endpoint::{Credentials, Endpoint, Secret};
use crate::error::{Error, Operation, RSA_IS_OLD};

/// More rounds of prompts than any honest server has.
const MAX_PROMPT_ROUNDS: usize = 8;

/// Reads the private key, before any connection is made.
pub(crate) fn private_key(
    endpoint: &Endpoint,
    credentials: &Credentials,
) -> Result<Option<Arc<PrivateKey>>, Error> {
    let Some(text) = &credentials.private_key else { return Ok(None) };
    let server = endpoint.server();
    // Secrets pass through forms and consoles that add carriage returns and blanks.
    let text = text.expose().trim();
    // With room for all, or a copy would stay behind where it grew.
    let mut tidy = String::with_capacity(text.len() + 1);
    for line in text.lines() {
        tidy.push_str(line.trim_end());
        tidy.push('\n');
    }
    let tidy = Secret::from(tidy);
    if is_locked_the_old_way(tidy.expose()) {
        let reason = "it is encrypted in an old PEM form; `ssh-keygen -p -f FILE` rewrites it in one \
                      that is read here";
        return Err(Error::KeyUnreadable { server, reason: reason.to_owned() });
    }
    let passphrase = credentials.passphrase.as_ref().map(Secret::expose);
    // A passphrase beside a key that needs none is no fault.
    let passphrase = passphrase.filter(|_| is_encrypted(tidy.expose()));
    match decode_secret_key(tidy.expose(), passphrase) {
        Ok(key) => Ok(Some(Arc::new(key))),
        Err(russh::keys::Error::KeyIsEncrypted) => {
            Err(Error::KeyPassphrase { server, reason: "no passphrase is given for it".to_owned() })
        }
        Err(_) if is_encrypted(tidy.expose()) => Err(Error::KeyPassphrase {
            server,
            reason: match passphrase {
                Some(_) => "the given passphrase does not open it".to_owned(),
                None => "no passphrase is given for it".to_owned(),
            },
        }),
        // The causes quote structure, never contents; the text of the key is not repeated.
        Err(error) => Err(Error::KeyUnreadable { server, reason: error.to_string() }),
    }
}

/// Of the PEM forms that are encrypted as a whole, one is read: RSA under AES-128-CBC.
fn is_locked_the_old_way(text: &str) -> bool {
    let read = text.contains("BEGIN RSA PRIVATE KEY") && text.contains("DEK-Info: AES-128-CBC,");
    text.contains("Proc-Type: 4,ENCRYPTED") && !read
}

fn is_encrypted(text: &str) -> bool {
    PrivateKey::from_openssh(text).map_or_else(
        |_| text.contains("ENCRYPTED") || text.contains("\nEncryption: aes"),
        |key| key.is_encrypted(),
    )
}

/// Logs in, or tells why not.
pub(crate) async fn login(
    handle: &mut Handle<Gate>,
    notes: &Notes,
    endpoint: &Endpoint,
    credentials: &Credentials,
    key: Option<Arc<PrivateKey>>,
) -> Result<(), Error> {
    let mut attempt = Attempt {
        handle,
        notes,
        endpoint,
        password: credentials.password.as_ref(),
        key,
        tried: Vec::new(),
        offered: Vec::new(),
        named: Vec::new(),
    };
    attempt.run().await
}

struct Attempt<'a> {
    handle: &'a mut Handle<Gate>,
    notes: &'a Notes,
    endpoint: &'a Endpoint,
    password: Option<&'a Secret>,
    key: Option<Arc<PrivateKey>>,
    tried: Vec<MethodKind>,
    /// What the server would take next.
    offered: Vec<MethodKind>,
    /// What it has ever named.
    named: Vec<MethodKind>,
}

impl Attempt<'_> {
    async fn run(&mut self) -> Result<(), Error> {
        // "none" is refused and tells the methods that the server wants.
        let mut result = self
            .handle
            .authenticate_none(&self.endpoint.username)
            .await
            .map_err(|error| self.lost(&error))?;
        loop {
            match result {
                AuthResult::Success => return Ok(()),
                AuthResult::Failure { remaining_methods, .. } => {
                    // Without a method to go on with, or without any answer: the connection is over.
                    if remaining_methods.is_empty() {
                        return Err(match self.notes.hung_up() {
                            Some(_) => self.lost(&russh::Error::Disconnect),
                            None => self.refused(),
                        });
                    }
                    self.offered = remaining_methods.to_vec();
                    for method in remaining_methods.iter() {
                        if !self.named.contains(method) {
                            self.named.push(*method);
                        }
                    }
                }
            }
            let Some(method) = self.next_method() else { return Err(self.refused()) };
            self.tried.push(method);
            result = match method {
                MethodKind::PublicKey => self.public_key().await,
                MethodKind::Password => self.by_password().await,
                _ => self.by_prompts().await,
            }
            .map_err(|error| self.lost(&error))?;
        }
    }

    /// The next method that is wanted, possible and new.
    fn next_method(&self) -> Option<MethodKind> {
        let has_key = self.key.is_some();
        let has_password = self.password.is_some();
        [
            (MethodKind::PublicKey, has_key),
            (MethodKind::Password, has_password),
            (MethodKind::KeyboardInteractive, has_password),
        ]
        .into_iter()
        .filter(|(_, possible)| *possible)
        .map(|(method, _)| method)
        .find(|method| self.offered.contains(method) && !self.tried.contains(method))
    }

    async fn public_key(&mut self) -> Result<AuthResult, russh::Error> {
        let Some(key) = self.key.clone() else { return Err(russh::Error::NoAuthMethod) };
        let user = self.endpoint.username.clone();
        if !key.algorithm().is_rsa() {
            let key = PrivateKeyWithHashAlg::new(key, None);
            return self.handle.authenticate_publickey(user, key).await;
        }
        // What a server says it takes is not always what this account may use.
        let mut hashes = rsa_hashes(self.endpoint.algorithms);
        if let Some(Some(HashAlg::Sha256)) = self.handle.best_supported_rsa_hash().await? {
            hashes.swap(0, 1);
        }
        let mut result = Err(russh::Error::NoAuthMethod);
        for hash in hashes {
            let key = PrivateKeyWithHashAlg::new(Arc::clone(&key), hash);
            result = self.handle.authenticate_publickey(user.clone(), key).await;
            let again = MethodKind::PublicKey;
            match &result {
                Ok(AuthResult::Failure { partial_success: false, remaining_methods })
                    if remaining_methods.contains(&again) => {}
                _ => break,
            }
        }
        result
    }

    async fn by_password(&mut self) -> Result<AuthResult, russh::Error> {
        let password = self.password.map(Secret::expose).unwrap_or_default();
        self.handle.authenticate_password(&self.endpoint.username, password).await
    }

    /// Answers one hidden prompt with the password. A second one is a refusal, or asks for what we
    /// do not have.
    async fn by_prompts(&mut self) -> Result<AuthResult, russh::Error> {
        let password = self.password.map(Secret::expose).unwrap_or_default();
        let user = &self.endpoint.username;
        let mut answered = false;
        let mut step = self.handle.authenticate_keyboard_interactive_start(user, None).await?;
        for _ in 0..MAX_PROMPT_ROUNDS {
            let prompts = match step {
                Prompted::Success => return Ok(AuthResult::Success),
                Prompted::Failure { remaining_methods, partial_success } => {
                    return Ok(AuthResult::Failure { remaining_methods, partial_success });
                }
                Prompted::InfoRequest { prompts, .. } => prompts,
            };
            let mut answers = Vec::with_capacity(prompts.len().min(MAX_PROMPT_ROUNDS));
            for prompt in prompts {
                let known = if prompt.echo {
                    user.as_str()
                } else if answered {
                    break;
                } else {
                    answered = true;
                    password
                };
                answers.push(known.to_owned());
            }
            step = self.handle.authenticate_keyboard_interactive_respond(answers).await?;
        }
        Err(russh::Error::NoAuthMethod)
    }

    fn refused(&self) -> Error {
        let names = |methods: &[MethodKind]| methods.iter().map(String::from).collect();
        Error::LoginRefused {
            server: self.endpoint.server(),
            username: self.endpoint.username.clone(),
            tried: names(&self.tried),
            offered: names(&self.named),
            hint: self.hint(),
        }
    }

    /// What servers take of RSA is not always what they say.
    fn hint(&self) -> &'static str {
        let rsa = self.key.as_ref().is_some_and(|key| key.algorithm().is_rsa());
        let refused = self.tried.contains(&MethodKind::PublicKey);
        let sha1 = self.endpoint.algorithms == Algorithms::Legacy;
        if rsa && refused && !sha1 { RSA_IS_OLD } else { "" }
    }

    /// The connection ended during the login.
    fn lost(&self, error: &russh::Error) -> Error {
        let server = self.endpoint.server();
        if matches!(error, russh::Error::NoAuthMethod) {
            return self.refused();
        }
        if let Some(reason) = self.notes.too_many() {
            return Error::TooManyConnections { server, reason };
        }
        match self.notes.hung_up() {
            Some((NO_MORE_METHODS, _)) => self.refused(),
            Some((_, reason)) if reason.contains("uthentication failures") => self.refused(),
            said => Error::ConnectionLost {
                server,
                operation: Operation::Connect,
                path: "it".to_owned(),
                reason: said.map_or_else(|| error.to_string(), |(_, words)| words),
            },
        }
    }
}
