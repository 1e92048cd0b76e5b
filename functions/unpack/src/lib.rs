//! Unpack: opens each downloaded file into its members.
//!
//! The magic bytes decide what a file is, not its name. Members stream from S3 ranges into objects
//! of their own; the file is committed by its `expanded/` item, written last, so members of a
//! refused or half-read archive are never carried on.

mod members;

use std::sync::Arc;

use archive::{Format, Limits, NameCharset, Options};
use async_trait::async_trait;
use domain::events::{ParcelInput, ParcelOutput};
use domain::ids::Name;
use domain::items::{Downloaded, Expanded, FileItem, MemberItem};
use domain::keys::Inbox;
use domain::names::readable;
use domain::profile::Unpack as Rules;
use domain::{Deadline, ErrorClass, Failure, SecretBytes, SecretStore, Stage};
use storage::Store;
use storage::blocking::{Object, turn};
use storage::runs::{Reached, Run, Work, work_through};

use members::{Members, ObjectSource};

/// Archives of one parcel that are opened at once.
const FILES_AT_ONCE: usize = 2;
/// Members of one zip that are unpacked at once, if there are as many processors.
const MEMBERS_AT_ONCE: usize = 4;

/// The stage.
pub struct Unpack {
    store: Store,
    secrets: Arc<dyn SecretStore>,
}

impl Unpack {
    /// Unpacks inside that bucket.
    #[must_use]
    pub fn new(store: Store, secrets: Arc<dyn SecretStore>) -> Self {
        Self { store, secrets }
    }

    /// The archives' password, which is one line.
    async fn password(&self, rules: &Rules) -> Result<Option<SecretBytes>, Failure> {
        let Some(name) = &rules.password else { return Ok(None) };
        let password = self.secrets.secret(name).await?;
        password.line()?;
        Ok(Some(password))
    }
}

#[async_trait]
impl Stage for Unpack {
    type Input = ParcelInput;
    type Output = ParcelOutput;
    const NAME: &'static str = "unpack";

    async fn handle(
        &self,
        input: ParcelInput,
        deadline: Deadline,
    ) -> Result<ParcelOutput, Failure> {
        let run = Run::of(&self.store, &input);
        let rules = run.profile().await?.unpack;
        let password = self.password(&rules).await?;
        let work = Work {
            stage: Self::NAME,
            input: &input,
            done: &[Inbox::Expanded],
            concurrency: FILES_AT_ONCE,
            deadline,
        };
        work_through(&run, work, |name| {
            let (run, rules, password) = (&run, &rules, password.clone());
            async move { expand(run, rules, password, &name, deadline).await }
        })
        .await
    }
}

/// Opens one file, or as many of its members as there is time for.
async fn expand(
    run: &Run,
    rules: &Rules,
    password: Option<SecretBytes>,
    name: &Name,
    deadline: Deadline,
) -> Result<Reached, Failure> {
    let mut item: FileItem = run.expect(Inbox::Downloaded, name).await?;
    let Some(downloaded) = item.downloaded.clone() else {
        return Err(Failure::rejected(
            "unpack.not_downloaded",
            format!("{} has no bytes in the bucket.", item.file.path),
        ));
    };
    let object = Object::open(run.store(), &downloaded.key).await?;
    let source = ObjectSource(object);
    let detected = tokio::task::spawn_blocking(move || {
        let format = archive::detect(&source);
        (source, format)
    });
    let (source, format) = detected.await.map_err(died)?;
    let format = format.map_err(|error| read_failure(&item.file.path, &error))?;
    let (members, done) =
        if format == Format::Plain || archive::is_document_container(&item.file.path) {
            (vec![whole_file(run, &item, &downloaded).await?], true)
        } else {
            let members = Members::resume(run, &item, deadline).await?;
            let limits = limits(rules);
            unpack_archive(source, &item.file.path, limits, rules, password, members).await?
        };
    if !done {
        return Ok(Reached::Checkpoint);
    }
    item.expanded = Some(Expanded { format: format.to_string(), members });
    run.write(Inbox::Expanded, name, &item).await?;
    Ok(Reached::End)
}

/// A file that is no archive has one member: itself, with the bytes that were downloaded.
async fn whole_file(run: &Run, item: &FileItem, raw: &Downloaded) -> Result<Name, Failure> {
    let path = readable(&item.file.path).into_owned();
    let id = MemberItem::id_of(&item.file, &path);
    let name = Name::new(raw.bytes, &id);
    let member = MemberItem {
        name: name.clone(),
        file: item.file.clone(),
        resend: item.resend.clone(),
        path,
        from_archive: false,
        bytes: raw.bytes,
        sha256: raw.sha256.clone(),
        key: raw.key.clone(),
        count: None,
        report: None,
        sealed: None,
    };
    run.write(Inbox::Members, &name, &member).await?;
    Ok(name)
}

async fn unpack_archive(
    source: ObjectSource,
    path: &str,
    limits: Limits,
    rules: &Rules,
    password: Option<SecretBytes>,
    members: Members,
) -> Result<(Vec<Name>, bool), Failure> {
    let charset: NameCharset = rules.name_charset.parse().map_err(|_| {
        Failure::misconfigured(
            "profile.name_charset",
            format!("unpack.name_charset {:?} is not known.", rules.name_charset),
        )
    })?;
    let path = path.to_owned();
    let work = turn().await.compute(move || {
        let options = Options {
            password: password.as_ref().and_then(|password| password.line().ok()),
            name_charset: charset,
            parallelism: members_at_once(),
        };
        let outcome = archive::unpack(&source, &path, &limits, &options, &members);
        (members, outcome.map_err(Failure::from))
    });
    let (members, outcome) = work.await.map_err(died)?;
    match outcome {
        Ok(outcome) => {
            if outcome.more {
                members.keep_for_later().await?;
            }
            Ok((members.names(), !outcome.more))
        }
        Err(failure) => {
            // What may pass goes on from here; of an archive that is refused nothing is left.
            if failure.class == ErrorClass::Rejected {
                members.forget().await;
            } else {
                members.keep_for_later().await?;
            }
            Err(failure)
        }
    }
}

fn members_at_once() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(MEMBERS_AT_ONCE)
}

fn limits(rules: &Rules) -> Limits {
    Limits {
        max_ratio: rules.max_ratio,
        max_entries: rules.max_entries,
        max_bytes: rules.max_bytes,
        ..Limits::default()
    }
}

/// The blocking thread panicked or the runtime ended under it.
fn died(_: tokio::task::JoinError) -> Failure {
    Failure::transient("unpack.thread", "The thread that unpacks ended by itself; trying again.")
}

fn read_failure(path: &str, error: &std::io::Error) -> Failure {
    storage::blocking::failure_in(error).cloned().unwrap_or_else(|| {
        Failure::transient("unpack.read", format!("{path} could not be read back: {error}."))
    })
}
