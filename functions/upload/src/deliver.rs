//! Delivering one member over an open connection.

use domain::ids::Name;
use domain::items::{Claim, MemberItem, Receipt, Sealed, Verified};
use domain::keys::Inbox;
use domain::profile::{Rename, Target, Verify};
use domain::{ErrorClass, Failure};
use jiff::Timestamp;
use sftp::{RenamePolicy, Session, WriteMode};
use storage::Range;
use storage::runs::Run;

use crate::claim::{Claimed, claim};
use crate::names::{final_name, temporary_name};

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
    let place = Place::new(target, &item, &sealed, run.keys().run());
    let mut receipt = draft(run, &item, &sealed, &place.final_path);
    let mine = Claim {
        run: run.keys().run().to_owned(),
        nonce: uuid::Uuid::new_v4().to_string(),
        at: receipt.claimed_at,
        receipt: receipt.clone(),
    };
    let held = match claim(run, name, mine).await? {
        Claimed::Delivered(receipt) => return run.write(Inbox::Delivered, name, &*receipt).await,
        Claimed::Ours(held) => held,
    };
    match adopted(session, target, held.earlier()).await? {
        Some(found) => receipt = found,
        None => {
            let resend = receipt.resend.is_some();
            free_or_refuse(session, target, &place.final_path, resend).await?;
            receipt.verified =
                put(run, target, session, &sealed, &place, || held.confirm(run, name)).await?;
        }
    }
    receipt.delivered_at = Timestamp::now();
    held.close(run, &receipt).await?;
    run.write(Inbox::Delivered, name, &receipt).await
}

/// Where a member lies at the target, while and after it is written.
struct Place {
    temporary_path: String,
    final_path: String,
}

impl Place {
    fn new(target: &Target, item: &MemberItem, sealed: &Sealed, run: &str) -> Self {
        let name = final_name(target, item, sealed);
        let directory = target.directory.trim_end_matches('/');
        let temporary_path = if target.rename == Rename::Direct {
            format!("{directory}/{name}")
        } else {
            format!("{directory}/{}", temporary_name(target, &name, run))
        };
        Self { temporary_path, final_path: format!("{directory}/{name}") }
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

/// The receipt of an earlier attempt whose bytes are already at the target under the final name.
async fn adopted(
    session: &Session,
    target: &Target,
    earlier: &[Claim],
) -> Result<Option<Receipt>, Failure> {
    for receipt in earlier.iter().rev().map(|claim| &claim.receipt) {
        let Some(found) = session.stat(&receipt.remote_path).await? else { continue };
        if found.size != receipt.sealed_bytes {
            continue;
        }
        // Equal size alone does not prove equal bytes: adopting asks for the hash where it can.
        match verify(session, target.verify, &receipt.remote_path, receipt).await {
            Ok(verified) => {
                return Ok(Some(Receipt { verified, adopted: true, ..receipt.clone() }));
            }
            Err(failure) if failure.class == ErrorClass::Transient && is_mismatch(&failure) => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(None)
}

/// A name that is taken by other content is never overwritten, unless it is sent again on purpose.
async fn free_or_refuse(
    session: &Session,
    target: &Target,
    path: &str,
    resend: bool,
) -> Result<(), Failure> {
    let replaces = resend || target.rename == Rename::Replace;
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

/// Writes, verifies, confirms and renames; returns how far it was proven.
async fn put<C: Future<Output = Result<(), Failure>>>(
    run: &Run,
    target: &Target,
    session: &Session,
    sealed: &Sealed,
    place: &Place,
    confirm: impl FnOnce() -> C,
) -> Result<Verified, Failure> {
    let mut reader = run.store().reader(&sealed.key, Range::ALL).await?;
    let mut writer = session.writer(&place.temporary_path, WriteMode::Truncate).await?;
    while let Some(chunk) = reader.next().await? {
        writer.write(chunk).await?;
    }
    writer.finish().await?;
    let expected = Expected { bytes: sealed.bytes, sha256: &sealed.sha256 };
    let verified = verify_path(session, target.verify, &place.temporary_path, &expected).await?;
    confirm().await?;
    if place.temporary_path != place.final_path {
        let policy = policy(target, session);
        session.rename(&place.temporary_path, &place.final_path, policy).await?;
    }
    match session.stat(&place.final_path).await? {
        Some(found) if found.size != sealed.bytes => {
            Err(mismatch(&place.final_path, "it has another size after the rename"))
        }
        // A server may take the file away the moment it has its name.
        Some(_) | None => Ok(verified),
    }
}

fn policy(target: &Target, session: &Session) -> RenamePolicy {
    match target.rename {
        Rename::Auto if session.capabilities().posix_rename => RenamePolicy::Posix,
        Rename::Auto | Rename::Fresh => RenamePolicy::Fresh,
        Rename::Posix => RenamePolicy::Posix,
        Rename::Replace => RenamePolicy::Replace,
        Rename::Direct => RenamePolicy::Direct,
    }
}

struct Expected<'a> {
    bytes: u64,
    sha256: &'a str,
}

async fn verify(
    session: &Session,
    level: Verify,
    path: &str,
    receipt: &Receipt,
) -> Result<Verified, Failure> {
    let expected = Expected { bytes: receipt.sealed_bytes, sha256: &receipt.sealed_sha256 };
    verify_path(session, level, path, &expected).await
}

async fn verify_path(
    session: &Session,
    level: Verify,
    path: &str,
    expected: &Expected<'_>,
) -> Result<Verified, Failure> {
    match session.stat(path).await? {
        None => return Err(mismatch(path, "it is not there")),
        Some(found) if found.size != expected.bytes => {
            return Err(mismatch(
                path,
                &format!("it has {} bytes instead of {}", found.size, expected.bytes),
            ));
        }
        Some(_) => {}
    }
    if level == Verify::Size {
        return Ok(Verified::Size);
    }
    match session.hash(path).await {
        Ok(hash) if hex::encode(hash) == expected.sha256 => Ok(Verified::ReadBack),
        Ok(_) => Err(mismatch(path, "its SHA-256 differs")),
        // A drop box that forbids reading is proven by size, and the receipt says so.
        Err(error) => {
            let failure = Failure::from(error);
            let forbidden = failure.code == "sftp.permission_denied";
            if level == Verify::Auto && forbidden { Ok(Verified::Size) } else { Err(failure) }
        }
    }
}

const MISMATCH: &str = "upload.mismatch";

fn mismatch(path: &str, how: &str) -> Failure {
    Failure::transient(
        MISMATCH,
        format!("{path} on the target is not what was sent: {how}. It is sent again."),
    )
}

fn is_mismatch(failure: &Failure) -> bool {
    failure.code == MISMATCH
}
