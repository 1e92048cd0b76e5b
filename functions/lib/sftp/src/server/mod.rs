//! A small SFTP server over one folder, on loopback only: the partner of the laptop demo, and a
//! second implementation for the tests. It is built on `russh-sftp`, not on this package's client.

mod extensions;
mod files;
mod jail;
mod quirks;
mod ssh;

use std::io;
use std::net::{Ipv4Addr, Shutdown};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use russh::keys::{HashAlg, PublicKey};
use russh::server::Config;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::endpoint::Secret;
use crate::keys;

pub use quirks::{Hashes, Quirks, Reads, Renames, WireFault};

/// What the server serves, and to whom.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder that clients see as `/` and cannot leave.
    pub root: PathBuf,
    /// The only account.
    pub username: String,
    /// Lets the account in by password.
    pub password: Option<Secret>,
    /// Lets the account in by key: one line as in `authorized_keys`.
    pub authorized_key: Option<String>,
    /// Asks for the password by a prompt (`keyboard-interactive`) instead of the method `password`.
    pub prompt: bool,
    /// Wants the key and then the password too.
    pub key_and_password: bool,
    /// Offers posix-rename, fsync and limits; without, it is a bare version 3 server.
    pub extensions: bool,
    /// Bytes in one answer to READ, also when more are asked for and promised.
    pub max_answer_bytes: u32,
    /// How it falls short of what clients expect.
    pub quirks: Quirks,
}

impl Options {
    /// A server over `root` with all extensions and no way in yet.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>, username: &str) -> Self {
        Self {
            root: root.into(),
            username: username.to_owned(),
            password: None,
            authorized_key: None,
            prompt: false,
            key_and_password: false,
            extensions: true,
            max_answer_bytes: files::MAX_READ_BYTES,
            quirks: Quirks::default(),
        }
    }
}

/// The server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The folder cannot be served.
    #[error("the folder {root} cannot be served: {source}")]
    Root {
        /// The folder.
        root: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No port on loopback.
    #[error("no port on 127.0.0.1 is free: {0}")]
    Bind(#[source] io::Error),
    /// No host key.
    #[error(transparent)]
    HostKey(#[from] keys::KeyError),
    /// The authorized key is not one.
    #[error("the authorized key is not a public key line: {0}")]
    AuthorizedKey(String),
}

type Sockets = Arc<Mutex<Vec<std::net::TcpStream>>>;

/// A running server. It stops when dropped.
#[derive(Debug)]
pub struct SftpServer {
    port: u16,
    fingerprint: String,
    accepting: JoinHandle<()>,
    sockets: Sockets,
}

impl SftpServer {
    /// Starts on a free port of 127.0.0.1 with a new host key.
    ///
    /// # Errors
    /// When the folder is missing, no port is free, or the authorized key is no key.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let root = options
            .root
            .canonicalize()
            .map_err(|source| StartError::Root { root: options.root.clone(), source })?;
        let authorized_key = options
            .authorized_key
            .as_deref()
            .map(PublicKey::from_openssh)
            .transpose()
            .map_err(|error| StartError::AuthorizedKey(error.to_string()))?;
        let host_key = keys::new_ed25519()?;
        let fingerprint = host_key.public_key().fingerprint(HashAlg::Sha256).to_string();
        let config = Arc::new(Config {
            methods: ssh::methods(&options),
            auth_rejection_time: Duration::from_millis(10),
            auth_rejection_time_initial: Some(Duration::ZERO),
            keys: vec![host_key],
            window_size: 16 << 20,
            maximum_packet_size: 65_535,
            nodelay: true,
            inactivity_timeout: None,
            ..Config::default()
        });
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(StartError::Bind)?;
        let port = listener.local_addr().map_err(StartError::Bind)?.port();
        let sockets = Sockets::default();
        let places = options.quirks.max_startups.map(|max| Arc::new(Semaphore::new(max)));
        let account = Arc::new(ssh::Account { options, root, authorized_key, places });
        let accepting = tokio::spawn(accept(listener, config, account, Arc::clone(&sockets)));
        Ok(Self { port, fingerprint, accepting, sockets })
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The host key as a profile pins it: `SHA256:…`.
    #[must_use]
    pub fn host_key_fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Stops listening and cuts every connection, in the middle of whatever it does.
    pub fn stop(&self) {
        self.accepting.abort();
        for socket in self.sockets.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for SftpServer {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn accept(
    listener: TcpListener,
    config: Arc<Config>,
    account: Arc<ssh::Account>,
    sockets: Sockets,
) {
    loop {
        let socket = match listener.accept().await {
            Ok((socket, _)) => socket,
            Err(error) => {
                tracing::debug!(%error, "a connection was not accepted");
                tokio::task::yield_now().await;
                continue;
            }
        };
        if let Err(error) = serve(socket, &config, &account, &sockets) {
            tracing::debug!(%error, "a connection was dropped");
        }
    }
}

fn serve(
    socket: tokio::net::TcpStream,
    config: &Arc<Config>,
    account: &Arc<ssh::Account>,
    sockets: &Sockets,
) -> io::Result<()> {
    let place = match account.places.clone().map(Semaphore::try_acquire_owned).transpose() {
        Ok(place) => place,
        // Dropping the socket hangs up.
        Err(_) => return Ok(()),
    };
    socket.set_nodelay(true)?;
    let socket = socket.into_std()?;
    let to_cut = socket.try_clone()?;
    let socket = tokio::net::TcpStream::from_std(socket)?;
    {
        let mut sockets = sockets.lock().unwrap_or_else(PoisonError::into_inner);
        // A closed connection has no peer any more.
        sockets.retain(|socket| socket.peer_addr().is_ok());
        sockets.push(to_cut);
    }
    let handler = ssh::Visitor::new(Arc::clone(account));
    let config = Arc::clone(config);
    tokio::spawn(async move {
        let _place = place;
        match russh::server::run_stream(config, socket, handler).await {
            Ok(session) => {
                if let Err(error) = session.await {
                    tracing::debug!(%error, "a session ended");
                }
            }
            Err(error) => tracing::debug!(%error, "no session began"),
        }
    });
    Ok(())
}
