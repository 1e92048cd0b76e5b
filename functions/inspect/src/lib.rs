//! Inspect: counts the records of each member.
//!
//! Small members are counted here; members above the partner's threshold are set aside for Spark.
//! A member that the ledger already has is not carried any further.

mod count;

use async_trait::async_trait;
use domain::events::{ParcelInput, ParcelOutput};
use domain::ids::Name;
use domain::items::{Counted, LedgerRow, MemberItem};
use domain::keys::{self, Inbox};
use domain::profile::Records;
use domain::{Deadline, Failure, Stage};
use records::Model;
use storage::Store;
use storage::runs::{Run, Work, work_through};

/// Members of one parcel that are counted at once.
const MEMBERS_AT_ONCE: usize = 4;

/// The stage.
pub struct Inspect {
    store: Store,
    sealable_bytes: u64,
}

impl Inspect {
    /// Counts inside that bucket. Members of more than `sealable_bytes` are rejected before anything
    /// is spent on them: Encrypt could not seal them within one invocation.
    #[must_use]
    pub const fn new(store: Store, sealable_bytes: u64) -> Self {
        Self { store, sealable_bytes }
    }
}

#[async_trait]
impl Stage for Inspect {
    type Input = ParcelInput;
    type Output = ParcelOutput;
    const NAME: &'static str = "inspect";

    async fn handle(
        &self,
        input: ParcelInput,
        deadline: Deadline,
    ) -> Result<ParcelOutput, Failure> {
        let run = Run::of(&self.store, &input);
        let rules = run.profile().await?.records;
        let work = Work {
            stage: Self::NAME,
            input: &input,
            done: &[Inbox::Counted, Inbox::Large, Inbox::Delivered],
            concurrency: MEMBERS_AT_ONCE,
            deadline,
        };
        work_through(&run, work, |name| {
            let (run, rules) = (&run, &rules);
            async move { inspect(run, rules, &name, self.sealable_bytes).await }
        })
        .await
    }
}

async fn inspect(
    run: &Run,
    rules: &Records,
    name: &Name,
    sealable_bytes: u64,
) -> Result<(), Failure> {
    let mut item: MemberItem = run.expect(Inbox::Members, name).await?;
    if item.resend.is_none() {
        let key = keys::ledger_member(run.keys().partner(), name.id());
        let row = run.store().get::<LedgerRow>(&key).await?;
        if let Some(receipt) = row.and_then(|row| row.value.delivered) {
            return run.write(Inbox::Delivered, name, &receipt).await;
        }
    }
    if item.bytes > sealable_bytes {
        return Err(Failure::rejected(
            "inspect.too_large_to_seal",
            format!(
                "{} has {} bytes. A member is sealed within one invocation, which takes \
                 {sealable_bytes} bytes at most; ask the partner to split it, or raise \
                 DRAYAGE_SEALABLE_BYTES if your Encrypt is faster.",
                item.label(),
                item.bytes
            ),
        ));
    }
    if item.bytes > rules.large_above_bytes && Model::of(rules)?.is_splittable() {
        return run.write(Inbox::Large, name, &item).await;
    }
    let records = count::count(run.store(), rules, &item).await?;
    item.count = Some(Counted { records, by: Inspect::NAME.to_owned() });
    run.write(Inbox::Counted, name, &item).await
}
