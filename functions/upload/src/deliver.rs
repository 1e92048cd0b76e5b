//! Delivering one member over an open connection.

use domain::ids::Name;
use domain::items::{Claim, MemberItem, Receipt, Sealed, Verified};
use domain::keys::Inbox;
use domain::profile::{OnExisting, Rename, Target};
use domain::{Deadline, ErrorClass, Failure, Stage};
use jiff::Timestamp;
use sftp::Session;
use storage::runs::{Reached, Run, holds_lease};

use crate::Upload;
use crate::claim::{Claimed, Held, LEASE_LOST, again, claim, lease_lost, taken_over};
use crate::place::{Place, final_path, free_or_refuse, is_taken, sweep, temporary_path};
use crate::transfer::{CIPHERTEXT_CHANGED, Progress, Transfer};
use crate::verify::{Check, Expected, MISMATCH, ReadBack, lost_source, mismatch, verify_path};

/// Delivers one member, or as much of it as there is time for, or finds that it was delivered.
///
/// A run that another one took over from, because it was taken for dead, removes what it has written
/// since: whatever stopped it, the other run has swept already and does not look again.
pub(crate) async fn deliver(
    run: &Run,
    target: &Target,
    session: &Session,
    name: &Name,
    deadline: Deadline,
) -> Result<Reached, Failure> {
    let work = Delivery { run, target, session, name, deadline };
    let outcome = work.go().await;
    let Err(failure) = outcome else { return outcome };
    if failure.code == LEASE_LOST || matches!(work.holds_lease().await, Ok(false)) {
        work.leave().await?;
        return Err(lease_lost(run));
    }
    Err(failure)
}

/// One member's delivery in one invocation.
struct Delivery<'a> {
    run: &'a Run,
    target: &'a Target,
    session: &'a Session,
    name: &'a Name,
    deadline: Deadline,
}

/// What a new claim came to.
enum Begun {
    /// The ledger had its receipt.
    Delivered(Box<Receipt>),
    /// An earlier attempt had brought it to its place.
    Adopted(Box<Receipt>, Box<Held>),
    /// Nothing stands in the way of sending it, or the rest of it.
    Ready(Box<Held>, Progress),
}

