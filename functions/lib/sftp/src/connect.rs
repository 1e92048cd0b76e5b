//! From a name to an encrypted connection with a server that proved a pinned key.

use std::io::ErrorKind;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::profile::Algorithms;
use russh::client::{self, DisconnectReason};
use russh::keys::{Algorithm, HashAlg, PublicKeyOrCertificate};
use russh::{AlgorithmKind, Disconnect, Limits};
use tokio::net::TcpStream;

use crate::algorithms;
use crate::duplex::Duplex;
use crate::endpoint::{Endpoint, REKEY_BYTES};
use crate::error::{ENABLE_ONE, Error, USE_LEGACY};
use crate::link::Farewell;
use crate::wire;

/// Bytes that the server may send ahead of us.
const WINDOW_BYTES: u32 = 16 << 20;
/// The largest SSH packet we ask for; russh warns above this. An SFTP packet spans several.
const PACKET_BYTES: u32 = 65_535;

/// RFC 4253 advises new keys after each hour.
const REKEY_AFTER: Duration = Duration::from_secs(3600);

/// SSH's numbers for hanging up.
const TOO_MANY_CONNECTIONS: u32 = 12;
pub(crate) const NO_MORE_METHODS: u32 = 14;

/// An encrypted connection, not yet logged in.
pub(crate) struct Connection {
    pub(crate) handle: client::Handle<Gate>,
    pub(crate) notes: Arc<Notes>,
}

/// What the SSH layer learned about the server on the side.
#[derive(Default)]
pub(crate) struct Notes {
    offered: Mutex<Option<(Algorithm, String)>>,
    hung_up: Mutex<Option<u32>>,
    pub(crate) farewell: Farewell,
}

impl Notes {
    fn offered(&self) -> Option<(Algorithm, String)> {
        self.offered.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The server's words, if it hung up because there are too many connections.
    pub(crate) fn too_many(&self) -> Option<String> {
        let (code, words) = self.hung_up()?;
        (code == TOO_MANY_CONNECTIONS || is_about_number(&words)).then_some(words)
    }

    /// How the connection ended, if it did: SSH's number, zero for none, and words.
    pub(crate) fn hung_up(&self) -> Option<(u32, String)> {
        let code = (*self.hung_up.lock().unwrap_or_else(PoisonError::into_inner))?;
        let farewell = self.farewell.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Some((code, farewell.unwrap_or_default()))
    }
}

/// Whether a server speaks of the number of connections when it hangs up. Some let an account log in
/// first, and some give a number for the reason that means something else.
fn is_about_number(words: &str) -> bool {
    let words = words.to_lowercase();
    let says = |list: &[&str]| list.iter().any(|word| words.contains(word));
    says(&["too many", "maximum", "limit"])
        && says(&["connection", "session", "client", "user", "login"])
        && !says(&["authentication"])
}

/// Lets only a server with a pinned key through.
pub(crate) struct Gate {
    pins: Vec<String>,
    notes: Arc<Notes>,
}

impl client::Handler for Gate {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        server_key: &PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        let key = server_key.public_key();
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        let pinned = self.pins.contains(&fingerprint);
        *self.notes.offered.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((key.algorithm(), fingerprint));
        Ok(pinned)
    }

    async fn disconnected(
        &mut self,
        reason: DisconnectReason<Self::Error>,
    ) -> Result<(), Self::Error> {
        let (code, words) = match &reason {
            DisconnectReason::ReceivedDisconnect(info) => {
                // The numbers are those of RFC 4253.
                let code = match info.reason_code {
                    Disconnect::TooManyConnections => TOO_MANY_CONNECTIONS,
                    Disconnect::NoMoreAuthMethodsAvailable => NO_MORE_METHODS,
                    _ => 0,
                };
                let message = wire::text(info.message.as_bytes());
                (code, format!("the server hung up, saying {message:?}"))
            }
            // The SSH layer hangs up by itself when the server names no method to go on with.
            DisconnectReason::Error(russh::Error::NoAuthMethod) => {
                (NO_MORE_METHODS, "no more login methods".to_owned())
            }
            DisconnectReason::Error(russh::Error::KeepaliveTimeout) => {
                (0, "the server did not answer keepalive probes".to_owned())
            }
            DisconnectReason::Error(error) => (0, error.to_string()),
        };
        *self.notes.hung_up.lock().unwrap_or_else(PoisonError::into_inner) = Some(code);
        self.notes.farewell.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(words);
        Ok(())
    }
}

