//! A partner, the API, secrets and a state folder: all that a run needs, in one temporary folder.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use domain::Profile;
use domain::events::{Start, Summary};
use dray::local::{Local, Options};
use dray::progress::{Phases, Progress};
use dray::run::{Ended, run_one};
use engine::{EventType, FastClock, Outcome};
use openpgp::{GenerateOptions, Generated};
use secrets::FolderSecrets;
use sftp::server::Quirks;
use tempfile::TempDir;

use crate::partner::write;
use crate::{Api, Gpg, Kind, Partner};

/// Everything around a run. Dereferences to its first partner, `acme`.
pub struct World {
    /// The third party.
    pub api: Api,
    /// The first partner.
    pub partner: Partner,
    /// The state folder of runs.
    pub state: PathBuf,
    /// One file per secret.
    pub secrets: PathBuf,
    opener: Opener,
    root: TempDir,
}

/// Who opens what was delivered.
enum Opener {
    Gpg(Arc<Gpg>),
    Generated(&'static Generated),
}

impl World {
    /// Two OpenSSH servers, and GnuPG as the partner.
    ///
    /// # Panics
    /// When sshd or gpg is missing.
    #[must_use]
    pub fn openssh() -> Self {
        Self::new(Kind::OpenSsh)
    }

    /// Two embedded servers and a key made by our own library: starts in milliseconds.
    ///
    /// # Panics
    /// When a server cannot be started.
    #[must_use]
    pub fn embedded() -> Self {
        Self::new(Kind::Embedded)
    }

    /// With embedded servers, of which the target has those peculiarities.
    ///
    /// # Panics
    /// When a server cannot be started.
    #[must_use]
    pub fn quirky(quirks: Quirks) -> Self {
        let mut world = Self::embedded();
        world.partner.move_target(quirks, &world.secrets);
        world
    }

    /// With servers of that kind.
    ///
    /// # Panics
    /// When one cannot be started.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        let root = tempfile::tempdir().expect("a folder for the world");
        let (state, secrets) = (root.path().join("state"), root.path().join("secrets"));
        let api = Api::start();
        let opener = match kind {
            Kind::Embedded => Opener::Generated(generated()),
            Kind::OpenSsh | Kind::OpenSshUnprivileged | Kind::OpenSshNarrow => {
                Opener::Gpg(Gpg::shared())
            }
        };
        let partner = Partner::start("acme", kind, &secrets, &api.url);
        let world = Self { api, partner, state, secrets, opener, root };
        world.secret("acme/recipient-cert", world.opener.certificate());
        world
    }

    /// One more partner with servers of its own, and the same API, secrets folder and PGP key.
    ///
    /// # Panics
    /// When a server cannot be started.
    #[must_use]
    pub fn neighbour(&self, name: &str, kind: Kind) -> Partner {
        let partner = Partner::start(name, kind, &self.secrets, &self.api.url);
        self.secret(&format!("{name}/recipient-cert"), self.opener.certificate());
        partner
    }

