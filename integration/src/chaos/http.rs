//! A door before an HTTP server, S3 or the API: hands requests on, and does to some of them what a bad
//! network and a bad server do. Every request has a connection of its own.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::clock;
use super::plan::{Door, Fault};
use super::rules::{Deed, Rules};

/// In so many pieces a slow body comes.
const PIECES: usize = 6;
const SLOW_DOWN: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>SlowDown</Code>\
     <Message>Please reduce your request rate.</Message></Error>";
const INTERNAL: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>InternalError</Code>\
     <Message>We encountered an internal error. Please try again.</Message></Error>";

/// The door of one stage.
pub(super) struct HttpDoor {
    address: SocketAddr,
    /// `host:port` of the server, once it is known.
    server: Arc<OnceLock<String>>,
}

/// What passes the door for one stage.
struct Guard {
    rules: Arc<Rules>,
    stage: &'static str,
    door: Door,
    clock: Option<std::path::PathBuf>,
}

/// A request or an answer, whole.
struct Message {
    head: String,
    body: Vec<u8>,
}

impl HttpDoor {
    pub(super) async fn open(
        rules: &Arc<Rules>,
        stage: &'static str,
        door: Door,
        clock: Option<std::path::PathBuf>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let server = Arc::new(OnceLock::<String>::new());
        let guard = Arc::new(Guard { rules: Arc::clone(rules), stage, door, clock });
        let behind = Arc::clone(&server);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Some(server) = behind.get().cloned() else { continue };
                let guard = Arc::clone(&guard);
                // A connection that ends early is what this is for.
                tokio::spawn(async move { guard.exchange(client, &server).await });
            }
        });
        Ok(Self { address, server })
    }

    /// The URL of the door, before the server of that URL.
    pub(super) fn before(&self, url: &str) -> String {
        let (scheme, rest) = url.split_once("://").expect("a URL");
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        self.server.get_or_init(|| host.to_owned());
        format!("{scheme}://{}{path}", self.address)
    }
}

impl Guard {
    async fn exchange(&self, mut client: TcpStream, server: &str) -> io::Result<()> {
        let request = Message::request(&mut client).await?;
        match self.rules.request(self.stage, self.door, &request.about()) {
            None => {
                let answer = request.send(server).await?;
                client.write_all(&answer.bytes()).await?;
                client.shutdown().await
            }
            Some(deed) => self.meddle(&deed, request, client, server).await,
        }
    }

    async fn meddle(
        &self,
        deed: &Deed,
        request: Message,
        mut client: TcpStream,
        server: &str,
    ) -> io::Result<()> {
        let aim = &deed.aim;
        let answer = match aim.fault {
            Fault::S3Busy | Fault::ApiError | Fault::ApiLimit => Some(self.refuse(deed)),
            Fault::S3Half => return self.half(deed, request, client, server).await,
            Fault::S3Lost | Fault::ApiCut => {
                let done = match aim.variety(3) {
                    0 => "unheard",
                    1 => {
                        request.send(server).await?;
                        "done, answer lost"
                    }
                    _ => {
                        let answer = request.send(server).await?;
                        client
                            .write_all(answer.head.split_at(answer.head.len() / 2).0.as_bytes())
                            .await?;
                        "done, half an answer"
                    }
                };
                self.rules.struck(deed, done);
                return reset(&client);
            }
            Fault::S3Slow | Fault::ApiSlow => {
                return self.slow(deed, request, client, server).await;
            }
            Fault::Kill | Fault::Freeze => {
                let line = request.line();
                if aim.variety(2) == 0 {
                    self.rules.hold(deed, &format!("before {line}")).await;
                    None
                } else {
                    let answer = request.send(server).await?;
                    self.rules.hold(deed, &format!("after {line}")).await;
                    Some(answer)
                }
            }
            Fault::StateFull => return self.full(deed, request, client, server).await,
            Fault::TargetFull => {
                self.rules.rooms.fill_target();
                None
            }
            Fault::Clock => {
                // While the request is on its way, or just after its answer.
                let answer =
                    if aim.variety(2) == 0 { Some(request.send(server).await?) } else { None };
                let file = self.clock.as_deref().expect("a clock that can be set");
                let seen = clock::set(file, clock::jump(aim.variety(12) / 2));
                self.rules.struck(deed, &format!("{seen:+} s"));
                answer
            }
            Fault::Cut | Fault::Stall => None,
        };
        let answer = match answer {
            Some(answer) => answer,
            None => request.send(server).await?,
        };
        client.write_all(&answer.bytes()).await?;
        client.shutdown().await
    }

