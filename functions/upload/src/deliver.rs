//! Delivering one member over an open connection.

use domain::Failure;
use domain::ids::Name;
use domain::items::{Claim, MemberItem, Receipt, Sealed, Verified};
use domain::keys::Inbox;
use domain::profile::{Rename, Target, Verify};
use jiff::Timestamp;
use sftp::{RenamePolicy, Session, WriteMode};
use sha2::{Digest, Sha256};
use storage::runs::{Run, holds_lease};
use storage::{Condition, Range};

use crate::claim::{Claimed, claim};
use crate::names::{NAME_BYTES, final_name, temporary_name};
use crate::verify::{Expected, MISMATCH, lost_source, mismatch, verify_path, verify_written};

/// Delivers one member, or finds that it was delivered.
pub(crate) async fn deliver(
    run: &Run,
    target: &Target,
    session: &Session,
    name: &Name,
) -> Result<(), Failure> {
    let item: MemberItem = run.expect(Inbox::Sealed, name).await?;
    let Some(sealed) = item.sealed.clone() else {
        return Err(Failure::rejected(
            "upload.not_sealed",
            format!("{} was never sealed and is not sent.", item.label()),
        ));
    };
    let final_path = final_path(target, &item, &sealed)?;
    let mut receipt = draft(run, &item, &sealed, &final_path);
    let mine = Claim {
        run: run.keys().run().to_owned(),
        nonce: uuid::Uuid::new_v4().simple().to_string(),
        at: receipt.claimed_at,
        renaming: false,
        receipt: receipt.clone(),
    };
    let temporary_path = temporary_path(target, &mine);
    if !holds_lease(run.store(), run.keys().partner(), run.keys().run()).await? {
        return Err(lease_lost(run));
    }
    let mut held = match claim(run, name, mine).await? {
        Claimed::Delivered(receipt) => return run.write(Inbox::Delivered, name, &*receipt).await,
        Claimed::Ours(held) => held,
    };
    match adopted(session, target, held.earlier()).await? {
        Some(found) => receipt = Receipt { run: run.keys().run().to_owned(), ..found },
        None => {
            reserve_name(run, &item, &final_path).await?;
            held.give_up_earlier(run, name).await?;
            sweep(session, target, held.earlier()).await;
            free_or_refuse(session, target, &receipt, held.earlier()).await?;
            if target.rename == Rename::Direct {
                held.confirm(run, &receipt).await?;
            }
            session.refuse_full(&target.directory, sealed.bytes).await?;
            receipt.verified = send(run, session, target, &sealed, &temporary_path).await?;
            if target.rename != Rename::Direct {
                free_or_refuse(session, target, &receipt, &[]).await?;
                held.confirm(run, &receipt).await?;
                rename(session, target, &temporary_path, &receipt).await?;
            }
        }
    }
    receipt.delivered_at = Timestamp::now();
    held.close(run, &receipt).await?;
    run.write(Inbox::Delivered, name, &receipt).await
}

fn lease_lost(run: &Run) -> Failure {
    Failure::transient(
        "upload.lease_lost",
        format!(
            "Nothing was sent: the lease of partner {} is no longer this run's.",
            run.keys().partner()
        ),
    )
}

/// In one run a name at the target belongs to one member: two that would have the same never
/// overwrite each other.
async fn reserve_name(run: &Run, item: &MemberItem, path: &str) -> Result<(), Failure> {
    let key = run.keys().target_name(path);
    let label = item.label();
    if run.store().put(&key, &label, Condition::Absent).await?.is_written() {
        return Ok(());
    }
    let holder = run.store().get::<String>(&key).await?.map(|found| found.value);
    if holder.as_ref() == Some(&label) {
        return Ok(());
    }
    Err(Failure::rejected(
        "upload.name_taken",
        format!(
            "{label} and {} would both be delivered as {path}; set target.name so that names \
             differ, or ask the partner to rename one.",
            holder.unwrap_or_default()
        ),
    ))
}

fn final_path(target: &Target, item: &MemberItem, sealed: &Sealed) -> Result<String, Failure> {
    let name = final_name(target, item, sealed);
    if name.len() > NAME_BYTES {
        return Err(Failure::rejected(
            "upload.name_too_long",
            format!(
                "{} would be delivered under a name of {} bytes and {NAME_BYTES} are possible; \
                 shorten target.name.",
                item.label(),
                name.len()
            ),
        ));
    }
    Ok(format!("{}/{name}", target.directory.trim_end_matches('/')))
}

/// Where a claim's bytes lie until they are verified.
fn temporary_path(target: &Target, claim: &Claim) -> String {
    let path = &claim.receipt.remote_path;
    if target.rename == Rename::Direct {
        return path.clone();
    }
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    let name = temporary_name(&target.temporary_suffix, name, &claim.run, &claim.nonce);
    format!("{directory}/{name}")
}

