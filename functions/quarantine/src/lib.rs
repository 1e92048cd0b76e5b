//! Quarantine: gives up on what is left of a parcel, item by item, with the reason.
//!
//! Runs inside a Map when a stage's retries are spent, so one bad parcel never stops its
//! neighbours. What was done before the failure stays done.

use async_trait::async_trait;
use domain::events::{QuarantineInput, QuarantineOutput};
use domain::ids::Name;
use domain::keys::{Inbox, Phase};
use domain::{Deadline, ErrorClass, Failure, Stage};
use storage::Store;
use storage::runs::Run;

/// The stage.
pub struct Quarantine {
    store: Store,
}

impl Quarantine {
    /// Works on that bucket's runs.
    #[must_use]
    pub const fn new(store: Store) -> Self {
        Self { store }
    }
}

#[async_trait]
impl Stage for Quarantine {
    type Input = QuarantineInput;
    type Output = QuarantineOutput;
    const NAME: &'static str = "quarantine";

    async fn handle(
        &self,
        input: QuarantineInput,
        _: Deadline,
    ) -> Result<QuarantineOutput, Failure> {
        let run = Run::new(&self.store, &input.partner, &input.run);
        let failure = input.error.failure();
        let (names, done): (Vec<Name>, &[Inbox]) = match &input.parcel {
            Some(parcel) => (run.parcel(input.phase, parcel).await?.names, input.phase.outputs()),
            None => (run.names(Inbox::Large).await?, &[Inbox::Counted]),
        };
        let mut quarantined = 0;
        for name in names {
            if run.has_any(done, &name).await? || run.has_any(&[Inbox::Failed], &name).await? {
                continue;
            }
            let stage = stage_reached(&run, &input, &name).await?;
            run.fail(input.phase, &name, stage, failure.clone()).await?;
            quarantined += 1;
        }
        if failure.class == ErrorClass::Misconfigured {
            run.halt(input.phase.word(), &failure).await?;
        }
        Ok(QuarantineOutput { quarantined })
    }
}

/// The stage that the item was in, told from what it left behind.
async fn stage_reached(
    run: &Run,
    input: &QuarantineInput,
    name: &Name,
) -> Result<&'static str, Failure> {
    let behind = |inbox| async move { run.has_any(&[inbox], name).await };
    Ok(match input.phase {
        Phase::Fetch if behind(Inbox::Downloaded).await? => "unpack",
        Phase::Fetch => "download",
        Phase::Inspect if input.parcel.is_none() => "count-large",
        Phase::Inspect => "inspect",
        Phase::Seal if reported(run, name).await? => "encrypt",
        Phase::Seal => "report",
        Phase::Deliver => "upload",
    })
}

/// Whether the third party answered; an intent alone means that report was not done.
async fn reported(run: &Run, name: &Name) -> Result<bool, Failure> {
    let item: Option<domain::items::MemberItem> = run.read(Inbox::Reported, name).await?;
    Ok(item.and_then(|item| item.report).is_some_and(|report| report.answer.is_some()))
}
