//! Where in the object a part belongs while it is still on its way.
//!
//! Clients announce the size of a part in its headers and send parts roughly in order, so the place of
//! nearly every part is known before its first byte: behind all parts with smaller numbers. Kept in
//! memory only; an upload that another process began has no places, and its parts are copied.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use s3s::{S3Result, s3_error};

use super::folder::broken;
use super::multipart::{WHOLE_FILE, open_whole};

/// The places of all uploads that this process began.
#[derive(Debug, Default)]
pub(super) struct Slots {
    uploads: Mutex<HashMap<String, Plan>>,
}

/// What is known of one upload.
#[derive(Debug, Default)]
struct Plan {
    announced: BTreeMap<i32, Slot>,
    /// The first part that was not announced, and where it begins.
    next: i32,
    next_at: u64,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    bytes: u64,
    /// Only of a part that came when its place was known.
    at: Option<u64>,
    /// Nobody writes it: a failed try may be made again.
    free: bool,
}

/// The right to write one part at its place. Free again when dropped unfinished.
#[derive(Debug)]
pub(super) struct Claim {
    slots: Arc<Slots>,
    id: String,
    number: i32,
    pub(super) at: u64,
    bytes: u64,
    written: u64,
    path: PathBuf,
    file: File,
    finished: bool,
}

impl Slots {
    pub(super) fn begin(&self, id: &str) {
        self.lock().insert(id.to_owned(), Plan { next: 1, ..Plan::default() });
    }

    pub(super) fn end(&self, id: &str) {
        self.lock().remove(id);
    }

    /// Announces a part; its place, if that is known and nobody else writes there.
    pub(super) fn claim(
        self: &Arc<Self>,
        upload: PathBuf,
        number: i32,
        bytes: u64,
    ) -> S3Result<Option<Claim>> {
        let id = upload.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let at = self.lock().get_mut(&id).and_then(|plan| plan.announce(number, bytes));
        let Some(at) = at else {
            return Ok(None);
        };
        let file = open_whole(&upload);
        if file.is_err() {
            self.free(&id, number);
        }
        let (slots, path) = (Arc::clone(self), upload.join(WHOLE_FILE));
        let (file, written, finished) = (file?, 0, false);
        Ok(Some(Claim { slots, id, number, at, bytes, written, path, file, finished }))
    }

    fn free(&self, id: &str, number: i32) {
        let mut uploads = self.lock();
        if let Some(slot) = uploads.get_mut(id).and_then(|plan| plan.announced.get_mut(&number)) {
            slot.free = true;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Plan>> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Plan {
    fn announce(&mut self, number: i32, bytes: u64) -> Option<u64> {
        if let Some(slot) = self.announced.get_mut(&number) {
            let again = slot.free && slot.bytes == bytes;
            slot.free &= !again;
            return slot.at.filter(|_| again);
        }
        let at = (number == self.next).then_some(self.next_at);
        self.announced.insert(number, Slot { bytes, at, free: false });
        while let Some(slot) = self.announced.get(&self.next) {
            self.next += 1;
            self.next_at += slot.bytes;
        }
        at
    }
}

impl Claim {
    /// Writes the next bytes of the part.
    ///
    /// The lock, and the look whether the file still belongs to the upload, keep a request that was
    /// given up long ago from writing into a finished object.
    pub(super) fn write(&mut self, chunks: &[bytes::Bytes]) -> S3Result<()> {
        self.file.lock_shared().map_err(broken)?;
        let done = self.write_locked(chunks);
        self.file.unlock().map_err(broken)?;
        done
    }

    fn write_locked(&mut self, chunks: &[bytes::Bytes]) -> S3Result<()> {
        let ours = self.file.metadata().map_err(broken)?.ino();
        if std::fs::metadata(&self.path).map(|file| file.ino()).ok() != Some(ours) {
            return Err(s3_error!(NoSuchUpload));
        }
        for chunk in chunks {
            let len = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
            if len > self.bytes - self.written {
                return Err(s3_error!(InvalidRequest, "more bytes came than were announced"));
            }
            self.file.write_all_at(chunk, self.at + self.written).map_err(broken)?;
            self.written += len;
        }
        Ok(())
    }

    /// Whether all bytes that were announced have come.
    pub(super) fn is_full(&self) -> bool {
        self.written == self.bytes
    }

    /// The bytes stay.
    pub(super) fn finish(mut self) {
        self.finished = true;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.finished {
            self.slots.free(&self.id, self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_part_is_behind_all_that_were_announced() {
        let mut plan = Plan { next: 1, ..Plan::default() };
        assert_eq!(plan.announce(1, 10), Some(0));
        assert_eq!(plan.announce(2, 20), Some(10));
        assert_eq!(plan.announce(4, 40), None, "where it begins is not known");
        assert_eq!(plan.announce(3, 30), Some(30));
        assert_eq!(plan.announce(5, 50), Some(100), "behind the one that came early");
        assert_eq!(plan.announce(6, 1), Some(150));
    }

    #[test]
    fn only_a_failed_try_of_the_same_size_gets_the_same_place_again() {
        let mut plan = Plan { next: 1, ..Plan::default() };
        assert_eq!(plan.announce(1, 10), Some(0));
        assert_eq!(plan.announce(1, 10), None, "somebody writes there");
        plan.announced.get_mut(&1).unwrap().free = true;
        assert_eq!(plan.announce(1, 11), None, "it would not fit");
        assert_eq!(plan.announce(1, 10), Some(0));
        assert_eq!(plan.announce(1, 10), None);
    }

    #[test]
    fn a_late_writer_cannot_reach_an_object_that_is_finished() {
        let folder = tempfile::tempdir().unwrap();
        let upload = folder.path().join("id");
        std::fs::create_dir(&upload).unwrap();
        let whole = upload.join(WHOLE_FILE);
        File::create_new(&whole).unwrap();
        let slots = Arc::new(Slots::default());
        slots.begin("id");
        let claim = |number| slots.claim(upload.clone(), number, 6).unwrap();
        let (mut first, mut late) = (claim(1).unwrap(), claim(2).unwrap());
        first.write(&["abc".into(), "def".into()]).unwrap();
        assert!(first.is_full() && !late.is_full());
        first.finish();
        late.write(&["gh".into()]).unwrap();
        assert!(late.write(&["12345".into()]).is_err(), "more than was announced");
        // The end: the object gets another name of the file, and the upload goes.
        let object = folder.path().join("object");
        std::fs::hard_link(&whole, &object).unwrap();
        std::fs::remove_file(&whole).unwrap();
        assert!(late.write(&["XX".into()]).is_err());
        assert_eq!(std::fs::read(&object).unwrap(), b"abcdefgh");
        // Another upload that has come to the same path is another file.
        File::create_new(&whole).unwrap();
        assert!(late.write(&["XX".into()]).is_err());
        drop(late);
        assert_eq!(claim(2).map(|claim| claim.at), Some(6), "a failed try may be made again");
        slots.end("id");
        assert!(claim(3).is_none(), "an upload that is being finished has no places");
    }
}
