//! Asks Step Functions whether an execution is still running: the only ground on which a lease may
//! be taken over.

use async_trait::async_trait;
use aws_sdk_sfn::error::DisplayErrorContext;
use aws_sdk_sfn::types::ExecutionStatus;
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use domain::{Executions, Failure};

/// Step Functions itself.
#[derive(Clone, Debug)]
pub struct StepFunctions {
    client: aws_sdk_sfn::Client,
}

impl StepFunctions {
    /// With the credentials, region and endpoint of the environment.
    pub async fn from_env() -> Self {
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
            .build_https();
        let config = aws_config::from_env().http_client(http).load().await;
        Self { client: aws_sdk_sfn::Client::new(&config) }
    }
}

#[async_trait]
impl Executions for StepFunctions {
    async fn is_running(&self, execution: &str) -> Result<bool, Failure> {
        match self.client.describe_execution().execution_arn(execution).send().await {
            Ok(answer) => Ok(*answer.status() == ExecutionStatus::Running),
            Err(error)
                if error.as_service_error().is_some_and(|e| e.is_execution_does_not_exist()) =>
            {
                Ok(false)
            }
            Err(error) => Err(Failure::transient(
                "lease.unknown_holder",
                format!(
                    "Step Functions did not say whether {execution}, which holds the partner's \
                     lease, is running: {}.",
                    DisplayErrorContext(&error)
                ),
            )),
        }
    }
}
