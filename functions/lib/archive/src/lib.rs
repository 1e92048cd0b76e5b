//! Unpacks what partners send: zip, tar, gzip, bzip2, xz and zstd, under limits and on hostile bytes.
//!
//! The caller gives random access to the archive ([`Source`]) and takes the members ([`Sink`]); this
//! library does no network, no files and no AWS. A member is committed only after its length and its
//! checksum were verified; an archive that breaks a rule is refused whole, by name and reason.
//!
//! What holds for every format: nothing is read into memory whole, a path is relative and clean, a
//! member is a regular file, and an archive inside an archive is delivered as it is.

mod detect;
mod error;
mod frames;
mod gzip;
mod inflate;
mod limits;
mod meter;
mod names;
mod restart;
mod roll;
mod single;
mod sink;
mod source;
mod tarball;
mod tarheader;
mod window;
mod zip;

pub use detect::{Format, detect, is_document_container};
pub use error::{Error, Reason};
pub use limits::{Limits, NameCharset, Options, UnknownCharset};
pub use restart::{Kept, Restart};
pub use sink::{Entry, MemberWriter, Outcome, Sink};
pub use source::Source;

use frames::Codec;
use window::{Place, Window};

/// Everything that one call of [`unpack`] works with.
pub(crate) struct Job<'a> {
    /// Where the bytes come from.
    pub(crate) source: &'a dyn Source,
    /// The archive's own file name, for sentences and for the member of a single-stream format.
    pub(crate) name: &'a str,
    /// What is refused.
    pub(crate) limits: &'a Limits,
    /// How to read.
    pub(crate) options: &'a Options<'a>,
    /// Where the members go.
    pub(crate) sink: &'a dyn Sink,
}

/// Unpacks `source`, known to people as `name`, into `sink`.
///
/// Returns early with `more` when [`Sink::stop`] says so between two members, or [`Sink::pause`] within
/// one. Calling again with a sink that answers `false` for the members it already has, and whose
/// writers tell what they have of one, goes on from there.
///
/// # Errors
///
/// [`Error::Refused`] for anything wrong with the archive, [`Error::Read`] when the source failed and
/// [`Error::Write`] when the sink failed. After an error no further member is committed, and the
/// caller drops the ones that were.
pub fn unpack(
    source: &dyn Source,
    name: &str,
    limits: &Limits,
    options: &Options<'_>,
    sink: &dyn Sink,
) -> Result<Outcome, Error> {
    let job = Job { source, name, limits, options, sink };
    let sight = detect::look(source).map_err(|source| job.unreadable(source))?;
    let place = match sight.window {
        Window::Small => None,
        Window::Large => match Place::wait(&|| sink.stop()) {
            None => return Ok(Outcome { more: true, ..Outcome::default() }),
            place => place,
        },
    };
    match sight.format {
        Format::Zip => zip::unpack(&job),
        Format::Tar => tarball::unpack_plain(&job),
        Format::TarGz => tarball::unpack_compressed(&job, Codec::Gzip, place),
        Format::TarBz2 => tarball::unpack_compressed(&job, Codec::Bzip2, place),
        Format::TarXz => tarball::unpack_compressed(&job, Codec::Xz, place),
        Format::TarZst => tarball::unpack_compressed(&job, Codec::Zstd, place),
        Format::Gzip => single::unpack(&job, Codec::Gzip, place),
        Format::Bzip2 => single::unpack(&job, Codec::Bzip2, place),
        Format::Xz => single::unpack(&job, Codec::Xz, place),
        Format::Zstd => single::unpack(&job, Codec::Zstd, place),
        Format::Plain => Err(job.refuse(None, Reason::NotAnArchive)),
    }
}
