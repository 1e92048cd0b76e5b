//! The service over HTTP, for programs that speak to EMR Serverless.

use std::net::Ipv4Addr;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::{EmrServerless, JobRun, Refusal, StartJobRun};

/// The release that this answers for.
const RELEASE: &str = "emr-7.13.0";

/// A server on loopback. Stops when dropped.
///
/// A job may be any program, so not everyone on this machine may start one: requests must be signed
/// with the access key of this start. The signature itself is not checked.
pub struct EmrServer {
    endpoint: String,
    access_key: String,
    serving: JoinHandle<()>,
}

struct Desk {
    service: EmrServerless,
    /// What the header of a signed request starts with.
    credential: String,
}

impl EmrServer {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When there is none.
    pub async fn start(service: EmrServerless) -> std::io::Result<Self> {
        Self::start_for(service, format!("AK{}", uuid::Uuid::new_v4().simple())).await
    }

    /// Listens for those who have that access key.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn start_for(service: EmrServerless, access_key: String) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let credential = format!("AWS4-HMAC-SHA256 Credential={access_key}/");
        let router = Router::new()
            .route("/applications/{application}", get(application).patch(update))
            .route("/applications/{application}/jobruns", post(start))
            .route("/applications/{application}/jobruns/{job}", get(describe).delete(cancel))
            .with_state(Arc::new(Desk { service, credential }));
        // Ends with the server; requests that fail are told to those who ask.
        let serving = tokio::spawn(async move { drop(axum::serve(listener, router).await) });
        Ok(Self { endpoint, access_key, serving })
    }

    /// The URL to talk to.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The access key of this start; any secret key will do.
    #[must_use]
    pub fn access_key(&self) -> &str {
        &self.access_key
    }
}

impl Drop for EmrServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match self {
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Validation(_) => StatusCode::BAD_REQUEST,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Denied(_) => StatusCode::FORBIDDEN,
        };
        let name = [("x-amzn-errortype", self.name())];
        (status, name, Json(json!({"message": self.to_string()}))).into_response()
    }
}

impl Desk {
    /// The application as GetApplication and UpdateApplication answer it.
    fn describe(&self, application: &str) -> Result<Json<Value>, Refusal> {
        let maximum = self.service.maximum_capacity(application)?;
        let now = jiff::Timestamp::now().as_second();
        Ok(Json(json!({"application": {
            "applicationId": application,
            "name": application,
            "arn": format!("arn:aws:emr-serverless:us-east-1:000000000000:/applications/{application}"),
            "releaseLabel": RELEASE,
            "type": "Spark",
            "state": "CREATED",
            "createdAt": now,
            "updatedAt": now,
            "maximumCapacity": maximum,
        }})))
    }

    fn admit(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if given.is_some_and(|given| given.starts_with(&self.credential)) {
            return Ok(());
        }
        Err(Refusal::Denied(
            "The request is not signed with the access key of this start.".to_owned(),
        ))
    }
}

async fn application(
    State(desk): State<Arc<Desk>>,
    Path(application): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    desk.admit(&headers)?;
    desk.describe(&application)
}

async fn update(
    State(desk): State<Arc<Desk>>,
    Path(application): Path<String>,
    headers: HeaderMap,
    Json(mut request): Json<Value>,
) -> Result<Json<Value>, Refusal> {
    desk.admit(&headers)?;
    let maximum = request.get_mut("maximumCapacity").map(Value::take).unwrap_or_default();
    serde_json::from_value(maximum)
        .map_err(|error| Refusal::Validation(error.to_string()))
        .and_then(|maximum| desk.service.set_maximum_capacity(&application, maximum))
        .and_then(|()| desk.describe(&application))
}

async fn start(
    State(desk): State<Arc<Desk>>,
    Path(application): Path<String>,
    headers: HeaderMap,
    Json(request): Json<Value>,
) -> Result<Json<Value>, Refusal> {
    desk.admit(&headers)?;
    let request: StartJobRun =
        serde_json::from_value(request).map_err(|error| Refusal::Validation(error.to_string()))?;
    let job = desk.service.start_job_run(&application, request)?;
    let arn = arn(&application, &job.id);
    Ok(Json(json!({"applicationId": application, "jobRunId": job.id, "arn": arn})))
}

async fn describe(
    State(desk): State<Arc<Desk>>,
    Path((application, job)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    desk.admit(&headers)?;
    let job = desk.service.get_job_run(&application, &job)?;
    Ok(Json(json!({"jobRun": described(&application, &job)})))
}

async fn cancel(
    State(desk): State<Arc<Desk>>,
    Path((application, job)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    desk.admit(&headers)?;
    let job = desk.service.cancel_job_run(&application, &job)?;
    Ok(Json(json!({"applicationId": application, "jobRunId": job.id})))
}

fn described(application: &str, job: &JobRun) -> Value {
    json!({
        "applicationId": application,
        "jobRunId": job.id,
        "name": job.request.name,
        "arn": arn(application, &job.id),
        "createdBy": "arn:aws:iam::000000000000:user/local",
        "createdAt": job.created.as_millisecond() as f64 / 1000.0,
        "updatedAt": job.updated.as_millisecond() as f64 / 1000.0,
        "executionRole": job.request.execution_role_arn,
        "state": job.state.name(),
        "stateDetails": job.details,
        "releaseLabel": RELEASE,
        "jobDriver": job.request.job_driver,
        "configurationOverrides": job.request.configuration_overrides,
        "executionTimeoutMinutes": job.request.execution_timeout_minutes,
        "tags": job.request.tags,
        "mode": "BATCH",
    })
}

fn arn(application: &str, job: &str) -> String {
    format!(
        "arn:aws:emr-serverless:us-east-1:000000000000:/applications/{application}/jobruns/{job}"
    )
}
