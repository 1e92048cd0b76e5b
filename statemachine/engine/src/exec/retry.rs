//! When a failed state is tried again.

use std::time::Duration;

use crate::fault::Fault;
use crate::machine::RetryRow;

/// No delay is longer: AWS accepts a MaxDelaySeconds of less than a year and a day.
const MAX_DELAY_SECONDS: f64 = 31_622_400.0;

/// How often each row of a state's Retry was used since the state was entered.
pub(super) struct Attempts<'a> {
    rows: &'a [RetryRow],
    used: Vec<u32>,
}

impl<'a> Attempts<'a> {
    pub(super) fn new(rows: &'a [RetryRow]) -> Self {
        Self { rows, used: vec![0; rows.len()] }
    }

    /// The delay before the next attempt, or `None` if there is none. Only the first row that
    /// names the error counts; `chance` is from 0 to 1.
    pub(super) fn next(&mut self, fault: &Fault, chance: impl Fn() -> f64) -> Option<Duration> {
        let mut rows = self.rows.iter().zip(&mut self.used);
        let (row, used) = rows.find(|(row, _)| fault.matches(&row.error_equals))?;
        if *used >= row.max_attempts {
            return None;
        }
        let grown = row.interval_seconds as f64 * row.backoff_rate.powf(f64::from(*used));
        *used = used.saturating_add(1);
        let most = row.max_delay_seconds.map_or(MAX_DELAY_SECONDS, |most| most as f64);
        let delay = grown.min(most);
        let delay = if row.full_jitter { delay * chance() } else { delay };
        Some(Duration::try_from_secs_f64(delay).unwrap_or(Duration::ZERO))
    }
}
