//! Room on disks: file systems that are small enough to fill.
//!
//! Where this process may mount, a folder is a file system of its own in memory, and full means that
//! the kernel has no space left on it. Elsewhere the state folder is full in another way: no file of
//! the process may grow, which the kernel heeds just as well (`RLIMIT_FSIZE`).

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

/// What fills a file system.
const BALLAST: &str = "ballast";
/// Of a small file system.
const SIZE: &str = "size=96m,mode=777";

/// The disks that a run may find full.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Disks {
    /// Under the state folder; without one, the process is forbidden to write.
    pub(super) state: Option<PathBuf>,
    /// Under the target's folder.
    pub(super) target: Option<PathBuf>,
}

/// A folder that is a small file system of its own, until this is dropped.
#[derive(Debug)]
pub(super) struct Small {
    folder: PathBuf,
}

impl Small {
    /// `None` where mounting is not allowed.
    pub(super) fn mount(folder: &Path) -> Option<Self> {
        fs::create_dir_all(folder).expect("a folder to mount on");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", SIZE, "drayage-chaos"]).arg(folder);
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        mounted.then(|| Self { folder: folder.to_owned() })
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily: a server may still have its hands on it.
        drop(Command::new("umount").arg("-l").arg(&self.folder).output());
    }
}

/// The disks, and which of them is full.
pub(super) struct Rooms {
    disks: Disks,
    state_full: AtomicBool,
    target_full: AtomicBool,
}

impl Rooms {
    pub(super) fn new(disks: Disks) -> Self {
        Self { disks, state_full: AtomicBool::default(), target_full: AtomicBool::default() }
    }

    /// From now on nothing can be written to the state folder.
    pub(super) fn fill_state(&self) {
        if self.state_full.swap(true, Ordering::SeqCst) {
            return;
        }
        match &self.disks.state {
            Some(folder) => fill(folder),
            None => limit("0:"),
        }
    }

    pub(super) fn free_state(&self) {
        self.state_full.store(false, Ordering::SeqCst);
        match &self.disks.state {
            Some(folder) => empty(folder),
            None => limit("unlimited:"),
        }
    }

    /// From now on nothing can be written to the target.
    pub(super) fn fill_target(&self) {
        if let Some(folder) = &self.disks.target {
            self.target_full.store(true, Ordering::SeqCst);
            fill(folder);
        }
    }

    pub(super) fn free_target(&self) {
        if let Some(folder) = &self.disks.target {
            empty(folder);
            self.target_full.store(false, Ordering::SeqCst);
        }
    }

    pub(super) fn is_target_full(&self) -> bool {
        self.target_full.load(Ordering::SeqCst)
    }
}

/// Takes all the room that there is, to the last byte.
fn fill(folder: &Path) {
    let mut file = File::create(folder.join(BALLAST)).expect("ballast");
    for piece in [vec![0; 1 << 20], vec![0; 1 << 12], vec![0; 1]] {
        while file.write_all(&piece).is_ok() {}
    }
}

/// Gives it back.
pub(super) fn empty(folder: &Path) {
    // It may never have been filled.
    drop(fs::remove_file(folder.join(BALLAST)));
}

/// How long files of this process may be.
fn limit(bytes: &str) {
    let pid = std::process::id().to_string();
    let done = Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={bytes}")]).status();
    assert!(done.is_ok_and(|status| status.success()), "prlimit is missing: install util-linux");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_full_and_has_room_again() {
        let root = tempfile::tempdir().expect("a folder");
        let Some(_small) = Small::mount(root.path()) else {
            eprintln!("no mounting here: full disks are rehearsed by a limit of file sizes");
            return;
        };
        let write = || fs::write(root.path().join("file"), [1; 5000]);
        write().expect("room");
        fill(root.path());
        let error = fs::write(root.path().join("other"), [1; 5000]).expect_err("no room");
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
        empty(root.path());
        write().expect("room again");
    }
}
