//! The third party's API of the demo: takes reports and keeps what it was told.

use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A report API on loopback that wants a bearer token.
pub(super) struct ReportApi {
    url: String,
    token: String,
    log: PathBuf,
    serving: JoinHandle<()>,
}

struct Book {
    token: String,
    log: PathBuf,
}

impl ReportApi {
    pub(super) async fn start(folder: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let log = folder.join("reports.jsonl");
        let token = uuid::Uuid::new_v4().simple().to_string();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}/v1/files", listener.local_addr()?);
        let book = Arc::new(Book { token: token.clone(), log: log.clone() });
        let router = Router::new().route("/v1/files", post(take)).with_state(book);
        // Ends with the demo; a server that fails shows in the reports.
        let serving = tokio::spawn(async move { drop(axum::serve(listener, router).await) });
        Ok(Self { url, token, log, serving })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn token(&self) -> &str {
        &self.token
    }

    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    /// How many reports it was told.
    pub(super) fn reports(&self) -> anyhow::Result<usize> {
        let text = std::fs::read_to_string(&self.log)
            .with_context(|| format!("the API kept nothing in {}", self.log.display()))?;
        Ok(text.lines().count())
    }
}

impl Drop for ReportApi {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn take(
    State(book): State<Arc<Book>>,
    headers: HeaderMap,
    Json(report): Json<Value>,
) -> (StatusCode, Json<Value>) {
    let expected = format!("Bearer {}", book.token);
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if given != Some(expected.as_str()) {
        return (StatusCode::UNAUTHORIZED, Json(json!({"error": "unknown token"})));
    }
    match keep(&book.log, &report) {
        Ok(()) => (StatusCode::CREATED, Json(json!({"accepted": report.get("id")}))),
        Err(error) => {
            (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({"error": error.to_string()})))
        }
    }
}

fn keep(log: &Path, report: &Value) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
    // One write per line, so that lines of parallel reports do not mix.
    file.write_all(format!("{report}\n").as_bytes())
}