    /// An answer that says no.
    fn refuse(&self, deed: &Deed) -> Message {
        let (status, extra, body) = match (deed.aim.fault, deed.aim.variety(2)) {
            (Fault::ApiLimit, _) => (429, "retry-after: 1\r\n", ""),
            (Fault::ApiError, 0) => (500, "", "{\"error\": \"sorry\"}"),
            (Fault::ApiError, _) => (503, "", ""),
            (_, 0) => (500, "", INTERNAL),
            _ => (503, "", SLOW_DOWN),
        };
        self.rules.struck(deed, &status.to_string());
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status} Chaos\r\n{extra}content-length: {length}\r\nconnection: close\r\n\r\n"
        );
        Message { head, body: body.into() }
    }

    /// Half a body, of the answer where there is one and else of the request.
    async fn half(
        &self,
        deed: &Deed,
        request: Message,
        mut client: TcpStream,
        server: &str,
    ) -> io::Result<()> {
        if request.body.len() > 1 {
            let mut stream = TcpStream::connect(server).await?;
            stream.write_all(request.head.as_bytes()).await?;
            stream.write_all(&request.body[..request.body.len() / 2]).await?;
            stream.flush().await?;
            self.rules.struck(deed, "half a request");
            drop(stream);
            return reset(&client);
        }
        let answer = request.send(server).await?;
        if answer.body.len() > 1 {
            client.write_all(answer.head.as_bytes()).await?;
            client.write_all(&answer.body[..answer.body.len() / 2]).await?;
            self.rules.struck(deed, "half an answer");
            return client.shutdown().await;
        }
        client.write_all(&answer.bytes()).await?;
        client.shutdown().await
    }

    async fn slow(
        &self,
        deed: &Deed,
        request: Message,
        mut client: TcpStream,
        server: &str,
    ) -> io::Result<()> {
        // The API's client waits for a second.
        let more =
            if deed.aim.fault == Fault::ApiSlow { 700 * u64::from(deed.aim.variety(2)) } else { 0 };
        let pause = Duration::from_millis(deed.aim.millis + more);
        if deed.aim.variety(3) == 0 {
            tokio::time::sleep(pause).await;
        }
        let answer = request.send(server).await?.bytes();
        if deed.aim.variety(3) == 1 {
            tokio::time::sleep(pause).await;
        }
        let size =
            if deed.aim.variety(3) == 2 { answer.len().div_ceil(PIECES) } else { answer.len() };
        self.rules.struck(deed, ["late", "late answer", "in pieces"][deed.aim.variety(3) as usize]);
        for piece in answer.chunks(size.max(1)) {
            client.write_all(piece).await?;
            client.flush().await?;
            if size < answer.len() {
                tokio::time::sleep(pause / PIECES as u32).await;
            }
        }
        client.shutdown().await
    }

    /// The request finds no room.
    async fn full(
        &self,
        deed: &Deed,
        request: Message,
        mut client: TcpStream,
        server: &str,
    ) -> io::Result<()> {
        self.rules.rooms.fill_state();
        let answer = request.send(server).await?;
        let text = String::from_utf8_lossy(&answer.body);
        let words = ["No space left on device", "File too large"];
        if let Some(words) = words.into_iter().find(|words| text.contains(words))
            && self.rules.struck(deed, words) >= deed.aim.times
        {
            self.rules.rooms.free_state();
        }
        client.write_all(&answer.bytes()).await?;
        client.shutdown().await
    }
}

/// Ends a connection without a farewell.
pub(super) fn reset(stream: &TcpStream) -> io::Result<()> {
    stream.set_zero_linger()
}

impl Message {
    async fn request(stream: &mut TcpStream) -> io::Result<Self> {
        let (head, mut body) = read_head(stream).await?;
        let waits = header(&head, "expect").is_some();
        if waits {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let length = header(&head, "content-length").and_then(|text| text.parse().ok());
        let length: usize = length.unwrap_or_default();
        while body.len() < length {
            if stream.read_buf(&mut body).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let lines = head.split_inclusive("\r\n");
        let kept = lines.filter(|line| !line.to_ascii_lowercase().starts_with("expect:"));
        let head: String = kept.collect();
        Ok(Self { head: head.replacen("\r\n", "\r\nconnection: close\r\n", 1), body })
    }

    /// Method, path and query.
    fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1")
    }

    /// The object or the report that it is about.
    fn about(&self) -> String {
        header(&self.head, "idempotency-key").unwrap_or_else(|| self.line()).to_owned()
    }

    /// The server's answer, whole.
    async fn send(&self, server: &str) -> io::Result<Self> {
        let mut stream = TcpStream::connect(server).await?;
        stream.write_all(&self.bytes()).await?;
        let (mut head, mut body) = read_head(&mut stream).await?;
        while head.starts_with("HTTP/1.1 100") {
            (head, body) = read_head(&mut stream).await?;
        }
        // An answer to HEAD has a length and no body.
        stream.read_to_end(&mut body).await?;
        Ok(Self { head, body })
    }

    fn bytes(&self) -> Vec<u8> {
        [self.head.as_bytes(), &self.body].concat()
    }
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// Reads up to the empty line; what came behind it already is the beginning of the body.
async fn read_head(stream: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let body = bytes.split_off(end + 4);
            return Ok((String::from_utf8(bytes).map_err(io::Error::other)?, body));
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}
