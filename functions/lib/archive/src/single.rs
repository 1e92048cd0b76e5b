//! Files that are one compressed stream: one member, named by the file without its suffix.

use crate::Job;
use crate::error::{Error, Reason};
use crate::frames::Codec;
use crate::meter::{self, Copied, Delivery, Tally, Verdict};
use crate::names;
use crate::sink::{Entry, Outcome};
use crate::window::Place;

/// What gzip makes of text, at the best: only whether a member may take long is judged by it.
const USUAL_RATIO: u64 = 10;

/// Unpacks the one member.
///
/// The name inside a gzip header is the sender's local name and is not trusted.
pub(crate) fn unpack(job: &Job<'_>, codec: Codec, place: Option<Place>) -> Result<Outcome, Error> {
    let entry = Entry { path: member_name(job, codec)?, size_hint: None, index: 0 };
    let mut tally = Tally::default();
    match meter::consult(job, &entry)? {
        Verdict::Take => {}
        Verdict::Pass => {
            tally.outcome.skipped = 1;
            return Ok(tally.outcome);
        }
        Verdict::Stop => {
            tally.outcome.more = true;
            return Ok(tally.outcome);
        }
    }
    let mut delivery = Delivery::begin(job, &entry)?;
    let enter =
        codec == Codec::Gzip && delivery.takes_longer(job.source.len().saturating_mul(USUAL_RATIO));
    let (mut reader, fault) = if enter {
        let restart = delivery.restart();
        let before = if restart.is_some() { delivery.kept_bytes() } else { 0 };
        tally.claimed = before;
        let entered = meter::enterable(job, restart, before);
        entered.map_err(|source| job.unwritable(&entry.path, source))?
    } else {
        meter::decompressed(job, codec, place)
    };
    let mut look = |piece: &[u8]| tally.claim(job, piece.len() as u64);
    let outcome = match delivery.copy(&mut reader, &fault, &mut look)? {
        Copied::Whole(bytes) => {
            delivery.commit()?;
            Outcome { members: 1, bytes, ..Outcome::default() }
        }
        Copied::Paused => {
            delivery.keep(reader.restart())?;
            Outcome { more: true, ..Outcome::default() }
        }
        Copied::Stopped => Outcome { more: true, ..Outcome::default() },
    };
    Ok(outcome)
}

fn member_name(job: &Job<'_>, codec: Codec) -> Result<String, Error> {
    let file = job.name.rsplit(['/', '\\']).next().unwrap_or_default();
    let (long, short) = match codec {
        Codec::Gzip => (".gz", ".tgz"),
        Codec::Bzip2 => (".bz2", ".tbz2"),
        Codec::Xz => (".xz", ".txz"),
        Codec::Zstd => (".zst", ".tzst"),
    };
    let member = match (without_suffix(file, long), without_suffix(file, short)) {
        (Some(stem), _) => stem.to_owned(),
        (None, Some(stem)) => format!("{stem}.tar"),
        (None, None) => file.to_owned(),
    };
    let safe =
        names::check(&member, job.limits).map_err(|reason| job.refuse(Some(&member), reason))?;
    if safe.path.is_empty() || safe.folder {
        return Err(job.refuse(Some(&member), Reason::Name("it is empty".to_owned())));
    }
    Ok(safe.path)
}

/// The name without the suffix, in any case; `None` when nothing would be left.
fn without_suffix<'a>(file: &'a str, suffix: &str) -> Option<&'a str> {
    let cut = file.len().checked_sub(suffix.len()).filter(|&cut| cut > 0)?;
    let (stem, tail) = file.split_at_checked(cut)?;
    tail.eq_ignore_ascii_case(suffix).then_some(stem)
}
