//! Versions of objects, and the conditions that requests put on them.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use s3s::dto::{ETag, ETagCondition};
use s3s::{S3Result, s3_error};

/// The version of a file: see the notes of the parent module.
pub(super) fn etag_of(file: &Metadata) -> ETag {
    let time = i128::from(file.mtime()) * 1_000_000_000 + i128::from(file.mtime_nsec());
    ETag::Strong(format!("{:x}-{time:x}-{:x}", file.ino(), file.len()))
}

/// `If-Match` and `If-None-Match` of one request.
#[derive(Clone, Debug, Default)]
pub(super) struct Conditions {
    pub(super) if_match: Option<ETagCondition>,
    pub(super) if_none_match: Option<ETagCondition>,
}

impl Conditions {
    /// Whether a write may replace `current`.
    pub(super) fn allow_write(&self, current: Option<&Metadata>) -> S3Result<()> {
        let current = current.map(etag_of);
        match (&self.if_match, &current) {
            (None, _) => {}
            (Some(_), None) => {
                return Err(s3_error!(NoSuchKey, "If-Match needs an object, and there is none"));
            }
            (Some(wanted), Some(etag)) if fits(wanted, etag) => {}
            (Some(_), Some(_)) => return Err(refused("If-Match")),
        }
        match (&self.if_none_match, &current) {
            (Some(unwanted), Some(etag)) if fits(unwanted, etag) => Err(refused("If-None-Match")),
            _ => Ok(()),
        }
    }

    /// Whether a read of this version makes sense: 412 if it is another one, 304 if it is known.
    pub(super) fn allow_read(&self, etag: &ETag) -> S3Result<()> {
        if self.if_match.as_ref().is_some_and(|wanted| !fits(wanted, etag)) {
            return Err(refused("If-Match"));
        }
        if self.if_none_match.as_ref().is_some_and(|known| fits(known, etag)) {
            return Err(s3_error!(NotModified));
        }
        Ok(())
    }
}

fn fits(condition: &ETagCondition, etag: &ETag) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(wanted) => wanted.weak_cmp(etag),
    }
}

fn refused(header: &str) -> s3s::S3Error {
    s3_error!(PreconditionFailed, "the condition {header} does not hold")
}
