//! The histogram: how often which fault struck which stage.

use std::collections::BTreeMap;
use std::fmt;

use super::plan::{Fault, STAGES, cells, possible};
use super::seed::Outcome;

/// A cell that was struck less often shows nothing.
const LEAST: u32 = 5;

/// What came of many seeds.
#[derive(Debug, Default)]
pub struct Tally {
    cells: BTreeMap<(String, Fault), u32>,
    ways: BTreeMap<Fault, BTreeMap<String, u32>>,
    /// Seeds after which every law held.
    pub passed: u32,
    /// Seeds after which one did not.
    pub failed: u32,
}

impl Tally {
    /// Counts one seed.
    pub fn add(&mut self, outcome: &Outcome) {
        for (stage, fault, how) in &outcome.strikes {
            *self.cells.entry((stage.clone(), *fault)).or_default() += 1;
            let how = how.split([':', '/']).next().unwrap_or_default().trim().to_owned();
            *self.ways.entry(*fault).or_default().entry(how).or_default() += 1;
        }
        match outcome.broken.is_empty() {
            true => self.passed += 1,
            false => self.failed += 1,
        }
    }

    fn struck(&self, stage: &str, fault: Fault) -> u32 {
        self.cells.get(&(stage.to_owned(), fault)).copied().unwrap_or_default()
    }

    /// Cells that were struck too seldom to show anything.
    #[must_use]
    pub fn thin(&self) -> Vec<String> {
        let thin = cells().into_iter().filter(|(stage, fault)| self.struck(stage, *fault) < LEAST);
        thin.map(|(stage, fault)| format!("{stage} {}", fault.word())).collect()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<12}", "stage")?;
        for fault in Fault::ALL {
            write!(f, "{:>9}", fault.word())?;
        }
        for stage in STAGES {
            write!(f, "\n{stage:<12}")?;
            for fault in Fault::ALL {
                match possible(stage, *fault) {
                    true => write!(f, "{:>9}", self.struck(stage, *fault))?,
                    false => write!(f, "{:>9}", ".")?,
                }
            }
        }
        writeln!(f)
    }
}
