//! How many items of a distributed Map may fail before the Map does.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use super::perform::limit;
use super::step::Visit;
use crate::fault::Fault;
use crate::machine::model::{Limit, Percentage, Tolerance};

const THRESHOLD_EXCEEDED: &str = "States.ExceedToleratedFailureThreshold";

/// The failures of one Map Run, counted against what it tolerates.
pub(super) struct Failures {
    items: usize,
    most: Option<u64>,
    most_percent: Option<f64>,
    failed: AtomicUsize,
}

impl Failures {
    /// No failures yet, of that many items.
    pub(super) fn new(
        visit: &Visit<'_>,
        tolerance: &Tolerance,
        input: &Value,
        items: usize,
    ) -> Result<Self, Fault> {
        let most = match &tolerance.count {
            Limit::None => None,
            given => Some(limit(visit, "ToleratedFailureCountPath", given, input, 0)?),
        };
        let most_percent = match &tolerance.percentage {
            Percentage::None => None,
            Percentage::Fixed(percentage) => Some(*percentage),
            Percentage::Path(path) => {
                let value = path.find(input, &visit.context).and_then(Value::as_f64);
                let fits = |percentage: &f64| (0.0..=100.0).contains(percentage);
                let percentage = value.filter(fits).ok_or_else(|| {
                    Fault::runtime(format!(
                        "The ToleratedFailurePercentagePath '{}' must hold a number from 0 to 100.",
                        path.text()
                    ))
                })?;
                Some(percentage)
            }
        };
        Ok(Self { items, most, most_percent, failed: AtomicUsize::new(0) })
    }

    /// Counts the items of a child that failed; an error if these are too many now.
    pub(super) fn count(&self, items: usize, fault: &Fault) -> Result<(), Fault> {
        let failed = self.failed.fetch_add(items, Ordering::SeqCst).saturating_add(items);
        let too_many = match (self.most, self.most_percent) {
            (None, None) => true,
            (most, most_percent) => {
                let percent = failed as f64 * 100.0 / self.items.max(1) as f64;
                most.is_some_and(|most| failed as u64 > most)
                    || most_percent.is_some_and(|most| percent > most)
            }
        };
        if !too_many {
            return Ok(());
        }
        let cause = format!(
            "The specified tolerated failure threshold was exceeded: a child failed with {} ({})",
            fault.error, fault.cause
        );
        Err(Fault::new(THRESHOLD_EXCEEDED, cause))
    }
}
