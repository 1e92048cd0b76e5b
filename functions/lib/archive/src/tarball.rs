//! Tar archives, plain or compressed: one pass, member after member, each checked as it is met.

use std::io::{self, Read};

use crate::Job;
use crate::error::{Error, Reason};
use crate::frames::Codec;
use crate::meter::{self, Decompressed, Delivery, Tally, Verdict};
use crate::names::{self, Declared, Roll};
use crate::sink::{Entry, Outcome};
use crate::source::{Cursor, Fault};
use crate::tarheader::{self, BLOCK_BYTES, Block, Header, Kind};

/// Most bytes of one extended header. Real ones are below a few KiB.
const EXTENSION_BYTES: u64 = 1 << 20;
/// Most extended headers in front of one entry.
const EXTENSIONS: u32 = 8;

/// A forward reader that may have a cheaper way to pass over bytes than reading them.
trait Tape: Read {
    fn skip(&mut self, bytes: u64) -> io::Result<()>;
}

impl Tape for Cursor<'_> {
    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        self.seek(self.position().saturating_add(bytes));
        Ok(())
    }
}

impl Tape for Decompressed<'_> {
    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let skipped = io::copy(&mut self.by_ref().take(bytes), &mut io::sink())?;
        if skipped == bytes { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

/// Unpacks a tar that lies in the source as it is.
pub(crate) fn unpack_plain(job: &Job<'_>) -> Result<Outcome, Error> {
    let cursor = Cursor::new(job.source, 0);
    let fault = cursor.fault();
    Reel { job, tape: cursor, fault, roll: Roll::default(), tally: Tally::default() }.run()
}

/// Unpacks a tar inside a compressed stream.
pub(crate) fn unpack_compressed(job: &Job<'_>, codec: Codec) -> Result<Outcome, Error> {
    let (tape, fault) = meter::decompressed(job, codec);
    Reel { job, tape, fault, roll: Roll::default(), tally: Tally::default() }.run()
}

/// What extended headers say about the entry after them.
#[derive(Default)]
struct Extension {
    count: u32,
    pax_path: Option<Vec<u8>>,
    gnu_path: Option<Vec<u8>>,
    size: Option<u64>,
}

struct Reel<'a, T> {
    job: &'a Job<'a>,
    tape: T,
    fault: Fault,
    roll: Roll,
    tally: Tally,
}

