//! Connections to one account of one server, counted over all processes of this machine.
//!
//! A place is a lock file, so the operating system gives it back however its holder dies. Who finds
//! none waits. Logins take turns, for servers count those that are not logged in yet. A server that
//! turns a connection away is believed: from then on fewer are held, by every process, for a while.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

use sha2::{Digest, Sha256};

use crate::endpoint::Endpoint;
use crate::error::Error;

/// Logins at a time; one as long as the server is known to turn connections away.
const LOGINS_AT_ONCE: u32 = 2;
/// Who logs in for longer, stands still: others do not wait for their turn behind it.
const LOGIN_MAX: Duration = Duration::from_secs(15);
/// How long a place is waited for: others may hold theirs for as long as their files take.
const WAIT_MAX: Duration = Duration::from_secs(600);
/// Between two looks for a place.
const LOOK_AGAIN: Duration = Duration::from_millis(30);
/// How often a server may turn one connection away before that is told.
const TURNED_AWAY_MAX: u32 = 4;
/// The first pause after that; it doubles.
const PAUSE: Duration = Duration::from_millis(500);
/// How long a server is taken at its word.
const BELIEVED_FOR: Duration = Duration::from_secs(600);

static FOLDER: OnceLock<PathBuf> = OnceLock::new();

/// Counts this process's connections together with those of every other process that names the same
/// folder. Without a call nothing is counted: where every connection has a machine of its own, others
/// have to limit their number. The first call counts.
///
/// # Errors
/// When the folder cannot be made.
pub fn share_connections(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    FOLDER.get_or_init(|| folder.to_owned());
    Ok(())
}

/// The connections of one account.
#[derive(Debug)]
pub(crate) struct Ceiling {
    folder: PathBuf,
    /// Of its files.
    name: String,
    server: String,
    max: u32,
    /// The first pause after a connection was turned away.
    pause: Duration,
}

/// A place or a turn, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    file: File,
    path: PathBuf,
}

impl Drop for Place {
    fn drop(&mut self) {
        // The name goes before the lock: who locks a file without a name tries again.
        drop(fs::remove_file(&self.path));
        drop(self.file.unlock());
    }
}

impl Place {
    /// Takes it, unless somebody has it.
    fn take(path: &Path) -> io::Result<Option<Self>> {
        loop {
            let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            // Its last holder may have removed the name in between.
            let named = fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
            let locked = file.metadata()?;
            if named == Some((locked.dev(), locked.ino())) {
                file.set_modified(SystemTime::now())?;
                return Ok(Some(Self { file, path: path.to_owned() }));
            }
        }
    }

    /// Whether whoever has it took it longer ago than that.
    fn is_overdue(path: &Path, limit: Duration) -> bool {
        let taken = fs::metadata(path).and_then(|found| found.modified());
        taken.is_ok_and(|taken| taken.elapsed().is_ok_and(|age| age > limit))
    }

    /// Whether somebody has it.
    fn is_taken(path: &Path) -> bool {
        let Ok(file) = File::open(path) else { return false };
        matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
    }
}

impl Ceiling {
    /// Of this account, where connections are counted.
    pub(crate) fn of(endpoint: &Endpoint, max: u32) -> Option<Self> {
        FOLDER.get().map(|folder| Self::within(folder, endpoint, max))
    }

    fn within(folder: &Path, endpoint: &Endpoint, max: u32) -> Self {
        let account = format!("{}\0{}", endpoint.server(), endpoint.username);
        let hash = Sha256::digest(account.to_lowercase());
        let name = hash.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
        Self {
            folder: folder.to_owned(),
            name,
            server: endpoint.server(),
            max: max.max(1),
            pause: PAUSE,
        }
    }

    fn file(&self, what: &str) -> PathBuf {
        self.folder.join(format!("{}.{what}", self.name))
    }

    /// What the server took, if it turned a connection away of late.
    fn believed(&self) -> Option<u32> {
        let path = self.file("at-once");
        let age = fs::metadata(&path).ok()?.modified().ok()?.elapsed().unwrap_or_default();
        let number = fs::read_to_string(&path).ok()?.trim().parse().ok()?;
        (age < BELIEVED_FOR).then_some(number)
    }

    /// Connections that may be held now.
    pub(crate) fn at_once(&self) -> u32 {
        self.believed().map_or(self.max, |number: u32| number.clamp(1, self.max))
    }

