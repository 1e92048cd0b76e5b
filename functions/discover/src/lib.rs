//! Discover: opens a run.
//!
//! Claims the scheduled start and the partner's lease, keeps a copy of the profile, proves that
//! both ends, the secrets and the certificate work, and writes one item per file to be carried. A
//! fault of the partner therefore ends the run here, before its first file.

mod expect;
mod links;
mod look;
mod preflight;

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use domain::events::{
    Concurrency, DiscoverInput, DiscoverOutcome, DiscoverOutput, Discovery, Start,
};
use domain::ids::Name;
use domain::items::{Failed, FileItem, Lease};
use domain::keys::{self, Inbox};
use domain::profile::is_partner_name;
use domain::{Deadline, Executions, Failure, Profile, SecretStore, Stage};
use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use storage::runs::{LeaseOutcome, Run, take_lease};
use storage::{Condition, Store};

/// Items that are written in one go.
const BATCH: usize = 256;

/// Most parallel invocations of the Maps that no partner limits.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Counting.
    pub inspect_concurrency: u32,
    /// Reporting and sealing.
    pub seal_concurrency: u32,
}

/// The stage.
pub struct Discover {
    store: Store,
    secrets: Arc<dyn SecretStore>,
    executions: Arc<dyn Executions>,
    settings: Settings,
}

/// Which run took a scheduled start.
#[derive(Serialize, Deserialize)]
struct Trigger {
    execution: String,
    run: String,
    taken_at: Timestamp,
}

impl Discover {
    /// `executions` decides whether a lease's holder still runs.
    #[must_use]
    pub fn new(
        store: Store,
        secrets: Arc<dyn SecretStore>,
        executions: Arc<dyn Executions>,
        settings: Settings,
    ) -> Self {
        Self { store, secrets, executions, settings }
    }

    fn output(&self, outcome: DiscoverOutcome, profile: Option<&Profile>) -> DiscoverOutput {
        DiscoverOutput {
            outcome,
            files: 0,
            bytes: 0,
            concurrency: Concurrency {
                fetch: profile.map_or(1, |profile| profile.source.max_connections),
                inspect: self.settings.inspect_concurrency,
                seal: self.settings.seal_concurrency,
                deliver: profile.map_or(1, |profile| profile.target.max_connections),
            },
        }
    }

    /// Takes the scheduled start, unless another execution has it.
    async fn claim_trigger(&self, input: &DiscoverInput) -> Result<bool, Failure> {
        let Some(time) = &input.start.scheduled_time else { return Ok(true) };
        let key = keys::trigger(&input.start.partner, time);
        let trigger = Trigger {
            execution: input.execution.clone(),
            run: input.run.clone(),
            taken_at: Timestamp::now(),
        };
        if self.store.put(&key, &trigger, Condition::Absent).await?.is_written() {
            return Ok(true);
        }
        let taken = self.store.get::<Trigger>(&key).await?;
        Ok(taken.is_some_and(|taken| taken.value.execution == input.execution))
    }

    async fn lease(&self, input: &DiscoverInput) -> Result<LeaseOutcome, Failure> {
        let wanted = Lease {
            execution: input.execution.clone(),
            run: input.run.clone(),
            nonce: uuid::Uuid::new_v4().to_string(),
            taken_at: Timestamp::now(),
            released_at: None,
            taken_from: Vec::new(),
        };
        take_lease(&self.store, &input.start.partner, &wanted, &*self.executions).await
    }

    async fn explore(&self, run: &Run, input: &DiscoverInput) -> Result<DiscoverOutput, Failure> {
        let started_at = Timestamp::now();
        let profile = run.snapshot_profile().await?;
        let mut warnings = preflight::check(&profile, &*self.secrets).await?;
        let wanted = self.wanted_paths(&input.start).await?;
        let seen = look::look(&profile, &*self.secrets, wanted.as_ref()).await?;
        warnings.extend(seen.warnings.iter().cloned());
        // A start for some files says nothing about the others.
        let expected = match &wanted {
            Some(_) => Vec::new(),
            None => {
                let (rows, told) = expect::expected(run, &profile, &seen.files, started_at).await?;
                warnings.extend(told);
                rows
            }
        };
        let (items, already_delivered) = self.undelivered(&profile, &input.start, &seen).await?;
        skip_the_others(run, &items).await?;
        write_items(run, &items).await?;
        let outcome =
            if items.is_empty() { DiscoverOutcome::Nothing } else { DiscoverOutcome::Ready };
        let output = DiscoverOutput {
            files: items.len() as u64,
            bytes: items.iter().map(|item| item.file.size_bytes).sum(),
            ..self.output(outcome, Some(&profile))
        };
        let discovery = Discovery {
            output: output.clone(),
            started_at,
            start: input.start.clone(),
            matched: seen.matched,
            already_delivered,
            unsettled: seen.unsettled,
            left_alone: seen.left_alone,
            warnings,
            expected,
        };
        drop(self.store.put(&run.keys().discovery(), &discovery, Condition::Any).await?);
        Ok(output)
    }

