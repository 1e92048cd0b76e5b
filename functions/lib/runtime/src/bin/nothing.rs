//! A function that does nothing: what starts of the others are compared with.

use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;

#[tokio::main]
async fn main() -> Result<(), runtime::Error> {
    let answer = |event: LambdaEvent<Value>| async { Ok::<_, runtime::Error>(event.payload) };
    lambda_runtime::run(service_fn(answer)).await
}
