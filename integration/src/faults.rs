//! Functions as deployed packages, some of which fail a number of times before they work.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// What becomes of invocations of functions before these do their work, in order.
#[derive(Clone, Debug, Default)]
pub struct Faults(BTreeMap<&'static str, Vec<Value>>);

impl Faults {
    /// One more invocation of that function is answered with that error.
    #[must_use]
    pub fn error(mut self, function: &'static str, name: &str, message: &str) -> Self {
        let fault = json!({"errorType": name, "errorMessage": message});
        self.0.entry(function).or_default().push(fault);
        self
    }

    /// One more invocation of that function loses its process.
    #[must_use]
    pub fn exit(mut self, function: &'static str) -> Self {
        self.0.entry(function).or_default().push(Value::Null);
        self
    }

    /// The package of a function whose program was built; one that fails is made in `folder`.
    pub(crate) fn package(&self, function: &str, program: &Path, folder: &Path) -> PathBuf {
        let Some(faults) = self.0.get(function) else { return packaged(program) };
        let script = include_str!("../engines/faulty.py")
            .replace("@FAULTS@", &json!(faults).to_string())
            .replace("@CLAIMS@", &folder.join(function).display().to_string())
            .replace("@PROGRAM@", &program.display().to_string());
        let package = folder.join(format!("{function}.zip"));
        write(&package, script.as_bytes());
        package
    }
}

/// The program alone, without its symbols, which are most of it. Made once for each build.
fn packaged(program: &Path) -> PathBuf {
    let package = program.with_extension("zip");
    let time = |path: &Path| path.metadata().and_then(|file| file.modified()).ok();
    if time(&package) < time(program) {
        let draft = |what: &str| program.with_extension(format!("{}.{what}", std::process::id()));
        let (stripped, zip) = (draft("stripped"), draft("zip"));
        let done = Command::new("strip").arg("-o").arg(&stripped).arg(program).status();
        assert!(done.expect("strip").success(), "strip {}", program.display());
        write(&zip, &std::fs::read(&stripped).expect("a stripped program"));
        std::fs::remove_file(&stripped).expect("a stripped program");
        std::fs::rename(&zip, &package).expect("a package");
    }
    package
}

fn write(package: &Path, bootstrap: &[u8]) {
    let mut zip = ZipWriter::new(File::create(package).expect("a package"));
    let options = SimpleFileOptions::default().compression_level(Some(1)).unix_permissions(0o755);
    zip.start_file("bootstrap", options).expect("an entry");
    zip.write_all(bootstrap).expect("its bytes");
    drop(zip.finish().expect("a package"));
}
