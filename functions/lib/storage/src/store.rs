//! One bucket and the client that reaches it: the value every other operation hangs off.

use std::sync::Arc;
use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::HttpClient;

use crate::error::Error;
use crate::fault::{Fault, FaultKind};
use crate::{ETag, Result};

/// A connection that is not there after this long will not come.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// S3 answers within seconds, except that finishing a very large multipart upload takes minutes.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(300);
/// Tries per request, the first one included.
const ATTEMPTS: u32 = 3;
/// The region that a server on this machine is signed for; it does not look at it.
const LOCAL_REGION: &str = "us-east-1";

/// One bucket of S3, or of a server that speaks S3. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    client: Client,
    bucket: String,
}

impl Store {
    /// The bucket as a Lambda or a shell sees it: credentials, region and endpoint come from where
    /// every AWS tool takes them. With an endpoint of its own (`AWS_ENDPOINT_URL`) the bucket is put
    /// into the path, for such a server rarely has a wildcard host name.
    ///
    /// Sends no request: [`Store::check`] does.
    pub async fn from_env(bucket: impl Into<String>) -> Self {
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
            .build_https();
        let shared = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .timeout_config(timeouts())
            .load()
            .await;
        let own_endpoint = shared.endpoint_url().is_some()
            || std::env::var_os("AWS_ENDPOINT_URL_S3").is_some_and(|url| !url.is_empty());
        let config =
            aws_sdk_s3::config::Builder::from(&shared).force_path_style(own_endpoint).build();
        Self::with_client(Client::from_conf(config), bucket)
    }

    /// The bucket on a server at `endpoint_url` (plain HTTP), with a key pair of its own.
    pub fn local(
        endpoint_url: impl Into<String>,
        access_key: impl Into<String>,
        secret_key: impl Into<String>,
        bucket: impl Into<String>,
    ) -> Self {
        let http = aws_smithy_http_client::Builder::new().build_http();
        Self::local_through(http, endpoint_url, access_key, secret_key, bucket)
    }

    /// The same, with requests that `http` carries: to a server in this very process, say.
    pub fn local_through(
        http: impl HttpClient + 'static,
        endpoint_url: impl Into<String>,
        access_key: impl Into<String>,
        secret_key: impl Into<String>,
        bucket: impl Into<String>,
    ) -> Self {
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(LOCAL_REGION))
            .endpoint_url(endpoint_url)
            .credentials_provider(Credentials::new(access_key, secret_key, None, None, "local"))
            .force_path_style(true)
            .http_client(http)
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .timeout_config(timeouts())
            .build();
        Self::with_client(Client::from_conf(config), bucket)
    }

    /// Another bucket through the same connections and credentials.
    #[must_use]
    pub fn with_bucket(&self, bucket: impl Into<String>) -> Self {
        Self::with_client(self.inner.client.clone(), bucket)
    }

    fn with_client(client: Client, bucket: impl Into<String>) -> Self {
        Self { inner: Arc::new(Inner { client, bucket: bucket.into() }) }
    }

    /// The bucket's name.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.inner.bucket
    }

    pub(crate) fn client(&self) -> &Client {
        &self.inner.client
    }

    /// Asks whether the bucket is there and may be used.
    ///
    /// # Errors
    /// [`Error::List`], whose failure is `storage.no_bucket` or `storage.denied` when it is not.
    pub async fn check(&self) -> Result<()> {
        match self.client().head_bucket().bucket(self.bucket()).send().await {
            Ok(_) => Ok(()),
            Err(error) => {
                // A HEAD has no body, so the missing bucket is only a bare 404.
                let mut fault = Fault::of(error);
                if fault.kind == FaultKind::Missing {
                    fault.kind = FaultKind::NoBucket;
                }
                Err(self.list_error("", fault))
            }
        }
    }

    /// The object's size in bytes, or `None` when there is no such object.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub async fn size(&self, key: &str) -> Result<Option<u64>> {
        Ok(self.stat(key).await?.map(|(size, _)| size))
    }

    /// Whether there is such an object.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub async fn exists(&self, key: &str) -> Result<bool> {
        Ok(self.stat(key).await?.is_some())
    }

    pub(crate) async fn stat(&self, key: &str) -> Result<Option<(u64, ETag)>> {
        match self.client().head_object().bucket(self.bucket()).key(key).send().await {
            Ok(answer) => {
                let size = u64::try_from(answer.content_length().unwrap_or_default());
                Ok(Some((size.unwrap_or_default(), ETag::new(answer.e_tag().unwrap_or_default()))))
            }
            Err(error) => match Fault::of(error) {
                fault if fault.kind == FaultKind::Missing => Ok(None),
                fault => Err(self.read_error(key, fault)),
            },
        }
    }

    pub(crate) fn read_error(&self, key: &str, source: Fault) -> Error {
        let (bucket, key) = self.place(key);
        match source.kind {
            FaultKind::Missing => Error::Missing { bucket, key },
            _ => Error::Read { bucket, key, source },
        }
    }

    pub(crate) fn write_error(&self, key: &str, source: Fault) -> Error {
        let (bucket, key) = self.place(key);
        Error::Write { bucket, key, source }
    }

    pub(crate) fn upload_error(&self, key: &str, source: Fault) -> Error {
        let (bucket, key) = self.place(key);
        match source.kind {
            FaultKind::NoUpload => Error::UploadGone { bucket, key },
            _ => Error::Upload { bucket, key, source },
        }
    }

    pub(crate) fn delete_error(&self, key: &str, source: Fault) -> Error {
        let (bucket, key) = self.place(key);
        Error::Delete { bucket, key, source }
    }

    pub(crate) fn list_error(&self, prefix: &str, source: Fault) -> Error {
        let (bucket, prefix) = self.place(prefix);
        Error::List { bucket, prefix, source }
    }

    pub(crate) fn place(&self, key: &str) -> (String, String) {
        (self.bucket().to_owned(), key.to_owned())
    }
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(FIRST_BYTE_TIMEOUT)
        .build()
}
