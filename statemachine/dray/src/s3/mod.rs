//! An S3 server over a folder, inside this process: where objects live when there is no AWS.
//!
//! The stages reach it through the same SDK code as the real thing: those of this process by calling
//! it ([`S3Server::store`]), others over HTTP. It listens on loopback only, with a key pair of its own
//! for every start.
//!
//! # What is on disk
//!
//! - `<folder>/<bucket>/<key>`: every object is a plain file, so people and other programs can look
//!   at it. A key that cannot be a path (`..`, an empty segment, a segment above 255 bytes) is
//!   refused, and so is a key below another key (`a` and `a/b`).
//! - `<folder>/.uploads/`: files being written, and one folder per unfinished multipart upload.
//! - `<folder>/.locks/`: empty files that order conditional writes between processes.
//!
//! There are no side files. The checksum of an object (CRC-64/NVME) is in an extended attribute of its
//! file; content types and user metadata are not kept.
//!
//! # Versions
//!
//! An `ETag` is made of the file's inode, size and modification time in nanoseconds. Every write is
//! a new file renamed into place, with a time later than that of the file it replaces, so no two
//! versions of a key share one. It is opaque: no MD5 of anything. Editing a file by hand changes it.
//!
//! # Crashes
//!
//! A process killed at any moment leaves the old object or the new one, never half of one; what it
//! was writing stays in `.uploads` and is swept a day later. Nothing is forced to disk: after a
//! power failure the last objects may be missing, and the run is started again.

mod body;
mod checksum;
mod complete;
mod conditions;
mod direct;
mod folder;
mod listing;
mod multipart;
mod place;
mod reads;
mod service;
mod slots;
mod uploads;

use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use storage::Store;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

use direct::Direct;
use folder::Folder;

/// How long requests under way may take to end when the server stops.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
/// A pause after a connection could not be accepted (too many open files).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What to serve.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder that holds everything; made if it is not there.
    pub folder: PathBuf,
    /// The buckets to make if they are not there.
    pub buckets: Vec<String>,
}

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The folder cannot be made or written to.
    #[error("cannot use {folder} as an object store")]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// No port on loopback could be had.
    #[error("cannot listen on loopback")]
    Listen {
        /// What the system said.
        source: io::Error,
    },
}

/// A running server. Stops when dropped, or in good order by [`S3Server::stop`].
#[derive(Debug)]
pub struct S3Server {
    endpoint: String,
    access_key: String,
    secret_key: String,
    service: Arc<S3Service>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl S3Server {
    /// Starts on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let opened = {
            let options = options.clone();
            tokio::task::spawn_blocking(move || Folder::open(options.folder, &options.buckets))
        };
        let folder = opened.await.map_err(io::Error::other).flatten();
        let folder =
            folder.map_err(|source| StartError::Folder { folder: options.folder, source })?;
        let (access_key, secret_key) = (random_hex::<10>(), random_hex::<20>());
        let mut builder = S3ServiceBuilder::new(folder);
        builder.set_auth(SimpleAuth::from_single(access_key.clone(), secret_key.clone()));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.map_err(|source| StartError::Listen { source })?;
        let address = listener.local_addr().map_err(|source| StartError::Listen { source })?;
        let (stop, stopped) = oneshot::channel();
        let service = builder.build();
        Ok(Self {
            endpoint: format!("http://{address}"),
            access_key,
            secret_key,
            service: Arc::new(service.clone()),
            stop,
            serving: tokio::spawn(serve(listener, service, stopped)),
        })
    }

    /// The URL to talk to, `http://127.0.0.1:<port>`.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The access key of this start.
    #[must_use]
    pub fn access_key(&self) -> &str {
        &self.access_key
    }

    /// The secret key of this start.
    #[must_use]
    pub fn secret_key(&self) -> &str {
        &self.secret_key
    }

    /// A bucket of it for code of this process. It is gone when the server is.
    #[must_use]
    pub fn store(&self, bucket: &str) -> Store {
        let direct = Direct::new(&self.service);
        Store::local_through(direct, &self.endpoint, &self.access_key, &self.secret_key, bucket)
    }

    /// Takes no more requests and waits a few seconds for those under way.
    pub async fn stop(self) {
        drop(self.service);
        let _already_ended = self.stop.send(());
        let _ended = self.serving.await;
    }
}

/// Accepts connections until told to stop (or until whoever could tell is gone).
async fn serve(listener: TcpListener, service: S3Service, mut stopped: oneshot::Receiver<()>) {
    let graceful = hyper_util::server::graceful::GracefulShutdown::new();
    let http = Builder::new(TokioExecutor::new());
    // Dropping the set ends what is still connected.
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = &mut stopped => break,
            Some(_) = connections.join_next() => continue,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        // Answers go out at once instead of waiting for a packet to fill.
        let _slower_without = stream.set_nodelay(true);
        let connection = http.serve_connection(TokioIo::new(stream), service.clone()).into_owned();
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an S3 connection ended early");
            }
        });
    }
    drop(listener);
    let _some_were_cut = tokio::time::timeout(STOP_PATIENCE, graceful.shutdown()).await;
}

fn random_hex<const BYTES: usize>() -> String {
    hex::encode(std::array::from_fn::<u8, BYTES, _>(|_| rand::random()))
}
