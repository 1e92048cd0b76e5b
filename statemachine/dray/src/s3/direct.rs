//! The shortest way to the server: a client in the same process calls it, and bytes are handed over
//! where a connection would copy them four times. Requests are signed, checked and routed as ever.

use std::io;
use std::sync::{Arc, Weak};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use axum::http::HeaderValue;
use axum::http::header::HOST;
use s3s::Body;
use s3s::service::S3Service;

/// Carries an SDK's requests to the server of this process, for as long as that runs.
#[derive(Clone, Debug)]
pub(super) struct Direct {
    service: Weak<S3Service>,
}

impl Direct {
    pub(super) fn new(service: &Arc<S3Service>) -> Self {
        Self { service: Arc::downgrade(service) }
    }
}

impl HttpClient for Direct {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Direct {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let service = self.service.upgrade();
        HttpConnectorFuture::new(async move {
            let Some(service) = service else {
                let stopped = io::Error::new(io::ErrorKind::ConnectionRefused, "S3 has stopped");
                return Err(ConnectorError::io(stopped.into()));
            };
            answer(&service, request).await
        })
    }
}

async fn answer(service: &S3Service, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
    let mut request = request.try_into_http1x().map_err(unusable)?;
    // A connection would say which host is meant; the signature covers it.
    if !request.headers().contains_key(HOST)
        && let Some(authority) = request.uri().authority()
    {
        let host = HeaderValue::from_str(authority.as_str()).map_err(unusable)?;
        request.headers_mut().insert(HOST, host);
    }
    let answer = service.call(request.map(Body::http_body)).await;
    let answer = answer.map_err(|error| ConnectorError::other(error.into(), None))?;
    answer.map(SdkBody::from_body_1_x).try_into().map_err(unusable)
}

fn unusable(error: impl std::error::Error + Send + Sync + 'static) -> ConnectorError {
    ConnectorError::user(error.into())
}
