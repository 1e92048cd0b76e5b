//! Zip archives: the central directory decides, every entry is checked before the first is passed on.

mod cipher;
mod decode;
mod directory;
mod fields;
mod member;
mod plan;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::Job;
use crate::error::{Error, Reason};
use crate::meter::{self, Verdict};
use crate::sink::Outcome;
use crate::source::Cursor;
use plan::Planned;

/// Unpacks the archive: directory, plan, then members in parallel, each worker over its own request.
pub(crate) fn unpack(job: &Job<'_>) -> Result<Outcome, Error> {
    let records = directory::read(job)?;
    let batches = plan::plan(job, &records)?;
    // Dictionaries of these are large, so only one is open at a time: memory stays flat.
    let heavy = records.iter().any(|record| decode::is_heavy(record.method));
    let workers = if heavy { 1 } else { job.options.parallelism.clamp(1, 64) }.min(batches.len());
    let crew = Crew {
        job,
        batches: &batches,
        next: AtomicUsize::new(0),
        halted: AtomicBool::new(false),
        result: Mutex::new((Outcome::default(), None)),
    };
    std::thread::scope(|scope| {
        let hands: Vec<_> = (0..workers).map(|_| scope.spawn(|| crew.work())).collect();
        for hand in hands {
            if hand.join().is_err() {
                let reason = Reason::corrupt("a decoder broke down on it");
                crew.fail(u32::MAX, job.refuse(None, reason));
            }
        }
    });
    let (outcome, failure) = crew.result.into_inner().unwrap_or_else(PoisonError::into_inner);
    match failure {
        Some((_, error)) => Err(error),
        None => Ok(outcome),
    }
}

/// What the workers share.
struct Crew<'a> {
    job: &'a Job<'a>,
    batches: &'a [Vec<Planned<'a>>],
    next: AtomicUsize,
    halted: AtomicBool,
    /// The sum so far, and the failure of the lowest entry, so that the verdict does not depend on
    /// which worker was faster.
    result: Mutex<(Outcome, Option<(u32, Error)>)>,
}

impl Crew<'_> {
    fn work(&self) {
        while let Some(batch) = self.batches.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            let mut cursor = Cursor::new(self.job.source, 0);
            for planned in batch {
                if self.halted.load(Ordering::Relaxed) {
                    return;
                }
                match self.one(&mut cursor, planned) {
                    Ok(done) => self.add(done),
                    Err(error) => self.fail(planned.entry.index, error),
                }
            }
        }
    }

    fn one(&self, cursor: &mut Cursor<'_>, planned: &Planned<'_>) -> Result<Outcome, Error> {
        let mut done = Outcome::default();
        match meter::consult(self.job, &planned.entry)? {
            Verdict::Pass => done.skipped = 1,
            Verdict::Stop => {
                done.more = true;
                self.halted.store(true, Ordering::Relaxed);
            }
            Verdict::Take => {
                done.bytes = member::unpack(self.job, cursor, planned)?;
                done.members = 1;
            }
        }
        Ok(done)
    }

    fn add(&self, done: Outcome) {
        let mut result = self.result.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = &mut result.0;
        sum.members += done.members;
        sum.bytes += done.bytes;
        sum.skipped += done.skipped;
        sum.more |= done.more;
    }

    fn fail(&self, index: u32, error: Error) {
        self.halted.store(true, Ordering::Relaxed);
        let mut result = self.result.lock().unwrap_or_else(PoisonError::into_inner);
        if result.1.as_ref().is_none_or(|(lowest, _)| index < *lowest) {
            result.1 = Some((index, error));
        }
    }
}
