//! Which executions of a state folder are running: a lock file each, held by the process.
//!
//! The operating system lets go of the lock when the process dies, however it dies, so a dead run's
//! lease is free at once and a living run's never.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::PathBuf;

use anyhow::Context;
use async_trait::async_trait;
use domain::{Executions, Failure};

/// The executions of one state folder.
pub struct LocalExecutions {
    folder: PathBuf,
}

/// Proof that an execution runs, until it is dropped.
pub struct Alive {
    file: File,
    path: PathBuf,
}

impl LocalExecutions {
    /// Keeps its lock files in that folder.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new(folder: PathBuf) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        Ok(Self { folder })
    }

    /// Says that an execution runs from now on.
    ///
    /// # Errors
    /// When its lock file cannot be made, or when an execution of that name runs already.
    pub fn begin(&self, name: &str) -> anyhow::Result<Alive> {
        let path = self.path(name);
        let file = open(&path).with_context(|| format!("cannot make {}", path.display()))?;
        file.try_lock().with_context(|| format!("an execution named {name} is running already"))?;
        Ok(Alive { file, path })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.lock"))
    }
}

fn open(path: &PathBuf) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).open(path)
}

impl Drop for Alive {
    fn drop(&mut self) {
        // The name goes before the lock, so nobody finds a free lock that is about to vanish.
        drop(std::fs::remove_file(&self.path));
        drop(self.file.unlock());
    }
}

#[async_trait]
impl Executions for LocalExecutions {
    async fn is_running(&self, execution: &str) -> Result<bool, Failure> {
        let name = execution.rsplit(':').next().unwrap_or(execution);
        let path = self.path(name);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(unknown(&path, &error)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(unknown(&path, &error)),
        }
    }
}

fn unknown(path: &std::path::Path, error: &io::Error) -> Failure {
    Failure::transient(
        "lease.unknown_holder",
        format!("{} does not tell whether the lease's holder runs: {error}.", path.display()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_execution_runs_until_its_proof_is_dropped() {
        let folder = tempfile::tempdir().expect("folder");
        let executions = LocalExecutions::new(folder.path().to_owned()).expect("executions");
        let arn = "arn:aws:states:local:0:execution:delivery:run-1";
        assert_eq!(executions.is_running(arn).await, Ok(false));
        let alive = executions.begin("run-1").expect("begins");
        assert_eq!(executions.is_running(arn).await, Ok(true));
        assert!(executions.begin("run-1").is_err());
        drop(alive);
        assert_eq!(executions.is_running(arn).await, Ok(false));
    }
}
