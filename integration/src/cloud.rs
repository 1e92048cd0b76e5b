//! AWS as a function sees it, on loopback: our S3 server, and a Secrets Manager over a folder.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use dray::local::BUCKET;
use dray::s3::{Options, S3Server};
use serde_json::{Value, json};
use storage::Store;

use crate::wait::on_servers;
use crate::{Setting, World};

/// What a deployment puts before every secret's name.
const PREFIX: &str = "drayage/test/";

/// The services that functions call.
pub struct Cloud {
    s3: S3Server,
    services: String,
}

impl Cloud {
    /// Over a world's folders.
    ///
    /// # Panics
    /// When there is no port or no folder.
    #[must_use]
    pub fn start(world: &World) -> Self {
        let (folder, secrets) = (world.state.join("s3"), world.secrets.clone());
        on_servers(async move {
            let options = Options { folder, buckets: vec![BUCKET.to_owned()] };
            let s3 = S3Server::start(options).await.expect("an S3 server");
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let services = format!("http://{}", listener.local_addr().expect("an address"));
            let app = Router::new().fallback(answer).with_state(Arc::new(secrets));
            tokio::spawn(async move { axum::serve(listener, app).await });
            Self { s3, services }
        })
    }

    /// The bucket.
    #[must_use]
    pub fn store(&self) -> Store {
        self.s3.store(BUCKET)
    }

    /// The key that signs requests; it must never be told.
    #[must_use]
    pub fn secret_key(&self) -> &str {
        self.s3.secret_key()
    }

    /// The environment of a function that is set up as `infra/README.md` says.
    #[must_use]
    pub fn setting(&self) -> Setting {
        Setting::default()
            .with("AWS_REGION", "us-east-1")
            .with("AWS_ACCESS_KEY_ID", self.s3.access_key())
            .with("AWS_SECRET_ACCESS_KEY", self.s3.secret_key())
            .with("AWS_ENDPOINT_URL", &self.services)
            .with("AWS_ENDPOINT_URL_S3", self.s3.endpoint())
            .with("DRAYAGE_BUCKET", BUCKET)
            .with("DRAYAGE_SECRETS_PREFIX", PREFIX)
            .with("DRAYAGE_JOB_PREFIX", format!("s3://{BUCKET}/jobs/test"))
            .with("DRAYAGE_INSPECT_CONCURRENCY", "4")
            .with("DRAYAGE_SEAL_CONCURRENCY", "4")
    }
}

/// `GetSecretValue` of a folder with a file for each secret; refuses everything else.
async fn answer(State(secrets): State<Arc<PathBuf>>, headers: HeaderMap, body: String) -> Response {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    if target != Some("secretsmanager.GetSecretValue") {
        return reply(400, &json!({"__type": "UnknownOperationException"}));
    }
    let request: Value = serde_json::from_str(&body).expect("a request in JSON");
    let name = request["SecretId"].as_str().expect("a name");
    let file = name.strip_prefix(PREFIX).map(|name| secrets.join(name));
    match file.and_then(|file| std::fs::read_to_string(file).ok()) {
        Some(text) => reply(200, &json!({"Name": name, "SecretString": text})),
        None => reply(400, &json!({"__type": "ResourceNotFoundException"})),
    }
}

fn reply(status: u16, value: &Value) -> Response {
    let content_type = [(header::CONTENT_TYPE, "application/x-amz-json-1.1")];
    let status = StatusCode::from_u16(status).expect("a status");
    (status, content_type, value.to_string()).into_response()
}
