//! Download: streams a parcel's files from the source into the bucket.
//!
//! One connection per invocation, opened when the first file needs it and closed at the end: a
//! frozen sandbox would hold one of the partner's slots. SHA-256 is taken on the way; a file that
//! changed while it was read is left to the next run. A file that takes longer than one invocation
//! goes on in the next one, at the byte and with the hash that it had come to.

use std::sync::Arc;

use async_trait::async_trait;
use domain::events::{ParcelInput, ParcelOutput};
use domain::ids::Name;
use domain::items::{Downloaded, FileItem, FileRef};
use domain::keys::Inbox;
use domain::names::readable;
use domain::{Deadline, ErrorClass, Failure, Midstate, Profile, SecretStore, Stage};
use serde::{Deserialize, Serialize};
use sftp::Session;
use sha2::{Digest, Sha256};
use storage::runs::{Reached, Run, Work, work_through};
use storage::{Checkpoint, Error, Store, Writer};
use tokio::sync::OnceCell;

/// What a server lists is believed up to here: parts grow with it, to 59 MiB, and 15 minutes carry no
/// more than 512 GiB.
const EXPECTED_BYTES_MAX: u64 = 512 * 1024 * 1024 * 1024;

/// The stage.
pub struct Download {
    store: Store,
    secrets: Arc<dyn SecretStore>,
}

impl Download {
    /// Downloads into that bucket.
    #[must_use]
    pub fn new(store: Store, secrets: Arc<dyn SecretStore>) -> Self {
        Self { store, secrets }
    }
}

#[async_trait]
impl Stage for Download {
    type Input = ParcelInput;
    type Output = ParcelOutput;
    const NAME: &'static str = "download";

    async fn handle(
        &self,
        input: ParcelInput,
        deadline: Deadline,
    ) -> Result<ParcelOutput, Failure> {
        let run = Run::of(&self.store, &input);
        let profile = run.profile().await?;
        let session = OnceCell::new();
        let work = Work {
            stage: Self::NAME,
            input: &input,
            done: &[Inbox::Downloaded],
            concurrency: profile.source.transfers_per_connection as usize,
            deadline,
        };
        let outcome = work_through(&run, work, |name| {
            let (run, profile, session) = (&run, &profile, &session);
            async move {
                // One attempt per invocation: a refused login must not be repeated per item.
                let session = session
                    .get_or_init(|| sftp::connect_source(&profile.source, &*self.secrets))
                    .await;
                let session = session.as_ref().map_err(Clone::clone)?;
                // A transfer ends with a reason before the invocation is cut off without one.
                session.end_after(deadline.for_transfers());
                fetch(run, profile, session, &name, deadline).await
            }
        })
        .await;
        if let Some(Ok(session)) = session.into_inner() {
            session.close().await;
        }
        outcome
    }
}

/// Where an earlier invocation stopped in the middle of a file. It belongs to one run, and so to
/// the size and modification time that the file had when it was discovered.
#[derive(Serialize, Deserialize)]
struct Progress {
    /// What the bucket has.
    object: Checkpoint,
    /// SHA-256 of that much.
    sha256: Midstate,
}

/// A file on its way into the bucket.
struct Transfer {
    writer: Writer,
    hash: Sha256,
    bytes: u64,
}

impl Transfer {
    /// From where an earlier invocation stopped, else from the first byte.
    async fn begin(run: &Run, key: &str, item: &FileItem, name: &Name) -> Result<Self, Failure> {
        let kept: Option<Progress> = run.progress(Download::NAME, name).await?;
        if let Some((hash, object)) = kept.and_then(|kept| Some((kept.sha256.hash()?, kept.object)))
        {
            let bytes = object.offset;
            match run.store().resume(key, object).await {
                Ok(writer) => return Ok(Self { writer, hash, bytes }),
                // It expired, or somebody removed it.
                Err(Error::UploadGone { .. }) => {
                    tracing::warn!(file = item.file.path, bytes, "its upload is gone: begun anew");
                }
                Err(error) => return Err(error.into()),
            }
        }
        let expected = item.file.size_bytes.min(EXPECTED_BYTES_MAX);
        let writer = run.store().writer_for(key, expected);
        Ok(Self { writer, hash: Sha256::new(), bytes: 0 })
    }

