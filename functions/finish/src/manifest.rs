//! The manifest: a list of what the run delivered, itself delivered last.
//!
//! It goes the way of every delivery: a temporary name, verified, then renamed; what was cut off in
//! between is found by what the bucket keeps about it.

use domain::heard::DeliveredManifest;
use domain::items::Receipt;
use domain::profile::{Manifest, ManifestFormat, Rename, Target};
use domain::{ErrorClass, Failure, SecretStore};
use serde::{Deserialize, Serialize};
use sftp::{Session, WriteMode};
use sha2::{Digest, Sha256};
use storage::Condition;
use storage::runs::{Run, holds_lease};

/// How far the manifest came.
#[derive(Clone, Serialize, Deserialize)]
struct Sending {
    manifest: DeliveredManifest,
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
    let kept = run.store().get::<Sending>(&run.keys().manifest()).await?.map(|found| found.value);
    if let Some(sending) = kept.as_ref().filter(|sending| sending.delivered) {
        return Ok(Some(sending.manifest.clone()));
    }
    if let Some(fault) = error.filter(|failure| failure.class == ErrorClass::Misconfigured) {
        return Err(fault.clone());
    }
    let target = &profile.target;
    let name = name(manifest, run);
    let bytes = match manifest.format {
        ManifestFormat::Json => as_json(run, receipts)?,
        ManifestFormat::Csv => as_csv(receipts)?,
    };
    let sending = Sending {
        manifest: DeliveredManifest {
            remote_path: format!("{}/{name}", target.directory.trim_end_matches('/')),
            bytes: bytes.len() as u64,
            sha256: hex::encode(Sha256::digest(&bytes)),
            remote_mtime_seconds: None,
        },
        renaming: kept.is_some_and(|kept| kept.renaming),
        delivered: false,
    };
    let session = sftp::connect_target(target, secrets).await?;
    let sent = Delivery { run, session: &session, target }.send(sending, bytes).await;
    session.close().await;
    sent.map(Some)
}

/// The manifest's file name in a run.
pub(crate) fn name(manifest: &Manifest, run: &Run) -> String {
    manifest.name.replace("{partner}", run.keys().partner()).replace("{run}", run.keys().run())
}

struct Delivery<'a> {
    run: &'a Run,
    session: &'a Session,
    target: &'a Target,
}

impl Delivery<'_> {
    async fn send(
        &self,
        mut sending: Sending,
        bytes: Vec<u8>,
    ) -> Result<DeliveredManifest, Failure> {
        let Self { run, session, target } = self;
        let path = sending.manifest.remote_path.clone();
        let direct = target.rename == Rename::Direct;
        let suffix = &target.temporary_suffix;
        let half =
            if direct { path.clone() } else { format!("{path}.{}{suffix}", run.keys().run()) };
        let renamed = sending.renaming && !direct && session.stat(&half).await?.is_none();
        if !renamed {
            self.refuse_taken(&path, sending.renaming).await?;
            if direct {
                self.renaming(&mut sending).await?;
            }
            let mut writer = session.writer(&half, WriteMode::Truncate).await?;
            writer.write(bytes.into()).await?;
            writer.finish().await?;
            self.verify(&half, &sending.manifest).await?;
            if !direct {
                self.renaming(&mut sending).await?;
                let bytes = sending.manifest.bytes;
                session.give_name(&half, &path, (*target, false), bytes).await?;
            }
        }
        let found = session.stat(&path).await?;
        sending.manifest.remote_mtime_seconds = found.map(|found| found.mtime);
        sending.delivered = true;
        self.keep(&sending).await?;
        Ok(sending.manifest)
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

    /// Says that the file may have its name from now on, if the run still has its partner.
    async fn renaming(&self, sending: &mut Sending) -> Result<(), Failure> {
        let keys = self.run.keys();
        if !holds_lease(self.run.store(), keys.partner(), keys.run()).await? {
            return Err(Failure::transient(
                "finish.lease_lost",
                format!(
                    "The manifest was not delivered: the lease of partner {} is no longer this \
                     run's.",
                    keys.partner()
                ),
            ));
        }
        sending.renaming = true;
        self.keep(sending).await
    }

    async fn keep(&self, sending: &Sending) -> Result<(), Failure> {
        let key = self.run.keys().manifest();
        drop(self.run.store().put(&key, sending, Condition::Any).await?);
        Ok(())
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
