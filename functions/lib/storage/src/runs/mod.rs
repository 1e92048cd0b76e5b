//! A run as its stages see it: typed items in inboxes, the halt order, and the loop that works a
//! parcel off item by item.

mod lease;
mod parcel;

use domain::events::ParcelInput;
use domain::items::{Failed, FileItem, FileRef, Halt, MemberItem, Parcel};
use domain::keys::{self, Inbox, Phase, RunKeys};
use domain::{Failure, Profile, ids::Name};
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Condition, Store};

pub use lease::{LeaseOutcome, held_lease, holds_lease, release_lease, take_lease};
pub use parcel::{Reached, Work, work_through};

/// Items that are read in one go: as many as keep memory small.
const BATCH: usize = 256;

/// One run's documents.
#[derive(Clone)]
pub struct Run {
    store: Store,
    keys: RunKeys,
}

impl Run {
    /// The documents of that partner's run.
    #[must_use]
    pub fn new(store: &Store, partner: &str, run: &str) -> Self {
        Self { store: store.clone(), keys: RunKeys::new(partner, run) }
    }

    /// The run that a parcel belongs to.
    #[must_use]
    pub fn of(store: &Store, input: &ParcelInput) -> Self {
        Self::new(store, &input.partner, &input.run)
    }

    /// Where the run's documents lie.
    #[must_use]
    pub const fn keys(&self) -> &RunKeys {
        &self.keys
    }

    /// The bucket.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// Keeps the partner's profile as it is now; every later stage reads this copy.
    ///
    /// A repeated call keeps the first copy.
    ///
    /// # Errors
    /// `Misconfigured` when the partner has no profile or an invalid one; `Transient` from storage.
    pub async fn snapshot_profile(&self) -> Result<Profile, Failure> {
        let partner = self.keys.partner();
        let key = keys::profile(partner);
        let Some(text) = self.store.get_bytes(&key).await? else {
            return Err(Failure::misconfigured(
                "profile.missing",
                format!("Partner {partner:?} has no profile: store one at {key}."),
            ));
        };
        let profile = parse_profile(&key, &text.value)?;
        if profile.partner != partner {
            return Err(Failure::misconfigured(
                "profile.other_partner",
                format!("The profile at {key} is for partner {:?}; rename one.", profile.partner),
            ));
        }
        let copy = self.keys.profile();
        if self.store.put(&copy, &profile, Condition::Absent).await?.is_written() {
            return Ok(profile);
        }
        self.profile().await
    }

    /// The profile as it was when the run began.
    ///
    /// # Errors
    /// `Misconfigured` when there is no copy; `Transient` from storage.
    pub async fn profile(&self) -> Result<Profile, Failure> {
        let key = self.keys.profile();
        match self.store.get_bytes(&key).await? {
            Some(text) => parse_profile(&key, &text.value),
            None => Err(Failure::misconfigured(
                "profile.missing",
                format!(
                    "Run {} has no profile at {key}: it was never discovered.",
                    self.keys.run()
                ),
            )),
        }
    }

    /// Fails when a fault of the whole partner was met before: stages ask before they connect.
    ///
    /// # Errors
    /// The fault, as `Misconfigured`; `Transient` from storage.
    pub async fn check_halt(&self) -> Result<(), Failure> {
        match self.store.get::<Halt>(&self.keys.halt()).await? {
            Some(halt) => Err(halt.value.failure),
            None => Ok(()),
        }
    }

    /// Orders every later invocation of this run to stop. The first order is kept.
    ///
    /// # Errors
    /// `Transient` from storage.
    pub async fn halt(&self, stage: &str, failure: &Failure) -> Result<(), Failure> {
        let halt = Halt { stage: stage.to_owned(), failure: failure.clone(), at: Timestamp::now() };
        // Refused means that an earlier order stands.
        drop(self.store.put(&self.keys.halt(), &halt, Condition::Absent).await?);
        Ok(())
    }

    /// A parcel's items.
    ///
    /// # Errors
    /// `Rejected` when the parcel was never planned; `Transient` from storage.
    pub async fn parcel(&self, phase: Phase, parcel: &str) -> Result<Parcel, Failure> {
        let key = self.keys.parcel(phase, parcel);
        match self.store.get(&key).await? {
            Some(found) => Ok(found.value),
            None => Err(Failure::rejected(
                "run.no_parcel",
                format!("There is no parcel at {key}; plan the wave first."),
            )),
        }
    }

    /// An item, if the inbox has it.
    ///
    /// # Errors
    /// `Transient` from storage; `Rejected` when the document is damaged.
    pub async fn read<T: DeserializeOwned>(
        &self,
        inbox: Inbox,
        name: &Name,
    ) -> Result<Option<T>, Failure> {
        Ok(self.store.get(&self.keys.item(inbox, name)).await?.map(|found| found.value))
    }

    /// An item that must be there.
    ///
    /// # Errors
    /// `Rejected` when it is not; otherwise as [`Run::read`].
    pub async fn expect<T: DeserializeOwned>(
        &self,
        inbox: Inbox,
        name: &Name,
    ) -> Result<T, Failure> {
        self.read(inbox, name).await?.ok_or_else(|| {
            let key = self.keys.item(inbox, name);
            Failure::rejected("run.no_item", format!("There is no item at {key}."))
        })
    }

