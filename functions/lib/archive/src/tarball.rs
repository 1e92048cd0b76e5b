//! Tar archives, plain or compressed: one pass, member after member, each checked as it is met.

use std::io::{self, Read};

use crate::Job;
use crate::error::{Error, Reason};
use crate::frames::Codec;
use crate::meter::{self, Copied, Decompressed, Delivery, Tally, Verdict};
use crate::names::{self, Declared};
use crate::restart::Decode;
use crate::roll::Roll;
use crate::sink::{Entry, Outcome};
use crate::source::{Cursor, Fault};
use crate::tarheader::{self, BLOCK_BYTES, Block, Header, Kind};
use crate::window::Place;

/// Most bytes of one extended header. Real ones are below a few KiB.
const EXTENSION_BYTES: u64 = 1 << 20;
/// Most extended headers in front of one entry.
const EXTENSIONS: u32 = 8;
/// Sizes from here on do not fit the header's own field.
const OCTAL_END_BYTES: u64 = 8 << 30;
/// How much is passed over between two looks at the time.
const SKIP_BYTES: u64 = 64 << 20;

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
    Reel { job, tape: cursor, fault, roll: Roll::default(), tally: Tally::default(), passed: 0 }
        .run()
}

/// Unpacks a tar inside a compressed stream.
pub(crate) fn unpack_compressed(
    job: &Job<'_>,
    codec: Codec,
    place: Option<Place>,
) -> Result<Outcome, Error> {
    let (tape, fault) = meter::decompressed(job, codec, place);
    Reel { job, tape, fault, roll: Roll::default(), tally: Tally::default(), passed: 0 }.run()
}

/// What extended headers say about the entry after them.
#[derive(Default)]
struct Extension {
    count: u32,
    pax_path: Option<Vec<u8>>,
    gnu_path: Option<Vec<u8>>,
    size: Option<u64>,
    sparse: bool,
    sparse_path: Option<Vec<u8>>,
}

impl Extension {
    /// The entry's name and who says so: GNU's sparse name first, which readers put before the path,
    /// then PAX, then GNU's long name.
    fn name(&mut self, short: &[u8]) -> (Vec<u8>, Declared) {
        match self.sparse_path.take().or_else(|| self.pax_path.take()) {
            Some(name) => (name, Declared::Pax),
            None => (self.gnu_path.take().unwrap_or_else(|| short.to_vec()), Declared::Tar),
        }
    }

    /// The entry's size. Readers that know no PAX would go astray if the header told another one.
    fn size(&self, header: &Header) -> Result<u64, Reason> {
        match self.size {
            Some(size) if size != header.size && size < OCTAL_END_BYTES => {
                Err(Reason::corrupt("its header and its PAX header disagree about its size"))
            }
            size => Ok(size.unwrap_or(header.size)),
        }
    }
}

struct Reel<'a, T> {
    job: &'a Job<'a>,
    tape: T,
    fault: Fault,
    roll: Roll,
    tally: Tally,
    /// Bytes that were passed over.
    passed: u64,
}

/// A member's bytes on the tape.
struct Content<'a, T>(io::Take<&'a mut T>);

impl<T: Tape> Read for Content<'_, T> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl<T: Tape> Decode for Content<'_, T> {}

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
            if let Ok(Kind::Pax | Kind::PaxGlobal | Kind::GnuName | Kind::GnuLink) = header.kind {
                self.extend(&header, &mut extension)?;
            } else if !self.entry(&header, std::mem::take(&mut extension))? {
                self.tally.outcome.more = true;
                return Ok(self.tally.outcome);
            }
        }
    }

    /// Handles one entry; `false` when the sink asks to stop before or within it.
    fn entry(&mut self, header: &Header, mut extension: Extension) -> Result<bool, Error> {
        let job = self.job;
        let (bytes, declared) = extension.name(&header.name);
        let shown = names::shown(&bytes, declared, job.options.name_charset);
        let refuse = |reason| job.refuse(Some(&shown), reason);
        self.roll.count(job.limits).map_err(|reason| job.refuse(None, reason))?;
        if extension.sparse {
            return Err(refuse(Reason::Sparse));
        }
        let kind = header.kind.clone().map_err(refuse)?;
        let size = extension.size(header).map_err(refuse)?;
        if kind == Kind::Label {
            self.skip_content(size)?;
            return Ok(true);
        }
        let safe = names::decode(&bytes, declared, job.options.name_charset)
            .and_then(|name| names::check(&name, job.limits))
            .map_err(refuse)?;
        if kind == Kind::Folder || safe.folder {
            if size > 0 {
                return Err(refuse(Reason::corrupt("a folder that holds bytes")));
            }
            self.roll.admit_folder(&safe.path).map_err(refuse)?;
            return Ok(true);
        }
        let index = self.roll.admit(&safe.path).map_err(refuse)?;
        let entry = Entry { path: safe.path, size_hint: Some(size), index };
        self.tally.claim(job, size).map_err(refuse)?;
        match meter::consult(job, &entry)? {
            Verdict::Stop => return Ok(false),
            Verdict::Pass => {
                self.tally.outcome.skipped += 1;
                self.skip_content(size)?;
            }
            Verdict::Take => return self.take(&entry, size),
        }
        Ok(true)
    }

    /// Takes a member; `false` when the sink asks to stop within it.
    fn take(&mut self, entry: &Entry, size: u64) -> Result<bool, Error> {
        let job = self.job;
        let mut delivery = Delivery::begin(job, entry)?;
        let had = delivery.kept_bytes();
        self.skip(had.min(size))?;
        delivery.is_behind_kept();
        let mut content = Content(self.tape.by_ref().take(size.saturating_sub(had)));
        let bytes = match delivery.copy(&mut content, &self.fault, &mut |_| Ok(()))? {
            Copied::Whole(bytes) => bytes,
            Copied::Paused => {
                delivery.keep(None)?;
                return Ok(false);
            }
            Copied::Stopped => return Ok(false),
        };
        if bytes != size {
            return Err(job.refuse(Some(&entry.path), Reason::Truncated));
        }
        delivery.commit()?;
        self.skip(padding(size))?;
        self.tally.outcome.members += 1;
        self.tally.outcome.bytes += bytes;
        Ok(true)
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
            Ok(Kind::GnuName) => {
                extension.gnu_path = Some(tarheader::until_nul(&content).to_vec());
            }
            Ok(Kind::Pax) => pax(&content, extension).map_err(refuse)?,
            Ok(Kind::PaxGlobal) => {
                let mut global = Extension::default();
                pax(&content, &mut global).map_err(refuse)?;
                if global.pax_path.is_some() || global.size.is_some() || global.sparse {
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

    fn skip(&mut self, mut bytes: u64) -> Result<(), Error> {
        while bytes > 0 {
            let step = bytes.min(SKIP_BYTES);
            let skipped = self.tape.skip(step);
            skipped.map_err(|error| self.job.undecodable(None, &error, &self.fault))?;
            bytes -= step;
            self.passed += step;
            self.job.refuse_exhausted(None, self.passed)?;
        }
        Ok(())
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
            b"path" => extension.pax_path = (!value.is_empty()).then(|| value.to_vec()),
            b"size" => extension.size = Some(decimal(value).ok_or_else(broken)?),
            b"GNU.sparse.name" => {
                extension.sparse = true;
                extension.sparse_path = Some(value.to_vec());
            }
            b"SCHILY.realsize" | b"SUN.holesdata" => extension.sparse = true,
            key if key.starts_with(b"GNU.sparse.") => extension.sparse = true,
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