impl<T: Tape> Reel<'_, T> {
    fn run(mut self) -> Result<Outcome, Error> {
        let mut extension = Extension::default();
        loop {
            let block = self.block()?;
            let header = tarheader::parse(&block)
                .map_err(|reason| self.refuse(&tarheader::display_name(&block), reason))?;
            let Some(header) = header else {
                if extension.count > 0 {
                    return Err(self.job.refuse(None, Reason::Truncated));
                }
                self.only_zeros_follow()?;
                return Ok(self.tally.outcome);
            };
            match header.kind {
                Kind::File | Kind::Folder | Kind::Label => {
                    if !self.entry(header, std::mem::take(&mut extension))? {
                        self.tally.outcome.more = true;
                        return Ok(self.tally.outcome);
                    }
                }
                Kind::Pax | Kind::PaxGlobal | Kind::GnuName | Kind::GnuLink => {
                    self.extend(&header, &mut extension)?;
                }
            }
        }
    }

    /// Handles one entry; `false` when the sink asks to stop before it.
    fn entry(&mut self, header: Header, extension: Extension) -> Result<bool, Error> {
        let size = extension.size.unwrap_or(header.size);
        let bytes = extension.pax_path.or(extension.gnu_path).unwrap_or(header.name);
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        self.roll.count(self.job.limits).map_err(|reason| self.job.refuse(None, reason))?;
        if header.kind == Kind::Label {
            self.skip_content(size)?;
            return Ok(true);
        }
        let safe = names::decode(&bytes, Declared::Tar, self.job.options.name_charset)
            .and_then(|name| names::check(&name, self.job.limits))
            .map_err(|reason| self.refuse(&shown, reason))?;
        if header.kind == Kind::Folder || safe.folder {
            if size > 0 {
                return Err(self.refuse(&shown, Reason::corrupt("a folder that holds bytes")));
            }
            return Ok(true);
        }
        let index = self.roll.admit(&safe.path).map_err(|reason| self.refuse(&shown, reason))?;
        let entry = Entry { path: safe.path, size_hint: Some(size), index };
        self.tally.claim(self.job, size).map_err(|reason| self.refuse(&entry.path, reason))?;
        match meter::consult(self.job, &entry)? {
            Verdict::Stop => return Ok(false),
            Verdict::Pass => {
                self.tally.outcome.skipped += 1;
                self.skip_content(size)?;
            }
            Verdict::Take => self.take(&entry, size)?,
        }
        Ok(true)
    }

    fn take(&mut self, entry: &Entry, size: u64) -> Result<(), Error> {
        let job = self.job;
        let mut delivery = Delivery::begin(job, entry)?;
        let mut content = self.tape.by_ref().take(size);
        let bytes = delivery.copy(&mut content, &self.fault, &mut |_| Ok(()))?;
        if bytes != size {
            return Err(job.refuse(Some(&entry.path), Reason::Truncated));
        }
        delivery.commit()?;
        self.skip(padding(size))?;
        self.tally.outcome.members += 1;
        self.tally.outcome.bytes += bytes;
        Ok(())
    }

    /// Reads an extended header's content.
    fn extend(&mut self, header: &Header, extension: &mut Extension) -> Result<(), Error> {
        let refuse = |reason| self.job.refuse(None, reason);
        extension.count += 1;
        if extension.count > EXTENSIONS || header.size > EXTENSION_BYTES {
            return Err(refuse(Reason::Name("its extended headers are too large".to_owned())));
        }
        let mut content = Vec::new();
        self.tape
            .by_ref()
            .take(header.size)
            .read_to_end(&mut content)
            .map_err(|error| self.job.undecodable(None, &error, &self.fault))?;
        if content.len() as u64 != header.size {
            return Err(refuse(Reason::Truncated));
        }
        match header.kind {
            Kind::GnuName => extension.gnu_path = Some(tarheader::until_nul(&content).to_vec()),
            Kind::Pax => pax(&content, extension).map_err(refuse)?,
            Kind::PaxGlobal => {
                let mut global = Extension::default();
                pax(&content, &mut global).map_err(refuse)?;
                if global.pax_path.is_some() || global.size.is_some() {
                    return Err(refuse(Reason::corrupt("a path or size for all entries")));
                }
                // A global header belongs to no entry, so the end of the archive may follow it.
                extension.count -= 1;
            }
            _ => {}
        }
        self.skip(padding(header.size))
    }

    fn block(&mut self) -> Result<Block, Error> {
        let mut block = [0; BLOCK_BYTES];
        self.tape
            .read_exact(&mut block)
            .map_err(|error| self.job.undecodable(None, &error, &self.fault))?;
        Ok(block)
    }

    /// Passes over an entry's content and the padding after it.
    fn skip_content(&mut self, size: u64) -> Result<(), Error> {
        self.skip(size.saturating_add(padding(size)))
    }

    fn skip(&mut self, bytes: u64) -> Result<(), Error> {
        self.tape.skip(bytes).map_err(|error| self.job.undecodable(None, &error, &self.fault))
    }

    /// After the end mark only padding may follow: a second archive there would be lost silently.
    fn only_zeros_follow(&mut self) -> Result<(), Error> {
        let mut buffer = vec![0; meter::BUFFER_BYTES];
        loop {
            match self.tape.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(read) if buffer.iter().take(read).all(|&byte| byte == 0) => {}
                Ok(_) => {
                    let reason = Reason::corrupt("bytes follow the end of the tar");
                    return Err(self.job.refuse(None, reason));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.job.undecodable(None, &error, &self.fault)),
            }
        }
    }

    fn refuse(&self, entry: &str, reason: Reason) -> Error {
        self.job.refuse(Some(entry), reason)
    }
}

/// Bytes from the end of content to the next block.
fn padding(size: u64) -> u64 {
    let block = BLOCK_BYTES as u64;
    (block - size % block) % block
}

/// Reads PAX records: `"<length> <key>=<value>\n"`, the length counting itself.
fn pax(mut content: &[u8], extension: &mut Extension) -> Result<(), Reason> {
    let broken = || Reason::corrupt("a PAX header is malformed");
    while !content.is_empty() {
        let blank = content.iter().take(20).position(|&byte| byte == b' ').ok_or_else(broken)?;
        let (digits, _) = content.split_at_checked(blank).ok_or_else(broken)?;
        let length = decimal(digits).and_then(|length| usize::try_from(length).ok());
        let (record, rest) =
            length.and_then(|length| content.split_at_checked(length)).ok_or_else(broken)?;
        let body = record.get(blank + 1..).and_then(|body| body.strip_suffix(b"\n"));
        let body = body.ok_or_else(broken)?;
        let equals = body.iter().position(|&byte| byte == b'=').ok_or_else(broken)?;
        let (key, value) = body.split_at_checked(equals).ok_or_else(broken)?;
        let value = value.get(1..).unwrap_or_default();
        match key {
            b"path" if value.contains(&0) => {
                return Err(Reason::Name("it holds control characters".to_owned()));
            }
            b"path" => extension.pax_path = (!value.is_empty()).then(|| value.to_vec()),
            b"size" => extension.size = Some(decimal(value).ok_or_else(broken)?),
            key if key.starts_with(b"GNU.sparse") || key == b"SCHILY.realsize" => {
                return Err(Reason::Sparse);
            }
            _ => {}
        }
        content = rest;
    }
    Ok(())
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, &byte| {
        let digit = byte.checked_sub(b'0').filter(|&digit| digit < 10)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}