    /// Writes an item, over an older version of itself if need be.
    ///
    /// # Errors
    /// `Transient` from storage.
    pub async fn write<T: Serialize + Sync>(
        &self,
        inbox: Inbox,
        name: &Name,
        item: &T,
    ) -> Result<(), Failure> {
        drop(self.store.put(&self.keys.item(inbox, name), item, Condition::Any).await?);
        Ok(())
    }

    /// Where a stage stopped in the middle of an item, if it did.
    ///
    /// # Errors
    /// `Transient` from storage; `Rejected` when the document is damaged.
    pub async fn progress<T: DeserializeOwned>(
        &self,
        stage: &str,
        name: &Name,
    ) -> Result<Option<T>, Failure> {
        Ok(self.store.get(&self.keys.progress(stage, name)).await?.map(|found| found.value))
    }

    /// Keeps where a stage stops in the middle of an item.
    ///
    /// # Errors
    /// `Transient` from storage.
    pub async fn keep_progress<T: Serialize + Sync>(
        &self,
        stage: &str,
        name: &Name,
        progress: &T,
    ) -> Result<(), Failure> {
        let key = self.keys.progress(stage, name);
        drop(self.store.put(&key, progress, Condition::Any).await?);
        Ok(())
    }

    /// Forgets where a stage stopped: the next attempt begins anew.
    ///
    /// # Errors
    /// `Transient` from storage.
    pub async fn forget_progress(&self, stage: &str, name: &Name) -> Result<(), Failure> {
        Ok(self.store.delete(&self.keys.progress(stage, name)).await?)
    }

    /// Aborts the uploads that the run left unfinished. To be called when no stage of it works any
    /// more; what is missed is swept by the bucket's lifecycle rule, so an error is only told.
    pub async fn abort_uploads(&self) {
        match self.store.abort_uploads(&self.keys.data()).await {
            Ok(0) => {}
            Ok(uploads) => tracing::info!(run = self.keys.run(), uploads, "unfinished, aborted"),
            Err(error) => {
                tracing::warn!(run = self.keys.run(), %error, "unfinished uploads are left");
            }
        }
    }

    /// Whether one of the inboxes has an item of that name.
    ///
    /// # Errors
    /// `Transient` from storage.
    pub async fn has_any(&self, inboxes: &[Inbox], name: &Name) -> Result<bool, Failure> {
        for inbox in inboxes {
            if self.store.exists(&self.keys.item(*inbox, name)).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Every name in an inbox, largest first.
    ///
    /// # Errors
    /// `Transient` from storage.
    pub async fn names(&self, inbox: Inbox) -> Result<Vec<Name>, Failure> {
        let listed = self.store.list(&self.keys.inbox(inbox)).await?;
        Ok(listed.iter().filter_map(|entry| Name::from_key(&entry.key)).collect())
    }

    /// Every item of an inbox, largest first.
    ///
    /// # Errors
    /// `Transient` from storage; `Rejected` when a document is damaged.
    pub async fn read_all<T: DeserializeOwned + Send>(
        &self,
        inbox: Inbox,
    ) -> Result<Vec<T>, Failure> {
        use futures::{StreamExt, TryStreamExt};
        let mut items = Vec::new();
        for batch in self.names(inbox).await?.chunks(BATCH) {
            let reads: Vec<_> = batch.iter().map(|name| self.read::<T>(inbox, name)).collect();
            let read: Vec<Option<T>> =
                futures::stream::iter(reads).buffered(16).try_collect().await?;
            items.extend(read.into_iter().flatten());
        }
        Ok(items)
    }

    /// Writes a file or member to `failed/`. The first reason is kept.
    ///
    /// # Errors
    /// `Transient` from storage.
    pub async fn fail(
        &self,
        phase: Phase,
        name: &Name,
        stage: &str,
        failure: Failure,
    ) -> Result<(), Failure> {
        let (file, member) = self.subject(phase, name).await?;
        let at = Timestamp::now();
        let failed =
            Failed { name: name.clone(), file, member, stage: stage.to_owned(), failure, at };
        let key = self.keys.item(Inbox::Failed, name);
        // Refused means that an earlier reason stands.
        drop(self.store.put(&key, &failed, Condition::Absent).await?);
        Ok(())
    }

    /// The file, and the member if it is one, that a phase knows under a name.
    async fn subject(
        &self,
        phase: Phase,
        name: &Name,
    ) -> Result<(FileRef, Option<String>), Failure> {
        if phase == Phase::Fetch {
            let item: FileItem = self.expect(Inbox::Discovered, name).await?;
            return Ok((item.file, None));
        }
        let item: MemberItem = self.expect(Inbox::Members, name).await?;
        Ok((item.file, Some(item.path)))
    }
}

fn parse_profile(key: &str, text: &[u8]) -> Result<Profile, Failure> {
    let text = std::str::from_utf8(text).map_err(|_| {
        Failure::misconfigured("profile.invalid", format!("The profile at {key} is not UTF-8."))
    })?;
    Profile::parse(text)
        .map_err(|problems| Failure::misconfigured("profile.invalid", format!("{key}: {problems}")))
}