    /// Stops here until the next invocation.
    async fn pause(self, run: &Run, name: &Name) -> Result<(), Failure> {
        let sha256 = Midstate::of(&self.hash);
        let object = self.writer.checkpoint().await?;
        run.keep_progress(Download::NAME, name, &Progress { object, sha256 }).await
    }

    /// Leaves nothing of it in the bucket.
    async fn forget(self) {
        if let Err(error) = self.writer.abort().await {
            tracing::warn!(%error, "an unfinished upload could not be aborted");
        }
    }
}

async fn fetch(
    run: &Run,
    profile: &Profile,
    session: &Session,
    name: &Name,
    deadline: Deadline,
) -> Result<Reached, Failure> {
    let mut item: FileItem = run.expect(Inbox::Discovered, name).await?;
    let path = join(&profile.source.directory, &item.file.path);
    let key = run.keys().raw(name.id());
    let mut transfer = Transfer::begin(run, &key, &item, name).await?;
    match copy(session, &path, &item.file, &mut transfer, deadline).await {
        Ok(true) => {}
        Ok(false) => {
            transfer.pause(run, name).await?;
            return Ok(Reached::Checkpoint);
        }
        Err(failure) => {
            // What may pass goes on at the last checkpoint; a file that is given up leaves nothing.
            if matches!(failure.class, ErrorClass::SourceChanged | ErrorClass::Rejected) {
                transfer.forget().await;
            }
            return Err(failure);
        }
    }
    let Transfer { writer, hash, bytes } = transfer;
    writer.finish().await?;
    item.downloaded = Some(Downloaded { key, bytes, sha256: hex::encode(hash.finalize()) });
    run.write(Inbox::Downloaded, name, &item).await?;
    Ok(Reached::End)
}

/// Reads on until the deadline is near, and tells whether the file ended before.
async fn copy(
    session: &Session,
    path: &str,
    file: &FileRef,
    transfer: &mut Transfer,
    deadline: Deadline,
) -> Result<bool, Failure> {
    unchanged(session, path, file).await?;
    let mut reader = session.reader(path, transfer.bytes).await?;
    while let Some(chunk) = reader.next().await? {
        transfer.bytes += chunk.len() as u64;
        if transfer.bytes > file.size_bytes {
            break;
        }
        transfer.hash.update(&chunk);
        transfer.writer.write(chunk).await?;
        if transfer.bytes < file.size_bytes && deadline.is_near() {
            unchanged(session, path, file).await?;
            return Ok(false);
        }
    }
    if transfer.bytes != file.size_bytes {
        return Err(changed(file, &format!("{} bytes came", transfer.bytes)));
    }
    unchanged(session, path, file).await?;
    Ok(true)
}

/// The file is still the one that was discovered.
async fn unchanged(session: &Session, path: &str, file: &FileRef) -> Result<(), Failure> {
    match session.stat(path).await? {
        None => Err(changed(file, "it is gone")),
        Some(now) if now.size != file.size_bytes => {
            Err(changed(file, &format!("it has {} bytes", now.size)))
        }
        Some(now) if now.mtime != file.mtime_seconds => {
            Err(changed(file, "its modification time moved"))
        }
        Some(_) => Ok(()),
    }
}

fn changed(file: &FileRef, how: &str) -> Failure {
    Failure::source_changed(
        "download.source_changed",
        format!(
            "{} had {} bytes when it was found and changed while it was read: {how}. The next run \
             takes it as it is then.",
            readable(&file.path),
            file.size_bytes
        ),
    )
}

fn join(directory: &str, path: &str) -> String {
    format!("{}/{path}", directory.trim_end_matches('/'))
}
