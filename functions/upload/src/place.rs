//! The member's place at the target: which name it gets, and what lies there already.

use domain::Failure;
use domain::items::{Claim, MemberItem, Receipt, Sealed};
use domain::profile::{OnExisting, Rename, Target};
use sftp::Session;
use storage::Condition;
use storage::runs::Run;

use crate::names::{NAME_BYTES, final_name, numbered, temporary_name};

/// Names that are tried before a member is given up: whoever has that many needs another rule.
const NAMES_TRIED: u32 = 1000;

/// What is asked of a place.
pub(crate) struct Place<'a> {
    pub(crate) run: &'a Run,
    pub(crate) session: &'a Session,
    pub(crate) target: &'a Target,
    pub(crate) item: &'a MemberItem,
    pub(crate) sealed: &'a Sealed,
}

impl Place<'_> {
    /// The path that the member gets: the wanted one, or where the profile says so the next free one.
    ///
    /// # Errors
    /// `Rejected` when the name belongs to other content or to another member of the run.
    pub(crate) async fn find(
        &self,
        wanted: &Receipt,
        earlier: &[Claim],
    ) -> Result<String, Failure> {
        let Self { run, session, target, item, .. } = self;
        let numbers = target.on_existing == OnExisting::Rename && wanted.resend.is_none();
        let mut receipt = wanted.clone();
        for number in 2..NAMES_TRIED {
            let free = match reserve_name(run, item, &receipt.remote_path).await {
                Ok(()) => free_or_refuse(session, target, &receipt, earlier).await,
                refused => refused,
            };
            match free {
                Err(failure) if numbers && is_taken(&failure) => {
                    receipt.remote_path = self.numbered(&wanted.remote_path, number)?;
                }
                free => return free.map(|()| receipt.remote_path),
            }
        }
        Err(Failure::rejected(
            "upload.target_exists",
            format!(
                "{}:{} has {} and every number of it up to {NAMES_TRIED}; move them away.",
                target.host, target.port, wanted.remote_path
            ),
        ))
    }

    /// Where a delivery that is sent again lies, if it got that name or a number of it.
    pub(crate) fn of_before(&self, wanted: &str, before: &Receipt) -> Option<String> {
        let path = &before.remote_path;
        let is_numbered = |number| self.numbered(wanted, number).is_ok_and(|other| other == *path);
        (2..NAMES_TRIED).any(is_numbered).then(|| path.clone())
    }

    fn numbered(&self, path: &str, number: u32) -> Result<String, Failure> {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        let name = numbered(name, &self.sealed.suffix, number);
        refuse_long(self.item, &name)?;
        Ok(format!("{directory}/{name}"))
    }
}

/// The name that a member is to have at the target.
///
/// # Errors
/// `Rejected` when it is too long.
pub(crate) fn final_path(
    target: &Target,
    item: &MemberItem,
    sealed: &Sealed,
) -> Result<String, Failure> {
    let name = final_name(target, item, sealed);
    refuse_long(item, &name)?;
    Ok(format!("{}/{name}", target.directory.trim_end_matches('/')))
}

fn refuse_long(item: &MemberItem, name: &str) -> Result<(), Failure> {
    if name.len() <= NAME_BYTES {
        return Ok(());
    }
    Err(Failure::rejected(
        "upload.name_too_long",
        format!(
            "{} would be delivered under a name of {} bytes and {NAME_BYTES} are possible; \
             shorten target.name.",
            item.label(),
            name.len()
        ),
    ))
}

/// Whether a failure says that the name belongs to something else.
pub(crate) fn is_taken(failure: &Failure) -> bool {
    failure.code == NAME_TAKEN || failure.code == TARGET_EXISTS
}

const NAME_TAKEN: &str = "upload.name_taken";
const TARGET_EXISTS: &str = "upload.target_exists";

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
        NAME_TAKEN,
        format!(
            "{label} and {} would both be delivered as {path}; set target.name so that names \
             differ, or ask the partner to rename one.",
            holder.unwrap_or_default()
        ),
    ))
}

/// Where a claim's bytes lie until they are verified.
pub(crate) fn temporary_path(target: &Target, claim: &Claim) -> String {
    let path = &claim.receipt.remote_path;
    if target.rename == Rename::Direct {
        return path.clone();
    }
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    let name = temporary_name(&target.temporary_suffix, name, &claim.run, &claim.nonce);
    format!("{directory}/{name}")
}

/// Removes what earlier attempts left under their temporary names.
pub(crate) async fn sweep(session: &Session, target: &Target, earlier: &[Claim]) {
    for claim in earlier {
        let path = temporary_path(target, claim);
        if path != claim.receipt.remote_path {
            // Mostly there is nothing; what cannot be removed does no harm.
            drop(session.remove(&path).await);
        }
    }
}

/// A name that is taken by other content is never overwritten, unless the profile says so or it is
/// sent again on purpose.
pub(crate) async fn free_or_refuse(
    session: &Session,
    target: &Target,
    receipt: &Receipt,
    earlier: &[Claim],
) -> Result<(), Failure> {
    let path = &receipt.remote_path;
    // Without temporary names, half a file under this name is what an attempt of ours left.
    let half = target.rename == Rename::Direct
        && earlier.iter().any(|claim| claim.receipt.remote_path == *path);
    let replaces = half || receipt.resend.is_some() || target.overwrites();
    if replaces || session.stat(path).await?.is_none() {
        return Ok(());
    }
    Err(Failure::rejected(
        TARGET_EXISTS,
        format!(
            "{}:{} already has {path} with other content and it was left as it is; move it away, \
             set target.name so that names differ, or set target.on_existing to \"replace\" or \
             \"rename\".",
            target.host, target.port
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::items::FileRef;

    #[test]
    fn a_name_is_taken_by_a_member_or_by_a_file_and_by_no_other_failure() {
        for code in [NAME_TAKEN, TARGET_EXISTS] {
            assert!(is_taken(&Failure::rejected(code, String::new())), "{code}");
        }
        assert!(!is_taken(&Failure::transient("sftp.connection", String::new())));
    }

    #[test]
    fn a_name_that_no_file_system_takes_is_refused() {
        let file = FileRef::new("acme", "a.csv", 6, 0);
        let item = MemberItem {
            name: file.name.clone(),
            file,
            resend: None,
            path: "a.csv".to_owned(),
            from_archive: false,
            bytes: 6,
            sha256: String::new(),
            key: String::new(),
            count: None,
            report: None,
            sealed: None,
        };
        refuse_long(&item, &"a".repeat(NAME_BYTES)).unwrap();
        let failure = refuse_long(&item, &"a".repeat(NAME_BYTES + 1)).unwrap_err();
        assert_eq!(failure.code, "upload.name_too_long");
        assert!(failure.message.starts_with("a.csv would"), "{failure}");
    }
}
