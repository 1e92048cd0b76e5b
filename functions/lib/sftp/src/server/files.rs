//! The SFTP side of the embedded server: requests of one client on the files below the root.

use std::collections::HashMap;
use std::fs::{self, File, FileTimes, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use russh_sftp::de::from_bytes;
use russh_sftp::extensions::{FsyncExtension, HardlinkExtension, LimitsExtension};
use russh_sftp::protocol::{
    Attrs, Data, ExtendedReply, File as Row, FileAttributes, Handle, Name, OpenFlags, Packet,
    Status, StatusCode, Version,
};
use russh_sftp::server::{Handler, StatusReply};

use sha2::{Digest, Sha256};

use super::jail::Jail;
use super::{Hashes, Options, Quirks};

/// Rows in one answer to READDIR.
const ROWS: usize = 100;
const MAX_OPEN: usize = 1000;
pub(super) const MAX_READ_BYTES: u32 = 255 << 10;

enum Open {
    File { file: File, append: bool },
    Directory(fs::ReadDir),
}

/// One client's open files.
pub(super) struct Files {
    jail: Jail,
    extensions: bool,
    max_answer_bytes: u32,
    quirks: Quirks,
    open: HashMap<String, Open>,
    next_handle: u64,
}

type Answer<T> = Result<T, StatusReply>;

impl Files {
    pub(super) fn new(jail: Jail, options: &Options) -> Self {
        let &Options { extensions, max_answer_bytes, .. } = options;
        let quirks = options.quirks.clone();
        Self { jail, extensions, max_answer_bytes, quirks, open: HashMap::new(), next_handle: 0 }
    }

    fn keep(&mut self, id: u32, open: Open) -> Answer<Handle> {
        if self.open.len() >= self.quirks.max_open.unwrap_or(MAX_OPEN) {
            return Err(match self.quirks.silent_about_files {
                true => StatusCode::Failure.into(),
                false => StatusCode::Failure.with_message("too many open files"),
            });
        }
        self.next_handle += 1;
        let handle = self.next_handle.to_string();
        self.open.insert(handle.clone(), open);
        Ok(Handle { id, handle })
    }

    fn file(&self, handle: &str) -> Answer<(&File, bool)> {
        match self.open.get(handle) {
            Some(Open::File { file, append }) => Ok((file, *append)),
            _ => Err(StatusCode::Failure.with_message("no such open file")),
        }
    }

    fn rename_posix(&self, from: &str, to: &str) -> Answer<()> {
        let (from, to) = (self.place(from)?, self.place(to)?);
        fs::rename(from, to).map_err(refusal)
    }

    fn place(&self, path: &str) -> Answer<std::path::PathBuf> {
        self.jail.place(path).map_err(refusal)
    }

    fn follow(&self, path: &str) -> Answer<std::path::PathBuf> {
        self.jail.follow(path).map_err(refusal)
    }
}

fn refusal(error: io::Error) -> StatusReply {
    let code = match error.kind() {
        io::ErrorKind::NotFound => StatusCode::NoSuchFile,
        io::ErrorKind::PermissionDenied => StatusCode::PermissionDenied,
        _ => StatusCode::Failure,
    };
    // The kind alone: the text of the error may name paths outside of the root.
    code.with_message(error.kind().to_string())
}

fn bad_message() -> StatusReply {
    StatusCode::BadMessage.into()
}

fn ok(id: u32) -> Status {
    Status {
        id,
        status_code: StatusCode::Ok,
        error_message: "Success".to_owned(),
        language_tag: "en".to_owned(),
    }
}

fn attributes(metadata: &Metadata) -> FileAttributes {
    FileAttributes {
        size: Some(metadata.len()),
        uid: Some(metadata.uid()),
        gid: Some(metadata.gid()),
        permissions: Some(metadata.mode()),
        atime: u32::try_from(metadata.atime()).ok(),
        mtime: u32::try_from(metadata.mtime()).ok(),
        ..FileAttributes::empty()
    }
}

fn set(file: &File, attributes: &FileAttributes) -> Answer<()> {
    if let Some(size) = attributes.size {
        file.set_len(size).map_err(refusal)?;
    }
    if let (Some(atime), Some(mtime)) = (attributes.atime, attributes.mtime) {
        let time = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(seconds));
        let times = FileTimes::new().set_accessed(time(atime)).set_modified(time(mtime));
        file.set_times(times).map_err(refusal)?;
    }
    Ok(())
}

