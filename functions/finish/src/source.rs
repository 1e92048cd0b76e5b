//! What happens at the source after delivery: only for files whose last member has a receipt.

use std::collections::HashSet;

use domain::ids::Name;
use domain::items::FileRef;
use domain::names::readable;
use domain::profile::{AfterDelivery, Source};
use domain::{Failure, SecretStore};
use sftp::{RenamePolicy, Session};
use storage::runs::Run;

/// What came of the source files.
#[derive(Default)]
pub(crate) struct Tidied {
    /// What went wrong, for people.
    pub(crate) warnings: Vec<String>,
    /// Files that are still in their place because of something that may pass.
    pub(crate) left: HashSet<Name>,
}

/// Moves or deletes delivered source files as the profile says.
///
/// A file that cannot be moved is delivered all the same, so trouble becomes warnings.
pub(crate) async fn after_delivery(
    run: &Run,
    secrets: &dyn SecretStore,
    files: &[(FileRef, u64)],
) -> Tidied {
    if files.is_empty() {
        return Tidied::default();
    }
    match tidy(run, secrets, files).await {
        Ok(tidied) => tidied,
        Err(failure) => {
            let names = files.iter().map(|(file, _)| file.name.clone());
            let left = names.filter(|_| failure.class.is_retryable()).collect();
            let words = &failure.message;
            let warnings = vec![format!("The delivered source files were left in place: {words}")];
            Tidied { warnings, left }
        }
    }
}

async fn tidy(
    run: &Run,
    secrets: &dyn SecretStore,
    files: &[(FileRef, u64)],
) -> Result<Tidied, Failure> {
    let source = run.profile().await?.source;
    let mut tidied = Tidied::default();
    if source.after_delivery == AfterDelivery::Keep {
        return Ok(tidied);
    }
    let session = sftp::connect_source(&source, secrets).await?;
    // A file without members has no receipt, so its source is left alone.
    for (file, _) in files.iter().filter(|(_, members)| *members > 0) {
        if let Err(failure) = tidy_one(&session, &source, file).await {
            tidied.warnings.push(format!(
                "{} was left in place: {}",
                readable(&file.path),
                failure.message
            ));
            if failure.class.is_retryable() {
                tidied.left.insert(file.name.clone());
            }
        }
    }
    session.close().await;
    Ok(tidied)
}

async fn tidy_one(session: &Session, source: &Source, file: &FileRef) -> Result<(), Failure> {
    let directory = source.directory.trim_end_matches('/');
    let path = format!("{directory}/{}", file.path);
    let Some(found) = session.stat(&path).await? else { return Ok(()) };
    if found.size != file.size_bytes || found.mtime != file.mtime_seconds {
        return Err(Failure::source_changed(
            "finish.source_changed",
            "it changed after it was delivered, so the next run takes it.",
        ));
    }
    if let Some(suffix) = &source.done_file {
        // The marker goes first: it must not vouch for the next file of that name.
        let marker = format!("{path}{suffix}");
        if session.stat(&marker).await?.is_some() {
            session.remove(&marker).await?;
        }
    }
    match (source.after_delivery, &source.move_to) {
        (AfterDelivery::Delete, _) => session.remove(&path).await?,
        (AfterDelivery::Move, Some(to)) => {
            let to = if to.starts_with('/') { to.clone() } else { format!("{directory}/{to}") };
            let destination = format!("{}/{}", to.trim_end_matches('/'), file.path);
            if let Some((parent, _)) = destination.rsplit_once('/') {
                session.mkdir_all(parent).await?;
            }
            session.rename(&path, &destination, RenamePolicy::Fresh).await?;
        }
        (AfterDelivery::Keep | AfterDelivery::Move, _) => {}
    }
    Ok(())
}
