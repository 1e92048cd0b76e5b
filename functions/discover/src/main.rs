//! The `discover` function: wires the stage to S3, Secrets Manager and Step Functions.

use std::sync::Arc;

use discover::{Discover, Settings};
use runtime::{Config, StepFunctions};
use secrets::SecretsManager;
use storage::Store;

const NAMES: [&str; 4] =
    [Config::BUCKET, Config::SECRETS_PREFIX, Config::INSPECT_CONCURRENCY, Config::SEAL_CONCURRENCY];

#[tokio::main]
async fn main() -> Result<(), runtime::Error> {
    runtime::serve(&NAMES, async |config: Config| {
        let settings = Settings {
            inspect_concurrency: config.number(Config::INSPECT_CONCURRENCY)?,
            seal_concurrency: config.number(Config::SEAL_CONCURRENCY)?,
        };
        let store = Store::from_env(config.get(Config::BUCKET)).await;
        let secrets = Arc::new(SecretsManager::from_env(config.get(Config::SECRETS_PREFIX)).await);
        let executions = Arc::new(StepFunctions::from_env().await);
        Ok(Discover::new(store, secrets, executions, settings))
    })
    .await
}
