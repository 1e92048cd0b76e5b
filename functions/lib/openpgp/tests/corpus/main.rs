//! Certificates as partners send them, each with a verdict that a person wrote: `make.py` has gpg
//! and `sq` make them, `own.rs` has those that neither can make. Good ones are sealed for, proven,
//! and opened by whichever program holds the private key.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

mod openers;
mod own;

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use domain::{ErrorClass, Failure};
use jiff::Timestamp;
use openpgp::{Recipient, SealOptions, prove, seal};
use serde_json::Value;

use crate::openers::Opener;

/// The table would be worthless if its makers left rows out.
const CERTIFICATES_MIN: usize = 25;
/// Good rows run beside each other, for gpg and sq are mostly waited for.
const WORKERS: usize = 4;

/// Text of a row; empty if there is none.
fn text<'a>(row: &'a Value, field: &str) -> &'a str {
    row.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn texts<'a>(row: &'a Value, field: &str) -> Vec<&'a str> {
    let list = row.get(field).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Runs the makers; the folder keeps the private keys and goes when dropped.
fn make() -> (tempfile::TempDir, Vec<Value>) {
    let folder = tempfile::tempdir().unwrap();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = here.join("../../../.venv/bin/python");
    let python = if python.exists() { python } else { PathBuf::from("python3") };
    let script = here.join("tests/corpus/make.py");
    let output = Command::new(python).arg(script).arg(folder.path()).output();
    let output = output.expect("Python 3, gpg and sq make the certificates: `make tools`");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let verdicts = std::fs::read(folder.path().join("verdicts.json")).unwrap();
    (folder, serde_json::from_slice(&verdicts).unwrap())
}

#[test]
fn every_certificate_gets_its_verdict_and_good_ones_open() {
    let (folder, rows) = make();
    assert!(rows.len() >= CERTIFICATES_MIN, "{} certificates", rows.len());
    let next = AtomicUsize::new(0);
    let work = || {
        let mut wrong = Vec::new();
        while let Some(row) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(difference) = check(folder.path(), row) {
                wrong.push(format!("{} ({}): {difference}", text(row, "file"), text(row, "why")));
            }
        }
        wrong
    };
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

/// One row; what differs from its verdict, if anything.
fn check(folder: &Path, row: &Value) -> Result<(), String> {
    let certificate = std::fs::read(folder.join(text(row, "file"))).unwrap();
    let now = Timestamp::now();
    match (text(row, "verdict"), Recipient::parse(&certificate, now)) {
        ("good", Ok(recipient)) => {
            described(row, &recipient, now)?;
            opens(folder, row, &recipient)
        }
        ("refused", Err(error)) => refused(row, &Failure::from(error)),
        (verdict, found) => Err(format!("{verdict} was expected, found {found:?}")),
    }
}

fn refused(row: &Value, failure: &Failure) -> Result<(), String> {
    println!("{:28} {}", text(row, "file"), failure.message);
    if failure.class != ErrorClass::Misconfigured {
        return Err(format!("it must be misconfigured: {failure:?}"));
    }
    if failure.code != text(row, "code") {
        return Err(format!("{} was expected, found {failure:?}", text(row, "code")));
    }
    contains(&failure.message, &texts(row, "names"))
}

/// The right keys, described by name, with the warning that the row announces and no other.
fn described(row: &Value, recipient: &Recipient, now: Timestamp) -> Result<(), String> {
    let subkeys = recipient.subkeys();
    let mut keys: Vec<_> = subkeys.iter().map(|subkey| subkey.key_id.as_str()).collect();
    keys.sort_unstable();
    if keys != texts(row, "keys") {
        return Err(format!("{:?} was to be chosen, found {keys:?}", texts(row, "keys")));
    }
    let algorithms: Vec<_> = subkeys.iter().map(|subkey| subkey.algorithm.as_str()).collect();
    let user = recipient.user_id().unwrap_or("no user id");
    let description = format!("{} {user} {algorithms:?}", recipient.fingerprint());
    println!("{:28} {description}", text(row, "file"));
    let warnings = recipient.warnings(now);
    match (text(row, "warning"), warnings.as_slice()) {
        ("", []) => contains(&description, &texts(row, "names")),
        (code, [warning]) if warning.code == code => {
            contains(&warning.message, &texts(row, "names"))
        }
        (code, found) => Err(format!("warning {code:?} was expected, found {found:?}")),
    }
}

fn contains(message: &str, words: &[&str]) -> Result<(), String> {
    let missing: Vec<_> = words.iter().filter(|word| !message.contains(**word)).collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?} missing in: {message}")) }
}

/// Sealed, proven, and the same bytes out of every program that holds the private key.
fn opens(folder: &Path, row: &Value, recipient: &Recipient) -> Result<(), String> {
    let plaintext = openers::noise(70_000);
    let mut ciphertext = Vec::new();
    let options = SealOptions::default();
    let sealed = seal(&[recipient], &options, &mut plaintext.as_slice(), &mut ciphertext)
        .map_err(|error| error.to_string())?;
    prove(&sealed, &[recipient], &mut Cursor::new(&ciphertext))
        .map_err(|error| error.to_string())?;
    for program in texts(row, "opens") {
        let opener = Opener::new(program, &folder.join(text(row, "private")));
        if opener.open(&ciphertext)? != plaintext {
            return Err(format!("{program} gave other bytes"));
        }
    }
    Ok(())
}
