//! What the state machine passes to stages and gets back. Ids and keys only, never contents.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::heard::{Acknowledged, DeliveredManifest, Expected};
use crate::items::{Failed, Receipt};
use crate::keys::Phase;

/// How an execution is started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// Whose files.
    pub partner: String,
    /// The scheduler's time of this start; claimed once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_time: Option<String>,
    /// Only these source paths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<Vec<String>>,
    /// Only what failed in that run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<String>,
    /// Deliver again on purpose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resend: Option<Resend>,
}

/// Deliver again on purpose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resend {
    /// Source paths.
    pub paths: Vec<String>,
    /// Why; kept in the receipts.
    pub reason: String,
}

/// Discover's event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscoverInput {
    /// The run's id: the execution's name.
    pub run: String,
    /// The execution's ARN.
    pub execution: String,
    /// The execution's input.
    pub start: Start,
}

/// What Discover found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DiscoverOutcome {
    /// There is work.
    Ready,
    /// There is none.
    Nothing,
    /// This scheduled start was taken by another run.
    Duplicate,
    /// Another run of this partner is active.
    Busy,
}

/// Discover's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscoverOutput {
    /// What to do next.
    pub outcome: DiscoverOutcome,
    /// Files to carry.
    pub files: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// Most parallel invocations of each Map.
    pub concurrency: Concurrency,
}

/// Most parallel invocations of each Map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Concurrency {
    /// Connections to the source.
    pub fetch: u32,
    /// Counting.
    pub inspect: u32,
    /// Reporting and sealing.
    pub seal: u32,
    /// Connections to the target.
    pub deliver: u32,
}

/// What Discover saw, kept with the run for the summary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discovery {
    /// Discover's answer.
    pub output: DiscoverOutput,
    /// When the run began.
    pub started_at: Timestamp,
    /// How the execution was started.
    pub start: Start,
    /// Files in the source directory that matched.
    pub matched: u64,
    /// Of those, already delivered.
    pub already_delivered: u64,
    /// Of those, still being written or without their marker file.
    pub unsettled: u64,
    /// Symbolic links that matched and were not taken.
    #[serde(default)]
    pub left_alone: u64,
    /// Things to mend before they break, such as a certificate about to expire.
    pub warnings: Vec<String>,
    /// How it stands with the files that have to come.
    #[serde(default)]
    pub expected: Vec<Expected>,
}

/// Plan's event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanInput {
    /// Whose.
    pub partner: String,
    /// Which run.
    pub run: String,
    /// Which wave.
    pub phase: Phase,
}

/// Plan's answer: what the Map reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanOutput {
    /// How many parcels; the Map is skipped when there are none.
    pub parcels: u64,
    /// How many items they hold.
    pub items: u64,
    /// Bucket of the list.
    pub bucket: String,
    /// Key of the list.
    pub key: String,
    /// Prefix for the Map's own results.
    pub results: String,
}

/// One entry of a wave's list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParcelRef {
    /// The parcel's number, as text.
    pub parcel: String,
}

/// The event of every stage inside a Map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParcelInput {
    /// Whose.
    pub partner: String,
    /// Which run.
    pub run: String,
    /// Which wave.
    pub phase: Phase,
    /// Which parcel.
    pub parcel: String,
}

/// The answer of every stage inside a Map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParcelOutput {
    /// The deadline came first: call again with the same event.
    pub more: bool,
}

/// An error as a `Catch` stores it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaughtError {
    /// The error's name.
    #[serde(rename = "Error")]
    pub error: String,
    /// Its cause.
    #[serde(rename = "Cause", default)]
    pub cause: String,
}

impl CaughtError {
    /// The failure that it speaks of.
    #[must_use]
    pub fn failure(&self) -> Failure {
        Failure::from_catch(&self.error, &self.cause)
    }
}

/// Quarantine's event: a parcel, or without one the members left to Spark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineInput {
    /// Whose.
    pub partner: String,
    /// Which run.
    pub run: String,
    /// Which wave.
    pub phase: Phase,
    /// Which parcel; `None` for everything in the large inbox.
    #[serde(default)]
    pub parcel: Option<String>,
    /// The stage that gave up.
    pub stage: String,
    /// What went wrong.
    pub error: CaughtError,
}

