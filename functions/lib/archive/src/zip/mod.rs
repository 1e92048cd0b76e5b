//! Zip archives: the central directory decides, every entry is checked before the first is passed on.

mod cipher;
mod decode;
mod directory;
mod end;
mod fields;
mod member;
mod plan;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::Job;
use crate::error::{Error, Reason};
use crate::meter::{self, Verdict};
use crate::sink::Outcome;
use crate::source::Cursor;
use plan::Planned;

/// Unpacks the archive: directory, plan, then members in parallel, each worker over its own request.
pub(crate) fn unpack(job: &Job<'_>) -> Result<Outcome, Error> {
    let directory = directory::read(job)?;
    let batches = plan::plan(job, &directory)?;
    let workers = job.options.parallelism.clamp(1, 64).min(batches.len());
    let crew = Crew {
        job,
        batches: &batches,
        next: AtomicUsize::new(0),
        stopped: AtomicBool::new(false),
        broken: AtomicU64::new(u64::MAX),
        result: Mutex::default(),
    };
    std::thread::scope(|scope| {
        let hands: Vec<_> = (0..workers).map(|_| scope.spawn(|| crew.work())).collect();
        for hand in hands {
            if hand.join().is_err() {
                let reason = Reason::corrupt("a decoder broke down on it");
                crew.fail(u64::MAX, job.refuse(None, reason));
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
    stopped: AtomicBool,
    /// Where the first member lies that failed. Those before it are still looked at, so that the
    /// verdict does not depend on which worker was faster.
    broken: AtomicU64,
    /// The sum so far, and the first failure with its place.
    result: Mutex<(Outcome, Option<(u64, Error)>)>,
}

impl Crew<'_> {
    fn work(&self) {
        let mut cursor = Cursor::new(self.job.source, 0);
        while let Some(batch) = self.batches.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            for planned in batch {
                let offset = planned.record.offset;
                let stopped = self.stopped.load(Ordering::Relaxed);
                if stopped || offset > self.broken.load(Ordering::Relaxed) {
                    return;
                }
                match self.one(&mut cursor, planned) {
                    Ok(done) => self.add(done),
                    Err(error) => return self.fail(offset, error),
                }
            }
        }
    }

    fn one(&self, cursor: &mut Cursor<'_>, planned: &Planned<'_>) -> Result<Outcome, Error> {
        let taken = match meter::consult(self.job, &planned.entry)? {
            Verdict::Pass => return Ok(Outcome { skipped: 1, ..Outcome::default() }),
            Verdict::Stop => None,
            Verdict::Take => member::unpack(self.job, cursor, planned)?,
        };
        Ok(match taken {
            Some(bytes) => Outcome { members: 1, bytes, ..Outcome::default() },
            None => {
                self.stopped.store(true, Ordering::Relaxed);
                Outcome { more: true, ..Outcome::default() }
            }
        })
    }

    fn add(&self, done: Outcome) {
        let mut result = self.result.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = &mut result.0;
        sum.members += done.members;
        sum.bytes += done.bytes;
        sum.skipped += done.skipped;
        sum.more |= done.more;
    }

    fn fail(&self, offset: u64, error: Error) {
        self.broken.fetch_min(offset, Ordering::Relaxed);
        let mut result = self.result.lock().unwrap_or_else(PoisonError::into_inner);
        if result.1.as_ref().is_none_or(|(first, _)| offset < *first) {
            result.1 = Some((offset, error));
        }
    }
}