/// Moves without overwriting: a hard link is made only where nothing is.
fn rename_fresh(from: &std::path::Path, to: &std::path::Path) -> io::Result<()> {
    if from.symlink_metadata()?.is_dir() {
        if to.symlink_metadata().is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        return fs::rename(from, to);
    }
    fs::hard_link(from, to)?;
    fs::remove_file(from)
}

impl Handler for Files {
    type Error = StatusReply;

    fn unimplemented(&self) -> Self::Error {
        StatusCode::OpUnsupported.into()
    }

    async fn init(&mut self, _: u32, _: HashMap<String, String>) -> Answer<Version> {
        let mut version = Version::new();
        if self.extensions {
            for name in ["posix-rename@openssh.com", "fsync@openssh.com", "limits@openssh.com"] {
                version.extensions.insert(name.to_owned(), "1".to_owned());
            }
            if self.quirks.no_posix_rename {
                version.extensions.remove("posix-rename@openssh.com");
            }
            if self.quirks.free_bytes.is_some() {
                version.extensions.insert("statvfs@openssh.com".to_owned(), "2".to_owned());
            }
            if self.quirks.hashes != Hashes::None {
                let by_handle = self.quirks.hashes == Hashes::ByHandle;
                let name = if by_handle { "check-file-handle" } else { "check-file" };
                version.extensions.insert(name.to_owned(), String::new());
            }
        }
        Ok(version)
    }

    async fn open(
        &mut self,
        id: u32,
        filename: String,
        flags: OpenFlags,
        _: FileAttributes,
    ) -> Answer<Handle> {
        let path = self.follow(&filename)?;
        if self.quirks.drop_box && flags.contains(OpenFlags::READ) {
            return Err(StatusCode::PermissionDenied.into());
        }
        // Append is done at each write; the flag itself would turn off writing by position.
        let append = flags.contains(OpenFlags::APPEND);
        let mut plain = flags;
        plain.remove(OpenFlags::APPEND);
        let file = OpenOptions::from(plain).open(path).map_err(refusal)?;
        if file.metadata().map_err(refusal)?.is_dir() {
            return Err(StatusCode::Failure.with_message("is a directory"));
        }
        self.keep(id, Open::File { file, append })
    }

    async fn close(&mut self, id: u32, handle: String) -> Answer<Status> {
        match self.open.remove(&handle) {
            Some(_) => Ok(ok(id)),
            None => Err(StatusCode::Failure.with_message("no such handle")),
        }
    }

