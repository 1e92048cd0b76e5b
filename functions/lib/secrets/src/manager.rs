//! Secrets in AWS Secrets Manager, kept in memory once read.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use domain::{Failure, SecretBytes, SecretStore};

use crate::error::Error;
use crate::name;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// Secrets Manager, with a cache that lives as long as this instance.
pub struct SecretsManager {
    client: Client,
    prefix: String,
    cache: Mutex<HashMap<String, SecretBytes>>,
}

impl SecretsManager {
    /// Region, credentials and `AWS_ENDPOINT_URL` from the environment; TLS by ring.
    ///
    /// `prefix` is put before every name: with `drayage/prod/`, the profile's `acme/source-key` is
    /// the secret `drayage/prod/acme/source-key`.
    pub async fn from_env(prefix: impl Into<String>) -> Self {
        let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .build();
        let config = aws_config::defaults(aws_config::BehaviorVersion::latest())
            .http_client(http)
            .timeout_config(timeouts)
            .load()
            .await;
        Self::new(Client::new(&config), prefix)
    }

    /// With a client made elsewhere.
    #[must_use]
    pub fn new(client: Client, prefix: impl Into<String>) -> Self {
        Self { client, prefix: prefix.into(), cache: Mutex::new(HashMap::new()) }
    }

    async fn fetch(&self, name: &str) -> Result<SecretBytes, Error> {
        name::check(name)?;
        let id = format!("{}{name}", self.prefix);
        let answer = self
            .client
            .get_secret_value()
            .secret_id(&id)
            .send()
            .await
            .map_err(|error| explain(name, &id, error))?;
        let bytes = match (answer.secret_string, answer.secret_binary) {
            (Some(text), _) => text.into_bytes(),
            (None, Some(binary)) => binary.into_inner(),
            (None, None) => Vec::new(),
        };
        let secret = SecretBytes::new(name, bytes);
        if secret.bytes().iter().all(u8::is_ascii_whitespace) {
            return Err(Error::Empty { name: name.to_owned(), place: place(&id) });
        }
        self.cached().insert(name.to_owned(), secret.clone());
        Ok(secret)
    }

    fn cached(&self) -> MutexGuard<'_, HashMap<String, SecretBytes>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl SecretStore for SecretsManager {
    async fn secret(&self, name: &str) -> Result<SecretBytes, Failure> {
        let known = self.cached().get(name).cloned();
        match known {
            Some(secret) => Ok(secret),
            None => self.fresh(name).await,
        }
    }

    async fn fresh(&self, name: &str) -> Result<SecretBytes, Failure> {
        Ok(self.fetch(name).await?)
    }
}

impl fmt::Debug for SecretsManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretsManager").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

fn place(id: &str) -> String {
    format!("the secret {id} in AWS Secrets Manager")
}

/// The error classes of one call. The service's words never quote a value.
fn explain(name: &str, id: &str, error: SdkError<GetSecretValueError>) -> Error {
    let (name, place) = (name.to_owned(), place(id));
    let status = error.raw_response().map(|answer| answer.status().as_u16());
    let code = error.code().unwrap_or_default().to_owned();
    let said = error.message().unwrap_or("no reason given").to_owned();
    let reason = if code.is_empty() { said } else { format!("{code}: {said}") };
    let reason = reason.trim_end_matches('.').to_owned();
    match (code.as_str(), status) {
        ("ResourceNotFoundException", _) => Error::Missing { name, place },
        (
            "AccessDeniedException"
            | "DecryptionFailure"
            | "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "InvalidSignatureException",
            _,
        ) => Error::Denied { name, place, reason },
        // A role's credentials are renewed; the next attempt has new ones.
        ("ExpiredTokenException" | "RequestExpired", _) => {
            Error::Unreachable { name, reason, source: error.into() }
        }
        ("ThrottlingException" | "Throttling" | "TooManyRequestsException", _) | (_, Some(429)) => {
            Error::Throttled { name, source: error.into() }
        }
        (_, Some(400..500)) => {
            Error::Unusable { name, place, reason: format!("was refused ({reason})") }
        }
        _ => {
            let reason = DisplayErrorContext(&error).to_string();
            Error::Unreachable { name, reason: first_line(&reason), source: error.into() }
        }
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(300).collect()
}
