//! The SFTP side of the embedded server: requests of one client on the files below the root.

use std::collections::HashMap;
use std::fs::{self, File, FileTimes, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use russh_sftp::protocol::{
    Attrs, Data, File as Row, FileAttributes, Handle, Name, OpenFlags, Packet, Status, StatusCode,
    Version,
};
use russh_sftp::server::{Handler, StatusReply};

use super::jail::Jail;
use super::{Hashes, Options, Quirks};

/// Rows in one answer to READDIR.
const ROWS: usize = 100;
pub(super) const MAX_OPEN: usize = 1000;
pub(super) const MAX_READ_BYTES: u32 = 255 << 10;

enum Open {
    File { file: File, append: bool },
    Directory(fs::ReadDir),
}

/// One client's open files.
pub(super) struct Files {
    jail: Jail,
    pub(super) extensions: bool,
    max_answer_bytes: u32,
    pub(super) quirks: Quirks,
    open: HashMap<String, Open>,
    next_handle: u64,
}

pub(super) type Answer<T> = Result<T, StatusReply>;

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

    pub(super) fn file(&self, handle: &str) -> Answer<(&File, bool)> {
        match self.open.get(handle) {
            Some(Open::File { file, append }) => Ok((file, *append)),
            _ => Err(StatusCode::Failure.with_message("no such open file")),
        }
    }

    pub(super) fn rename_posix(&self, from: &str, to: &str) -> Answer<()> {
        let (from, to) = (self.changing(from)?, self.changing(to)?);
        fs::rename(from, to).map_err(refusal)
    }

    /// Where something is made, renamed or removed, if this account may do so there.
    fn changing(&self, path: &str) -> Answer<PathBuf> {
        let place = self.place(path)?;
        let parent = place.parent().unwrap_or(&place);
        self.allow(parent, true)?;
        Ok(place)
    }

    /// Refuses what the mode of a file or directory does not let its owner do.
    fn allow(&self, path: &Path, to_write: bool) -> Answer<()> {
        let bit = if to_write { 0o200 } else { 0o400 };
        let denied = match path.metadata() {
            Ok(found) => self.quirks.heeds_modes && found.mode() & bit == 0,
            Err(_) => false,
        };
        if denied || (to_write && self.quirks.read_only) {
            return Err(StatusCode::PermissionDenied.into());
        }
        Ok(())
    }

    fn place(&self, path: &str) -> Answer<PathBuf> {
        self.jail.place(path).map_err(refusal)
    }

    pub(super) fn follow(&self, path: &str) -> Answer<PathBuf> {
        self.jail.follow(path).map_err(refusal)
    }
}

pub(super) fn refusal(error: io::Error) -> StatusReply {
    let code = match error.kind() {
        io::ErrorKind::NotFound => StatusCode::NoSuchFile,
        io::ErrorKind::PermissionDenied => StatusCode::PermissionDenied,
        _ => StatusCode::Failure,
    };
    // The kind alone: the text of the error may name paths outside of the root.
    code.with_message(error.kind().to_string())
}

pub(super) fn bad_message() -> StatusReply {
    StatusCode::BadMessage.into()
}

pub(super) fn ok(id: u32) -> Status {
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
        let to_write = flags.intersects(OpenFlags::WRITE | OpenFlags::CREATE);
        match path.parent() {
            Some(parent) if to_write && !path.exists() => self.allow(parent, true)?,
            _ => self.allow(&path, to_write)?,
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
        if let Some((bytes, words)) = self.quirks.room
            && offset + data.len() as u64 > bytes
        {
            return Err(StatusCode::Failure.with_message(words));
        }
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
        self.allow(&path, true)?;
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
        let path = self.follow(&path)?;
        self.allow(&path, false)?;
        let rows = fs::read_dir(path).map_err(refusal)?;
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
                let mut told = attributes(&metadata);
                told.size = told.size.map(|size| size + self.quirks.adds_to_sizes);
                files.push(Row::new(name, told));
            }
        }
        if self.quirks.endless_listing {
            files.push(Row::new(format!("more-{id}"), FileAttributes::empty()));
        }
        if files.is_empty() { Err(StatusCode::Eof.into()) } else { Ok(Name { id, files }) }
    }

    async fn remove(&mut self, id: u32, filename: String) -> Answer<Status> {
        fs::remove_file(self.changing(&filename)?).map_err(refusal)?;
        Ok(ok(id))
    }

    async fn mkdir(&mut self, id: u32, path: String, _: FileAttributes) -> Answer<Status> {
        fs::create_dir(self.changing(&path)?).map_err(refusal)?;
        Ok(ok(id))
    }

    async fn rmdir(&mut self, id: u32, path: String) -> Answer<Status> {
        fs::remove_dir(self.changing(&path)?).map_err(refusal)?;
        Ok(ok(id))
    }

    async fn realpath(&mut self, id: u32, path: String) -> Answer<Name> {
        Ok(Name { id, files: vec![Row::dummy(Jail::virtual_path(&path))] })
    }

    async fn readlink(&mut self, id: u32, path: String) -> Answer<Name> {
        let text = fs::read_link(self.place(&path)?).map_err(refusal)?;
        Ok(Name { id, files: vec![Row::dummy(self.jail.seen(&text))] })
    }

    async fn rename(&mut self, id: u32, oldpath: String, newpath: String) -> Answer<Status> {
        let (from, to) = (self.changing(&oldpath)?, self.changing(&newpath)?);
        rename_fresh(&from, &to).map_err(refusal)?;
        Ok(ok(id))
    }

    async fn extended(&mut self, id: u32, request: String, data: Vec<u8>) -> Answer<Packet> {
        self.extension(id, &request, data)
    }
}
