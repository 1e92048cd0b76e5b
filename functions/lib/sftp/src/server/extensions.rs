//! What the embedded server offers beyond version 3: OpenSSH's extensions, and hashes.

use std::fs;
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use russh_sftp::de::from_bytes;
use russh_sftp::extensions::{FsyncExtension, HardlinkExtension, LimitsExtension};
use russh_sftp::protocol::{ExtendedReply, Packet, StatusCode};
use russh_sftp::server::{Handler, StatusReply};
use sha2::{Digest, Sha256};

use super::files::{Answer, Files, MAX_OPEN, MAX_READ_BYTES, bad_message, ok, refusal};
use super::{Hashes, Renames};

impl Files {
    /// Answers what is no part of version 3.
    pub(super) fn extension(&self, id: u32, request: &str, data: Vec<u8>) -> Answer<Packet> {
        if !self.extensions {
            return Err(self.unimplemented());
        }
        match request {
            "posix-rename@openssh.com" => {
                let names: HardlinkExtension =
                    from_bytes(&mut Bytes::from(data)).map_err(|_| bad_message())?;
                if self.quirks.renames == Renames::PosixRefused {
                    return Err(self.unimplemented());
                }
                self.rename_posix(&names.oldpath, &names.newpath)?;
                Ok(ok(id).into())
            }
            "fsync@openssh.com" => {
                let handle: FsyncExtension =
                    from_bytes(&mut Bytes::from(data)).map_err(|_| bad_message())?;
                let (file, _) = self.file(&handle.handle)?;
                file.sync_all().map_err(refusal)?;
                Ok(ok(id).into())
            }
            "limits@openssh.com" => {
                let limits = LimitsExtension {
                    max_packet_len: 256 << 10,
                    max_read_len: u64::from(MAX_READ_BYTES),
                    max_write_len: u64::from(MAX_READ_BYTES),
                    max_open_handles: MAX_OPEN as u64,
                };
                let data = russh_sftp::ser::to_bytes(&limits);
                let data = data.map_err(|_| StatusReply::from(StatusCode::Failure))?.to_vec();
                Ok(ExtendedReply { id, data }.into())
            }
            "statvfs@openssh.com" => {
                let free_bytes = self.quirks.free_bytes.ok_or_else(|| self.unimplemented())?;
                // Units of one byte: size, fragments, blocks, free to root, free to us.
                let numbers = [1, 1, free_bytes.max(1), free_bytes, free_bytes, 0, 0, 0, 0, 0, 255];
                let data = numbers.into_iter().flat_map(u64::to_be_bytes).collect();
                Ok(ExtendedReply { id, data }.into())
            }
            "check-file-name" | "check-file-handle" => self.hashed(id, request, data),
            _ => Err(self.unimplemented()),
        }
    }

    /// Answers `check-file` for a whole file.
    fn hashed(&self, id: u32, request: &str, data: Vec<u8>) -> Answer<Packet> {
        let subject = {
            let mut data = Bytes::from(data);
            crate::wire::string(&mut data).map_err(|_| bad_message())?
        };
        let subject = String::from_utf8_lossy(&subject);
        let content = if request == "check-file-name" {
            fs::read(self.follow(&subject)?).map_err(refusal)?
        } else {
            let (file, _) = self.file(&subject)?;
            let mut content = vec![0; file.metadata().map_err(refusal)?.len() as usize];
            file.read_exact_at(&mut content, 0).map_err(refusal)?;
            content
        };
        let mut hash = Sha256::digest(&content).to_vec();
        let algorithm: &[u8] = match self.quirks.hashes {
            Hashes::None => return Err(self.unimplemented()),
            Hashes::Refused => return Err(StatusCode::Failure.into()),
            Hashes::OnlyMd5 => b"md5",
            Hashes::Wrong => {
                hash.reverse();
                b"sha256"
            }
            Hashes::ByName | Hashes::ByHandle => b"sha256",
        };
        let len = u32::try_from(algorithm.len()).unwrap_or_default();
        let data = [&len.to_be_bytes()[..], algorithm, &hash].concat();
        Ok(ExtendedReply { id, data }.into())
    }
}
