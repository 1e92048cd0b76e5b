//! The `dray` program itself, as a person starts it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use domain::events::Summary;
use serde_json::Value;

use crate::World;

/// A start of the program, with its arguments.
pub struct Dray(Command);

/// What came of it.
#[derive(Debug)]
pub struct Finished {
    /// Exit status; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs a command as its only child, so that the kernel's figure for children is that command's.
const MEASURE: &str = "
import resource, subprocess, sys
code = subprocess.run(sys.argv[2:]).returncode
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
open(sys.argv[1], 'w').write(str(peak))
sys.exit(code)
";

impl Dray {
    /// With those arguments.
    ///
    /// # Panics
    /// When the program was not built.
    #[must_use]
    pub fn new<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Self {
        let mut command = Command::new(program());
        command.args(arguments).stdin(Stdio::null()).env_remove("RUST_LOG");
        Self(command)
    }

    /// `dray run` for the first partner of a world and its neighbours.
    ///
    /// # Panics
    /// When the program was not built or a profile cannot be written.
    #[must_use]
    pub fn run(world: &World, neighbours: &[&crate::Partner]) -> Self {
        let partners = std::iter::once(&world.partner).chain(neighbours.iter().copied());
        let profiles: Vec<PathBuf> = partners.map(|one| world.profile_file(one)).collect();
        Self::run_profiles(world, &profiles)
    }

    /// `dray run` with those profiles.
    ///
    /// # Panics
    /// When the program was not built.
    #[must_use]
    pub fn run_profiles(world: &World, profiles: &[PathBuf]) -> Self {
        let mut dray = Self::new(["run"]);
        dray.0.args(profiles).arg("--state").arg(&world.state).arg("--secrets").arg(&world.secrets);
        dray
    }

    /// With a variable of the environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    /// With one more argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.0.arg(argument);
        self
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn finish(mut self) -> Finished {
        let output = self.0.output().expect("dray starts");
        Finished {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs it to its end and measures the most memory that it held at once, in bytes.
    ///
    /// # Panics
    /// When it or Python, which measures, cannot be started.
    #[must_use]
    pub fn measure(self) -> (Finished, u64) {
        let room = tempfile::tempdir().expect("a folder for the measurement");
        let peak = room.path().join("peak");
        let mut measured = Command::new("python3");
        measured.args(["-c", MEASURE]).arg(&peak).arg(self.0.get_program()).args(self.0.get_args());
        measured.stdin(Stdio::null()).env_remove("RUST_LOG");
        let finished = Self(measured).finish();
        let kibibytes = std::fs::read_to_string(&peak).expect("a measurement");
        (finished, kibibytes.trim().parse::<u64>().expect("a number") * 1024)
    }

    /// Starts it and leaves it running; what it prints is lost.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn spawn(mut self) -> Child {
        self.0.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("dray starts")
    }
}

impl Finished {
    /// Fails with everything that was printed unless it ended with that status.
    ///
    /// # Panics
    /// When it did not.
    #[expect(clippy::must_use_candidate, reason = "often the status is all that a test asks for")]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "dray printed:\n{}\n{}", self.stdout, self.stderr);
        self
    }

    /// The lines of `--json`.
    ///
    /// # Panics
    /// When a line is not JSON.
    #[must_use]
    pub fn json(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        self.stdout.lines().map(parse).collect()
    }

    /// The one summary that `--json` printed.
    ///
    /// # Panics
    /// When it printed something else.
    #[must_use]
    pub fn summary(&self) -> Summary {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}:\n{}\n{}", self.stdout, self.stderr))
    }
}

/// The built `dray`.
///
/// # Panics
/// When it is not there.
#[must_use]
pub fn program() -> PathBuf {
    built("dray")
}

/// A built program of the workspace: Cargo puts it beside the folder of the test's own binary.
///
/// # Panics
/// When it is not there.
#[must_use]
pub fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    let folder = test.parent().and_then(Path::parent).expect("target/<profile>");
    let program = folder.join(name);
    assert!(
        program.is_file(),
        "{} is missing: run `cargo build --workspace --bins` (with this test's profile) first",
        program.display()
    );
    program
}
