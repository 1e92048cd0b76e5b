//! Letting the server hash a file itself (`check-file` of draft-ietf-secsh-filexfer-extensions),
//! without moving a byte of it.

use std::time::Duration;

use bytes::Bytes;
use domain::names::to_bytes;

use crate::error::{Error, Operation};
use crate::session::Session;
use crate::start::{Capabilities, CheckFile};
use crate::wire::{self, Malformed, Reply, Request, open};

/// The hash that is asked for: MD5 and SHA-1 prove nothing against somebody who wants to deceive.
const ALGORITHM: &str = "sha256";
/// What even a slow server hashes in a second.
const BYTES_PER_SECOND: u64 = 8 << 20;
/// ProFTPD counts the bytes of one hash in 32 bits: above, it hashes less than the file.
const MAX_BYTES: u64 = u32::MAX as u64;

impl Session {
    /// The SHA-256 that the server makes of the file of `bytes` bytes under `path`; `None` when it
    /// offers none that can be relied on.
    ///
    /// # Errors
    /// [`Error::NoSuchFile`] and what a connection can suffer.
    pub async fn server_hash(&self, path: &str, bytes: u64) -> Result<Option<[u8; 32]>, Error> {
        let inner = &self.inner;
        let Some(way) = way(&inner.capabilities) else { return Ok(None) };
        // Of an empty file servers say that it ends before its first byte.
        if bytes == 0 || bytes > MAX_BYTES {
            return Ok(None);
        }
        let context = inner.context(Operation::Hash, path);
        let work = work(bytes);
        let ask = |name, subject| Request::CheckFile { name, subject, algorithm: ALGORITHM };
        let answer = match way {
            CheckFile::ByName => {
                let name = to_bytes(path);
                let request = ask("check-file-name", &name);
                inner.line().link.send(request).answer_of_work(work).await
            }
            CheckFile::ByHandle => {
                let request = Request::Open { path, flags: open::READ };
                let file = match inner.open(context, request).await {
                    Err(Error::PermissionDenied { .. }) => return Ok(None),
                    opened => opened?,
                };
                let request = ask("check-file-handle", file.handle());
                file.line.link.send(request).answer_of_work(work).await
            }
        };
        match answer.map_err(|error| context.link(error))? {
            Reply::Extended(reply) => Ok(sha256(reply).unwrap_or_default()),
            Reply::Status { code, message } => match context.status(code, message) {
                gone @ Error::NoSuchFile { .. } => Err(gone),
                refused => {
                    tracing::debug!(%refused, "no hash from the server");
                    Ok(None)
                }
            },
            other => Err(context.unexpected(other)),
        }
    }
}

/// How the server is asked, if there is hope that it answers.
fn way(known: &Capabilities) -> Option<CheckFile> {
    // ProFTPD up to 1.3.8 hashes and announces it to version 6 alone. Whoever knows extensions says so
    // to one that it does not know.
    let unannounced = (known.statvfs || known.posix_rename).then_some(CheckFile::ByName);
    known.check_file.or(unannounced)
}

/// What the server may take for that many bytes, beyond the time of any answer.
const fn work(bytes: u64) -> Duration {
    Duration::from_secs(bytes / BYTES_PER_SECOND)
}

/// The one hash of an answer. Servers differ in whether they repeat the extension's name before the
/// algorithm, and whether the hash has its length before it.
fn sha256(mut reply: Bytes) -> Result<Option<[u8; 32]>, Malformed> {
    let mut algorithm = wire::string(&mut reply)?;
    if algorithm.starts_with(b"check-file") {
        algorithm = wire::string(&mut reply)?;
    }
    if !algorithm.eq_ignore_ascii_case(ALGORITHM.as_bytes()) {
        return Ok(None);
    }
    if reply.len() == 36 {
        reply = wire::string(&mut reply)?;
    }
    Ok(<[u8; 32]>::try_from(reply.as_ref()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::{BufMut, BytesMut};

    fn reply(words: &[&str], hash: &[u8]) -> Option<[u8; 32]> {
        let mut bytes = BytesMut::new();
        for word in words {
            bytes.put_u32(u32::try_from(word.len()).unwrap());
            bytes.put_slice(word.as_bytes());
        }
        bytes.put_slice(hash);
        sha256(bytes.freeze()).unwrap_or_default()
    }

    #[test]
    fn whoever_knows_extensions_is_asked() {
        let nothing = Capabilities {
            posix_rename: false,
            fsync: false,
            statvfs: false,
            check_file: None,
            limits: false,
            max_read_bytes: 0,
            max_write_bytes: 0,
            max_open_files: None,
        };
        let by_name = Some(CheckFile::ByName);
        assert_eq!(way(&nothing), None);
        assert_eq!(way(&Capabilities { statvfs: true, ..nothing }), by_name);
        assert_eq!(way(&Capabilities { posix_rename: true, ..nothing }), by_name);
        let by_handle = Some(CheckFile::ByHandle);
        let announced = Capabilities { check_file: by_handle, statvfs: true, ..nothing };
        assert_eq!(way(&announced), by_handle);
    }

    #[test]
    fn a_slow_server_is_given_the_time_it_needs() {
        assert_eq!(work(BYTES_PER_SECOND - 1), Duration::ZERO);
        assert_eq!(work(3 * BYTES_PER_SECOND + 5), Duration::from_secs(3));
    }

    #[test]
    fn answers_of_every_make_are_read_and_odd_ones_are_no_hash() {
        let hash = [7; 32];
        let with_length = [&[0, 0, 0, 32][..], &hash].concat();
        for words in [&["sha256"][..], &["check-file", "sha256"], &["check-file-name", "SHA256"]] {
            assert_eq!(reply(words, &hash), Some(hash), "{words:?}");
            assert_eq!(reply(words, &with_length), Some(hash), "{words:?}");
        }
        assert_eq!(reply(&["md5"], &hash), None, "another algorithm than was asked for");
        assert_eq!(reply(&["sha256"], &hash[1..]), None, "too short");
        assert_eq!(reply(&["sha256"], &[&hash[..], &hash].concat()), None, "two blocks");
        assert_eq!(
            reply(&["sha256"], &[&[0, 0, 0, 33][..], &hash].concat()),
            None,
            "a false length"
        );
        assert_eq!(reply(&["check-file"], &[]), None, "nothing after the name");
        assert_eq!(reply(&[], &[0, 0]), None, "not even a name");
    }
}
