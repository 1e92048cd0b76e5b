//! What a command costs, and taking turns: contenders of one comparison run one after the other in
//! every round, so that a machine that changes its speed changes it for all of them.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// What one run of a command took.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Seconds from start to end.
    pub wall: f64,
    /// Processor seconds of the command and of what it started.
    pub processor: f64,
    /// The most memory that one of its processes held, in bytes.
    pub peak_bytes: u64,
}

/// Whether time or processor time is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Seconds from start to end.
    Wall,
    /// Processor seconds, where a peer uses more or fewer processors than we do.
    Processor,
}

impl Cost {
    pub fn by(&self, by: By) -> f64 {
        match by {
            By::Wall => self.wall,
            By::Processor => self.processor,
        }
    }
}

/// Runs a command to its end.
///
/// # Panics
/// When it fails; what it said is told.
pub fn run(command: &mut Command) -> (Cost, String) {
    let figures = tempfile::NamedTempFile::new().expect("a file for the figures");
    let mut timed = Command::new("/usr/bin/time");
    timed.args(["--quiet", "-f", "%U %S %M", "-o"]).arg(figures.path());
    timed.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => timed.env(name, value),
            None => timed.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        timed.current_dir(folder);
    }
    let start = Instant::now();
    let output = timed.output().expect("/usr/bin/time is missing: install the package time");
    let wall = start.elapsed().as_secs_f64();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed:\n{said}");
    let (processor, peak_bytes) = figures_of(figures.path());
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    (Cost { wall, processor, peak_bytes }, stdout)
}

fn figures_of(path: &Path) -> (f64, u64) {
    let text = std::fs::read_to_string(path).expect("the figures of /usr/bin/time");
    let numbers: Vec<f64> =
        text.split_whitespace().map(|number| number.parse().expect("a number")).collect();
    let [user, system, kibibytes] = numbers[..] else { panic!("/usr/bin/time said {text:?}") };
    (user + system, kibibytes as u64 * 1024)
}

/// One of those that are compared.
pub struct Contender<'a> {
    /// What it is called in the table.
    pub name: &'static str,
    command: Box<dyn FnMut() -> Command + 'a>,
    check: Box<dyn FnMut(&str) + 'a>,
    /// What it took, round by round.
    pub costs: Vec<Cost>,
}

impl<'a> Contender<'a> {
    /// Made anew for every round by `command`, which also clears away what the last round left.
    pub fn new(name: &'static str, command: impl FnMut() -> Command + 'a) -> Self {
        Self { name, command: Box::new(command), check: Box::new(|_| {}), costs: Vec::new() }
    }

    /// Looks after every round at what was printed and at what was done; panics if it is wrong.
    pub fn checked(mut self, check: impl FnMut(&str) + 'a) -> Self {
        self.check = Box::new(check);
        self
    }

    fn go(&mut self) -> Cost {
        let (cost, printed) = run(&mut (self.command)());
        (self.check)(&printed);
        cost
    }

    /// The median of what it took, in seconds.
    pub fn median(&self, by: By) -> f64 {
        median(self.costs.iter().map(|cost| cost.by(by)))
    }
}

/// Lets all of them run in turn, that many rounds after one that is not counted if `warm`.
pub fn alternate(contenders: &mut [Contender<'_>], rounds: usize, warm: bool) {
    for round in 0..rounds + usize::from(warm) {
        for contender in &mut *contenders {
            let cost = contender.go();
            eprintln!(
                "  {}: {:.3} s, processor {:.2} s",
                contender.name, cost.wall, cost.processor
            );
            if round > 0 || !warm {
                contender.costs.push(cost);
            }
        }
    }
}

/// The median of how many times faster `ours` was than `peer`, round by round.
pub fn speedup(ours: &Contender<'_>, peer: &Contender<'_>, by: By) -> f64 {
    median(ours.costs.iter().zip(&peer.costs).map(|(ours, peer)| peer.by(by) / ours.by(by)))
}

/// The middle one.
pub fn median(all: impl Iterator<Item = f64>) -> f64 {
    let mut all: Vec<f64> = all.collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}
