//! Carries one member from decoder to sink, counting on the way, and commits it only when whole.

use std::io::{self, BufReader, Read};

use crate::Job;
use crate::error::{Error, Reason};
use crate::frames::{Codec, Frames, Room};
use crate::restart::{Decode, Restart};
use crate::sink::{Entry, MemberWriter, Outcome};
use crate::source::{Cursor, Fault};
use crate::window::Place;

/// Size of the buffers between source, decoder and sink.
pub(crate) const BUFFER_BYTES: usize = 128 << 10;
/// How far beyond its time a member is decoded in search of a place where it can be entered again.
/// Blocks of deflate are smaller by far, but nothing bounds them.
const OVERDUE_BYTES: usize = 64 << 20;

/// Counts what comes out of a reader and fails once it is more than the stored bytes may become.
pub(crate) struct Metered<R> {
    inner: R,
    produced: u64,
    allowance: u64,
    max_ratio: u64,
}

impl<R: Read> Metered<R> {
    /// Allows what `stored` bytes may become under the job's limits, `produced` of them before.
    pub(crate) fn new(inner: R, job: &Job<'_>, stored: u64, produced: u64) -> Self {
        Self {
            inner,
            produced,
            allowance: job.limits.allowance(stored),
            max_ratio: job.limits.max_ratio,
        }
    }
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buf)?;
        self.produced = self.produced.saturating_add(read as u64);
        if self.produced > self.allowance {
            return Err(Reason::Ratio(self.max_ratio).into());
        }
        Ok(read)
    }
}

/// The whole source, decompressed and metered.
pub(crate) type Decompressed<'a> = Metered<Frames<BufReader<Cursor<'a>>>>;

impl Decode for Decompressed<'_> {
    fn stands(&self) -> Option<bool> {
        self.inner.stands()
    }
}

impl Decompressed<'_> {
    /// The place behind the last byte that was read, if it can be entered there.
    pub(crate) fn restart(&self) -> Option<Restart> {
        self.inner.restart()
    }
}

/// Opens the whole source through a decompressor.
pub(crate) fn decompressed<'a>(
    job: &Job<'a>,
    codec: Codec,
    place: Option<Place>,
) -> (Decompressed<'a>, Fault) {
    let (source, fault) = source(job, 0);
    let frames = Frames::new(source, codec, Room::Shared(place));
    (Metered::new(frames, job, job.source.len(), 0), fault)
}

/// Opens the whole source through gzip's decompressor that can be entered again, at its start or
/// behind `produced` bytes.
pub(crate) fn enterable<'a>(
    job: &Job<'a>,
    restart: Option<Restart>,
    produced: u64,
) -> io::Result<(Decompressed<'a>, Fault)> {
    let (source, fault) = source(job, restart.as_ref().map_or(0, |restart| restart.source));
    let frames = Frames::enterable(source, restart)?;
    Ok((Metered::new(frames, job, job.source.len(), produced), fault))
}

fn source<'a>(job: &Job<'a>, position: u64) -> (BufReader<Cursor<'a>>, Fault) {
    let cursor = Cursor::new(job.source, position);
    let fault = cursor.fault();
    (BufReader::with_capacity(BUFFER_BYTES, cursor), fault)
}

/// Running totals of one call.
#[derive(Default)]
pub(crate) struct Tally {
    /// What is reported.
    pub(crate) outcome: Outcome,
    /// Bytes of members, skipped ones included, for the limit.
    pub(crate) claimed: u64,
}

impl Tally {
    /// Adds bytes of a member to the total and checks the limit.
    pub(crate) fn claim(&mut self, job: &Job<'_>, bytes: u64) -> Result<(), Reason> {
        self.claimed = self.claimed.saturating_add(bytes);
        if self.claimed > job.limits.max_bytes {
            return Err(Reason::Bytes(job.limits.max_bytes));
        }
        Ok(())
    }
}

/// What the sink decided about an entry.
pub(crate) enum Verdict {
    /// Its bytes are needed.
    Take,
    /// The sink has it.
    Pass,
    /// No time is left.
    Stop,
}

/// Asks the sink about an entry.
pub(crate) fn consult(job: &Job<'_>, entry: &Entry) -> Result<Verdict, Error> {
    let wanted = job.sink.wanted(entry).map_err(|source| job.unwritable(&entry.path, source))?;
    Ok(match (wanted, wanted && job.sink.stop()) {
        (false, _) => Verdict::Pass,
        (true, true) => Verdict::Stop,
        (true, false) => Verdict::Take,
    })
}

