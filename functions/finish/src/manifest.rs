//! The manifest: a list of what the run delivered, itself delivered last.
//!
//! It goes the way of every delivery: a temporary name, verified, then renamed; what was cut off in
//! between is found by what the bucket keeps about it, and what a dead run left is swept.

use domain::heard::DeliveredManifest;
use domain::items::Receipt;
use domain::profile::{Manifest, ManifestFormat, Rename, Target};
use domain::{ErrorClass, Failure, SecretStore};
use serde::{Deserialize, Serialize};
use sftp::{Session, WriteMode};
use sha2::{Digest, Sha256};
use storage::runs::{Run, held_lease, holds_lease};
use storage::{Condition, ETag, PutOutcome};

/// How far the manifest came. Written before its first byte is sent.
#[derive(Clone, Serialize, Deserialize)]
struct Sending {
    manifest: DeliveredManifest,
    /// Where its bytes lie until they are verified.
    half: String,
    /// Set right before the rename: from then on it may have its name.
    renaming: bool,
    /// Set when it has.
    delivered: bool,
}

/// Delivers the manifest that the profile asks for; `None` where it asks for none, or where there is
/// nothing to list. After a fault of the whole partner, nobody logs in once more.
///
/// # Errors
/// That fault; what the target can refuse; `Rejected` when other content has its name.
pub(crate) async fn deliver(
    run: &Run,
    secrets: &dyn SecretStore,
    receipts: &[Receipt],
    error: Option<&Failure>,
) -> Result<Option<DeliveredManifest>, Failure> {
    if receipts.is_empty() {
        return Ok(None);
    }
    let profile = run.profile().await?;
    let Some(manifest) = &profile.target.manifest else { return Ok(None) };
    let kept = Kept::of(run).await?;
    if let Some(kept) = kept.as_ref().filter(|kept| kept.sending.delivered) {
        return Ok(Some(kept.sending.manifest.clone()));
    }
    if let Some(fault) = error.filter(|failure| failure.class == ErrorClass::Misconfigured) {
        return Err(fault.clone());
    }
    let target = &profile.target;
    let bytes = match manifest.format {
        ManifestFormat::Json => as_json(run, receipts)?,
        ManifestFormat::Csv => as_csv(receipts)?,
    };
    let path = format!("{}/{}", target.directory.trim_end_matches('/'), name(manifest, run));
    let half = match target.rename {
        Rename::Direct => path.clone(),
        _ => format!("{path}.{}{}", run.keys().run(), target.temporary_suffix),
    };
    let sending = Sending {
        manifest: DeliveredManifest {
            remote_path: path,
            bytes: bytes.len() as u64,
            sha256: hex::encode(Sha256::digest(&bytes)),
            remote_mtime_seconds: None,
        },
        half,
        renaming: kept.as_ref().is_some_and(|kept| kept.sending.renaming),
        delivered: false,
    };
    let kept = Kept { sending, etag: kept.and_then(|kept| kept.etag) };
    let session = sftp::connect_target(target, secrets).await?;
    let delivery = Delivery { run, session: &session, target };
    let sent = match delivery.sweep().await {
        Ok(()) => delivery.send(kept, bytes).await,
        Err(failure) => Err(failure),
    };
    session.close().await;
    sent.map(Some)
}

/// The manifest's file name in a run.
pub(crate) fn name(manifest: &Manifest, run: &Run) -> String {
    manifest.name.replace("{partner}", run.keys().partner()).replace("{run}", run.keys().run())
}

/// What the bucket says about a manifest on its way. Only who read it last writes it.
struct Kept {
    sending: Sending,
    etag: Option<ETag>,
}

impl Kept {
    async fn of(run: &Run) -> Result<Option<Self>, Failure> {
        let found = run.store().get::<Sending>(&run.keys().manifest()).await?;
        Ok(found.map(|found| Self { sending: found.value, etag: Some(found.etag) }))
    }

    async fn write(&mut self, run: &Run) -> Result<(), Failure> {
        let condition = self.etag.take().map_or(Condition::Absent, Condition::Unchanged);
        let key = run.keys().manifest();
        match run.store().put(&key, &self.sending, condition).await? {
            PutOutcome::Written(etag) => {
                self.etag = Some(etag);
                Ok(())
            }
            PutOutcome::Refused => Err(Failure::transient(
                "finish.manifest_lost",
                format!("{key} was written by another invocation; what it did is looked at."),
            )),
        }
    }
}

struct Delivery<'a> {
    run: &'a Run,
    session: &'a Session,
    target: &'a Target,
}

