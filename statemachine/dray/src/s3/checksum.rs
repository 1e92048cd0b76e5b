//! CRC-64/NVME, which S3 keeps of every object, and where it is kept here: in an extended attribute of
//! the object's file, so that the folder holds nothing but objects.
//!
//! The attribute names the version it was made for. After an edit by hand, or on a file system without
//! attributes, an object has no checksum, and its readers go without one.

use std::fmt;
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crc_fast::CrcAlgorithm::Crc64Nvme;
use serde::{Deserialize, Serialize};
use xattr::FileExt;

const ATTRIBUTE: &str = "user.drayage.crc64nvme";

/// A checksum; its text is what S3 sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Crc64(u64);

impl Crc64 {
    /// The checksum of no bytes.
    pub(super) const EMPTY: Self = Self(0);

    /// Reads what S3 sends.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Some(Self(u64::from_be_bytes(STANDARD.decode(text).ok()?.try_into().ok()?)))
    }

    /// The checksum of these bytes and of `len` more that have the checksum `next`.
    pub(super) fn then(self, next: Self, len: u64) -> Self {
        if len == 0 {
            self
        } else {
            Self(crc_fast::checksum_combine(Crc64Nvme, self.0, next.0, len))
        }
    }

    /// Keeps it with a file that will not change any more.
    pub(super) fn keep(self, file: &File, metadata: &Metadata) {
        if let Err(error) = file.set_xattr(ATTRIBUTE, attribute(self, metadata).as_bytes()) {
            tracing::debug!(%error, "the checksum of an object is not kept");
        }
    }

    /// The checksum of a file, if one was kept for its present version.
    pub(super) fn kept(file: &File, metadata: &Metadata) -> Option<Self> {
        let text = String::from_utf8(file.get_xattr(ATTRIBUTE).ok()??).ok()?;
        let sum = Self(u64::from_str_radix(text.split_once(' ')?.0, 16).ok()?);
        (text == attribute(sum, metadata)).then_some(sum)
    }
}

fn attribute(sum: Crc64, file: &Metadata) -> String {
    format!("{:016x} {} {} {}", sum.0, file.len(), file.mtime(), file.mtime_nsec())
}

impl fmt::Display for Crc64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0.to_be_bytes()))
    }
}
