//! The folder behind the server: files come into place whole, one writer per key at a time.

use std::fs::{self, File, Metadata, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use s3s::dto::ETag;
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};
use tokio::sync::Mutex;

use super::checksum::Crc64;
use super::conditions::{Conditions, etag_of};
use super::listing::Snapshots;
use super::place::Place;
use super::slots::Slots;
use super::{multipart, random_hex};

/// Keys share this many locks; two keys with the same one only wait for each other.
const STRIPES: u64 = 64;
/// A half-written file this old belongs to nobody.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);
/// How often a folder may vanish under a write, because its last object was just deleted.
const RENAME_TRIES: u32 = 100;
/// What files being written are called.
const TEMPORARY_PREFIX: &str = "new-";

/// The root folder and the locks on it. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    root: Arc<PathBuf>,
    stripes: Arc<Vec<Arc<Mutex<()>>>>,
    pub(super) snapshots: Arc<Snapshots>,
    pub(super) slots: Arc<Slots>,
}

/// A file being written, deleted when dropped unless it was moved into place.
#[derive(Debug)]
pub(super) struct Temporary {
    pub(super) file: File,
    path: PathBuf,
}

impl Temporary {
    pub(super) fn create(folder: &Path) -> io::Result<Self> {
        let path = folder.join(format!("{TEMPORARY_PREFIX}{}", random_hex::<16>()));
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        Ok(Self { file, path })
    }

    /// A second name for a file that is complete.
    pub(super) fn link(file: &Path, folder: &Path) -> io::Result<Self> {
        let path = folder.join(format!("{TEMPORARY_PREFIX}{}", random_hex::<16>()));
        fs::hard_link(file, &path)?;
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        Ok(Self { file, path })
    }

    /// Gives the file its name; the old file of that name, if any, is gone.
    pub(super) fn rename(&self, to: &Path) -> io::Result<()> {
        fs::rename(&self.path, to)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After a rename there is nothing of this random name.
        let _nothing_there = fs::remove_file(&self.path);
    }
}

impl Folder {
    /// Makes what is missing, sweeps what a dead process left long ago.
    pub(super) fn open(root: PathBuf, buckets: &[String]) -> io::Result<Self> {
        let stripes = (0..STRIPES).map(|_| Arc::new(Mutex::new(()))).collect();
        let this = Self {
            root: Arc::new(root),
            stripes: Arc::new(stripes),
            snapshots: Arc::new(Snapshots::default()),
            slots: Arc::new(Slots::default()),
        };
        fs::create_dir_all(this.uploads())?;
        fs::create_dir_all(this.root.join(".locks"))?;
        for bucket in buckets {
            if !s3s::path::check_bucket_name(bucket) {
                let problem = format!("{bucket:?} is not a bucket name");
                return Err(io::Error::new(ErrorKind::InvalidInput, problem));
            }
            fs::create_dir_all(this.root.join(bucket))?;
        }
        sweep(&this.uploads())?;
        Ok(this)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn uploads(&self) -> PathBuf {
        self.root.join(".uploads")
    }

    /// The bucket's folder, or `NoSuchBucket`.
    pub(super) fn bucket(&self, bucket: &str) -> S3Result<PathBuf> {
        let path = self.root.join(bucket);
        if !bucket.starts_with('.') && path.is_dir() {
            Ok(path)
        } else {
            Err(s3_error!(NoSuchBucket, "there is no bucket {bucket}"))
        }
    }

    /// Opens an object; what is read from the file is one version, whatever happens to the key.
    pub(super) fn open_object(&self, place: &Place) -> S3Result<(File, Metadata)> {
        let opened = File::open(place.path(&self.root))
            .and_then(|file| file.metadata().map(|metadata| (file, metadata)));
        match opened {
            Ok((file, metadata)) if metadata.is_file() => Ok((file, metadata)),
            Err(error) if !is_absence(&error) => Err(broken(error)),
            _ => {
                self.bucket(&place.bucket)?;
                Err(s3_error!(NoSuchKey, "there is no object {}", place.key))
            }
        }
    }

    /// Runs `work` while nobody else, in no process, writes the same key.
    ///
    /// `work` goes on to its end even when the request behind it is cancelled.
    pub(super) async fn exclusive<T: Send + 'static>(
        &self,
        place: Place,
        work: impl FnOnce(&Self, &Place) -> S3Result<T> + Send + 'static,
    ) -> S3Result<T> {
        let mut hasher = DefaultHasher::new();
        (&place.bucket, &place.key).hash(&mut hasher);
        let stripe = hasher.finish() % STRIPES;
        let Some(mutex) = usize::try_from(stripe).ok().and_then(|stripe| self.stripes.get(stripe))
        else {
            return Err(s3_error!(InternalError, "there is no lock {stripe}"));
        };
        // The first lock keeps this process from blocking a thread per waiting request; the second
        // one orders processes.
        let guard = Arc::clone(mutex).lock_owned().await;
        let this = self.clone();
        blocking(move || {
            let _guard = guard;
            let path = this.root.join(".locks").join(format!("{stripe:02}"));
            let lock = OpenOptions::new().create(true).append(true).open(path).map_err(broken)?;
            lock.lock().map_err(broken)?;
            work(&this, &place)
        })
        .await
    }

