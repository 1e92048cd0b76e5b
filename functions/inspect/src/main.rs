//! The `inspect` function: wires the stage to S3.

use inspect::Inspect;
use runtime::Config;
use storage::Store;

#[tokio::main]
async fn main() -> Result<(), runtime::Error> {
    runtime::serve(&[Config::BUCKET], async |config: Config| {
        let store = Store::from_env(config.get(Config::BUCKET)).await;
        Ok(Inspect::new(store, Config::sealable_bytes()?))
    })
    .await
}
