//! The `report` function: wires the stage to S3 and Secrets Manager.

use std::sync::Arc;

use report::Report;
use runtime::Config;
use secrets::SecretsManager;
use storage::Store;

#[tokio::main]
async fn main() -> Result<(), runtime::Error> {
    runtime::serve(&[Config::BUCKET, Config::SECRETS_PREFIX], async |config: Config| {
        let store = Store::from_env(config.get(Config::BUCKET)).await;
        let secrets = Arc::new(SecretsManager::from_env(config.get(Config::SECRETS_PREFIX)).await);
        Ok(Report::new(store, secrets))
    })
    .await
}