/// Connects, and asks for the server's other kinds of host key while none that it shows is pinned.
pub(crate) async fn connect(endpoint: &Endpoint) -> Result<Connection, Error> {
    let pins = endpoint.pins();
    if pins.is_empty() {
        let reason = if endpoint.host_keys.is_empty() {
            "`host_keys` is empty"
        } else {
            "`host_keys` holds no SHA-256 fingerprint"
        };
        return Err(Error::HostKeyMissing { server: endpoint.server(), reason: reason.to_owned() });
    }
    let mut kinds = algorithms::host_keys(endpoint.algorithms);
    let mut offered = Vec::new();
    while !kinds.is_empty() {
        let stream = tcp(endpoint).await?;
        let notes = Arc::new(Notes::default());
        let gate = Gate { pins: pins.clone(), notes: Arc::clone(&notes) };
        let config = Arc::new(config(endpoint, &kinds));
        let error = match client::connect_stream(config, Duplex::new(stream), gate).await {
            Ok(handle) => {
                let signature = handle.agent_session_binding().map(|binding| binding.signature());
                is_signed_with(signature.unwrap_or_default(), endpoint)?;
                return Ok(Connection { handle, notes });
            }
            Err(error) => error,
        };
        match (error, notes.offered()) {
            (russh::Error::UnknownKey, Some((algorithm, fingerprint))) => {
                offered.push(fingerprint);
                let asked = kinds.len();
                kinds.retain(|candidate| !same_key_type(candidate, &algorithm));
                // A server that shows a kind it was not asked for would show it for ever.
                if kinds.len() == asked {
                    break;
                }
            }
            (russh::Error::NoCommonAlgo { kind: AlgorithmKind::Key, .. }, _)
                if !offered.is_empty() =>
            {
                break;
            }
            (error, _) => return Err(refused(endpoint, error, &notes)),
        }
    }
    Err(Error::HostKeyChanged { server: endpoint.server(), offered, pinned: pins })
}

/// Whether the server signed with one of the algorithms that it was offered: the SSH layer takes an
/// RSA signature with any hash.
fn is_signed_with(signature: &[u8], endpoint: &Endpoint) -> Result<(), Error> {
    let kinds = algorithms::host_keys(endpoint.algorithms);
    let ours: Vec<String> = kinds.iter().map(|kind| kind.as_str().to_owned()).collect();
    let used = algorithms::signed_with(signature).unwrap_or_default();
    if ours.contains(&used) {
        return Ok(());
    }
    Err(no_common(endpoint, "host key signature", ours, &[used]))
}

fn same_key_type(one: &Algorithm, other: &Algorithm) -> bool {
    one == other || matches!((one, other), (Algorithm::Rsa { .. }, Algorithm::Rsa { .. }))
}

fn config(endpoint: &Endpoint, kinds: &[Algorithm]) -> client::Config {
    let rekey_bytes = (endpoint.rekey_bytes as usize).min(REKEY_BYTES as usize);
    client::Config {
        limits: Limits::new(rekey_bytes, rekey_bytes, REKEY_AFTER),
        // Both for speed alone; smaller ones carry the same bytes.
        window_size: WINDOW_BYTES,
        maximum_packet_size: PACKET_BYTES,
        keepalive_interval: Some(endpoint.timeouts.keepalive),
        // What the SSH layer takes by itself; said because a silent server is told of after it.
        keepalive_max: 3,
        preferred: algorithms::offer(endpoint.algorithms, kinds),
        ..client::Config::default()
    }
}

async fn tcp(endpoint: &Endpoint) -> Result<TcpStream, Error> {
    let limit: Duration = endpoint.timeouts.connect;
    tokio::time::timeout(limit, tcp_any(endpoint)).await.unwrap_or_else(|_| {
        Err(Error::ConnectTimeout { server: endpoint.server(), seconds: limit.as_secs() })
    })
}

/// Tries every address of the name in turn.
async fn tcp_any(endpoint: &Endpoint) -> Result<TcpStream, Error> {
    let dns = |reason: String| Error::Dns { server: endpoint.server(), reason };
    let addresses = tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port))
        .await
        .map_err(|error| dns(error.to_string()))?;
    let mut last = dns("it has no address".to_owned());
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "TCP_NODELAY is not set");
                }
                return Ok(stream);
            }
            Err(error) => last = unreachable(endpoint, &error),
        }
    }
    Err(last)
}

/// What it means that an address does not answer.
fn unreachable(endpoint: &Endpoint, error: &std::io::Error) -> Error {
    let server = endpoint.server();
    match error.kind() {
        ErrorKind::ConnectionRefused => Error::ConnectRefused { server },
        // The system may give up before we do.
        ErrorKind::TimedOut => {
            Error::ConnectTimeout { server, seconds: endpoint.timeouts.connect.as_secs() }
        }
        _ => Error::Unreachable { server, reason: error.to_string() },
    }
}

/// What a failed key exchange means.
fn refused(endpoint: &Endpoint, error: russh::Error, notes: &Notes) -> Error {
    let server = endpoint.server();
    match error {
        russh::Error::NoCommonAlgo { kind, ours, theirs } => {
            let kind = match kind {
                AlgorithmKind::Kex => "key exchange",
                AlgorithmKind::Key => "host key",
                AlgorithmKind::Cipher => "cipher",
                AlgorithmKind::Compression => "compression",
                AlgorithmKind::Mac => "integrity (MAC)",
            };
            no_common(endpoint, kind, ours, &theirs)
        }
        russh::Error::Version => {
            Error::NotSsh { server, reason: "its greeting is not SSH's".to_owned() }
        }
        russh::Error::Disconnect | russh::Error::HUP | russh::Error::IO(_) => {
            let reason = notes.hung_up().map(|(_, words)| words);
            Error::TooManyConnections {
                server,
                reason: reason
                    .unwrap_or_else(|| "it was closed before the keys were exchanged".to_owned()),
            }
        }
        other => Error::ConnectionLost {
            server,
            operation: crate::Operation::Connect,
            path: "it".to_owned(),
            reason: other.to_string(),
        },
    }
}

