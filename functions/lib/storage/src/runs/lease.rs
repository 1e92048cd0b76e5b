//! The lease: at most one run per partner delivers. Held by conditional writes, taken over only
//! from an execution that is known not to run.

use domain::items::Lease;
use domain::keys;
use domain::{Executions, Failure};
use jiff::Timestamp;

use crate::{Condition, Store};

/// Dead runs that a lease remembers: each holder sweeps what they left, so they rarely are two.
const DEAD_RUNS: usize = 20;

/// What came of asking for a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseOutcome {
    /// It is ours, and this is what it says.
    Held(Lease),
    /// A running execution has it.
    Busy(Lease),
}

/// Takes the partner's lease for `wanted`.
///
/// An execution that already holds it keeps it, so a repeated call ends in the same place.
///
/// # Errors
/// `Transient` from storage, when nobody can tell whether the holder runs, or when others were
/// faster.
pub async fn take_lease(
    store: &Store,
    partner: &str,
    wanted: &Lease,
    executions: &dyn Executions,
) -> Result<LeaseOutcome, Failure> {
    let key = keys::lease(partner);
    if store.put(&key, wanted, Condition::Absent).await?.is_written() {
        return Ok(LeaseOutcome::Held(wanted.clone()));
    }
    let Some(found) = store.get::<Lease>(&key).await? else {
        return Err(contended(partner));
    };
    let free = found.value.released_at.is_some();
    if !free && found.value.execution == wanted.execution {
        return Ok(LeaseOutcome::Held(found.value));
    }
    if !free && executions.is_running(&found.value.execution).await? {
        return Ok(LeaseOutcome::Busy(found.value));
    }
    let mut taken = wanted.clone();
    if !free {
        taken.taken_from = [vec![found.value.run], found.value.taken_from].concat();
        taken.taken_from.truncate(DEAD_RUNS);
    }
    if store.put(&key, &taken, Condition::Unchanged(found.etag)).await?.is_written() {
        return Ok(LeaseOutcome::Held(taken));
    }
    Err(contended(partner))
}

/// The partner's lease, if that run holds it at this moment.
///
/// # Errors
/// `Transient` from storage.
pub async fn held_lease(store: &Store, partner: &str, run: &str) -> Result<Option<Lease>, Failure> {
    let found = store.get::<Lease>(&keys::lease(partner)).await?.map(|found| found.value);
    Ok(found.filter(|lease| lease.run == run && lease.released_at.is_none()))
}

/// Whether that run holds the partner's lease at this moment.
///
/// # Errors
/// `Transient` from storage.
pub async fn holds_lease(store: &Store, partner: &str, run: &str) -> Result<bool, Failure> {
    Ok(held_lease(store, partner, run).await?.is_some())
}

/// Gives the lease back if that execution holds it.
///
/// # Errors
/// `Transient` from storage.
pub async fn release_lease(store: &Store, partner: &str, execution: &str) -> Result<(), Failure> {
    let key = keys::lease(partner);
    let Some(found) = store.get::<Lease>(&key).await? else { return Ok(()) };
    if found.value.execution != execution || found.value.released_at.is_some() {
        return Ok(());
    }
    // Written over, not deleted: the condition keeps a successor's lease untouched.
    let released = Lease { released_at: Some(Timestamp::now()), ..found.value };
    drop(store.put(&key, &released, Condition::Unchanged(found.etag)).await?);
    Ok(())
}

fn contended(partner: &str) -> Failure {
    Failure::transient(
        "lease.contended",
        format!("The lease of partner {partner} changed hands while it was taken; trying again."),
    )
}
