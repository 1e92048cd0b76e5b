//! Finish: accounts for every file and member and closes the run.
//!
//! The conservation law: every discovered file is committed, failed or skipped; every member of a
//! committed file is delivered or failed. What breaks it is a defect of ours and is said loudly as
//! `Unaccounted`. Then the manifest, the source's after-delivery rule, ledger rows for whole files,
//! the summary and the report, and last of all the lease. A partner who acknowledges is waited for
//! after that.

mod account;
mod acknowledge;
mod html;
mod manifest;
mod source;

use std::sync::Arc;

use async_trait::async_trait;
use domain::events::{Connections, Discovery, FinishInput, FinishOutput, Summary, Totals, Verdict};
use domain::heard::Acknowledgement;
use domain::items::Halt;
use domain::profile::is_partner_name;
use domain::{Deadline, ErrorClass, Failure, SecretStore, Stage};
use jiff::Timestamp;
use storage::runs::{Run, release_lease};
use storage::{Condition, Store};

use account::Account;
use acknowledge::Awaited;

/// The stage.
pub struct Finish {
    store: Store,
    secrets: Arc<dyn SecretStore>,
}

impl Finish {
    /// Closes runs of that bucket.
    #[must_use]
    pub fn new(store: Store, secrets: Arc<dyn SecretStore>) -> Self {
        Self { store, secrets }
    }

    async fn close(&self, run: &Run, input: &FinishInput) -> Result<FinishOutput, Failure> {
        let mut error = input.state.error.as_ref().map(domain::events::CaughtError::failure);
        if error.is_none() {
            error = self.halted(run).await?;
        }
        let discovery: Option<Discovery> =
            self.store.get(&run.keys().discovery()).await?.map(|found| found.value);
        let mut account = Account::take(run).await?;
        if let Some(failure) = &error {
            account.give_up_on_the_rest(run, failure).await?;
        }
        let mut warnings = discovery.as_ref().map(|d| d.warnings.clone()).unwrap_or_default();
        let receipts = &account.receipts;
        let manifest = match manifest::deliver(run, &*self.secrets, receipts, error.as_ref()).await
        {
            Ok(manifest) => {
                // A file that has its row is never looked at again, so the source comes first.
                let files = &account.delivered_files;
                let tidied = source::after_delivery(run, &*self.secrets, files).await;
                account.write_ledger(run, &tidied.left).await?;
                warnings.extend(tidied.warnings);
                manifest
            }
            Err(failure) if failure.class.is_retryable() => return Err(failure),
            // The files stay open, so that the next run lists them again; none is sent twice.
            Err(failure) => {
                error.get_or_insert(failure);
                None
            }
        };
        let mut summary = summary(run, discovery, account, error, warnings);
        summary.manifest = manifest;
        summary.connections = connections(run).await;
        let awaited = self.awaited(run, &summary).await?;
        summary.acknowledged = awaited.as_ref().map(|it| it.state(Timestamp::now()));
        self.write(run, &summary).await?;
        account::delete_delivered_data(run, &summary).await?;
        run.abort_uploads().await;
        // From here on a repeated call only waits.
        if let Some(awaited) = &awaited {
            awaited.keep(run).await?;
        }
        Ok(output(run, &summary, awaited.as_ref()))
    }

    /// What the partner has to say to these deliveries. A run that ended early alarms by itself.
    async fn awaited(&self, run: &Run, summary: &Summary) -> Result<Option<Awaited>, Failure> {
        if summary.error.is_some() {
            return Ok(None);
        }
        let profile = run.profile().await?;
        Ok(Awaited::of(run, &profile, &summary.receipts, summary.manifest.as_ref()))
    }

    /// Looks whether the partner has said that the run's files arrived.
    async fn listen(&self, run: &Run, mut awaited: Awaited) -> Result<FinishOutput, Failure> {
        awaited.look(run, &*self.secrets).await?;
        let Some(found) = self.store.get::<Summary>(&run.keys().summary()).await? else {
            return Err(Failure::rejected(
                "finish.no_summary",
                format!("{} is gone, which the run had written.", run.keys().summary()),
            ));
        };
        let mut summary = found.value;
        let acknowledged = awaited.state(Timestamp::now());
        let settled = acknowledged.state != Acknowledgement::Pending;
        let news = summary.acknowledged.as_ref() != Some(&acknowledged);
        if settled && news {
            let missing = acknowledged.state == Acknowledgement::Missing;
            if missing {
                summary.warnings.push(awaited.warning());
            }
            summary.verdict = match summary.verdict {
                Verdict::Delivered if missing => Verdict::Unacknowledged,
                Verdict::Unacknowledged if !missing => Verdict::Delivered,
                other => other,
            };
            let lacking = acknowledged.missing.len() as u64;
            let partner = run.keys().partner();
            tracing::info!(target: domain::METRICS, partner, acknowledgements_missing = lacking);
            summary.acknowledged = Some(acknowledged);
            self.write(run, &summary).await?;
        }
        Ok(output(run, &summary, (!settled).then_some(&awaited)))
    }