impl Delivery<'_> {
    async fn go(&self) -> Result<Reached, Failure> {
        let Self { run, target, name, .. } = *self;
        let item: MemberItem = run.expect(Inbox::Sealed, name).await?;
        let Some(sealed) = item.sealed.clone() else {
            return Err(Failure::rejected(
                "upload.not_sealed",
                format!("{} was never sealed and is not sent.", item.label()),
            ));
        };
        let final_path = final_path(target, &item, &sealed)?;
        let draft = draft(run, &item, &sealed, &final_path);
        if !self.holds_lease().await? {
            return Err(lease_lost(run));
        }
        let begun = match self.go_on(&draft).await? {
            Some((held, progress)) => Begun::Ready(held, progress),
            None => self.begin(&draft, &item, &sealed).await?,
        };
        let (mut receipt, held) = match begun {
            Begun::Delivered(receipt) => {
                run.write(Inbox::Delivered, name, &*receipt).await?;
                return Ok(Reached::End);
            }
            Begun::Adopted(receipt, held) => (*receipt, held),
            Begun::Ready(held, progress) => {
                match self.send(held, progress, draft, &sealed).await? {
                    None => return Ok(Reached::Checkpoint),
                    Some(sent) => sent,
                }
            }
        };
        receipt.delivered_at = Timestamp::now();
        held.close(run, &receipt).await?;
        run.write(Inbox::Delivered, name, &receipt).await?;
        Ok(Reached::End)
    }

    async fn holds_lease(&self) -> Result<bool, Failure> {
        let keys = self.run.keys();
        holds_lease(self.run.store(), keys.partner(), keys.run()).await
    }

    /// Removes what this run has written since another one took over from it and swept.
    async fn leave(&self) -> Result<(), Failure> {
        let claims = taken_over(self.run, self.name).await?;
        sweep(self.session, self.target, &claims).await;
        Ok(())
    }

    /// Goes on with what an earlier invocation of this run had begun, if that still stands.
    async fn go_on(&self, draft: &Receipt) -> Result<Option<(Box<Held>, Progress)>, Failure> {
        let kept: Option<Progress> = self.run.progress(Upload::NAME, self.name).await?;
        let Some(progress) = kept else { return Ok(None) };
        let direct = self.target.rename == Rename::Direct;
        let Some(held) = again(self.run, self.name, &progress.nonce, draft, direct).await? else {
            return Ok(None);
        };
        let path = temporary_path(self.target, held.claim());
        let found = self.session.stat(&path).await?;
        if found.is_some_and(|file| file.size >= progress.sent) {
            return Ok(Some((held, progress)));
        }
        tracing::warn!(path, sent = progress.sent, "what was sent is gone: begun anew");
        Ok(None)
    }

    /// Claims the member and makes sure that its place is free.
    async fn begin(
        &self,
        draft: &Receipt,
        item: &MemberItem,
        sealed: &Sealed,
    ) -> Result<Begun, Failure> {
        let Self { run, target, session, name, .. } = *self;
        let mine = Claim {
            run: run.keys().run().to_owned(),
            nonce: uuid::Uuid::new_v4().simple().to_string(),
            at: draft.claimed_at,
            renaming: false,
            receipt: draft.clone(),
        };
        let mut held = match claim(run, name, mine).await? {
            Claimed::Delivered(receipt) => return Ok(Begun::Delivered(receipt)),
            Claimed::Ours(held) => held,
        };
        if let Some(found) = adopted(session, target, held.earlier()).await? {
            let receipt = Receipt { run: run.keys().run().to_owned(), ..found };
            return Ok(Begun::Adopted(Box::new(receipt), held));
        }
        held.give_up_earlier(run, name).await?;
        sweep(session, target, held.earlier()).await;
        let place = Place { run, session, target, item, sealed };
        let mut wanted = draft.clone();
        if let Some(path) = held.before().and_then(|it| place.of_before(&draft.remote_path, it)) {
            wanted.remote_path = path;
        }
        let path = place.find(&wanted, held.earlier()).await?;
        held.take_name(run, name, &path).await?;
        if target.rename == Rename::Direct {
            let receipt = Receipt { remote_path: path, ..draft.clone() };
            held.confirm(run, &receipt).await?;
        }
        session.refuse_full(&target.directory, sealed.bytes).await?;
        let progress = Progress::begin(&held.claim().nonce);
        Ok(Begun::Ready(held, progress))
    }

    /// Sends, verifies and renames; `None` when the deadline came first.
    async fn send(
        &self,
        mut held: Box<Held>,
        mut progress: Progress,
        mut receipt: Receipt,
        sealed: &Sealed,
    ) -> Result<Option<(Receipt, Box<Held>)>, Failure> {
        let Self { run, target, session, name, deadline } = *self;
        let path = temporary_path(target, held.claim());
        receipt.claimed_at = held.claim().at;
        receipt.remote_path.clone_from(&held.claim().receipt.remote_path);
        let transfer = Transfer { run, session, target, sealed, path: &path, deadline };
        let verified = match transfer.send(&mut progress).await {
            Ok(Some(verified)) => verified,
            Ok(None) => {
                run.keep_progress(Upload::NAME, name, &progress).await?;
                return Ok(None);
            }
            Err(failure) => {
                if failure.code == MISMATCH || failure.code == CIPHERTEXT_CHANGED {
                    run.forget_progress(Upload::NAME, name).await?;
                }
                return Err(failure);
            }
        };
        receipt.verified = verified;
        if target.rename != Rename::Direct {
            if let Err(failure) = free_or_refuse(session, target, &receipt, &[]).await {
                // With numbers, the next attempt finds a free one; the sent bytes have this one's.
                let numbers = target.on_existing == OnExisting::Rename && is_taken(&failure);
                if !numbers {
                    return Err(failure);
                }
                run.forget_progress(Upload::NAME, name).await?;
                return Err(Failure { class: ErrorClass::Transient, ..failure });
            }
            held.confirm(run, &receipt).await?;
            let how = (target, receipt.resend.is_some());
            let named = session.give_name(&path, &receipt.remote_path, how, sealed.bytes).await;
            named.map_err(|error| lost_source(error.into()))?;
        }
        receipt.remote_mtime_seconds = arrived(session, &receipt).await?;
        Ok(Some((receipt, held)))
    }
}

