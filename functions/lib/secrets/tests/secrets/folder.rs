//! The folder of files.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use domain::SecretStore;
use secrets::FolderSecrets;
use tempfile::TempDir;
use tracing_subscriber::fmt::MakeWriter;

use crate::suite;

fn write(folder: &Path, name: &str, bytes: &[u8], mode: u32) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn a_folder_is_a_source_of_secrets() {
    let folder = TempDir::new().unwrap();
    for (name, bytes) in suite::STORED {
        write(folder.path(), name, bytes, 0o600);
    }
    let place = folder.path().join("acme/nothing").display().to_string();
    suite::run(&FolderSecrets::new(folder.path()), &place).await;
}

#[tokio::test]
async fn a_changed_file_is_seen_at_once() {
    let folder = TempDir::new().unwrap();
    let source = FolderSecrets::new(folder.path());
    for value in ["old", "new"] {
        write(folder.path(), "x", value.as_bytes(), 0o600);
        assert_eq!(source.secret("x").await.unwrap().text().unwrap(), value);
    }
}

#[tokio::test]
async fn what_is_no_file_is_named() {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "acme/key", b"x", 0o600);
    write(folder.path(), "huge", &vec![b'x'; 1024 * 1024 + 1], 0o600);
    let source = FolderSecrets::new(folder.path());
    let words = suite::misconfigured(source.secret("acme").await, "secrets.unusable");
    assert!(words.contains("is a folder"), "{words}");
    let words = suite::misconfigured(source.secret("huge").await, "secrets.unusable");
    assert!(words.contains("1 MiB"), "{words}");
    let nowhere = FolderSecrets::new(folder.path().join("not-made-yet"));
    suite::misconfigured(nowhere.secret("x").await, "secrets.missing");
}

/// Log lines in memory.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(data)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn a_file_that_others_can_read_is_warned_about_and_used() {
    let folder = TempDir::new().unwrap();
    let source = FolderSecrets::new(folder.path());
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt().with_writer(lines.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    for (name, mode) in [("tight", 0o600), ("group", 0o640), ("world", 0o604)] {
        write(folder.path(), name, b"hunter2", mode);
        source.secret(name).await.unwrap();
    }
    let told = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(told.contains("group") && told.contains("640"), "{told}");
    assert!(told.contains("world") && told.contains("604"), "{told}");
    assert!(!told.contains("tight") && !told.contains("hunter2"), "{told}");
}
