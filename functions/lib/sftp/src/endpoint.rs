//! Where to connect, as whom, with which pinned keys and how patiently.

use std::fmt;
use std::time::Duration;

use domain::profile::Algorithms;
use zeroize::Zeroizing;

/// One SFTP server as a profile describes it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Name or address.
    pub host: String,
    /// TCP port, usually 22.
    pub port: u16,
    /// The account to log in as.
    pub username: String,
    /// Accepted host keys as `SHA256:…`, as `ssh-keygen -lf` prints them. Several for rotation;
    /// none is refused as `Misconfigured`.
    pub host_keys: Vec<String>,
    /// Which SSH algorithms are offered.
    pub algorithms: Algorithms,
    /// How long to wait for what.
    pub timeouts: Timeouts,
    /// Bytes in one direction after which new keys are agreed on; [`REKEY_BYTES`] is what SSH
    /// advises.
    pub rekey_bytes: u32,
}

/// RFC 4253 advises new keys after each gigabyte.
pub const REKEY_BYTES: u32 = 1 << 30;

impl Endpoint {
    /// `host:port`, as errors name it.
    #[must_use]
    pub fn server(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The pins that are SHA-256 fingerprints, without base64 padding.
    pub(crate) fn pins(&self) -> Vec<String> {
        self.host_keys
            .iter()
            .map(|pin| pin.trim().trim_end_matches('='))
            .filter(|pin| pin.strip_prefix("SHA256:").is_some_and(|hash| hash.len() == 43))
            .map(str::to_owned)
            .collect()
    }
}

/// How long to wait for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For the name lookup and the TCP connection.
    pub connect: Duration,
    /// From the TCP connection to the first usable moment: keys, login, SFTP greeting.
    pub login: Duration,
    /// Without one byte of SFTP in either direction while an answer is due.
    pub idle: Duration,
    /// Between probes of a quiet connection; three unanswered ones end it.
    pub keepalive: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            login: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            keepalive: Duration::from_secs(15),
        }
    }
}

/// What proves who we are. A key and a password may both be needed by one server.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// Answers `password` and the password prompt of `keyboard-interactive`.
    pub password: Option<Secret>,
    /// Text of a private key: OpenSSH, PKCS#8, PKCS#1, SEC1 or PuTTY.
    pub private_key: Option<Secret>,
    /// Opens an encrypted private key.
    pub passphrase: Option<Secret>,
}

impl Credentials {
    /// A password alone.
    #[must_use]
    pub fn password(password: &str) -> Self {
        Self { password: Some(password.into()), ..Self::default() }
    }

    /// A private key alone.
    #[must_use]
    pub fn private_key(key: &str) -> Self {
        Self { private_key: Some(key.into()), ..Self::default() }
    }
}

/// Text that is never printed and is wiped when dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The text, for the moment of its use.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_sha256_fingerprints_and_nothing_else() {
        let hash = "a".repeat(43);
        let endpoint = Endpoint {
            host: "h".into(),
            port: 22,
            username: "u".into(),
            host_keys: vec![
                format!(" SHA256:{hash}= "),
                format!("SHA256:{}", "b".repeat(43)),
                "MD5:00:11".into(),
                "SHA256:short".into(),
                hash.clone(),
            ],
            algorithms: Algorithms::Default,
            timeouts: Timeouts::default(),
            rekey_bytes: REKEY_BYTES,
        };
        assert_eq!(
            endpoint.pins(),
            [format!("SHA256:{hash}"), format!("SHA256:{}", "b".repeat(43))]
        );
    }

    #[test]
    fn a_server_is_called_by_host_and_port() {
        for (host, expected) in [("h.example", "h.example:2222"), ("::1", "[::1]:2222")] {
            let endpoint = Endpoint {
                host: host.into(),
                port: 2222,
                username: "u".into(),
                host_keys: Vec::new(),
                algorithms: Algorithms::Default,
                timeouts: Timeouts::default(),
                rekey_bytes: REKEY_BYTES,
            };
            assert_eq!(endpoint.server(), expected);
        }
        assert_eq!(REKEY_BYTES, 1_073_741_824);
    }

    #[test]
    fn debug_output_holds_no_secret() {
        let credentials = Credentials {
            password: Some("hunter2".into()),
            private_key: Some("hunter2".into()),
            passphrase: Some("hunter2".to_owned().into()),
        };
        assert!(!format!("{credentials:?}").contains("hunter2"));
    }
}
