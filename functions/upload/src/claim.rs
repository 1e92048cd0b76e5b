//! The ledger's row of a member: claimed before the upload, checked before the rename, closed by the
//! receipt. Every step is a conditional write, so two runs can never both close it.

use domain::items::{Claim, LedgerRow, Receipt};
use domain::keys;
use domain::{Failure, ids::Name};
use storage::runs::{Run, holds_lease};
use storage::{Condition, ETag, PutOutcome};

/// Claims that are remembered; a member that failed this often was looked at by a person.
const EARLIER_CLAIMS: usize = 100;

/// A claim that stood in the ledger when this attempt came.
pub(crate) struct Held {
    row: LedgerRow,
    etag: ETag,
    key: String,
}

/// What the ledger says to a claim.
pub(crate) enum Claimed {
    /// Go on.
    Ours(Box<Held>),
    /// It was delivered before; nothing to do.
    Delivered(Box<Receipt>),
}

/// Claims the member for this invocation.
///
/// # Errors
/// `Transient` when another invocation was faster; the next attempt sees what it did.
pub(crate) async fn claim(run: &Run, name: &Name, claim: Claim) -> Result<Claimed, Failure> {
    let key = keys::ledger_member(run.keys().partner(), name.id());
    let store = run.store();
    let Some(found) = store.get::<LedgerRow>(&key).await? else {
        let row = LedgerRow { claim, earlier: Vec::new(), delivered: None, history: Vec::new() };
        let etag = written(store.put(&key, &row, Condition::Absent).await?, name)?;
        return Ok(Claimed::Ours(Box::new(Held { row, etag, key })));
    };
    let LedgerRow { claim: before, mut earlier, delivered, mut history } = found.value;
    if let Some(receipt) = delivered {
        let sent_again = claim.receipt.resend.is_some() && receipt.run != run.keys().run();
        if !sent_again {
            return Ok(Claimed::Delivered(Box::new(receipt)));
        }
        history.push(receipt);
        earlier.clear();
    } else {
        remember(&mut earlier, before);
    }
    let row = LedgerRow { claim, earlier, delivered: None, history };
    let etag = written(store.put(&key, &row, Condition::Unchanged(found.etag)).await?, name)?;
    Ok(Claimed::Ours(Box::new(Held { row, etag, key })))
}

/// The claim of an earlier invocation of this run that stopped in the middle, if it still stands and
/// nothing speaks against going on with it.
pub(crate) async fn again(
    run: &Run,
    name: &Name,
    nonce: &str,
    draft: &Receipt,
    direct: bool,
) -> Result<Option<Box<Held>>, Failure> {
    let key = keys::ledger_member(run.keys().partner(), name.id());
    let Some(found) = run.store().get::<LedgerRow>(&key).await? else {
        return Ok(None);
    };
    let LedgerRow { claim, delivered, .. } = &found.value;
    let same = claim.run == run.keys().run()
        && claim.nonce == nonce
        && claim.receipt.sealed_sha256 == draft.sealed_sha256;
    let open = delivered.is_none() && (direct || !claim.renaming);
    Ok((same && open).then(|| Box::new(Held { row: found.value, etag: found.etag, key })))
}

/// Claims of this run that another run has taken over: it swept what they had written, and what they
/// wrote since then is swept by nobody else.
pub(crate) async fn taken_over(run: &Run, name: &Name) -> Result<Vec<Claim>, Failure> {
    let key = keys::ledger_member(run.keys().partner(), name.id());
    let row = run.store().get::<LedgerRow>(&key).await?.map(|found| found.value);
    let claims = row.into_iter().flat_map(|row| row.earlier);
    // A missing temporary file would speak for a rename that had begun.
    Ok(claims.filter(|claim| claim.run == run.keys().run() && !claim.renaming).collect())
}

impl Held {
    /// The claim that this invocation works under.
    pub(crate) fn claim(&self) -> &Claim {
        &self.row.claim
    }

    /// Claims before this one: the bytes of any of them may be at the target.
    pub(crate) fn earlier(&self) -> &[Claim] {
        &self.row.earlier
    }

    /// The latest delivery, where the member is sent again on purpose.
    pub(crate) fn before(&self) -> Option<&Receipt> {
        self.row.history.last()
    }

