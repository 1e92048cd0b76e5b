//! Which Spark workers EMR Serverless offers.

use super::Spark;

/// Cores, least and most memory in GB, step in GB.
const WORKERS: [(u32, u32, u32, u32); 5] =
    [(1, 2, 8, 1), (2, 4, 16, 1), (4, 8, 30, 1), (8, 16, 60, 4), (16, 32, 120, 8)];

impl Spark {
    /// Whether EMR Serverless offers such a worker.
    ///
    /// # Errors
    /// A sentence with what it offers.
    pub fn check(&self) -> Result<(), String> {
        let offered = WORKERS.iter().any(|(cores, least, most, step)| {
            self.cores == *cores
                && (*least..=*most).contains(&self.memory_gb)
                && (self.memory_gb - least).is_multiple_of(*step)
        });
        if offered && self.executors > 0 {
            return Ok(());
        }
        let table: Vec<String> = WORKERS
            .iter()
            .map(|(cores, least, most, step)| {
                format!("{cores} cores with {least} to {most} GB in steps of {step}")
            })
            .collect();
        Err(format!(
            "asks for {} executors of {} cores and {} GB; at least one executor is needed and EMR \
             Serverless offers {}.",
            self.executors,
            self.cores,
            self.memory_gb,
            table.join(", ")
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_worker_is_offered_and_odd_ones_are_refused_with_the_table() {
        assert_eq!(Spark::default().check(), Ok(()));
        for (executors, cores, memory_gb) in [(4, 3, 8), (4, 2, 17), (4, 8, 18), (0, 2, 8)] {
            let message = Spark { executors, cores, memory_gb }.check().expect_err("odd");
            assert!(message.contains("2 cores with 4 to 16 GB"), "{message}");
        }
    }
}
