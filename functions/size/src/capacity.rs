//! What partners' jobs need at once, and the application that can hold them all.

use std::ops::Add;

use domain::profile::Spark;

/// Two executors share a worker in the formula: N partners have 2N workers, 4N executors.
const EXECUTORS_PER_WORKER: u64 = 2;
/// What EMR Serverless gives an executor or a driver at the least, in GB.
const DISK_GB: u64 = 20;

/// What one partner's job has at most, its driver apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Workers.
    pub workers: u64,
    /// Executors.
    pub executors: u64,
    /// Cores of all executors.
    pub cores: u64,
    /// Memory of all executors in GB, overhead included.
    pub memory_gb: u64,
}

impl Share {
    /// What that profile asks for.
    #[must_use]
    pub fn of(spark: &Spark) -> Self {
        let executors = u64::from(spark.executors);
        Self {
            workers: executors.div_ceil(EXECUTORS_PER_WORKER),
            executors,
            cores: executors * u64::from(spark.cores),
            memory_gb: executors * u64::from(spark.memory_gb),
        }
    }
}

impl Add for Share {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            workers: self.workers + other.workers,
            executors: self.executors + other.executors,
            cores: self.cores + other.cores,
            memory_gb: self.memory_gb + other.memory_gb,
        }
    }
}

/// The most that an EMR Serverless application may use at once, drivers included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    /// vCPUs.
    pub cores: u64,
    /// Memory in GB.
    pub memory_gb: u64,
    /// Disk in GB.
    pub disk_gb: u64,
}

impl Capacity {
    /// Room for every partner's job at the same time.
    #[must_use]
    pub fn of<'a>(partners: impl IntoIterator<Item = &'a Spark>) -> Self {
        partners.into_iter().fold(Self::default(), |sum, spark| {
            let share = Share::of(spark);
            Self {
                cores: sum.cores + share.cores + u64::from(spark.cores),
                memory_gb: sum.memory_gb + share.memory_gb + u64::from(spark.memory_gb),
                disk_gb: sum.disk_gb + (share.executors + 1) * DISK_GB,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partners_of_the_default_follow_the_formula() {
        let spark = Spark::default();
        for partners in [1, 2, 7] {
            let all = vec![spark.clone(); partners];
            let share = all.iter().map(Share::of).fold(Share::default(), Add::add);
            let n = partners as u64;
            let expected =
                Share { workers: 2 * n, executors: 4 * n, cores: 8 * n, memory_gb: 32 * n };
            assert_eq!(share, expected);
            let expected = Capacity { cores: 10 * n, memory_gb: 40 * n, disk_gb: 100 * n };
            assert_eq!(Capacity::of(&all), expected);
        }
        assert_eq!(Capacity::of([]), Capacity::default());
    }

    #[test]
    fn a_partner_of_its_own_size_counts_as_that() {
        let large = Spark { executors: 5, cores: 4, memory_gb: 30 };
        let share = Share { workers: 3, executors: 5, cores: 20, memory_gb: 150 };
        assert_eq!(Share::of(&large), share);
        let both = Capacity { cores: 34, memory_gb: 220, disk_gb: 220 };
        assert_eq!(Capacity::of([&large, &Spark::default()]), both);
    }
}
