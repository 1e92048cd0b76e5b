//! The third party's HTTP API: keeps every request and answers as the test wishes.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{OwnedRwLockWriteGuard, RwLock};
use tokio::task::JoinHandle;

use crate::wait::on_servers;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Told {
    /// The report.
    pub body: Value,
    /// Its bytes.
    pub text: Bytes,
    /// Headers by lower-case name.
    pub headers: BTreeMap<String, String>,
    /// What it was answered; `None` while it was left hanging.
    pub status: Option<u16>,
}

/// How a request is answered.
#[derive(Clone, Debug)]
pub enum Reply {
    /// With that status and JSON.
    Status(u16, Value),
    /// With that status and `Retry-After` in seconds.
    RetryAfter(u16, u64),
    /// Not at all, until the client gives up.
    Hang,
}

impl Reply {
    /// 201, as an API does that takes the report.
    #[must_use]
    pub fn accepted() -> Self {
        Self::Status(201, json!({"accepted": true}))
    }
}

type Rule = Box<dyn Fn(&Told) -> Reply + Send + Sync>;

/// A running API; it ends when dropped.
pub struct Api {
    /// Where to POST.
    pub url: String,
    book: Arc<Book>,
    serving: JoinHandle<()>,
    /// Holds the port of an API that is down.
    held: Option<TcpSocket>,
}

/// Answers wait as long as this lives.
pub struct Held {
    _gate: OwnedRwLockWriteGuard<()>,
}

struct Book {
    gate: Arc<RwLock<()>>,
    told: Mutex<Vec<Told>>,
    rule: Mutex<Rule>,
    /// The only `Authorization` that is accepted, if one is wanted.
    wanted: Mutex<Option<String>>,
    /// OAuth 2 tokens that were given out.
    tokens: AtomicUsize,
    /// The only `Authorization` that gets a token, if one is wanted.
    client: Mutex<Option<String>>,
    /// With which `Authorization` tokens were asked for.
    clients: Mutex<Vec<String>>,
}

impl Api {
    /// The token that a profile's `report.auth.bearer` must hold; any other is answered with 401.
    pub const TOKEN: &'static str = "the-token-of-the-tests";
    /// How the tokens begin that OAuth 2 gives out; a number follows.
    pub const OAUTH2_TOKEN: &'static str = "an-oauth2-token-of-the-tests-";

    /// An API that takes every report.
    ///
    /// # Panics
    /// When there is no port on loopback.
    #[must_use]
    pub fn start() -> Self {
        let rule: Rule = Box::new(|_| Reply::accepted());
        let book = Arc::new(Book {
            gate: Arc::default(),
            told: Mutex::default(),
            rule: Mutex::new(rule),
            wanted: Mutex::new(Some(format!("Bearer {}", Self::TOKEN))),
            tokens: AtomicUsize::new(0),
            client: Mutex::default(),
            clients: Mutex::default(),
        });
        let router = Router::new().route("/v1/files", post(take)).route("/v1/token", post(token));
        let router = router.with_state(Arc::clone(&book));
        let (address, serving) = on_servers(async move {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
            let address = listener.local_addr().expect("its number");
            (address, tokio::spawn(async move { drop(axum::serve(listener, router).await) }))
        });
        Self { url: url(address), book, serving, held: None }
    }

    /// An API that is down: its port is taken and nobody listens.
    ///
    /// # Panics
    /// When there is no port on loopback.
    #[must_use]
    pub fn down() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a port");
        let address = socket.local_addr().expect("its number");
        let mut api = Self::start();
        api.url = url(address);
        api.held = Some(socket);
        api
    }

    /// Answers by that rule from now on.
    pub fn answer(&self, rule: impl Fn(&Told) -> Reply + Send + Sync + 'static) {
        *self.book.rule.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(rule);
    }

    /// Leaves every request without an answer until what this returns is dropped.
    ///
    /// # Panics
    /// When it is held already, or answering at this moment.
    #[must_use]
    pub fn hold(&self) -> Held {
        Held { _gate: Arc::clone(&self.book.gate).try_write_owned().expect("an idle API") }
    }

    /// Answers any other `Authorization` with 401 from now on.
    pub fn want(&self, authorization: Option<&str>) {
        self.book.want(authorization.map(str::to_owned));
    }

    /// Where to ask for an OAuth 2 token; only the last one that was given out is accepted.
    #[must_use]
    pub fn token_url(&self) -> String {
        self.url.replace("/files", "/token")
    }

    /// How many were given out.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.book.tokens.load(Ordering::SeqCst)
    }

    /// Gives a token to that `Authorization` alone from now on.
    pub fn want_client(&self, authorization: &str) {
        let mut client = self.book.client.lock().unwrap_or_else(PoisonError::into_inner);
        *client = Some(authorization.to_owned());
    }

    /// With which `Authorization` tokens were asked for, in order of arrival.
    #[must_use]
    pub fn clients(&self) -> Vec<String> {
        self.book.clients.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Every request so far, in order of arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<Told> {
        self.book.told().clone()
    }

    /// The bodies of the requests that were taken (2xx), in order of arrival.
    #[must_use]
    pub fn reports(&self) -> Vec<Value> {
        let told = self.book.told();
        let taken = told.iter().filter(|told| told.status.is_some_and(|s| (200..300).contains(&s)));
        taken.map(|told| told.body.clone()).collect()
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Book {
    fn told(&self) -> MutexGuard<'_, Vec<Told>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn want(&self, authorization: Option<String>) {
        *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) = authorization;
    }

    fn reply(&self, told: &Told) -> Reply {
        let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if told.headers.get(header::AUTHORIZATION.as_str()) != wanted.as_ref() {
            return Reply::Status(401, json!({"error": "unknown token"}));
        }
        (self.rule.lock().unwrap_or_else(PoisonError::into_inner))(told)
    }
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}/v1/files")
}

async fn token(State(book): State<Arc<Book>>, headers: HeaderMap) -> Response {
    let given = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
    let given = String::from_utf8_lossy(given).into_owned();
    let wanted = book.client.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let refused = wanted.is_some_and(|wanted| wanted != given);
    book.clients.lock().unwrap_or_else(PoisonError::into_inner).push(given);
    if refused {
        let error = axum::Json(json!({"error": "invalid_client"}));
        return (StatusCode::UNAUTHORIZED, error).into_response();
    }
    let token = format!("{}{}", Api::OAUTH2_TOKEN, book.tokens.fetch_add(1, Ordering::SeqCst));
    book.want(Some(format!("Bearer {token}")));
    axum::Json(json!({"access_token": token, "token_type": "Bearer"})).into_response()
}

async fn take(State(book): State<Arc<Book>>, headers: HeaderMap, body: Bytes) -> Response {
    let headers = headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()))
        .collect();
    let value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let mut told = Told { body: value, text: body, headers, status: None };
    let reply = book.reply(&told);
    told.status = match reply {
        Reply::Status(status, _) | Reply::RetryAfter(status, _) => Some(status),
        Reply::Hang => None,
    };
    book.told().push(told);
    let _open = book.gate.read().await;
    let status = |code| StatusCode::from_u16(code).expect("a status that HTTP has");
    match reply {
        Reply::Status(code, body) => (status(code), axum::Json(body)).into_response(),
        Reply::RetryAfter(code, seconds) => {
            (status(code), [(header::RETRY_AFTER, seconds.to_string())]).into_response()
        }
        Reply::Hang => std::future::pending::<Response>().await,
    }
}
