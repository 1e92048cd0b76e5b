//! Finish: accounts for every file and member and closes the run.
//!
//! The conservation law: every discovered file is committed, failed or skipped; every member of a
//! committed file is delivered or failed. What breaks it is a defect of ours and is said loudly as
//! `Unaccounted`. Then ledger rows for whole files, the source's after-delivery rule, the summary
//! and the report, and last of all the lease.

mod account;
mod html;
mod source;

use std::sync::Arc;

use async_trait::async_trait;
use domain::events::{Discovery, FinishInput, FinishOutput, Summary, Totals, Verdict};
use domain::items::Halt;
use domain::profile::is_partner_name;
use domain::{Deadline, ErrorClass, Failure, SecretStore, Stage};
use jiff::Timestamp;
use storage::runs::{Run, release_lease};
use storage::{Condition, Store};

use account::Account;

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
        account.write_ledger(run).await?;
        warnings
            .extend(source::after_delivery(run, &*self.secrets, &account.delivered_files).await);
        let summary = summary(run, discovery.as_ref(), account, error, warnings);
        drop(self.store.put(&run.keys().summary(), &summary, Condition::Any).await?);
        let page = html::page(&summary).into_bytes().into();
        drop(self.store.put_bytes(&run.keys().report(), page, Condition::Any).await?);
        account::delete_delivered_data(run, &summary).await?;
        run.abort_uploads().await;
        Ok(FinishOutput {
            verdict: summary.verdict,
            delivered: summary.totals.delivered,
            failed: summary.totals.failed,
            summary: run.keys().summary(),
        })
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
            });
        };
        let run = Run::new(&self.store, &partner, &input.run);
        let output = self.close(&run, &input).await?;
        release_lease(&self.store, &partner, &input.execution).await?;
        Ok(output)
    }
}

fn summary(
    run: &Run,
    discovery: Option<&Discovery>,
    account: Account,
    error: Option<Failure>,
    warnings: Vec<String>,
) -> Summary {
    let totals = totals(discovery, &account);
    Summary {
        partner: run.keys().partner().to_owned(),
        run: run.keys().run().to_owned(),
        verdict: verdict(&totals, &account, error.as_ref()),
        started_at: discovery.map(|discovery| discovery.started_at),
        finished_at: Timestamp::now(),
        totals,
        error,
        warnings,
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
