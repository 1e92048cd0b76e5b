//! Jobs on threads of this process, in the place of Spark.

use std::path::Path;

use async_trait::async_trait;
use storage::Store;
use storage::runs::Run;

use super::{Runner, SparkSubmitDriver};

/// The range counter on every core of this machine. Knows this one job, by its arguments.
pub struct Threads {
    store: Store,
}

impl Threads {
    /// Counts in that bucket.
    #[must_use]
    pub const fn new(store: Store) -> Self {
        Self { store }
    }
}

#[async_trait]
impl Runner for Threads {
    async fn run(&self, job: &SparkSubmitDriver, _: &Path) -> Result<(), String> {
        let given = &job.entry_point_arguments;
        let argument = |name: &str| {
            let mut pairs = given.iter().zip(given.iter().skip(1));
            pairs.find(|(key, _)| *key == name).map(|(_, value)| value.as_str())
        };
        let (Some(partner), Some(run)) = (argument("--partner"), argument("--run")) else {
            return Err("The job's arguments name no --partner and --run.".to_owned());
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let run = Run::new(&self.store, partner, run);
        count_large::on_threads(&run, threads)
            .await
            .map(drop)
            .map_err(|failure| failure.to_string())
    }
}
