//! Download: streams a parcel's files from the source into the bucket.
//!
//! One connection per invocation, opened when the first file needs it and closed at the end: a
//! frozen sandbox would hold one of the partner's slots. SHA-256 is taken on the way; a file that
//! changed while it was read is left to the next run.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::events::{ParcelInput, ParcelOutput};
use domain::ids::Name;
use domain::items::{Downloaded, FileItem, FileRef};
use domain::keys::Inbox;
use domain::{Deadline, Failure, Profile, SecretStore, Stage};
use sftp::Session;
use sha2::{Digest, Sha256};
use storage::Store;
use storage::runs::{Run, Work, work_through};
use tokio::sync::OnceCell;

/// What a server lists is believed up to here: parts grow with it, to 59 MiB, and 15 minutes carry no
/// more than 512 GiB.
const EXPECTED_BYTES_MAX: u64 = 512 * 1024 * 1024 * 1024;
/// Time kept back for telling that a transfer did not end in time.
const CUT_OFF: Duration = Duration::from_secs(10);

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
                session.end_after(deadline.remaining().saturating_sub(CUT_OFF));
                fetch(run, profile, session, &name).await
            }
        })
        .await;
        if let Some(Ok(session)) = session.into_inner() {
            session.close().await;
        }
        outcome
    }
}

async fn fetch(
    run: &Run,
    profile: &Profile,
    session: &Session,
    name: &Name,
) -> Result<(), Failure> {
    let mut item: FileItem = run.expect(Inbox::Discovered, name).await?;
    let path = join(&profile.source.directory, &item.file.path);
    unchanged(session, &path, &item.file).await?;
    let key = run.keys().raw(name.id());
    let expected = item.file.size_bytes.min(EXPECTED_BYTES_MAX);
    let mut writer = run.store().writer_for(&key, expected);
    let mut hash = Sha256::new();
    let mut bytes = 0_u64;
    let mut reader = session.reader(&path, 0).await?;
    while let Some(chunk) = reader.next().await? {
        bytes += chunk.len() as u64;
        if bytes > item.file.size_bytes {
            break;
        }
        hash.update(&chunk);
        writer.write(chunk).await?;
    }
    if bytes != item.file.size_bytes {
        return Err(changed(&item.file, &format!("{bytes} bytes came")));
    }
    unchanged(session, &path, &item.file).await?;
    writer.finish().await?;
    item.downloaded = Some(Downloaded { key, bytes, sha256: hex::encode(hash.finalize()) });
    run.write(Inbox::Downloaded, name, &item).await
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
            file.path, file.size_bytes
        ),
    )
}

fn join(directory: &str, path: &str) -> String {
    format!("{}/{path}", directory.trim_end_matches('/'))
}
