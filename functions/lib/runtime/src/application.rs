//! The EMR Serverless application that the Spark jobs run in.

use aws_sdk_emrserverless::Client;
use aws_sdk_emrserverless::error::{DisplayErrorContext, ProvideErrorMetadata};
use aws_sdk_emrserverless::types::MaximumAllowedResources;
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use domain::Failure;

/// One application of EMR Serverless.
#[derive(Clone, Debug)]
pub struct SparkApplication {
    client: Client,
    id: String,
}

impl SparkApplication {
    /// With the credentials, region and endpoint of the environment. Sends no request.
    pub async fn from_env(id: impl Into<String>) -> Self {
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
            .build_https();
        let config = aws_config::from_env().http_client(http).load().await;
        Self { client: Client::new(&config), id: id.into() }
    }

    /// Sets the most that all its jobs together may use: vCPUs, and GB of memory and of disk.
    ///
    /// # Errors
    /// `Misconfigured` when EMR Serverless refuses, with what to do about it; `Transient` when it
    /// cannot be asked.
    pub async fn set_maximum_capacity(
        &self,
        cores: u64,
        memory_gb: u64,
        disk_gb: u64,
    ) -> Result<(), Failure> {
        let maximum = MaximumAllowedResources::builder()
            .cpu(format!("{cores} vCPU"))
            .memory(format!("{memory_gb} GB"))
            .disk(format!("{disk_gb} GB"))
            .build()
            .map_err(|error| Failure::misconfigured("size.capacity", error.to_string()))?;
        let request =
            self.client.update_application().application_id(&self.id).maximum_capacity(maximum);
        let Err(error) = request.send().await else { return Ok(()) };
        let told = |why: &str, advice: &str| {
            format!("The capacity of application {} was not set: {why} {advice}", self.id)
        };
        let advice = match error.code() {
            Some("ResourceNotFoundException") => "Look at its id, the region and the account.",
            Some("ValidationException") => {
                "A started one takes no change; stop it first: aws emr-serverless stop-application."
            }
            Some("AccessDeniedException") => "Allow emr-serverless:UpdateApplication.",
            _ => {
                let why = told(&DisplayErrorContext(&error).to_string(), "Try it again.");
                return Err(Failure::transient("size.not_asked", why));
            }
        };
        let why = told(error.message().unwrap_or("It was refused."), advice);
        Err(Failure::misconfigured("size.refused", why))
    }
}
