//! Quarantine: gives up on what a stage could not do of a parcel, item by item, with the reason.
//!
//! Runs inside a Map when a stage's retries are spent. What the stage did before it failed stays
//! done and goes on to the next stage, so one bad item never stops its neighbours.

use async_trait::async_trait;
use domain::events::{QuarantineInput, QuarantineOutput};
use domain::ids::Name;
use domain::items::MemberItem;
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
        let names: Vec<Name> = match &input.parcel {
            Some(parcel) => run.parcel(input.phase, parcel).await?.names,
            None => run.names(Inbox::Large).await?,
        };
        let mut quarantined = 0;
        for name in names {
            if run.has_any(&[Inbox::Failed], &name).await? || is_done(&run, &input, &name).await? {
                continue;
            }
            run.fail(input.phase, &name, &input.stage, failure.clone()).await?;
            quarantined += 1;
        }
        if failure.class == ErrorClass::Misconfigured {
            run.halt(&input.stage, &failure).await?;
        }
        Ok(QuarantineOutput { quarantined })
    }
}

/// Whether the stage that gave up had done the item before.
async fn is_done(run: &Run, input: &QuarantineInput, name: &Name) -> Result<bool, Failure> {
    match input.stage.as_str() {
        "download" => run.has_any(&[Inbox::Downloaded, Inbox::Skipped], name).await,
        "count-large" => run.has_any(&[Inbox::Counted], name).await,
        // An intent alone means that the API's answer is not known.
        "report" => {
            let item: Option<MemberItem> = run.read(Inbox::Reported, name).await?;
            Ok(item.and_then(|item| item.report).is_some_and(|report| report.answer.is_some()))
        }
        _ => run.has_any(Phase::outputs(input.phase), name).await,
    }
}