    async fn read(&mut self, id: u32, handle: String, offset: u64, len: u32) -> Answer<Data> {
        let (file, _) = self.file(&handle)?;
        let mut data = vec![0; len.min(self.max_answer_bytes).min(MAX_READ_BYTES) as usize];
        let mut got = file.read_at(&mut data, offset).map_err(refusal)?;
        if let Some(end) = self.quirks.ends_at {
            got = got.min(usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX));
        }
        if self.quirks.bad_sector.is_some_and(|at| (offset..offset + got as u64).contains(&at)) {
            return Err(StatusCode::Failure.with_message("input/output error"));
        }
        if got == 0 && len > 0 {
            return Err(StatusCode::Eof.into());
        }
        data.truncate(got);
        Ok(Data { id, data })
    }

    async fn write(
        &mut self,
        id: u32,
        handle: String,
        offset: u64,
        data: Vec<u8>,
    ) -> Answer<Status> {
        let (file, append) = self.file(&handle)?;
        let offset = if append { file.metadata().map_err(refusal)?.len() } else { offset };
        file.write_all_at(&data, offset).map_err(refusal)?;
        Ok(ok(id))
    }

    async fn lstat(&mut self, id: u32, path: String) -> Answer<Attrs> {
        let metadata = self.place(&path)?.symlink_metadata().map_err(refusal)?;
        Ok(Attrs { id, attrs: attributes(&metadata) })
    }

    async fn stat(&mut self, id: u32, path: String) -> Answer<Attrs> {
        let metadata = self.follow(&path)?.metadata().map_err(refusal)?;
        let mut attrs = attributes(&metadata);
        attrs.size = attrs.size.map(|size| size + self.quirks.adds_to_sizes);
        Ok(Attrs { id, attrs })
    }

    async fn fstat(&mut self, id: u32, handle: String) -> Answer<Attrs> {
        let (file, _) = self.file(&handle)?;
        Ok(Attrs { id, attrs: attributes(&file.metadata().map_err(refusal)?) })
    }

    async fn setstat(&mut self, id: u32, path: String, attrs: FileAttributes) -> Answer<Status> {
        let path = self.follow(&path)?;
        let file = OpenOptions::new().write(true).open(path).map_err(refusal)?;
        set(&file, &attrs)?;
        Ok(ok(id))
    }

    async fn fsetstat(&mut self, id: u32, handle: String, attrs: FileAttributes) -> Answer<Status> {
        let (file, _) = self.file(&handle)?;
        set(file, &attrs)?;
        Ok(ok(id))
    }

    async fn opendir(&mut self, id: u32, path: String) -> Answer<Handle> {
        let rows = fs::read_dir(self.follow(&path)?).map_err(refusal)?;
        self.keep(id, Open::Directory(rows))
    }

    async fn readdir(&mut self, id: u32, handle: String) -> Answer<Name> {
        let Some(Open::Directory(rows)) = self.open.get_mut(&handle) else {
            return Err(StatusCode::Failure.with_message("no such open directory"));
        };
        let mut files = Vec::with_capacity(ROWS);
        for row in rows.by_ref().take(ROWS) {
            let row = row.map_err(refusal)?;
            // What vanished since is left out.
            if let Ok(metadata) = row.metadata() {
                let name = row.file_name().to_string_lossy().into_owned();
                files.push(Row::new(name, attributes(&metadata)));
            }
        }
        if self.quirks.endless_listing {
            files.push(Row::new(format!("more-{id}"), FileAttributes::empty()));
        }
        if files.is_empty() { Err(StatusCode::Eof.into()) } else { Ok(Name { id, files }) }
    }

    async fn remove(&mut self, id: u32, filename: String) -> Answer<Status> {
        fs::remove_file(self.place(&filename)?).map_err(refusal)?;
        Ok(ok(id))
    }

    async fn mkdir(&mut self, id: u32, path: String, _: FileAttributes) -> Answer<Status> {
        fs::create_dir(self.place(&path)?).map_err(refusal)?;
        Ok(ok(id))
    }

    async fn rmdir(&mut self, id: u32, path: String) -> Answer<Status> {
        fs::remove_dir(self.place(&path)?).map_err(refusal)?;
        Ok(ok(id))
    }

    async fn realpath(&mut self, id: u32, path: String) -> Answer<Name> {
        Ok(Name { id, files: vec![Row::dummy(Jail::virtual_path(&path))] })
    }

    async fn rename(&mut self, id: u32, oldpath: String, newpath: String) -> Answer<Status> {
        let (from, to) = (self.place(&oldpath)?, self.place(&newpath)?);
        rename_fresh(&from, &to).map_err(refusal)?;
        Ok(ok(id))
    }

    async fn extended(&mut self, id: u32, request: String, data: Vec<u8>) -> Answer<Packet> {
        if !self.extensions {
            return Err(self.unimplemented());
        }
        match request.as_str() {
            "posix-rename@openssh.com" => {
                let names: HardlinkExtension =
                    from_bytes(&mut Bytes::from(data)).map_err(|_| bad_message())?;
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
            "check-file-name" | "check-file-handle" => self.hashed(id, &request, data),
            _ => Err(self.unimplemented()),
        }
    }
}

impl Files {
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