fn draft(run: &Run, item: &MemberItem, sealed: &Sealed, remote_path: &str) -> Receipt {
    let now = Timestamp::now();
    Receipt {
        partner: run.keys().partner().to_owned(),
        run: run.keys().run().to_owned(),
        file: item.file.clone(),
        member: item.path.clone(),
        name: item.name.clone(),
        bytes: item.bytes,
        sha256: item.sha256.clone(),
        records: item.count.as_ref().and_then(|count| count.records),
        remote_path: remote_path.to_owned(),
        sealed_bytes: sealed.bytes,
        sealed_sha256: sealed.sha256.clone(),
        certificate: sealed.certificate.clone(),
        verified: Verified::Size,
        remote_mtime_seconds: None,
        claimed_at: now,
        delivered_at: now,
        adopted: false,
        resend: item.resend.clone(),
    }
}

/// The receipt of an earlier attempt that came to its end without being heard.
///
/// Either the final name holds exactly the claimed bytes; or, where the server lets nobody read, the
/// claim had come to its rename, the temporary name is gone and the size is right; or both names are
/// gone after the rename had begun, because the partner took the file on arrival.
async fn adopted(
    session: &Session,
    target: &Target,
    earlier: &[Claim],
) -> Result<Option<Receipt>, Failure> {
    for claim in earlier.iter().rev() {
        let receipt = &claim.receipt;
        let adopt = |verified, remote_mtime_seconds| {
            Some(Receipt { verified, adopted: true, remote_mtime_seconds, ..receipt.clone() })
        };
        let direct = target.rename == Rename::Direct;
        // Without a temporary name nothing tells a file that was taken away from one that was never
        // begun, and sending twice is better than not at all.
        let renamed = claim.renaming
            && !direct
            && session.stat(&temporary_path(target, claim)).await?.is_none();
        let Some(found) = session.stat(&receipt.remote_path).await? else {
            if renamed {
                return Ok(adopt(receipt.verified, None));
            }
            continue;
        };
        if found.size != receipt.sealed_bytes {
            continue;
        }
        let expected = Expected { bytes: receipt.sealed_bytes, sha256: &receipt.sealed_sha256 };
        let path = &receipt.remote_path;
        let check = Check { session, path, expected: &expected, deadline: Deadline::NONE };
        match verify_path(&check, target.verify, &mut ReadBack::default()).await {
            Ok(None) => {}
            Ok(Some(Verified::Size)) if !(renamed || direct && claim.renaming) => {}
            Ok(Some(verified)) => return Ok(adopt(verified, Some(found.mtime))),
            Err(failure) if failure.code == MISMATCH => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(None)
}

/// When the target says that the file was written; `None` where it took it away the moment it had its
/// name.
async fn arrived(session: &Session, receipt: &Receipt) -> Result<Option<i64>, Failure> {
    let path = &receipt.remote_path;
    match session.stat(path).await? {
        Some(found) if found.size != receipt.sealed_bytes => {
            Err(mismatch(path, "it has another size after the rename"))
        }
        found => Ok(found.map(|found| found.mtime)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::bench;
    use sftp::server::Quirks;

    #[tokio::test]
    async fn what_arrived_has_its_time_and_its_size() {
        let (_server, folder, session) = bench::target(Quirks::default()).await;
        let file = std::fs::File::create(folder.path().join("f")).unwrap();
        file.set_len(7).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_secs(1_700_000_000)).unwrap();
        let at = arrived(&session, &bench::receipt("/f", 7)).await.unwrap();
        assert_eq!(at, Some(1_700_000_000));
        let other = arrived(&session, &bench::receipt("/f", 8)).await.unwrap_err();
        assert_eq!(other.code, MISMATCH);
        // The partner took it on arrival.
        assert_eq!(arrived(&session, &bench::receipt("/gone", 7)).await.unwrap(), None);
    }
}
