//! A function with every defect that a stage could have, served as the real ones are: what leaves such
//! a function is part of the contract, and no real stage can be told to fail like this.

use async_trait::async_trait;
use domain::{Deadline, Failure, Stage};
use runtime::Config;
use serde::Deserialize;

struct Odd;

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Deed {
    /// Does as it should.
    Answer,
    /// Panics.
    Panic,
    /// Panics on a thread of its own, as a decoder might.
    PanicAside,
    /// Never comes to an end.
    Hang,
    /// Ends the process.
    Exit,
}

#[async_trait]
impl Stage for Odd {
    type Input = Deed;
    type Output = &'static str;
    const NAME: &'static str = "odd";

    async fn handle(&self, deed: Deed, _: Deadline) -> Result<&'static str, Failure> {
        match deed {
            Deed::Answer => Ok("well"),
            Deed::Panic => panic_on_purpose(),
            Deed::PanicAside => {
                let aside = tokio::task::spawn_blocking(panic_on_purpose).await;
                aside.unwrap_or_else(|_| {
                    Err(Failure::transient("odd.aside", "What was done aside did not end."))
                })
            }
            Deed::Hang => std::future::pending().await,
            Deed::Exit => std::process::exit(3),
        }
    }
}

#[expect(clippy::panic, reason = "that is what it is for")]
fn panic_on_purpose() -> Result<&'static str, Failure> {
    panic!("on purpose");
}

#[tokio::main]
async fn main() -> Result<(), runtime::Error> {
    runtime::serve(&[Config::BUCKET], async |_| Ok(Odd)).await
}