/// How the copy of a member ended.
pub(crate) enum Copied {
    /// The reader has ended; the whole member has so many bytes.
    Whole(u64),
    /// The sink asked to stop, at a place that [`Delivery::keep`] takes.
    Paused,
    /// The sink asked to stop while what it has was passed over: there is nothing new to keep.
    Stopped,
}

/// One member on its way to the sink; dropped without [`commit`](Self::commit) or
/// [`keep`](Self::keep) it is aborted.
pub(crate) struct Delivery<'a> {
    job: &'a Job<'a>,
    path: &'a str,
    writer: Box<dyn MemberWriter>,
    /// Bytes that the sink has and the reader does not give.
    before: u64,
    /// Bytes that the reader gives and the sink has.
    passed_over: u64,
}

impl<'a> Delivery<'a> {
    /// Opens the sink for the entry.
    pub(crate) fn begin(job: &'a Job<'a>, entry: &'a Entry) -> Result<Self, Error> {
        let path = entry.path.as_str();
        let writer = job.sink.begin(entry).map_err(|source| job.unwritable(path, source))?;
        let passed_over = writer.kept().map_or(0, |kept| kept.bytes);
        Ok(Self { job, path, writer, before: 0, passed_over })
    }

    /// Bytes that the sink has from earlier calls.
    pub(crate) fn kept_bytes(&self) -> u64 {
        self.writer.kept().map_or(0, |kept| kept.bytes)
    }

    /// The place behind the bytes that the sink has; the reader has to begin there.
    pub(crate) fn restart(&mut self) -> Option<Restart> {
        let restart = self.writer.kept()?.restart.clone()?;
        self.is_behind_kept();
        Some(restart)
    }

    /// Whether to use the slower decoder that can be entered again, for a member of that many bytes.
    pub(crate) fn takes_longer(&self, bytes: u64) -> bool {
        self.kept_bytes() > 0 || self.job.sink.takes_longer(bytes)
    }

    /// The caller has brought the reader behind the bytes that the sink has.
    pub(crate) fn is_behind_kept(&mut self) {
        self.before += std::mem::take(&mut self.passed_over);
    }

    /// Copies until the reader ends. `look` sees every piece before the sink does.
    pub(crate) fn copy(
        &mut self,
        reader: &mut dyn Decode,
        fault: &Fault,
        look: &mut dyn FnMut(&[u8]) -> Result<(), Reason>,
    ) -> Result<Copied, Error> {
        let (job, path) = (self.job, self.path);
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut length = self.before;
        let mut overdue: usize = 0;
        loop {
            let read = match reader.read(&mut buffer) {
                Ok(0) if self.passed_over > 0 => {
                    let reason = Reason::corrupt("it has fewer bytes than it had before");
                    return Err(job.refuse(Some(path), reason));
                }
                Ok(0) => return Ok(Copied::Whole(length)),
                Ok(read) => read,
                Err(error) => return Err(job.undecodable(Some(path), &error, fault)),
            };
            let piece = buffer.get(..read).unwrap_or_default();
            length = length.saturating_add(read as u64);
            look(piece).map_err(|reason| job.refuse(Some(path), reason))?;
            let had = usize::try_from(self.passed_over).map_or(read, |had| had.min(read));
            self.passed_over -= had as u64;
            let new = piece.get(had..).unwrap_or_default();
            if new.is_empty() {
                job.refuse_exhausted(Some(path), length)?;
                if job.sink.pause() {
                    return Ok(Copied::Stopped);
                }
                continue;
            }
            self.writer.write_all(new).map_err(|source| job.unwritable(path, source))?;
            if job.sink.pause() {
                overdue = overdue.saturating_add(read);
                if reader.stands() != Some(false) || overdue > OVERDUE_BYTES {
                    return Ok(Copied::Paused);
                }
            }
        }
    }

    /// Stops within the member.
    pub(crate) fn keep(self, restart: Option<Restart>) -> Result<(), Error> {
        self.writer.keep(restart).map_err(|source| self.job.unwritable(self.path, source))
    }

    /// The caller has verified the member: it is whole.
    pub(crate) fn commit(self) -> Result<(), Error> {
        self.writer.commit().map_err(|source| self.job.unwritable(self.path, source))
    }
}
