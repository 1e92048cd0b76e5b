//! A network that drops connections, and what must not notice it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::{Broken, Outcome, code_of, ensure, expect_pattern, fresh_prefix, put_pattern};
use crate::{Range, Store};

const BYTES: u64 = 9 * 1024 * 1024 + 13;
/// Longer than all retries of the SDK and of the reader together.
const PATIENCE: Duration = Duration::from_secs(120);

/// A proxy that cuts each connection after a number of bytes from the server.
#[derive(Debug)]
pub struct CuttingProxy {
    address: SocketAddr,
    limit: Arc<AtomicU64>,
    cuts: Arc<AtomicU64>,
    serving: JoinHandle<()>,
}

impl CuttingProxy {
    /// Stands before the server at `endpoint_url` (`http://host:port`).
    ///
    /// # Errors
    /// When no port on loopback can be had.
    pub async fn start(endpoint_url: &str, limit_bytes: u64) -> io::Result<Self> {
        let upstream = endpoint_url.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let limit = Arc::new(AtomicU64::new(limit_bytes));
        let cuts = Arc::new(AtomicU64::new(0));
        let (limits, counter) = (Arc::clone(&limit), Arc::clone(&cuts));
        let serving = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (upstream, limit) = (upstream.clone(), limits.load(Ordering::SeqCst));
                let counter = Arc::clone(&counter);
                tokio::spawn(async move {
                    if relay(client, &upstream, limit).await.is_ok_and(|cut| cut) {
                        counter.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        Ok(Self { address, limit, cuts, serving })
    }

    /// The URL of the proxy.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for CuttingProxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Relays one connection; true when it was cut.
async fn relay(client: TcpStream, upstream: &str, limit: u64) -> io::Result<bool> {
    let server = TcpStream::connect(upstream).await?;
    let (mut from_client, mut to_client) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    let up = tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
    let mut limited = from_server.take(limit);
    let copied = tokio::io::copy(&mut limited, &mut to_client).await;
    up.abort();
    to_client.shutdown().await?;
    Ok(copied? == limit)
}

/// Reads an object through a proxy that cuts every connection after a megabyte, then through one
/// that lets nothing pass. `direct` and `through` are ways to one bucket, with and without `proxy`.
///
/// # Errors
/// [`Broken`] when bytes are lost or doubled, or when a dead network does not end in a failure.
pub async fn reader_resumes(direct: Store, through: Store, proxy: &CuttingProxy) -> Outcome {
    let key = format!("{}object", fresh_prefix("faults"));
    put_pattern(&direct, &key, BYTES).await?;
    let whole = async {
        expect_pattern(through.reader(&key, Range::ALL).await?, 0, BYTES).await?;
        expect_pattern(through.reader(&key, Range::of(5, BYTES - 9)).await?, 5, BYTES - 9).await
    };
    match tokio::time::timeout(PATIENCE, whole).await {
        Ok(done) => done?,
        Err(_elapsed) => return Err(Broken::new("reading over a bad network hangs")),
    }
    let cuts = proxy.cuts.load(Ordering::SeqCst);
    ensure!(cuts >= 16, "only {cuts} connections were cut: nothing was proved");
    let mut reader = through.reader(&key, Range::ALL).await?;
    proxy.limit.store(0, Ordering::SeqCst);
    let dead = tokio::time::timeout(PATIENCE, reader.collect()).await;
    let code = code_of(dead.map_err(|_elapsed| Broken::new("reading from a dead network hangs"))?);
    ensure!(code == "storage.unreachable", "a dead network is {code}");
    direct.delete(&key).await?;
    Ok(())
}