/// Quarantine's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineOutput {
    /// How many items went to `failed/`.
    pub quarantined: u64,
}

/// Size's event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SizeInput {
    /// Whose.
    pub partner: String,
    /// Which run.
    pub run: String,
}

/// Size's answer: the Spark job for this work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SizeOutput {
    /// How many large members there are; the job is skipped when there are none.
    pub members: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// The job's program.
    pub entry_point: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Parameters of spark-submit.
    pub spark_submit_parameters: String,
    /// Makes a repeated start of the same job one job.
    pub client_token: String,
}

/// Finish's event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinishInput {
    /// Which run.
    pub run: String,
    /// The execution's ARN.
    pub execution: String,
    /// The machine's state: the start, and the error if one ended the run early.
    pub state: FinishState,
}

/// What Finish reads of the machine's state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinishState {
    /// Whose; anything at all when the execution was started by a wrong input.
    #[serde(default)]
    pub partner: serde_json::Value,
    /// What ended the run early.
    #[serde(default)]
    pub error: Option<CaughtError>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Everything was delivered.
    Delivered,
    /// There was nothing to deliver.
    Nothing,
    /// Something was quarantined, or the run ended early.
    Incomplete,
    /// Nothing of this partner can work until somebody mends it.
    Misconfigured,
    /// Everything was delivered, and the partner did not say in time that it arrived.
    Unacknowledged,
    /// An item is in no final place: a defect of ours.
    Unaccounted,
}

/// Finish's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinishOutput {
    /// How the run ended.
    pub verdict: Verdict,
    /// Members delivered.
    pub delivered: u64,
    /// Files and members quarantined.
    pub failed: u64,
    /// Key of the summary; empty when there was no partner to write one for.
    pub summary: String,
    /// Whether the partner still has to acknowledge: then the function is called again.
    pub more: bool,
    /// Seconds until then.
    pub wait_seconds: u64,
}

/// Connections that could be held at once: the profile's ceilings, or less of late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    /// To the source.
    pub source: u32,
    /// To the target.
    pub target: u32,
}

/// The run's summary, as `summary.json` holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Whose.
    pub partner: String,
    /// Which run.
    pub run: String,
    /// How it ended.
    pub verdict: Verdict,
    /// When it began, if it came that far.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Timestamp,
    /// What the run did, in numbers.
    pub totals: Totals,
    /// What ended the run early.
    pub error: Option<Failure>,
    /// Things to mend before they break.
    pub warnings: Vec<String>,
    /// How it stands with the files that have to come.
    #[serde(default)]
    pub expected: Vec<Expected>,
    /// The list of what was delivered, where the profile asks for one.
    #[serde(default)]
    pub manifest: Option<DeliveredManifest>,
    /// Whether the partner said that it arrived, where the profile asks for it.
    #[serde(default)]
    pub acknowledged: Option<Acknowledged>,
    /// Connections that could be held at once at the end, if the run came as far as its profile.
    #[serde(default)]
    pub connections: Option<Connections>,
    /// One per delivered member.
    pub receipts: Vec<Receipt>,
    /// One per quarantined file or member.
    pub failed: Vec<Failed>,
    /// Names of items in no final place.
    pub unaccounted: Vec<String>,
}

/// What a run did, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Source files that matched.
    pub matched: u64,
    /// Of those, delivered by an earlier run.
    pub already_delivered: u64,
    /// Of those, still being written.
    pub unsettled: u64,
    /// Symbolic links that matched and were left alone; each is among the warnings.
    #[serde(default)]
    pub left_alone: u64,
    /// Files taken.
    pub discovered: u64,
    /// Their size in bytes.
    pub discovered_bytes: u64,
    /// Files left to a later run after they were taken.
    pub skipped: u64,
    /// Members found in them.
    pub members: u64,
    /// Members delivered.
    pub delivered: u64,
    /// Of those, delivered by an earlier run that ended before it could say so.
    pub delivered_before: u64,
    /// Their plaintext size in bytes.
    pub delivered_bytes: u64,
    /// Their data records.
    pub records: u64,
    /// Files and members quarantined.
    pub failed: u64,
}
