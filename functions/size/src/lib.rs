//! Size: the Spark job for one partner's large members.
//!
//! The answer holds spark-submit's parameters, so the state machine needs no arithmetic. A profile
//! cannot ask for a worker that EMR Serverless does not offer: that is a problem of the profile.

mod capacity;

use async_trait::async_trait;
use domain::events::{SizeInput, SizeOutput};
use domain::ids::text_id;
use domain::keys::Inbox;
use domain::profile::Spark;
use domain::{Deadline, Failure, Stage};
use storage::Store;
use storage::runs::Run;

pub use capacity::{Capacity, Share};

/// Bytes that one core counts before another core is worth its start: smaller work asks for less.
const BYTES_PER_CORE: u64 = 1 << 30;

/// Ranges for each core, so that a slow one leaves little to wait for.
const SPLITS_PER_CORE: u32 = 4;

/// The stage.
pub struct Size {
    store: Store,
    job_prefix: String,
}

impl Size {
    /// `job_prefix` is where the job's program lies, such as `s3://bucket/jobs/0.1.0`.
    #[must_use]
    pub const fn new(store: Store, job_prefix: String) -> Self {
        Self { store, job_prefix }
    }
}

#[async_trait]
impl Stage for Size {
    type Input = SizeInput;
    type Output = SizeOutput;
    const NAME: &'static str = "size";

    async fn handle(&self, input: SizeInput, _: Deadline) -> Result<SizeOutput, Failure> {
        let run = Run::new(&self.store, &input.partner, &input.run);
        let names = run.names(Inbox::Large).await?;
        let bytes = names.iter().map(domain::ids::Name::size_bytes).sum();
        let profile = run.profile().await?;
        let spark = for_work(&profile.spark, bytes);
        let prefix = self.job_prefix.trim_end_matches('/');
        Ok(SizeOutput {
            members: names.len() as u64,
            bytes,
            entry_point: format!("{prefix}/count_large.py"),
            arguments: vec![
                "--bucket".to_owned(),
                self.store.bucket().to_owned(),
                "--partner".to_owned(),
                input.partner,
                "--run".to_owned(),
                input.run.clone(),
                "--splits".to_owned(),
                (spark.executors * spark.cores * SPLITS_PER_CORE).to_string(),
            ],
            spark_submit_parameters: parameters(&spark, prefix),
            // An execution's name may be longer than a token may be.
            client_token: text_id("spark", &input.run),
        })
    }
}

/// As many executors as the work can keep busy, at most what the profile says.
fn for_work(spark: &Spark, bytes: u64) -> Spark {
    let per_executor = BYTES_PER_CORE.saturating_mul(u64::from(spark.cores)).max(1);
    let useful = u32::try_from(bytes.div_ceil(per_executor)).unwrap_or(u32::MAX).max(1);
    Spark { executors: spark.executors.min(useful), ..spark.clone() }
}

/// One gigabyte of each worker is Spark's overhead; the driver is a worker like the others.
fn parameters(spark: &Spark, prefix: &str) -> String {
    let heap = spark.memory_gb.saturating_sub(1).max(1);
    [
        format!("spark.executor.instances={}", spark.executors),
        format!("spark.executor.cores={}", spark.cores),
        format!("spark.executor.memory={heap}g"),
        "spark.executor.memoryOverhead=1g".to_owned(),
        format!("spark.driver.cores={}", spark.cores),
        format!("spark.driver.memory={heap}g"),
        "spark.driver.memoryOverhead=1g".to_owned(),
        "spark.dynamicAllocation.enabled=false".to_owned(),
        format!("spark.archives={prefix}/count-large.tar.gz#counter"),
    ]
    .iter()
    .map(|setting| format!("--conf {setting}"))
    .collect::<Vec<_>>()
    .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_work_asks_for_less_and_large_work_for_the_profile() {
        let spark = Spark::default();
        assert_eq!(for_work(&spark, 1).executors, 1);
        assert_eq!(for_work(&spark, (2 << 30) + 1).executors, 2);
        assert_eq!(for_work(&spark, 1 << 40).executors, 4);
    }

    #[test]
    fn eight_gigabytes_are_seven_of_heap_and_one_of_overhead() {
        let text = parameters(&Spark::default(), "s3://b/jobs/1");
        assert!(text.contains("spark.executor.memory=7g") && text.contains("memoryOverhead=1g"));
        assert!(text.contains("spark.dynamicAllocation.enabled=false"));
    }
}
