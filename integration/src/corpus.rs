//! Files that nobody should trust, with the verdict that a person wrote beside each: made when a test
//! starts, by the packers and key makers that partners use.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tempfile::TempDir;

/// Files in a temporary folder, and what must come of each.
pub struct Corpus<Row> {
    /// One row per file.
    pub rows: Vec<Row>,
    folder: TempDir,
}

/// An archive.
#[derive(Clone, Debug, Deserialize)]
pub struct ArchiveRow {
    /// Its name in the folder.
    pub file: String,
    /// The password that the profile has for it.
    pub password: Option<String>,
    /// The charset that the profile names for it.
    pub charset: String,
    /// What must come of it.
    pub verdict: Verdict,
    /// The stable code of the refusal.
    pub code: Option<String>,
    /// The entry that the refusal must name.
    pub names_entry: Option<String>,
    /// What a good one holds.
    #[serde(default)]
    pub members: Vec<MemberRow>,
    /// Limits other than a profile's defaults, which a profile cannot always express.
    #[serde(default)]
    pub limits: Option<Value>,
    /// What it is and who made it.
    pub why: String,
}

/// A member of a good archive.
#[derive(Clone, Debug, Deserialize)]
pub struct MemberRow {
    /// Its path.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its SHA-256, hex.
    pub sha256: String,
    /// Its lines.
    pub records: Option<u64>,
}

/// A file of records.
#[derive(Clone, Debug, Deserialize)]
pub struct RecordsRow {
    /// Its name in the folder.
    pub file: String,
    /// The profile's `records`.
    pub records: Value,
    /// What must come of it.
    pub verdict: Verdict,
    /// The data records of a good one.
    pub count: Option<u64>,
    /// The stable code of the refusal.
    pub code: Option<String>,
    /// What it is and who made it.
    pub why: String,
}

/// A recipient's certificate.
#[derive(Clone, Debug, Deserialize)]
pub struct CertificateRow {
    /// Its name in the folder.
    pub file: String,
    /// What must come of it.
    pub verdict: Verdict,
    /// The stable code of the refusal.
    pub code: Option<String>,
    /// Words that the refusal must hold.
    #[serde(default)]
    pub names: Vec<String>,
    /// What it is and who made it.
    pub why: String,
}

/// What must come of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is delivered.
    Good,
    /// It is quarantined.
    Rejected,
    /// The partner's run ends before its first file.
    Refused,
}

impl Corpus<ArchiveRow> {
    /// Archives of every kind, good and hostile.
    ///
    /// # Panics
    /// When a maker is missing or fails.
    #[must_use]
    pub fn archives() -> Self {
        Self::make("archive")
    }
}

impl Corpus<RecordsRow> {
    /// Files of records in every model.
    ///
    /// # Panics
    /// When a maker is missing or fails.
    #[must_use]
    pub fn records() -> Self {
        Self::make("records")
    }
}

impl Corpus<CertificateRow> {
    /// Certificates of every kind of key.
    ///
    /// # Panics
    /// When a maker is missing or fails.
    #[must_use]
    pub fn certificates() -> Self {
        Self::make("openpgp")
    }
}

impl<Row: DeserializeOwned> Corpus<Row> {
    /// Runs the maker that lies beside a library's own tests.
    fn make(library: &str) -> Self {
        let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        let folder = tempfile::tempdir().expect("a folder for the corpus");
        let python = root.join(".venv/bin/python");
        let script = root.join(format!("functions/lib/{library}/tests/corpus/make.py"));
        let output = Command::new(&python).arg(&script).arg(folder.path()).output();
        let output = output.unwrap_or_else(|error| {
            panic!("{}: {error}; `make tools` sets it up", python.display())
        });
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {words}", script.display());
        let verdicts = std::fs::read(folder.path().join("verdicts.json")).expect("verdicts");
        let rows = serde_json::from_slice(&verdicts).expect("rows");
        Self { rows, folder }
    }

    /// Where a file of the corpus lies.
    #[must_use]
    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// Its bytes.
    ///
    /// # Panics
    /// When it is not there.
    #[must_use]
    pub fn bytes(&self, file: &str) -> Vec<u8> {
        std::fs::read(self.path(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
    }
}
