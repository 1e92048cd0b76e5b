//! The `size` function: wires the stage to S3.

use runtime::Config;
use size::Size;
use storage::Store;

#[tokio::main]
async fn main() -> Result<(), runtime::Error> {
    runtime::serve(&[Config::BUCKET, Config::JOB_PREFIX], async |config: Config| {
        let store = Store::from_env(config.get(Config::BUCKET)).await;
        Ok(Size::new(store, config.get(Config::JOB_PREFIX).to_owned()))
    })
    .await
}