impl Delivery<'_> {
    /// Removes what dead runs left under their temporary names. A process of theirs that wakes up
    /// later must not take the missing file for a rename that it had begun.
    async fn sweep(&self) -> Result<(), Failure> {
        let keys = self.run.keys();
        let lease = held_lease(self.run.store(), keys.partner(), keys.run()).await?;
        for dead in lease.into_iter().flat_map(|lease| lease.taken_from) {
            let dead = Run::new(self.run.store(), keys.partner(), &dead);
            let Some(mut left) = Kept::of(&dead).await? else { continue };
            // Without temporary names nothing tells half a file from what somebody else put there.
            if left.sending.half == left.sending.manifest.remote_path {
                continue;
            }
            left.sending.renaming = false;
            left.write(&dead).await?;
            self.remove(&left.sending.half).await;
        }
        Ok(())
    }

    /// Mostly there is nothing; what cannot be removed does no harm.
    async fn remove(&self, half: &str) {
        drop(self.session.remove(half).await);
    }

    async fn send(&self, mut kept: Kept, bytes: Vec<u8>) -> Result<DeliveredManifest, Failure> {
        let Self { session, target, .. } = self;
        let DeliveredManifest { remote_path: path, bytes: size, .. } =
            kept.sending.manifest.clone();
        let half = kept.sending.half.clone();
        let direct = target.rename == Rename::Direct;
        let renamed = kept.sending.renaming && !direct && session.stat(&half).await?.is_none();
        if !renamed {
            self.refuse_taken(&path, kept.sending.renaming).await?;
            if direct {
                self.renaming(&mut kept).await?;
            } else {
                kept.sending.renaming = false;
                kept.write(self.run).await?;
            }
            let mut writer = session.writer(&half, WriteMode::Truncate).await?;
            writer.write(bytes.into()).await?;
            writer.finish().await?;
            self.verify(&half, &kept.sending.manifest).await?;
            if !direct {
                self.renaming(&mut kept).await?;
                session.give_name(&half, &path, (*target, false), size).await?;
            }
        }
        let found = session.stat(&path).await?;
        kept.sending.manifest.remote_mtime_seconds = found.map(|found| found.mtime);
        kept.sending.delivered = true;
        kept.write(self.run).await?;
        Ok(kept.sending.manifest)
    }

    /// A name that is taken by other content is not overwritten, unless the profile says so.
    async fn refuse_taken(&self, path: &str, begun: bool) -> Result<(), Failure> {
        let half = begun && self.target.rename == Rename::Direct;
        if half || self.target.overwrites() || self.session.stat(path).await?.is_none() {
            return Ok(());
        }
        Err(Failure::rejected(
            "finish.manifest_exists",
            format!(
                "{}:{} already has {path} and it was left as it is, so the manifest was not \
                 delivered; put {{run}} into target.manifest.name, or set target.on_existing to \
                 \"replace\".",
                self.target.host, self.target.port
            ),
        ))
    }

    /// Says that the file may have its name from now on, if the run still has its partner. Else what
    /// was sent is removed: who took over has swept already.
    async fn renaming(&self, kept: &mut Kept) -> Result<(), Failure> {
        let keys = self.run.keys();
        if !holds_lease(self.run.store(), keys.partner(), keys.run()).await? {
            if self.target.rename != Rename::Direct {
                self.remove(&kept.sending.half).await;
            }
            return Err(Failure::transient(
                "finish.lease_lost",
                format!(
                    "The manifest was not delivered: the lease of partner {} is no longer this \
                     run's.",
                    keys.partner()
                ),
            ));
        }
        kept.sending.renaming = true;
        kept.write(self.run).await
    }

    /// Compares what the target holds, as far as it lets anybody read.
    async fn verify(&self, path: &str, manifest: &DeliveredManifest) -> Result<(), Failure> {
        let differs = |how: &str| {
            Failure::transient(
                "finish.manifest_mismatch",
                format!("{path} on the target is not what was sent: {how}. It is sent again."),
            )
        };
        let Some(found) = self.session.stat(path).await? else {
            // Without a temporary name it may be taken away the moment it is closed.
            let taken = self.target.rename == Rename::Direct;
            return if taken { Ok(()) } else { Err(differs("it is not there")) };
        };
        if found.size != manifest.bytes {
            return Err(differs("its size differs"));
        }
        match self.session.hash(path).await {
            Ok(hash) if hex::encode(hash) == manifest.sha256 => Ok(()),
            Ok(_) => Err(differs("its SHA-256 differs")),
            // A drop box forbids reading.
            Err(sftp::Error::PermissionDenied { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// One delivered file, as the partner gets to know it.
#[derive(Serialize)]
struct Row<'a> {
    /// Name at the target.
    name: &'a str,
    /// Size of the sealed file.
    bytes: u64,
    /// Hash of the sealed file.
    sha256: &'a str,
    /// Data records; empty when they were not counted.
    records: Option<u64>,
    /// Size of what is sealed.
    content_bytes: u64,
    /// Hash of what is sealed.
    content_sha256: &'a str,
    /// Path of the source file.
    source: &'a str,
    /// Path in the archive, or the source file's own.
    member: &'a str,
}

fn rows(receipts: &[Receipt]) -> impl Iterator<Item = Row<'_>> {
    receipts.iter().map(|receipt| Row {
        name: receipt.remote_path.rsplit('/').next().unwrap_or_default(),
        bytes: receipt.sealed_bytes,
        sha256: &receipt.sealed_sha256,
        records: receipt.records,
        content_bytes: receipt.bytes,
        content_sha256: &receipt.sha256,
        source: &receipt.file.path,
        member: &receipt.member,
    })
}

fn as_json(run: &Run, receipts: &[Receipt]) -> Result<Vec<u8>, Failure> {
    let manifest = serde_json::json!({
        "partner": run.keys().partner(),
        "run": run.keys().run(),
        "files": rows(receipts).collect::<Vec<Row<'_>>>(),
    });
    serde_json::to_vec_pretty(&manifest).map_err(|error| unwritable(&error))
}

fn as_csv(receipts: &[Receipt]) -> Result<Vec<u8>, Failure> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows(receipts) {
        writer.serialize(row).map_err(|error| unwritable(&error))?;
    }
    writer.into_inner().map_err(|error| unwritable(&error))
}

fn unwritable(error: &dyn std::fmt::Display) -> Failure {
    Failure::rejected("finish.manifest", format!("The manifest cannot be written: {error}."))
}