    /// Moves a finished file into place if the conditions hold. Only inside [`Folder::exclusive`].
    pub(super) fn commit(
        &self,
        new: &Temporary,
        place: &Place,
        conditions: &Conditions,
        sum: Option<Crc64>,
    ) -> S3Result<ETag> {
        let bucket = self.bucket(&place.bucket)?;
        let path = place.path(&self.root);
        let current = self.current(&path)?;
        conditions.allow_write(current.as_ref())?;
        // Later than the version before, even when the clock is coarse or was set back.
        let mut modified = SystemTime::now();
        if let Some(before) = current.and_then(|file| file.modified().ok()) {
            modified = modified.max(before + Duration::from_nanos(1));
        }
        new.file.set_modified(modified).map_err(broken)?;
        let metadata = new.file.metadata().map_err(broken)?;
        if let Some(sum) = sum {
            sum.keep(&new.file, &metadata);
        }
        move_into_place(new, &path, &bucket, &place.key)?;
        Ok(etag_of(&metadata))
    }

    /// Deletes an object and the folders that it leaves empty. Only inside [`Folder::exclusive`].
    pub(super) fn remove(&self, place: &Place, conditions: &Conditions) -> S3Result<()> {
        let bucket = self.bucket(&place.bucket)?;
        let path = place.path(&self.root);
        let current = self.current(&path)?;
        if conditions.if_match.is_some() {
            conditions.allow_write(current.as_ref())?;
        }
        if current.is_none() {
            return Ok(());
        }
        match fs::remove_file(&path) {
            Err(error) if !is_absence(&error) => return Err(broken(error)),
            _ => {}
        }
        let parents = path.ancestors().skip(1).take_while(|parent| *parent != bucket);
        for parent in parents {
            if fs::remove_dir(parent).is_err() {
                break;
            }
        }
        Ok(())
    }

    fn current(&self, path: &Path) -> S3Result<Option<Metadata>> {
        match fs::metadata(path) {
            Ok(metadata) => Ok(metadata.is_file().then_some(metadata)),
            Err(error) if is_absence(&error) => Ok(None),
            Err(error) => Err(broken(error)),
        }
    }
}

fn move_into_place(new: &Temporary, path: &Path, bucket: &Path, key: &str) -> S3Result<()> {
    let parent = path.parent().unwrap_or(bucket);
    let mut tries = 0;
    loop {
        match fs::create_dir_all(parent).and_then(|()| new.rename(path)) {
            Ok(()) => return Ok(()),
            Err(error) => match error.kind() {
                ErrorKind::NotFound if tries < RENAME_TRIES => tries += 1,
                ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
                    return Err(s3_error!(
                        InvalidArgument,
                        "{key} cannot be stored: a part of it is itself an object"
                    ));
                }
                // An empty folder is no object, only what a killed process left of one.
                ErrorKind::IsADirectory if tries < RENAME_TRIES && fs::remove_dir(path).is_ok() => {
                    tries += 1;
                }
                ErrorKind::IsADirectory => {
                    return Err(s3_error!(
                        InvalidArgument,
                        "{key} cannot be stored: there are objects below it, {key}/…"
                    ));
                }
                _ => return Err(broken(error)),
            },
        }
    }
}

/// Deletes what nobody has touched for a day: files, and folders that belong to no upload any more.
/// Unfinished multipart uploads stay.
fn sweep(uploads: &Path) -> io::Result<()> {
    for entry in fs::read_dir(uploads)? {
        let entry = entry?;
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        let age = metadata.modified().ok().and_then(|time| time.elapsed().ok());
        if age.is_none_or(|age| age < ABANDONED) {
            continue;
        }
        if metadata.is_file() && entry.file_name().to_string_lossy().starts_with(TEMPORARY_PREFIX) {
            fs::remove_file(entry.path())?;
        } else if metadata.is_dir() && !multipart::is_upload(&entry.path()) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Whether the error only says that there is no such file.
pub(super) fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// A failure of the file system, as a client sees it.
pub(super) fn broken(error: io::Error) -> S3Error {
    let mut answer = s3_error!(InternalError, "the file system says: {error}");
    answer.set_source(Box::new(error));
    answer
}

/// Runs file work on a thread that may block.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> S3Result<T> + Send + 'static,
) -> S3Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(ended) => Err(S3Error::with_source(S3ErrorCode::InternalError, Box::new(ended))),
    }
}