    /// Writes or replaces a secret.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn secret(&self, name: &str, text: &str) {
        write(&self.secrets.join(name), text);
    }

    /// Writes a partner's profile as it is now and returns the file.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn profile_file(&self, partner: &Partner) -> PathBuf {
        let path = self.root.path().join(format!("{}.json", partner.name));
        std::fs::write(&path, partner.profile.to_string()).expect("a profile");
        path
    }

    /// The first partner's profile, which must be valid.
    ///
    /// # Panics
    /// When it is not.
    #[must_use]
    pub fn profile(&self) -> Profile {
        Profile::parse(&self.partner.profile.to_string()).expect("a valid profile")
    }

    /// Options over this world's folders with a clock that skips every pause.
    #[must_use]
    pub fn options(&self) -> Options {
        let mut options = Options::new(&self.state, Arc::new(FolderSecrets::new(&self.secrets)));
        options.clock = Arc::new(FastClock::new());
        options
    }

    /// Runs the first partner once, in this process, without pauses between retries.
    ///
    /// # Panics
    /// When the run cannot even be started.
    pub async fn run(&self) -> Ended {
        self.run_with(self.options(), self.start()).await
    }

    /// Runs the first partner once, with those options and that start.
    ///
    /// # Panics
    /// When the run cannot even be started.
    pub async fn run_with(&self, options: Options, start: Start) -> Ended {
        let local = Local::start(options).await.expect("the embedded world");
        let ended = self.run_on(&local, start).await;
        local.stop().await;
        ended
    }

    /// Runs the first partner once on a world that is there already.
    ///
    /// # Panics
    /// When the run cannot even be started.
    pub async fn run_on(&self, local: &Local, start: Start) -> Ended {
        let progress = Progress::new(local.store(), &Arc::new(Phases::default()), true);
        run_one(local, &progress, &self.profile(), start).await.expect("a run")
    }

    /// The plain start of the first partner.
    #[must_use]
    pub fn start(&self) -> Start {
        Start { partner: self.partner.name.clone(), ..Start::default() }
    }

    /// The partner's GnuPG.
    ///
    /// # Panics
    /// In a world of embedded servers, where our own library opens.
    #[must_use]
    pub fn gpg(&self) -> &Gpg {
        match &self.opener {
            Opener::Gpg(gpg) => gpg,
            Opener::Generated(_) => panic!("our own library opens in this world"),
        }
    }

    /// Opens everything at the partner's target; plaintexts by name without the seal's suffix.
    ///
    /// # Panics
    /// When something there does not open.
    #[must_use]
    pub fn opened(&self) -> BTreeMap<String, Vec<u8>> {
        self.opened_of(&self.partner)
    }

    /// Opens everything at a neighbour's target.
    ///
    /// # Panics
    /// When something there does not open.
    #[must_use]
    pub fn opened_of(&self, partner: &Partner) -> BTreeMap<String, Vec<u8>> {
        self.open(&partner.target.paths())
    }

    /// Opens these files.
    pub(crate) fn open(&self, files: &[PathBuf]) -> BTreeMap<String, Vec<u8>> {
        self.opener.open(files)
    }

    /// The folder where a run's documents are plain files.
    #[must_use]
    pub fn run_folder(&self, partner: &str, run: &str) -> PathBuf {
        self.state.join("s3/drayage/runs").join(partner).join(run)
    }

    /// The summaries of every finished run of a partner, oldest first.
    ///
    /// # Panics
    /// When one cannot be read.
    #[must_use]
    pub fn summaries(&self, partner: &str) -> Vec<Summary> {
        let folder = self.state.join("s3/drayage/runs").join(partner);
        let Ok(runs) = std::fs::read_dir(folder) else { return Vec::new() };
        let mut folders: Vec<PathBuf> = runs.map(|run| run.expect("a run").path()).collect();
        folders.sort();
        folders.iter().filter_map(|run| summary(run)).collect()
    }
}

fn summary(run: &Path) -> Option<Summary> {
    let text = std::fs::read(run.join("summary.json")).ok()?;
    Some(serde_json::from_slice(&text).expect("a summary"))
}

impl Deref for World {
    type Target = Partner;

    fn deref(&self) -> &Partner {
        &self.partner
    }
}

impl DerefMut for World {
    fn deref_mut(&mut self) -> &mut Partner {
        &mut self.partner
    }
}

impl Opener {
    fn certificate(&self) -> &str {
        match self {
            Self::Gpg(gpg) => &gpg.certificate,
            Self::Generated(key) => &key.public,
        }
    }

    fn open(&self, files: &[PathBuf]) -> BTreeMap<String, Vec<u8>> {
        let key = match self {
            Self::Gpg(gpg) => return gpg.open(files),
            Self::Generated(key) => key,
        };
        let one = |path: &PathBuf| {
            let mut sealed = std::fs::File::open(path).expect("a delivered file");
            let mut plain = Vec::new();
            openpgp::open(key.secret.as_bytes(), None, &mut sealed, &mut plain)
                .unwrap_or_else(|error| panic!("{} does not open: {error}", path.display()));
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            (name, plain)
        };
        files.iter().map(one).collect()
    }
}

/// One key for every embedded world of this process.
fn generated() -> &'static Generated {
    static KEY: OnceLock<Generated> = OnceLock::new();
    KEY.get_or_init(|| {
        openpgp::generate(&GenerateOptions::new("Partner <partner@example.com>")).expect("a key")
    })
}

/// The states that an execution entered, in order, those of its Maps' children not included.
#[must_use]
pub fn states(outcome: &Outcome) -> Vec<String> {
    let entered =
        outcome.history.iter().filter(|event| event.event_type.name().ends_with("Entered"));
    entered.filter_map(|event| event.state()).map(str::to_owned).collect()
}

/// How often a Task state of the execution called its function.
#[must_use]
pub fn attempts(outcome: &Outcome, state: &str) -> usize {
    let mut inside = false;
    let mut scheduled = 0;
    for event in &outcome.history {
        match event.event_type {
            EventType::TaskStateEntered => inside = event.state() == Some(state),
            EventType::TaskScheduled if inside => scheduled += 1,
            _ => {}
        }
    }
    scheduled
}