    async fn write(&self, run: &Run, summary: &Summary) -> Result<(), Failure> {
        drop(self.store.put(&run.keys().summary(), summary, Condition::Any).await?);
        let page = html::page(summary).into_bytes().into();
        drop(self.store.put_bytes(&run.keys().report(), page, Condition::Any).await?);
        Ok(())
    }

    /// The fault that stopped the run after it was opened.
    async fn halted(&self, run: &Run) -> Result<Option<Failure>, Failure> {
        let halt = self.store.get::<Halt>(&run.keys().halt()).await?;
        Ok(halt.map(|halt| halt.value.failure))
    }
}

#[async_trait]
impl Stage for Finish {
    type Input = FinishInput;
    type Output = FinishOutput;
    const NAME: &'static str = "finish";

    async fn handle(&self, input: FinishInput, _: Deadline) -> Result<FinishOutput, Failure> {
        let partner = input.state.partner.as_str().filter(|name| is_partner_name(name));
        let Some(partner) = partner.map(str::to_owned) else {
            return Ok(FinishOutput {
                verdict: Verdict::Misconfigured,
                delivered: 0,
                failed: 0,
                summary: String::new(),
                more: false,
                wait_seconds: 0,
            });
        };
        let run = Run::new(&self.store, &partner, &input.run);
        let output = match Awaited::kept(&run).await? {
            Some(awaited) => self.listen(&run, awaited).await?,
            None => self.close(&run, &input).await?,
        };
        release_lease(&self.store, &partner, &input.execution).await?;
        Ok(output)
    }
}

fn output(run: &Run, summary: &Summary, awaited: Option<&Awaited>) -> FinishOutput {
    FinishOutput {
        verdict: summary.verdict,
        delivered: summary.totals.delivered,
        failed: summary.totals.failed,
        summary: run.keys().summary(),
        more: awaited.is_some(),
        wait_seconds: awaited.map_or(0, |it| it.wait_seconds(Timestamp::now())),
    }
}

/// How many connections there could be, if the run has a profile.
async fn connections(run: &Run) -> Option<Connections> {
    let profile = run.profile().await.ok()?;
    let (source, target) = sftp::connections_at_once(&profile.source, &profile.target);
    Some(Connections { source, target })
}

fn summary(
    run: &Run,
    discovery: Option<Discovery>,
    account: Account,
    error: Option<Failure>,
    warnings: Vec<String>,
) -> Summary {
    let totals = totals(discovery.as_ref(), &account);
    Summary {
        partner: run.keys().partner().to_owned(),
        run: run.keys().run().to_owned(),
        verdict: verdict(&totals, &account, error.as_ref()),
        started_at: discovery.as_ref().map(|discovery| discovery.started_at),
        finished_at: Timestamp::now(),
        totals,
        error,
        warnings,
        expected: discovery.map(|discovery| discovery.expected).unwrap_or_default(),
        manifest: None,
        acknowledged: None,
        connections: None,
        receipts: account.receipts,
        failed: account.failed,
        unaccounted: account.unaccounted,
    }
}

fn totals(discovery: Option<&Discovery>, account: &Account) -> Totals {
    Totals {
        matched: discovery.map_or(0, |discovery| discovery.matched),
        already_delivered: discovery.map_or(0, |discovery| discovery.already_delivered),
        unsettled: discovery.map_or(0, |discovery| discovery.unsettled),
        left_alone: discovery.map_or(0, |discovery| discovery.left_alone),
        discovered: account.discovered,
        discovered_bytes: account.discovered_bytes,
        skipped: account.skipped,
        members: account.members,
        delivered: account.receipts.len() as u64,
        delivered_before: account.receipts.iter().filter(|r| r.run != account.run).count() as u64,
        delivered_bytes: account.receipts.iter().map(|receipt| receipt.bytes).sum(),
        records: account.receipts.iter().filter_map(|receipt| receipt.records).sum(),
        failed: account.failed.len() as u64,
    }
}

fn verdict(totals: &Totals, account: &Account, error: Option<&Failure>) -> Verdict {
    if !account.unaccounted.is_empty() {
        return Verdict::Unaccounted;
    }
    match error {
        Some(failure) if failure.class == ErrorClass::Misconfigured => Verdict::Misconfigured,
        Some(_) => Verdict::Incomplete,
        None if totals.failed > 0 => Verdict::Incomplete,
        None if totals.discovered == 0 => Verdict::Nothing,
        None => Verdict::Delivered,
    }
}