    /// The only source paths that this start is about; `None` for all.
    async fn wanted_paths(&self, start: &Start) -> Result<Option<HashSet<String>>, Failure> {
        let mut wanted: Option<HashSet<String>> = None;
        let mut narrow = |paths: HashSet<String>| {
            let kept = match wanted.take() {
                Some(before) => before.intersection(&paths).cloned().collect(),
                None => paths,
            };
            wanted = Some(kept);
        };
        if let Some(only) = &start.only {
            narrow(only.iter().cloned().collect());
        }
        if let Some(resend) = &start.resend {
            narrow(resend.paths.iter().cloned().collect());
        }
        if let Some(id) = &start.retry_of {
            let run = Run::new(&self.store, &start.partner, id);
            if !self.store.exists(&run.keys().discovery()).await? {
                return Err(Failure::misconfigured(
                    "start.retry_of",
                    format!("Partner {} has no run {id:?} to retry.", start.partner),
                ));
            }
            let failed: Vec<Failed> = run.read_all(Inbox::Failed).await?;
            narrow(failed.into_iter().map(|failed| failed.file.path).collect());
        }
        Ok(wanted)
    }

    /// Files that the ledger does not have, or that are sent again on purpose.
    async fn undelivered(
        &self,
        profile: &Profile,
        start: &Start,
        seen: &look::Seen,
    ) -> Result<(Vec<FileItem>, u64), Failure> {
        let resend = start.resend.as_ref().map(|resend| resend.reason.clone());
        let mut checked: Vec<Option<FileItem>> = Vec::new();
        for batch in seen.files.chunks(BATCH) {
            let checks: Vec<_> = batch
                .iter()
                .map(|file| {
                    let item = FileItem {
                        file: file.clone(),
                        resend: resend.clone(),
                        downloaded: None,
                        expanded: None,
                    };
                    let key = keys::ledger_file(&profile.partner, file.name.id());
                    async move {
                        let delivered = item.resend.is_none() && self.store.exists(&key).await?;
                        Ok::<_, Failure>((!delivered).then_some(item))
                    }
                })
                .collect();
            let batch: Vec<_> = futures::stream::iter(checks).buffered(32).try_collect().await?;
            checked.extend(batch);
        }
        let total = checked.len();
        let items: Vec<FileItem> = checked.into_iter().flatten().collect();
        let delivered = (total - items.len()) as u64;
        Ok((items, delivered))
    }
}

#[async_trait]
impl Stage for Discover {
    type Input = DiscoverInput;
    type Output = DiscoverOutput;
    const NAME: &'static str = "discover";

    async fn handle(&self, input: DiscoverInput, _: Deadline) -> Result<DiscoverOutput, Failure> {
        check_start(&input.start)?;
        let run = Run::new(&self.store, &input.start.partner, &input.run);
        if !self.claim_trigger(&input).await? {
            return Ok(self.output(DiscoverOutcome::Duplicate, None));
        }
        let lease = match self.lease(&input).await? {
            LeaseOutcome::Held(lease) => lease,
            LeaseOutcome::Busy(holder) => {
                let partner = input.start.partner;
                tracing::info!(partner, holder = holder.run, "partner is busy");
                return Ok(self.output(DiscoverOutcome::Busy, None));
            }
        };
        // An answer that was lost is given again, so that a repeated call finds the same files.
        if let Some(found) = self.store.get::<Discovery>(&run.keys().discovery()).await? {
            return Ok(found.value.output);
        }
        for dead in &lease.taken_from {
            Run::new(&self.store, &input.start.partner, dead).abort_uploads().await;
        }
        self.explore(&run, &input).await
    }
}

fn check_start(start: &Start) -> Result<(), Failure> {
    if !is_partner_name(&start.partner) {
        return Err(Failure::misconfigured(
            "start.partner",
            format!(
                "The start names partner {:?}; a partner is 1 to 63 lower-case letters, digits or \
                 dashes.",
                start.partner
            ),
        ));
    }
    if start.resend.as_ref().is_some_and(|resend| resend.reason.trim().is_empty()) {
        return Err(Failure::misconfigured(
            "start.resend_reason",
            "A resend needs a reason; the receipts keep it.",
        ));
    }
    Ok(())
}

async fn write_items(run: &Run, items: &[FileItem]) -> Result<(), Failure> {
    for batch in items.chunks(BATCH) {
        let writes = batch.iter().map(|item| run.write(Inbox::Discovered, &item.file.name, item));
        futures::stream::iter(writes.collect::<Vec<_>>())
            .buffer_unordered(32)
            .try_collect::<Vec<()>>()
            .await?;
    }
    Ok(())
}

/// Files that an interrupted call found and this one did not find complete are left to a later run.
async fn skip_the_others(run: &Run, items: &[FileItem]) -> Result<(), Failure> {
    let found: HashSet<&Name> = items.iter().map(|item| &item.file.name).collect();
    for name in run.names(Inbox::Discovered).await? {
        if !found.contains(&name) {
            let item: FileItem = run.expect(Inbox::Discovered, &name).await?;
            run.write(Inbox::Skipped, &name, &item).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use domain::events::Resend;

    use super::*;

    #[test]
    fn a_start_names_a_partner_and_a_resend_its_reason() {
        let start = |partner: &str, reason: Option<&str>| Start {
            partner: partner.to_owned(),
            resend: reason.map(|reason| Resend {
                paths: vec!["orders.csv".to_owned()],
                reason: reason.to_owned(),
            }),
            ..Start::default()
        };
        let code = |start| check_start(&start).map_err(|failure| failure.code.to_string());
        assert_eq!(code(start("acme", None)), Ok(()));
        assert_eq!(code(start("acme", Some("lost"))), Ok(()));
        assert_eq!(code(start("../acme", None)), Err("start.partner".to_owned()));
        assert_eq!(code(start("", None)), Err("start.partner".to_owned()));
        assert_eq!(code(start("acme", Some(" "))), Err("start.resend_reason".to_owned()));
    }
}
