//! The `plan` function: wires the stage to S3.

use plan::Plan;
use runtime::Config;
use storage::Store;

#[tokio::main]
async fn main() -> Result<(), runtime::Error> {
    runtime::serve(&[Config::BUCKET], async |config: Config| {
        let store = Store::from_env(config.get(Config::BUCKET)).await;
        Ok(Plan::new(store))
    })
    .await
}
