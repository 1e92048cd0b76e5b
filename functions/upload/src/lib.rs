//! Upload: delivers sealed members, each exactly once, never half.
//!
//! Per member: claim the ledger row, write under a temporary name, verify what the server holds,
//! look at claim and lease again, rename, write the receipt. Whatever was interrupted is found by
//! the next attempt: a target that already has the right bytes is adopted. What takes longer than one
//! invocation goes on in the next one, under the same claim and in the same temporary file.

#[cfg(test)]
mod bench;
mod claim;
mod deliver;
mod names;
mod place;
mod transfer;
mod verify;

use std::sync::Arc;

use async_trait::async_trait;
use domain::events::{ParcelInput, ParcelOutput};
use domain::keys::Inbox;
use domain::{Deadline, Failure, SecretStore, Stage};
use storage::Store;
use storage::runs::{Run, Work, work_through};
use tokio::sync::OnceCell;

/// The stage.
pub struct Upload {
    store: Store,
    secrets: Arc<dyn SecretStore>,
}

impl Upload {
    /// Delivers from that bucket.
    #[must_use]
    pub fn new(store: Store, secrets: Arc<dyn SecretStore>) -> Self {
        Self { store, secrets }
    }
}

#[async_trait]
impl Stage for Upload {
    type Input = ParcelInput;
    type Output = ParcelOutput;
    const NAME: &'static str = "upload";

    async fn handle(
        &self,
        input: ParcelInput,
        deadline: Deadline,
    ) -> Result<ParcelOutput, Failure> {
        let run = Run::of(&self.store, &input);
        let profile = run.profile().await?;
        let session = OnceCell::new();
        let work = Work {
            stage: Self::NAME,
            input: &input,
            done: &[Inbox::Delivered],
            concurrency: profile.target.transfers_per_connection as usize,
            deadline,
        };
        let outcome = work_through(&run, work, |name| {
            let (run, profile, session) = (&run, &profile, &session);
            async move {
                // One attempt per invocation: a refused login must not be repeated per item.
                let session = session
                    .get_or_init(|| sftp::connect_target(&profile.target, &*self.secrets))
                    .await;
                let session = session.as_ref().map_err(Clone::clone)?;
                // A transfer ends with a reason before the invocation is cut off without one.
                session.end_after(deadline.for_transfers());
                deliver::deliver(run, &profile.target, session, &name, deadline).await
            }
        })
        .await;
        if let Some(Ok(session)) = session.into_inner() {
            session.close().await;
        }
        outcome
    }
}