fn no_common(endpoint: &Endpoint, kind: &str, ours: Vec<String>, theirs: &[String]) -> Error {
    // Where even the old ones were offered, none of theirs is old.
    let old = endpoint.algorithms == Algorithms::Default
        && theirs.iter().any(|name| algorithms::is_legacy(name));
    Error::NoCommonAlgorithm {
        server: endpoint.server(),
        kind: kind.to_owned(),
        ours,
        theirs: theirs.iter().map(|name| wire::text(name.as_bytes())).collect(),
        fix: if old { USE_LEGACY } else { ENABLE_ONE },
    }
}

#[cfg(test)]
mod tests {
    use russh::client::Handler;

    use super::*;
    use crate::endpoint::Timeouts;

    /// A signature as SSH packs it.
    fn signature(algorithm: &str) -> Vec<u8> {
        let parts = [algorithm.as_bytes(), b"signed"];
        parts.iter().flat_map(|part| [&(part.len() as u32).to_be_bytes(), *part].concat()).collect()
    }

    fn endpoint(algorithms: Algorithms) -> Endpoint {
        Endpoint {
            host: "h".into(),
            port: 22,
            username: "u".into(),
            host_keys: Vec::new(),
            algorithms,
            timeouts: Timeouts::default(),
            rekey_bytes: REKEY_BYTES,
        }
    }

    #[test]
    fn an_address_that_does_not_answer_is_told_by_its_kind() {
        for (kind, code) in [
            (ErrorKind::ConnectionRefused, "sftp.connect_refused"),
            (ErrorKind::TimedOut, "sftp.connect_timeout"),
            (ErrorKind::HostUnreachable, "sftp.unreachable"),
        ] {
            assert_eq!(unreachable(&endpoint(Algorithms::Default), &kind.into()).code(), code);
        }
    }

    /// What a server that hangs up with that number and those words seems to mean.
    async fn hung_up(reason_code: Disconnect, message: &str) -> (Option<(u32, String)>, bool) {
        let notes = Arc::new(Notes::default());
        let mut gate = Gate { pins: Vec::new(), notes: Arc::clone(&notes) };
        let (message, lang_tag) = (message.to_owned(), String::new());
        let info = client::RemoteDisconnectInfo { reason_code, message, lang_tag };
        gate.disconnected(DisconnectReason::ReceivedDisconnect(info)).await.unwrap();
        (notes.hung_up(), notes.too_many().is_some())
    }

    #[tokio::test]
    async fn a_server_that_hangs_up_is_understood_by_its_number_or_its_words() {
        use Disconnect::{ByApplication, NoMoreAuthMethodsAvailable, TooManyConnections};
        for (number, words, code, too_many) in [
            (TooManyConnections, "", TOO_MANY_CONNECTIONS, true),
            (TooManyConnections, "bye", TOO_MANY_CONNECTIONS, true),
            (NoMoreAuthMethodsAvailable, "", NO_MORE_METHODS, false),
            (ByApplication, "Too many connections", 0, true),
            (ByApplication, "Maximum number of sessions reached", 0, true),
            (ByApplication, "User limit exceeded", 0, true),
            (ByApplication, "Too many authentication failures for user u", 0, false),
            (ByApplication, "Too many bytes", 0, false),
            (ByApplication, "The user is unknown", 0, false),
            (ByApplication, "", 0, false),
        ] {
            let (told, is_about_number) = hung_up(number, words).await;
            let (told, reason) = told.unwrap();
            assert_eq!((told, is_about_number), (code, too_many), "{words}");
            assert!(reason.contains(words), "{reason}");
        }
        let silent = Notes::default();
        assert_eq!((silent.hung_up(), silent.too_many()), (None, None));
    }

    #[test]
    fn a_signature_by_an_algorithm_that_was_not_offered_is_refused() {
        let (default, legacy) = (endpoint(Algorithms::Default), endpoint(Algorithms::Legacy));
        for algorithm in ["ssh-ed25519", "ecdsa-sha2-nistp521", "rsa-sha2-512", "rsa-sha2-256"] {
            assert!(is_signed_with(&signature(algorithm), &default).is_ok(), "{algorithm}");
        }
        assert!(is_signed_with(&signature("ssh-rsa"), &legacy).is_ok());
        let error = is_signed_with(&signature("ssh-rsa"), &default).unwrap_err();
        let told = error.to_string();
        assert!(told.contains("server offers ssh-rsa") && told.contains("legacy"), "{told}");
        for bad in [&[][..], &[0, 0, 0, 11], &signature("ssh-dss")] {
            for endpoint in [&default, &legacy] {
                let error = is_signed_with(bad, endpoint).unwrap_err();
                assert_eq!(error.code(), "sftp.no_common_algorithm");
            }
        }
    }
}