    /// Says in the ledger which name the member gets, if that is another one than was claimed: from
    /// now on something may lie there.
    ///
    /// # Errors
    /// `Transient` when another invocation wrote the row first.
    pub(crate) async fn take_name(
        &mut self,
        run: &Run,
        name: &Name,
        path: &str,
    ) -> Result<(), Failure> {
        if self.row.claim.receipt.remote_path == path {
            return Ok(());
        }
        path.clone_into(&mut self.row.claim.receipt.remote_path);
        let unchanged = Condition::Unchanged(self.etag.clone());
        let put = run.store().put(&self.key, &self.row, unchanged).await?;
        self.etag = written(put, name)?;
        Ok(())
    }

    /// Says in the ledger that no claim before this one came to its end, before what they left is
    /// removed: a temporary file that is gone would otherwise speak for a rename.
    ///
    /// # Errors
    /// `Transient` when another invocation wrote the row first.
    pub(crate) async fn give_up_earlier(&mut self, run: &Run, name: &Name) -> Result<(), Failure> {
        if !self.row.earlier.iter().any(|claim| claim.renaming) {
            return Ok(());
        }
        for claim in &mut self.row.earlier {
            claim.renaming = false;
        }
        let unchanged = Condition::Unchanged(self.etag.clone());
        let put = run.store().put(&self.key, &self.row, unchanged).await?;
        self.etag = written(put, name)?;
        Ok(())
    }

    /// Says in the ledger that the rename begins, if the claim and the partner's lease are still
    /// ours: a paused process may wake up after its lease was taken over.
    ///
    /// # Errors
    /// `Transient` when either is not.
    pub(crate) async fn confirm(&mut self, run: &Run, receipt: &Receipt) -> Result<(), Failure> {
        if !holds_lease(run.store(), run.keys().partner(), run.keys().run()).await? {
            return Err(lease_lost(run));
        }
        self.row.claim.renaming = true;
        self.row.claim.receipt = receipt.clone();
        let unchanged = Condition::Unchanged(self.etag.clone());
        let put = run.store().put(&self.key, &self.row, unchanged).await?;
        self.etag = written(put, &receipt.name)?;
        Ok(())
    }

    /// Closes the row with the receipt.
    ///
    /// # Errors
    /// `Transient` when another invocation wrote the row first.
    pub(crate) async fn close(
        mut self: Box<Self>,
        run: &Run,
        receipt: &Receipt,
    ) -> Result<(), Failure> {
        self.row.delivered = Some(receipt.clone());
        let put = run.store().put(&self.key, &self.row, Condition::Unchanged(self.etag)).await?;
        written(put, &receipt.name)?;
        Ok(())
    }
}

/// Keeps a claim with those before it, of which the oldest are forgotten.
fn remember(earlier: &mut Vec<Claim>, before: Claim) {
    earlier.push(before);
    earlier.drain(..earlier.len().saturating_sub(EARLIER_CLAIMS));
}

fn written(outcome: PutOutcome, name: &Name) -> Result<ETag, Failure> {
    match outcome {
        PutOutcome::Written(etag) => Ok(etag),
        PutOutcome::Refused => Err(lost(name, "another invocation wrote its ledger row first")),
    }
}

pub(crate) const LEASE_LOST: &str = "upload.lease_lost";

pub(crate) fn lease_lost(run: &Run) -> Failure {
    Failure::transient(
        LEASE_LOST,
        format!(
            "Nothing was delivered: the lease of partner {} is no longer this run's.",
            run.keys().partner()
        ),
    )
}

fn lost(name: &Name, why: &str) -> Failure {
    Failure::transient("upload.claim_lost", format!("Member {name} was not renamed: {why}."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench;

    #[test]
    fn the_latest_claims_are_remembered() {
        let mut earlier = Vec::new();
        for number in 0..EARLIER_CLAIMS + 2 {
            let receipt = bench::receipt("/f", 7);
            let (run, at) = (receipt.run.clone(), receipt.claimed_at);
            let nonce = number.to_string();
            remember(&mut earlier, Claim { run, nonce, at, renaming: false, receipt });
        }
        assert_eq!((earlier.len(), &*earlier[0].nonce), (EARLIER_CLAIMS, "2"));
        assert_eq!(earlier[EARLIER_CLAIMS - 1].nonce, "101");
    }
}
