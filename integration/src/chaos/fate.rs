//! The parent's side of one run: starts the child, kills it or makes it stand still when its moment
//! has come, and keeps what it told.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::child::Orders;
use super::clock;
use super::plan::{Aim, Door, Fault};
use crate::wait_until;

/// A run that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(120);
/// Of `kill -9`.
const SIGKILL: i32 = 9;

/// What became of a run.
#[derive(Debug, Default)]
pub(super) struct Fate {
    /// How often each aim struck, by its number.
    pub(super) struck: BTreeMap<usize, u32>,
    /// How, in words, for people.
    pub(super) ways: Vec<String>,
    /// Whether it was killed, as it should be.
    pub(super) killed: bool,
    /// The run's name, its end and its verdict, when it came to its end.
    pub(super) end: Option<(String, String, String)>,
    /// Why a run could not even tell its end.
    gave_up: Option<String>,
    /// What went wrong that nobody meant to.
    pub(super) complaint: Option<String>,
}

/// Sends a child on its way, and does `meanwhile` while it stands still.
pub(super) fn send(
    program: &Path,
    orders: &Orders,
    folder: &Path,
    meanwhile: &mut dyn FnMut(),
) -> Fate {
    let file = folder.join("orders.json");
    std::fs::write(&file, serde_json::to_vec_pretty(orders).expect("JSON")).expect("the orders");
    let log = File::create(folder.join("stderr")).expect("a log");
    // Where a file must not grow, writing is an error and not the end of the process.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(program).arg("child").arg(&file);
    if let Some(clock) = &orders.clock {
        clock::load(&mut command, clock);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
    let mut child = command.spawn().expect("a child process");
    let watch = Watch::over(&child);
    let mut fate = Fate::default();
    let told = listen(&mut child, orders, &mut fate, meanwhile);
    let status = child.wait().expect("its end");
    let hung = watch.end();
    std::fs::write(folder.join("told"), told.join("\n")).expect("a log");
    fate.killed &= status.signal() == Some(SIGKILL) && !hung;
    if hung {
        fate.complaint = Some(format!("the run did not end within {PATIENCE:?}"));
    } else if !fate.killed && (!status.success() || fate.end.is_none()) {
        let said = std::fs::read_to_string(folder.join("stderr")).unwrap_or_default();
        let said = fate.gave_up.as_deref().unwrap_or(said.trim());
        // On a full disk the history of a run may have no room.
        let no_room = orders.aims.iter().any(|aim| aim.fault == Fault::StateFull);
        if !(no_room && fate.gave_up.is_some()) {
            fate.complaint = Some(format!("the run ended with {status}: {said}"));
        }
    }
    fate
}

/// Follows what the child tells to its end.
fn listen(
    child: &mut Child,
    orders: &Orders,
    fate: &mut Fate,
    meanwhile: &mut dyn FnMut(),
) -> Vec<String> {
    let mut stdin = child.stdin.take().expect("its input");
    let stdout = child.stdout.take().expect("its output");
    let mut told = Vec::new();
    // The aim that kills by time, how many calls of its stage are being made.
    let by_time = |aim: &Aim| aim.fault == Fault::Kill && aim.door() == Door::Time;
    let timed = orders.aims.iter().position(by_time);
    let (mut calls, mut sent) = (0, false);
    for line in BufReader::new(stdout).lines() {
        let Ok(line) = line else { break };
        let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let (number, how) = rest.split_once(' ').unwrap_or((rest, ""));
        match word {
            "at" => {
                calls += 1;
                if let (Some(number), false) = (timed, sent) {
                    sent = true;
                    std::thread::sleep(Duration::from_millis(orders.aims[number].millis));
                    drop(child.kill());
                }
            }
            "left" => calls -= 1,
            "held" => {
                let number: usize = number.parse().expect("the number of an aim");
                fate.hit(number, &orders.aims[number], how);
                if orders.aims[number].fault == Fault::Kill {
                    fate.killed = true;
                    child.kill().expect("it is killed");
                } else {
                    freeze(child, orders, meanwhile);
                    drop(writeln!(stdin, "go"));
                }
            }
            "struck" => {
                let number: usize = number.parse().expect("the number of an aim");
                fate.hit(number, &orders.aims[number], how);
            }
            "gave-up" => fate.gave_up = Some(rest.to_owned()),
            "end" => {
                let mut words = rest.splitn(4, ' ').map(str::to_owned);
                let [run, end, verdict] = [(); 3].map(|()| words.next().unwrap_or_default());
                fate.end = Some((run, end, verdict));
            }
            _ => {}
        }
        told.push(line);
    }
    if let (Some(number), true) = (timed, sent && fate.end.is_none()) {
        fate.killed = true;
        if calls > 0 {
            fate.hit(number, &orders.aims[number], "after some time");
        }
    }
    told
}

/// Stops a process without a word, lets the world take it for dead, and wakes it up again.
///
/// Its own S3 server is not in the middle of a write then: it stands for one that does not stand still
/// with its client, and other processes wait for the end of a write that has begun.
fn freeze(child: &Child, orders: &Orders, meanwhile: &mut dyn FnMut()) {
    loop {
        signal(child, "STOP");
        wait_until("the process stands still", || stands_still(child));
        if !is_writing(&orders.state.join("s3/.locks")) {
            break;
        }
        signal(child, "CONT");
    }
    let locks = std::fs::read_dir(orders.state.join("executions")).into_iter().flatten().flatten();
    for lock in locks {
        // What tells that it runs. On AWS, an execution that was stopped while its functions go on.
        drop(std::fs::remove_file(lock.path()));
    }
    meanwhile();
    signal(child, "CONT");
}

fn stands_still(child: &Child) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
    // Behind the name, which may hold anything but is in parentheses.
    stat.rsplit_once(") ").is_none_or(|(_, state)| state.starts_with('T'))
}

/// Whether somebody holds one of these locks.
fn is_writing(locks: &Path) -> bool {
    let locks = std::fs::read_dir(locks).into_iter().flatten().flatten();
    let mut files = locks.filter_map(|lock| File::open(lock.path()).ok());
    files.any(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").arg(format!("-{name}")).arg(child.id().to_string()).status();
    assert!(sent.is_ok_and(|status| status.success()), "no signal {name} for the child");
}

impl Fate {
    fn hit(&mut self, number: usize, aim: &Aim, how: &str) {
        *self.struck.entry(number).or_default() += 1;
        self.ways.push(format!("{} {}: {how}", aim.stage, aim.fault.word()));
    }
}

/// Ends a child that hangs.
struct Watch {
    done: mpsc::Sender<()>,
    thread: std::thread::JoinHandle<bool>,
}

impl Watch {
    fn over(child: &Child) -> Self {
        let (done, end) = mpsc::channel();
        let id = child.id().to_string();
        let thread = std::thread::spawn(move || {
            let hangs = end.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout);
            if hangs {
                for signal in ["-CONT", "-KILL"] {
                    drop(Command::new("kill").args([signal, &id]).status());
                }
            }
            hangs
        });
        Self { done, thread }
    }

    /// Whether it had to.
    fn end(self) -> bool {
        let _ended_by_itself = self.done.send(());
        self.thread.join().unwrap_or(true)
    }
}
