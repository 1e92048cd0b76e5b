//! Where an object lies on disk: the one way from a key to a path.

use std::path::{Path, PathBuf};

use s3s::{S3Result, s3_error};

/// The longest name that common file systems take.
const SEGMENT_BYTES_MAX: usize = 255;

/// One object's bucket and key, known to be a path inside the bucket's folder.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) bucket: String,
    pub(super) key: String,
}

impl Place {
    /// Refuses a key that cannot be a path.
    pub(super) fn new(bucket: &str, key: &str) -> S3Result<Self> {
        let bad = key.split('/').find(|segment| !is_name(segment));
        match bad {
            None => Ok(Self { bucket: bucket.to_owned(), key: key.to_owned() }),
            Some(segment) => Err(s3_error!(
                InvalidArgument,
                "the key {key:?} cannot be stored as a file because of its part {segment:?}"
            )),
        }
    }

    pub(super) fn path(&self, root: &Path) -> PathBuf {
        let mut path = root.join(&self.bucket);
        path.extend(self.key.split('/'));
        path
    }
}

/// Whether this can be the name of a file.
pub(super) fn is_name(segment: &str) -> bool {
    !matches!(segment, "" | "." | "..")
        && segment.len() <= SEGMENT_BYTES_MAX
        && !segment.contains('\0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_leave_the_bucket_or_cannot_be_files_are_refused() {
        for key in ["../x", "a/../b", "a//b", "/a", "a/", ".", "a/\0", &"n".repeat(256)] {
            assert!(Place::new("work", key).is_err(), "{key:?}");
        }
        let place = Place::new("work", "a/.b/c..d").unwrap();
        assert_eq!(place.path(Path::new("/r")), Path::new("/r/work/a/.b/c..d"));
    }
}
