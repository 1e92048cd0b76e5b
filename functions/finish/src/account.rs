//! The account of a run: which file and member ended where.

use std::collections::HashSet;

use domain::events::Summary;
use domain::items::{Failed, FileItem, FileRef, LedgerFile, Receipt};
use domain::keys::{self, Inbox, Phase};
use domain::{Failure, ids::Name};
use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use storage::Condition;
use storage::runs::Run;

/// Rows that are written in one go.
const BATCH: usize = 256;

/// Where everything ended.
pub(crate) struct Account {
    /// The run's id.
    pub(crate) run: String,
    /// Files taken.
    pub(crate) discovered: u64,
    /// Their size in bytes.
    pub(crate) discovered_bytes: u64,
    /// Files left to a later run.
    pub(crate) skipped: u64,
    /// Members of committed files.
    pub(crate) members: u64,
    /// Delivered members.
    pub(crate) receipts: Vec<Receipt>,
    /// Failed files and members.
    pub(crate) failed: Vec<Failed>,
    /// Names in no final place.
    pub(crate) unaccounted: Vec<String>,
    /// Files all of whose members are delivered, and how many those are.
    pub(crate) delivered_files: Vec<(FileRef, u64)>,
    open_files: Vec<Name>,
    open_members: Vec<Name>,
}

impl Account {
    /// Reads the run's inboxes.
    ///
    /// # Errors
    /// `Transient` from storage; `Rejected` when an item is damaged.
    pub(crate) async fn take(run: &Run) -> Result<Self, Failure> {
        let discovered = run.names(Inbox::Discovered).await?;
        let committed: Vec<FileItem> = run.read_all(Inbox::Expanded).await?;
        let skipped: HashSet<Name> = run.names(Inbox::Skipped).await?.into_iter().collect();
        let receipts: Vec<Receipt> = run.read_all(Inbox::Delivered).await?;
        let failed: Vec<Failed> = run.read_all(Inbox::Failed).await?;
        let mut account = Self {
            run: run.keys().run().to_owned(),
            discovered: discovered.len() as u64,
            discovered_bytes: discovered.iter().map(Name::size_bytes).sum(),
            skipped: skipped.len() as u64,
            members: 0,
            receipts,
            failed,
            unaccounted: Vec::new(),
            delivered_files: Vec::new(),
            open_files: Vec::new(),
            open_members: Vec::new(),
        };
        account.settle(discovered, committed, &skipped);
        Ok(account)
    }

    fn settle(&mut self, discovered: Vec<Name>, files: Vec<FileItem>, skipped: &HashSet<Name>) {
        let delivered: HashSet<Name> = self.receipts.iter().map(|r| r.name.clone()).collect();
        // What is at the partner's is delivered, whatever an attempt that was given up wrote.
        self.failed.retain(|failed| !delivered.contains(&failed.name));
        let failed: HashSet<Name> = self.failed.iter().map(|f| f.name.clone()).collect();
        let mut committed: HashSet<Name> = HashSet::new();
        for item in files {
            let Some(expanded) = item.expanded else { continue };
            committed.insert(item.file.name.clone());
            if failed.contains(&item.file.name) {
                continue;
            }
            let count = expanded.members.len() as u64;
            self.members += count;
            let before = self.open_members.len();
            let left = expanded.members.iter().filter(|name| !delivered.contains(name));
            let (gone, open): (Vec<&Name>, Vec<&Name>) = left.partition(|n| failed.contains(n));
            self.open_members.extend(open.into_iter().cloned());
            if gone.is_empty() && self.open_members.len() == before {
                self.delivered_files.push((item.file, count));
            }
        }
        self.open_files = discovered
            .into_iter()
            .filter(|name| {
                !committed.contains(name) && !failed.contains(name) && !skipped.contains(name)
            })
            .collect();
        self.unaccounted =
            self.open_files.iter().chain(&self.open_members).map(Name::to_string).collect();
    }

    /// A run that ended early fails what it did not get to, with the reason that ended it.
    ///
    /// # Errors
    /// `Transient` from storage.
    pub(crate) async fn give_up_on_the_rest(
        &mut self,
        run: &Run,
        failure: &Failure,
    ) -> Result<(), Failure> {
        for name in &self.open_files {
            run.fail(Phase::Fetch, name, "finish", failure.clone()).await?;
        }
        for name in &self.open_members {
            run.fail(Phase::Inspect, name, "finish", failure.clone()).await?;
        }
        *self = Self::take(run).await?;
        Ok(())
    }

    /// Writes the ledger's rows for whole files but those that are left in their place; later runs
    /// leave the others alone, and find of these that their members are delivered.
    ///
    /// # Errors
    /// `Transient` from storage.
    pub(crate) async fn write_ledger(
        &self,
        run: &Run,
        left: &HashSet<Name>,
    ) -> Result<(), Failure> {
        let closed = self.delivered_files.iter().filter(|(file, _)| !left.contains(&file.name));
        let closed: Vec<_> = closed.collect();
        for batch in closed.chunks(BATCH) {
            let writes: Vec<_> = batch
                .iter()
                .map(|(file, members)| async move {
                    let key = keys::ledger_file(run.keys().partner(), file.name.id());
                    let row = LedgerFile {
                        file: file.clone(),
                        run: run.keys().run().to_owned(),
                        members: *members,
                        delivered_at: Timestamp::now(),
                    };
                    drop(run.store().put(&key, &row, Condition::Any).await?);
                    Ok::<_, Failure>(())
                })
                .collect();
            futures::stream::iter(writes).buffer_unordered(16).try_collect::<Vec<()>>().await?;
        }
        Ok(())
    }
}

/// Deletes the content of what was delivered; what failed stays for a person to look at until the
/// bucket's lifecycle rule takes it.
///
/// # Errors
/// `Transient` from storage.
pub(crate) async fn delete_delivered_data(run: &Run, summary: &Summary) -> Result<(), Failure> {
    let data = run.keys().data();
    if summary.failed.is_empty() && summary.unaccounted.is_empty() {
        run.store().delete_prefix(&data).await?;
        return Ok(());
    }
    let failed_files: HashSet<&str> =
        summary.failed.iter().map(|failed| failed.file.name.id()).collect();
    let mut done: HashSet<&str> = HashSet::new();
    for receipt in &summary.receipts {
        done.insert(receipt.name.id());
        let file = receipt.file.name.id();
        if !failed_files.contains(file) {
            done.insert(file);
        }
    }
    let mut pages = run.store().pages(&data);
    while let Some(page) = pages.next().await? {
        let deletes: Vec<_> = page
            .iter()
            .filter(|entry| content_id(&entry.key).is_some_and(|id| done.contains(id)))
            .map(|entry| run.store().delete(&entry.key))
            .collect();
        futures::stream::iter(deletes).buffer_unordered(16).try_collect::<Vec<()>>().await?;
    }
    Ok(())
}

/// The id of the file or member whose content lies under a key: `raw/<id>`, `sealed/<id>-<attempt>`.
fn content_id(key: &str) -> Option<&str> {
    let last = key.rsplit('/').next()?;
    Some(last.split_once('-').map_or(last, |(id, _)| id))
}
