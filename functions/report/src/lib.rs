//! Report: tells a third party's API about each member, once.
//!
//! The intent is stored before the request and the answer after it. A request whose answer was lost
//! is sent again with the same `Idempotency-Key`, so the API can tell a repetition from news.

mod auth;
mod client;

use std::sync::Arc;

use async_trait::async_trait;
use domain::events::{ParcelInput, ParcelOutput};
use domain::ids::Name;
use domain::items::{MemberItem, Reported};
use domain::keys::Inbox;
use domain::names::readable;
use domain::{Deadline, Failure, SecretStore, Stage};
use jiff::Timestamp;
use serde_json::{Value, json};
use storage::Store;
use storage::runs::{Reached, Run, Work, work_through};

use client::{About, Client};

/// Reports of one parcel that are under way at once.
const REPORTS_AT_ONCE: usize = 8;

/// The stage.
pub struct Report {
    store: Store,
    secrets: Arc<dyn SecretStore>,
}

impl Report {
    /// Reports what that bucket holds.
    #[must_use]
    pub fn new(store: Store, secrets: Arc<dyn SecretStore>) -> Self {
        Self { store, secrets }
    }
}

#[async_trait]
impl Stage for Report {
    type Input = ParcelInput;
    type Output = ParcelOutput;
    const NAME: &'static str = "report";

    async fn handle(
        &self,
        input: ParcelInput,
        deadline: Deadline,
    ) -> Result<ParcelOutput, Failure> {
        let run = Run::of(&self.store, &input);
        let profile = run.profile().await?;
        run.check_halt().await?;
        let client = Client::new(&profile.report, Arc::clone(&self.secrets))?;
        let work = Work {
            stage: Self::NAME,
            input: &input,
            done: &[Inbox::Sealed],
            concurrency: REPORTS_AT_ONCE,
            deadline,
        };
        work_through(&run, work, |name| {
            let (run, client) = (&run, &client);
            async move { report(run, client, &name).await }
        })
        .await
    }
}

async fn report(run: &Run, client: &Client, name: &Name) -> Result<Reached, Failure> {
    let found: Option<MemberItem> = run.read(Inbox::Reported, name).await?;
    let mut item = match found {
        Some(item) => item,
        None => run.expect(Inbox::Counted, name).await?,
    };
    let mut reported = match item.report.take() {
        Some(reported) if reported.answer.is_some() => return Ok(Reached::Already),
        Some(intended) => intended,
        None => Reported {
            idempotency_key: idempotency_key(run, &item),
            intended_at: Timestamp::now(),
            answer: None,
        },
    };
    item.report = Some(reported.clone());
    run.write(Inbox::Reported, name, &item).await?;
    let body = body(run, &item, &reported.idempotency_key);
    let about =
        About { key: &reported.idempotency_key, run: run.keys().run(), label: &item.label() };
    let answer = client.post(&body, &about).await?;
    reported.answer = Some(answer);
    item.report = Some(reported);
    run.write(Inbox::Reported, name, &item).await?;
    Ok(Reached::End)
}

/// The same for every attempt of every run, unless the member is sent again on purpose.
fn idempotency_key(run: &Run, item: &MemberItem) -> String {
    match &item.resend {
        Some(_) => format!("{}-{}", item.name.id(), run.keys().run()),
        None => item.name.id().to_owned(),
    }
}

/// The same for every attempt of every run: an API may refuse one key with two bodies.
fn body(run: &Run, item: &MemberItem, idempotency_key: &str) -> Value {
    json!({
        "id": idempotency_key,
        "partner": run.keys().partner(),
        "file": readable(&item.file.path),
        "file_bytes": item.file.size_bytes,
        "member": item.path,
        "bytes": item.bytes,
        "sha256": item.sha256,
        "records": item.count.as_ref().and_then(|count| count.records),
    })
}
