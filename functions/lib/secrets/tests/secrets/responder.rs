//! A small Secrets Manager on loopback: JSON 1.1, one operation, answers set by the test.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

#[derive(Default)]
pub struct Answers {
    /// Full name to value.
    pub values: HashMap<String, Vec<u8>>,
    /// Full name to the error that is answered instead: status, code.
    pub errors: HashMap<String, (u16, &'static str)>,
    /// Every full name asked for, in order.
    pub asked: Vec<String>,
}

#[derive(Clone)]
pub struct Responder {
    pub endpoint: String,
    answers: Arc<Mutex<Answers>>,
}

impl Responder {
    pub async fn start() -> Self {
        let answers = Arc::new(Mutex::new(Answers::default()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(answer).with_state(answers.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { endpoint, answers }
    }

    pub fn change<T>(&self, change: impl FnOnce(&mut Answers) -> T) -> T {
        change(&mut self.answers.lock().unwrap())
    }
}

async fn answer(
    State(answers): State<Arc<Mutex<Answers>>>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let target = headers.get("x-amz-target").map(|value| value.to_str().unwrap());
    assert_eq!(target, Some("secretsmanager.GetSecretValue"));
    assert!(headers.contains_key(header::AUTHORIZATION), "unsigned");
    let request: Value = serde_json::from_str(&body).unwrap();
    let name = request.get("SecretId").and_then(Value::as_str).unwrap().to_owned();
    let mut answers = answers.lock().unwrap();
    answers.asked.push(name.clone());
    if let Some((status, code)) = answers.errors.get(&name) {
        return refuse(*status, code);
    }
    let Some(bytes) = answers.values.get(&name) else {
        return refuse(400, "ResourceNotFoundException");
    };
    let value = match std::str::from_utf8(bytes) {
        Ok(text) => json!({ "Name": name, "SecretString": text }),
        Err(_) => json!({ "Name": name, "SecretBinary": STANDARD.encode(bytes) }),
    };
    reply(200, &value)
}

fn refuse(status: u16, code: &str) -> Response {
    reply(status, &json!({ "__type": code, "message": "Words of the service." }))
}

fn reply(status: u16, value: &Value) -> Response {
    let content_type = [(header::CONTENT_TYPE, "application/x-amz-json-1.1")];
    (StatusCode::from_u16(status).unwrap(), content_type, value.to_string()).into_response()
}
