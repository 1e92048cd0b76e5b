//! A proxy that damages, refuses or cuts off chosen requests, as a bad network or a bad day of S3 does.
//!
//! It speaks just enough HTTP to know one request from the next: every request gets a connection of
//! its own.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const HEAD_BYTES_MAX: usize = 64 * 1024;
const PIECE_BYTES: usize = 64 * 1024;

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meddling {
    /// One bit of its body is another one when it arrives.
    DamageRequest,
    /// One bit of the answer's body is another one when it arrives.
    DamageAnswer,
    /// It never arrives; the answer has this status.
    Refuse(u16),
    /// The connection drops in the middle of its body.
    CutRequest,
    /// It arrives and is carried out, but nobody hears of it.
    CutAnswer,
}

/// Which requests are meddled with, and how often.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The HTTP method.
    pub method: &'static str,
    /// What is in the path or the query.
    pub target: String,
    /// What happens.
    pub what: Meddling,
    /// To how many requests.
    pub times: u32,
}

#[derive(Debug, Default)]
struct State {
    rule: Option<Rule>,
    hits: u32,
}

/// The proxy. Does nothing to requests that no rule is about.
#[derive(Debug)]
pub struct MeddlingProxy {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    serving: JoinHandle<()>,
}

impl MeddlingProxy {
    /// Stands before the server at `endpoint_url` (`http://host:port`).
    ///
    /// # Errors
    /// When no port on loopback can be had.
    pub async fn start(endpoint_url: &str) -> io::Result<Self> {
        let upstream = endpoint_url.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let serving = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (upstream, state) = (upstream.clone(), Arc::clone(&shared));
                // A connection that ends early is what this is for.
                tokio::spawn(async move { relay(client, &upstream, &state).await });
            }
        });
        Ok(Self { address, state, serving })
    }

    /// The URL of the proxy.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on this rule counts, and no other.
    pub(super) fn meddle(&self, method: &'static str, target: &str, what: Meddling, times: u32) {
        let rule = Rule { method, target: target.to_owned(), what, times };
        *lock(&self.state) = State { rule: Some(rule), hits: 0 };
    }

    /// How many requests the rule was applied to.
    pub(super) fn hits(&self) -> u32 {
        lock(&self.state).hits
    }
}

impl Drop for MeddlingProxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is to be done to the request with this first line.
fn meddling_of(state: &Mutex<State>, line: &str) -> Option<Meddling> {
    let mut state = lock(state);
    let rule = state.rule.as_ref()?;
    let (method, rest) = line.split_once(' ')?;
    let (what, times) = (rule.what, rule.times);
    if method != rule.method || !rest.contains(&rule.target) || state.hits >= times {
        return None;
    }
    state.hits += 1;
    Some(what)
}

async fn relay(mut client: TcpStream, upstream: &str, state: &Mutex<State>) -> io::Result<()> {
    let (head, begun) = read_head(&mut client).await?;
    let line = head.lines().next().unwrap_or_default().to_owned();
    let length = content_length(&head);
    let meddling = meddling_of(state, &line);
    if let Some(Meddling::Refuse(status)) = meddling {
        let mut nowhere = tokio::io::sink();
        send_body(&mut client, &mut nowhere, begun, length, None).await?;
        let answer =
            format!("HTTP/1.1 {status} Meddling\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        client.write_all(answer.as_bytes()).await?;
        return client.shutdown().await;
    }
    let mut server = TcpStream::connect(upstream).await?;
    let head = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    server.write_all(head.as_bytes()).await?;
    let damaged = (meddling == Some(Meddling::DamageRequest)).then_some(length / 2);
    if meddling == Some(Meddling::CutRequest) {
        send_body(&mut client, &mut server, begun, length / 2, None).await?;
        return Ok(());
    }
    send_body(&mut client, &mut server, begun, length, damaged).await?;
    let (head, begun) = read_head(&mut server).await?;
    if meddling == Some(Meddling::CutAnswer) {
        return Ok(());
    }
    client.write_all(head.as_bytes()).await?;
    let length = content_length(&head);
    let damaged = (meddling == Some(Meddling::DamageAnswer)).then_some(length / 2);
    send_body(&mut server, &mut client, begun, u64::MAX, damaged).await?;
    client.shutdown().await
}

/// Reads up to the empty line; what came behind it already is the beginning of the body.
async fn read_head(stream: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let body = bytes.split_off(end + 4);
            let head = String::from_utf8(bytes).map_err(io::Error::other)?;
            // The server may say that it is ready for a body, before its answer.
            if !head.starts_with("HTTP/1.1 100") {
                return Ok((head, body));
            }
            bytes = body;
            continue;
        }
        if bytes.len() > HEAD_BYTES_MAX || stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

fn content_length(head: &str) -> u64 {
    let mut lengths = head.lines().filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    lengths.next_back().unwrap_or(0)
}

/// Passes `length` bytes on, or all there are, with one bit changed at `damaged`.
async fn send_body(
    from: &mut TcpStream,
    to: &mut (impl tokio::io::AsyncWrite + Unpin),
    begun: Vec<u8>,
    length: u64,
    damaged: Option<u64>,
) -> io::Result<()> {
    let (mut piece, mut at) = (begun, 0);
    loop {
        let len = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        let place = damaged.and_then(|place| usize::try_from(place.checked_sub(at)?).ok());
        if let Some(byte) = place.and_then(|place| piece.get_mut(place)) {
            *byte ^= 0x10;
        }
        to.write_all(&piece).await?;
        at += len;
        if at >= length {
            return to.flush().await;
        }
        piece.clear();
        piece.reserve(PIECE_BYTES);
        let left = length - at;
        if (&mut *from).take(left).read_buf(&mut piece).await? == 0 {
            return to.flush().await;
        }
    }
}
