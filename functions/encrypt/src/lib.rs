//! Encrypt: seals each member to the partner's key and proves the ciphertext.
//!
//! The plaintext streams from the bucket through the cipher back into the bucket. Then the
//! ciphertext is read back as stored and opened with the session key, which lives in memory only;
//! nothing leaves that was not proven.

use std::sync::Arc;

use async_trait::async_trait;
use domain::events::{ParcelInput, ParcelOutput};
use domain::ids::Name;
use domain::items::{MemberItem, Sealed};
use domain::keys::Inbox;
use domain::profile::{Encryption, SealFormat};
use domain::{Deadline, Failure, SecretStore, Stage};
use jiff::Timestamp;
use openpgp::{Format, Recipient, SealOptions, Signer};
use storage::blocking::{SyncReader, SyncWriter, Turn, turn};
use storage::runs::{Run, Work, work_through};
use storage::{Range, Store};

/// Members of one parcel that are sealed at once.
const MEMBERS_AT_ONCE: usize = 4;

/// The stage.
pub struct Encrypt {
    store: Store,
    secrets: Arc<dyn SecretStore>,
}

/// The keys of one invocation.
struct Keys {
    recipient: Recipient,
    signer: Option<Signer>,
    armor: bool,
    format: Format,
}

impl Encrypt {
    /// Seals inside that bucket.
    #[must_use]
    pub fn new(store: Store, secrets: Arc<dyn SecretStore>) -> Self {
        Self { store, secrets }
    }

    async fn keys(&self, rules: &Encryption) -> Result<Keys, Failure> {
        let now = Timestamp::now();
        let certificate = self.secrets.secret(&rules.certificate).await?;
        let signer = match &rules.sign_with {
            Some(name) => Some(Signer::parse(self.secrets.secret(name).await?.bytes(), None, now)?),
            None => None,
        };
        Ok(Keys {
            recipient: Recipient::parse(certificate.bytes(), now)?,
            signer,
            armor: rules.armor,
            format: match rules.format {
                SealFormat::Auto => Format::Auto,
                SealFormat::V1 => Format::V1,
                SealFormat::V2 => Format::V2,
            },
        })
    }
}

#[async_trait]
impl Stage for Encrypt {
    type Input = ParcelInput;
    type Output = ParcelOutput;
    const NAME: &'static str = "encrypt";

    async fn handle(
        &self,
        input: ParcelInput,
        deadline: Deadline,
    ) -> Result<ParcelOutput, Failure> {
        let run = Run::of(&self.store, &input);
        let profile = run.profile().await?;
        let keys = match self.keys(&profile.encryption).await {
            Ok(keys) => Arc::new(keys),
            Err(failure) => {
                if failure.class == domain::ErrorClass::Misconfigured {
                    run.halt(Self::NAME, &failure).await?;
                }
                return Err(failure);
            }
        };
        let work = Work {
            stage: Self::NAME,
            input: &input,
            done: &[Inbox::Sealed],
            concurrency: MEMBERS_AT_ONCE,
            deadline,
        };
        work_through(&run, work, |name| {
            let (run, keys) = (&run, Arc::clone(&keys));
            async move { seal(run, keys, &name).await }
        })
        .await
    }
}

async fn seal(run: &Run, keys: Arc<Keys>, name: &Name) -> Result<(), Failure> {
    let mut item: MemberItem = run.expect(Inbox::Reported, name).await?;
    // The thread of an attempt that was given up may go on writing: its place is its own.
    let key = run.keys().sealed(name.id(), &uuid::Uuid::new_v4().simple().to_string());
    let my_turn = turn().await;
    let mut plain = SyncReader::new(run.store().reader(&item.key, Range::ALL).await?);
    // Armor adds more than a third.
    let expected = item.bytes.saturating_add(item.bytes / 2);
    let mut stored = SyncWriter::new(run.store().writer_for(&key, expected));
    let (keys, sealed) = on_thread(my_turn, move || {
        let options =
            SealOptions { armor: keys.armor, format: keys.format, signer: keys.signer.as_ref() };
        let sealed = openpgp::seal(&[&keys.recipient], &options, &mut plain, &mut stored)?;
        stored.finish()?;
        Ok((keys, sealed))
    })
    .await?;
    if sealed.plaintext_sha256_hex() != item.sha256 {
        return Err(Failure::rejected(
            "encrypt.plaintext_changed",
            format!("{} is not what was unpacked: its SHA-256 differs.", item.label()),
        ));
    }
    let my_turn = turn().await;
    let mut back = SyncReader::new(run.store().reader(&key, Range::ALL).await?);
    let (keys, sealed, proof) = on_thread(my_turn, move || {
        let proof = openpgp::prove(&sealed, &[&keys.recipient], &mut back)?;
        Ok((keys, sealed, proof))
    })
    .await?;
    item.sealed = Some(Sealed {
        key,
        bytes: proof.ciphertext_bytes,
        sha256: proof.ciphertext_sha256_hex(),
        suffix: openpgp::suffix(keys.armor).to_owned(),
        certificate: keys.recipient.fingerprint().to_owned(),
        recipients: sealed.recipients.iter().map(|one| one.key_id.clone()).collect(),
    });
    run.write(Inbox::Sealed, name, &item).await
}

/// Runs the ciphers where they cannot hold up the network.
async fn on_thread<T: Send + 'static>(
    turn: Turn,
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    turn.compute(work).await.unwrap_or_else(|_| {
        Err(Failure::transient("encrypt.thread", "The thread that seals ended by itself."))
    })
}