    /// One fewer than the places that are taken: the one that was turned away has one of them.
    fn turned_away(&self) {
        let places = (0..self.max).map(|number| self.file(&format!("place-{number}")));
        let held = places.filter(|path| Place::is_taken(path)).count();
        let held = u32::try_from(held).unwrap_or(u32::MAX);
        let number = held.saturating_sub(1).clamp(1, self.at_once());
        let new = self.file(&format!("at-once-{:016x}", random()));
        let told = fs::write(&new, number.to_string())
            .and_then(|()| fs::rename(&new, self.file("at-once")));
        if let Err(error) = told {
            tracing::warn!(%error, "other processes cannot be told how many connections there may be");
        }
        tracing::warn!(
            server = self.server,
            connections_at_once = number,
            "the server turned a connection away: fewer are held"
        );
    }

    /// Waits for a place; `None` when places cannot be counted here.
    async fn enter(&self) -> Result<Option<Place>, Error> {
        let begun = Instant::now();
        loop {
            let at_once = self.at_once();
            for number in 0..at_once {
                match Place::take(&self.file(&format!("place-{number}"))) {
                    Ok(None) => {}
                    Ok(place) => return Ok(place),
                    Err(error) => {
                        tracing::warn!(%error, "connections are not counted");
                        return Ok(None);
                    }
                }
            }
            if begun.elapsed() > WAIT_MAX {
                return Err(Error::TooManyConnections {
                    server: self.server.clone(),
                    reason: format!(
                        "this machine holds {at_once} connections of this account, and none of \
                         them was given back for {} s",
                        WAIT_MAX.as_secs()
                    ),
                });
            }
            tokio::time::sleep(spread(LOOK_AGAIN)).await;
        }
    }

    /// Waits until few enough others are logging in; `None` when turns cannot be taken, or not in time.
    async fn turn(&self) -> Option<Place> {
        loop {
            let turns = if self.believed().is_some() { 1 } else { LOGINS_AT_ONCE };
            for number in 0..turns {
                let path = self.file(&format!("login-{number}"));
                match Place::take(&path) {
                    // A process that was stopped while it logged in keeps its turn as long as it lives.
                    Ok(None) if Place::is_overdue(&path, LOGIN_MAX) => return None,
                    Ok(None) => {}
                    turn => return turn.ok().flatten(),
                }
            }
            tokio::time::sleep(spread(LOOK_AGAIN)).await;
        }
    }
}

/// Connects as soon as there is a place, and again with fewer beside it when the server turns the
/// connection away.
pub(crate) async fn admitted<T, F: Future<Output = Result<T, Error>>>(
    ceiling: Option<&Ceiling>,
    connect: impl Fn() -> F,
) -> Result<(T, Option<Place>), Error> {
    let Some(ceiling) = ceiling else { return Ok((connect().await?, None)) };
    let mut pause = ceiling.pause;
    for _ in 0..TURNED_AWAY_MAX {
        // In this order, so that whoever has a place is connected or about to be.
        let turn = ceiling.turn().await;
        let place = ceiling.enter().await?;
        match connect().await {
            Err(Error::TooManyConnections { .. }) => ceiling.turned_away(),
            outcome => return Ok((outcome?, place)),
        }
        drop((turn, place));
        tokio::time::sleep(spread(pause)).await;
        pause *= 2;
    }
    let _turn = ceiling.turn().await;
    let place = ceiling.enter().await?;
    Ok((connect().await?, place))
}

fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// That long, or up to twice as long, so that those who wait do not come all at once.
fn spread(pause: Duration) -> Duration {
    let share = u32::try_from(random() % 1000).unwrap_or_default();
    pause + pause * share / 1000
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::endpoint::Timeouts;

    fn ceiling(folder: &Path, username: &str, max: u32) -> Ceiling {
        let endpoint = Endpoint {
            host: "h".into(),
            port: 22,
            username: username.into(),
            host_keys: Vec::new(),
            algorithms: domain::profile::Algorithms::default(),
            timeouts: Timeouts::default(),
            rekey_bytes: 0,
        };
        let pause = Duration::from_millis(1);
        Ceiling { pause, ..Ceiling::within(folder, &endpoint, max) }
    }

    fn too_many() -> Error {
        Error::TooManyConnections { server: "h:22".into(), reason: "full".into() }
    }

    #[tokio::test]
    async fn no_more_than_the_ceiling_are_in_at_any_moment() {
        let folder = tempfile::tempdir().unwrap();
        let inside = Arc::new(AtomicU32::new(0));
        let mut tasks = Vec::new();
        for _ in 0..12 {
            // Each with a view of its own, as processes have.
            let (ceiling, inside) = (ceiling(folder.path(), "u", 3), Arc::clone(&inside));
            tasks.push(tokio::spawn(async move {
                let (_, place) = admitted(Some(&ceiling), || async { Ok(()) }).await.unwrap();
                let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
                tokio::task::yield_now().await;
                inside.fetch_sub(1, Ordering::SeqCst);
                drop(place);
                now
            }));
        }
        for task in tasks {
            assert!(task.await.unwrap() <= 3);
        }
        let left = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(left, 0, "every file went with its holder");
    }

    #[tokio::test]
    async fn accounts_do_not_wait_for_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let _first = ceiling(folder.path(), "one", 1).enter().await.unwrap().unwrap();
        let _second = ceiling(folder.path(), "two", 1).enter().await.unwrap().unwrap();
        let third = ceiling(folder.path(), "ONE", 1);
        let wait = tokio::time::timeout(Duration::from_millis(100), third.enter());
        assert!(wait.await.is_err(), "the same account on the same server");
    }

    #[tokio::test]
    async fn nobody_waits_behind_a_login_that_stands_still() {
        let folder = tempfile::tempdir().unwrap();
        let (mine, other) = (ceiling(folder.path(), "u", 9), ceiling(folder.path(), "u", 9));
        let turns = [other.turn().await.unwrap(), other.turn().await.unwrap()];
        let wait = tokio::time::timeout(Duration::from_millis(100), mine.turn());
        assert!(wait.await.is_err(), "both turns are taken");
        turns[1].file.set_modified(SystemTime::now() - LOGIN_MAX - LOOK_AGAIN).unwrap();
        assert!(mine.turn().await.is_none(), "it goes without");
        drop(turns);
        // What a killed process left is nobody's.
        let left = File::create(mine.file("login-0")).unwrap();
        left.set_modified(SystemTime::now() - BELIEVED_FOR).unwrap();
        let turn = mine.turn().await.unwrap();
        assert!(!Place::is_overdue(&turn.path, LOGIN_MAX), "a turn begins when it is taken");
    }

    #[tokio::test]
    async fn who_is_turned_away_holds_fewer_and_others_know() {
        let folder = tempfile::tempdir().unwrap();
        let (mine, other) = (ceiling(folder.path(), "u", 9), ceiling(folder.path(), "u", 9));
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(other.enter().await.unwrap());
        }
        assert_eq!(mine.at_once(), 9);
        let tries = AtomicU32::new(0);
        let connect = || async {
            match tries.fetch_add(1, Ordering::SeqCst) {
                0 => Err(too_many()),
                _ => Ok(()),
            }
        };
        let waits =
            tokio::time::timeout(Duration::from_millis(300), admitted(Some(&mine), connect));
        assert!(waits.await.is_err(), "it waits until one of the four is given back");
        assert_eq!((mine.at_once(), other.at_once()), (4, 4));
        held.pop();
        let (_, place) = admitted(Some(&mine), || async { Ok(()) }).await.unwrap();
        assert!(place.is_some());
    }

    #[tokio::test]
    async fn a_server_that_turns_everybody_away_is_told_of() {
        let folder = tempfile::tempdir().unwrap();
        let mine = ceiling(folder.path(), "u", 9);
        let tries = AtomicU32::new(0);
        let connect = || async {
            tries.fetch_add(1, Ordering::SeqCst);
            Err::<(), _>(too_many())
        };
        let error = admitted(Some(&mine), connect).await.unwrap_err();
        assert_eq!(error.code(), "sftp.too_many_connections");
        assert_eq!(tries.into_inner(), TURNED_AWAY_MAX + 1);
        assert_eq!(mine.at_once(), 1);
    }

    #[test]
    fn what_was_believed_is_forgotten_after_a_while() {
        let folder = tempfile::tempdir().unwrap();
        let mine = ceiling(folder.path(), "u", 9);
        fs::write(mine.file("at-once"), "2").unwrap();
        assert_eq!(mine.at_once(), 2);
        let file = File::options().write(true).open(mine.file("at-once")).unwrap();
        file.set_modified(SystemTime::now() - BELIEVED_FOR).unwrap();
        assert_eq!(mine.at_once(), 9);
        for (text, expected) in [("0", 1), ("40", 9), ("many", 9), ("", 9)] {
            fs::write(mine.file("at-once"), text).unwrap();
            assert_eq!(mine.at_once(), expected, "{text:?}");
        }
    }
}