/// Removes what earlier attempts left under their temporary names.
async fn sweep(session: &Session, target: &Target, earlier: &[Claim]) {
    for claim in earlier {
        let path = temporary_path(target, claim);
        if path != claim.receipt.remote_path {
            // Mostly there is nothing; what cannot be removed does no harm.
            drop(session.remove(&path).await);
        }
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
        let adopt = |verified| Some(Receipt { verified, adopted: true, ..receipt.clone() });
        let direct = target.rename == Rename::Direct;
        // Without a temporary name nothing tells a file that was taken away from one that was never
        // begun, and sending twice is better than not at all.
        let renamed = claim.renaming
            && !direct
            && session.stat(&temporary_path(target, claim)).await?.is_none();
        let Some(found) = session.stat(&receipt.remote_path).await? else {
            if renamed {
                return Ok(adopt(receipt.verified));
            }
            continue;
        };
        if found.size != receipt.sealed_bytes {
            continue;
        }
        let expected = Expected { bytes: receipt.sealed_bytes, sha256: &receipt.sealed_sha256 };
        match verify_path(session, target.verify, &receipt.remote_path, &expected).await {
            Ok(Verified::Size) if !(renamed || direct && claim.renaming) => {}
            Ok(verified) => return Ok(adopt(verified)),
            Err(failure) if failure.code == MISMATCH => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(None)
}

/// A name that is taken by other content is never overwritten, unless it is sent again on purpose.
async fn free_or_refuse(
    session: &Session,
    target: &Target,
    receipt: &Receipt,
    earlier: &[Claim],
) -> Result<(), Failure> {
    let path = &receipt.remote_path;
    // Without temporary names, half a file under this name is what an attempt of ours left.
    let half = target.rename == Rename::Direct
        && earlier.iter().any(|claim| claim.receipt.remote_path == *path);
    let replaces = half || receipt.resend.is_some() || target.rename == Rename::Replace;
    if replaces || session.stat(path).await?.is_none() {
        return Ok(());
    }
    Err(Failure::rejected(
        "upload.target_exists",
        format!(
            "{}:{} already has {path} with other content and it was left as it is; move it away, \
             set target.name so that names differ, or set target.rename to \"replace\".",
            target.host, target.port
        ),
    ))
}

/// Sends the ciphertext and verifies what arrived. A hash of the target proves what was sent as well,
/// so the bytes are hashed on this side only where nobody asks for one, or where it was not to be had.
async fn send(
    run: &Run,
    session: &Session,
    target: &Target,
    sealed: &Sealed,
    path: &str,
) -> Result<Verified, Failure> {
    let mut reader = run.store().reader(&sealed.key, Range::ALL).await?;
    let mut writer = session.writer(path, WriteMode::Truncate).await?;
    let mut hash = (target.verify == Verify::Size).then(Sha256::new);
    while let Some(chunk) = reader.next().await? {
        if let Some(hash) = &mut hash {
            hash.update(&chunk);
        }
        writer.write(chunk).await?;
    }
    writer.finish().await?;
    let hashed = hash.map(|hash| refuse_changed(sealed, hash)).transpose()?.is_some();
    let expected = Expected { bytes: sealed.bytes, sha256: &sealed.sha256 };
    let verified = verify_written(session, target, path, &expected).await;
    let in_doubt = match &verified {
        Ok(level) => *level == Verified::Size,
        Err(failure) => failure.code == MISMATCH,
    };
    if in_doubt && !hashed {
        refuse_changed(sealed, stored(run, sealed).await?)?;
    }
    verified
}

/// The hash of what the bucket holds.
async fn stored(run: &Run, sealed: &Sealed) -> Result<Sha256, Failure> {
    let mut reader = run.store().reader(&sealed.key, Range::ALL).await?;
    let mut hash = Sha256::new();
    while let Some(chunk) = reader.next().await? {
        hash.update(&chunk);
    }
    Ok(hash)
}

/// Only the ciphertext that was proven may be delivered.
fn refuse_changed(sealed: &Sealed, found: Sha256) -> Result<(), Failure> {
    if hex::encode(found.finalize()) == sealed.sha256 {
        return Ok(());
    }
    Err(Failure::transient(
        "upload.ciphertext_changed",
        format!("{} is not the ciphertext that was proven; it was not delivered.", sealed.key),
    ))
}

/// Gives the verified file its name. When the server's answer is lost or odd, what it holds now
/// decides.
async fn rename(
    session: &Session,
    target: &Target,
    temporary_path: &str,
    receipt: &Receipt,
) -> Result<(), Failure> {
    let path = &receipt.remote_path;
    if temporary_path != path {
        let policy = policy(target, session, receipt.resend.is_some());
        if let Err(error) = session.rename(temporary_path, path, policy).await {
            let failure = Failure::from(error);
            let moved = session.stat(temporary_path).await?.is_none();
            let there = session.stat(path).await?.is_some_and(|f| f.size == receipt.sealed_bytes);
            if !(moved && there) {
                return Err(lost_source(failure));
            }
        }
    }
    match session.stat(path).await? {
        Some(found) if found.size != receipt.sealed_bytes => {
            Err(mismatch(path, "it has another size after the rename"))
        }
        // A server may take the file away the moment it has its name.
        Some(_) | None => Ok(()),
    }
}

fn policy(target: &Target, session: &Session, resend: bool) -> RenamePolicy {
    let posix = session.capabilities().posix_rename;
    match target.rename {
        Rename::Auto if posix => RenamePolicy::Posix,
        Rename::Auto | Rename::Fresh if resend => RenamePolicy::Replace,
        Rename::Auto | Rename::Fresh => RenamePolicy::Fresh,
        Rename::Posix => RenamePolicy::Posix,
        Rename::Replace => RenamePolicy::Replace,
        Rename::Direct => RenamePolicy::Direct,
    }
}
