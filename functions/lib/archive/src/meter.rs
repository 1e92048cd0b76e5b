//! Carries one member from decoder to sink, counting on the way, and commits it only when whole.

use std::io::{self, BufReader, Read};

use crate::Job;
use crate::error::{Error, Reason};
use crate::frames::{Codec, Frames, Room};
use crate::sink::{Entry, MemberWriter, Outcome};
use crate::source::{Cursor, Fault};
use crate::window::Place;

/// Size of the buffers between source, decoder and sink.
pub(crate) const BUFFER_BYTES: usize = 128 << 10;

/// Counts what comes out of a reader and fails once it is more than the stored bytes may become.
pub(crate) struct Metered<R> {
    inner: R,
    produced: u64,
    allowance: u64,
    max_ratio: u64,
}

impl<R: Read> Metered<R> {
    /// Allows what `stored` bytes may become under the job's limits.
    pub(crate) fn new(inner: R, job: &Job<'_>, stored: u64) -> Self {
        Self {
            inner,
            produced: 0,
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

/// Opens the whole source through a decompressor.
pub(crate) fn decompressed<'a>(
    job: &Job<'a>,
    codec: Codec,
    place: Option<Place>,
) -> (Decompressed<'a>, Fault) {
    let room = Room::Shared(place);
    let cursor = Cursor::new(job.source, 0);
    let fault = cursor.fault();
    let frames = Frames::new(BufReader::with_capacity(BUFFER_BYTES, cursor), codec, room);
    (Metered::new(frames, job, job.source.len()), fault)
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

/// One member on its way to the sink; dropped without [`commit`](Self::commit) it is aborted.
pub(crate) struct Delivery<'a> {
    job: &'a Job<'a>,
    path: &'a str,
    writer: Box<dyn MemberWriter>,
}

impl<'a> Delivery<'a> {
    /// Opens the sink for the entry.
    pub(crate) fn begin(job: &'a Job<'a>, entry: &'a Entry) -> Result<Self, Error> {
        let path = entry.path.as_str();
        let writer = job.sink.begin(entry).map_err(|source| job.unwritable(path, source))?;
        Ok(Self { job, path, writer })
    }

    /// Copies until the reader ends; gives the bytes. `look` sees every piece before the sink does.
    pub(crate) fn copy(
        &mut self,
        reader: &mut dyn Read,
        fault: &Fault,
        look: &mut dyn FnMut(&[u8]) -> Result<(), Reason>,
    ) -> Result<u64, Error> {
        let (job, path) = (self.job, self.path);
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut length: u64 = 0;
        loop {
            let read = match reader.read(&mut buffer) {
                Ok(0) => return Ok(length),
                Ok(read) => read,
                Err(error) => return Err(job.undecodable(Some(path), &error, fault)),
            };
            let piece = buffer.get(..read).unwrap_or_default();
            length = length.saturating_add(read as u64);
            look(piece).map_err(|reason| job.refuse(Some(path), reason))?;
            self.writer.write_all(piece).map_err(|source| job.unwritable(path, source))?;
        }
    }

    /// The caller has verified the member: it is whole.
    pub(crate) fn commit(self) -> Result<(), Error> {
        self.writer.commit().map_err(|source| self.job.unwritable(self.path, source))
    }
}
