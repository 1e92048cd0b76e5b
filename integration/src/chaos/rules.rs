//! What the child knows about its aims: which stage is at work, and whose moment has come.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use engine::{EventType, Notice, Observer};
use tokio::sync::Notify;

use super::plan::{Aim, Door, STAGES};
use super::room::Rooms;

/// The aims of one run.
pub(super) struct Rules {
    aims: Vec<Armed>,
    pub(super) rooms: Rooms,
    /// The state that each execution is in.
    states: Mutex<BTreeMap<String, &'static str>>,
    /// How many calls of each stage are being made.
    calls: Mutex<BTreeMap<&'static str, u32>>,
    /// The parent lets a process go on that stood still.
    pub(super) go: Notify,
}

struct Armed {
    aim: Aim,
    seen: AtomicU32,
    struck: AtomicU32,
    /// What a stubborn aim has chosen.
    victim: Mutex<Option<String>>,
}

/// An aim whose moment has come.
#[derive(Clone)]
pub(super) struct Deed {
    number: usize,
    pub(super) aim: Aim,
}

fn lock<T>(these: &Mutex<T>) -> MutexGuard<'_, T> {
    these.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells the parent, at once: the next moment may be the last.
pub(super) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // A parent that is gone has no use for it.
    drop(writeln!(out, "{line}").and_then(|()| out.flush()));
}

impl Rules {
    pub(super) fn new(aims: Vec<Aim>, rooms: Rooms) -> Self {
        let armed = |aim| Armed {
            aim,
            seen: AtomicU32::new(0),
            struck: AtomicU32::new(0),
            victim: Mutex::default(),
        };
        Self {
            aims: aims.into_iter().map(armed).collect(),
            rooms,
            states: Mutex::default(),
            calls: Mutex::default(),
            go: Notify::new(),
        }
    }

    /// Whether a stage has anything to fear at that door.
    pub(super) fn watches(&self, stage: &str, door: Door) -> bool {
        self.aims.iter().any(|armed| armed.aim.stage == stage && armed.aim.door() == door)
    }

    /// What befalls the next request of a stage, which is about that object or report.
    pub(super) fn request(&self, stage: &str, door: Door, about: &str) -> Option<Deed> {
        self.next(door, about, |aim| aim.stage == stage && aim.heeds(about))
    }

    /// What befalls the next connection to a partner's server.
    pub(super) fn connection(&self, door: Door) -> Option<Deed> {
        let calls = lock(&self.calls);
        let at_work = |aim: &Aim| calls.get(aim.stage.as_str()).is_some_and(|calls| *calls > 0);
        self.next(door, "", at_work)
    }

    fn next(&self, door: Door, about: &str, meant: impl Fn(&Aim) -> bool) -> Option<Deed> {
        let meant = self
            .aims
            .iter()
            .enumerate()
            .filter(|(_, armed)| armed.aim.door() == door && meant(&armed.aim));
        let mut found = None;
        for (number, armed) in meant {
            let seen = armed.seen.fetch_add(1, Ordering::SeqCst) + 1;
            let struck = armed.struck.load(Ordering::SeqCst);
            let due = seen >= armed.aim.nth && struck < armed.aim.most();
            if due && found.is_none() && armed.means(about) {
                found = Some(Deed { number, aim: armed.aim.clone() });
            }
        }
        found
    }

    /// It did strike.
    pub(super) fn struck(&self, deed: &Deed, how: &str) -> u32 {
        say(&format!("struck {} {how}", deed.number));
        self.aims[deed.number].struck.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Stands still until the parent has done what it must: for ever, if that is to kill.
    pub(super) async fn hold(&self, deed: &Deed, how: &str) {
        // Once: others of the stage go on meanwhile.
        if self.struck_once(deed) {
            say(&format!("held {} {how}", deed.number));
            self.go.notified().await;
        }
    }

    fn struck_once(&self, deed: &Deed) -> bool {
        self.aims[deed.number].struck.fetch_add(1, Ordering::SeqCst) == 0
    }

    fn called(&self, stage: &'static str, more: bool) {
        let mut calls = lock(&self.calls);
        let number = calls.entry(stage).or_default();
        *number = if more { *number + 1 } else { number.saturating_sub(1) };
        if self.watches(stage, Door::Time) {
            say(&format!("{} {stage}", if more { "at" } else { "left" }));
        }
    }

    /// An invocation that failed for want of room at the target tells so in its error.
    fn failed(&self, stage: &str, cause: &str) {
        let full = ["sftp.disk_full", "sftp.quota", "sftp.failure"];
        let Some(code) = full.into_iter().find(|code| cause.contains(code)) else { return };
        let deed = self.aims.iter().enumerate().find(|(_, armed)| {
            armed.aim.fault == super::Fault::TargetFull && armed.aim.stage == stage
        });
        let Some((number, armed)) = deed.filter(|_| self.rooms.is_target_full()) else { return };
        let deed = Deed { number, aim: armed.aim.clone() };
        if self.struck(&deed, code) >= armed.aim.times {
            self.rooms.free_target();
        }
    }
}

impl Armed {
    /// Whether it strikes what this is about.
    fn means(&self, about: &str) -> bool {
        if !self.aim.is_stubborn() {
            return true;
        }
        let mut victim = lock(&self.victim);
        victim.get_or_insert_with(|| about.to_owned()) == about
    }
}

/// The stage of a state of the machine.
fn stage_of(state: &str) -> Option<&'static str> {
    let mut word = String::new();
    for letter in state.chars() {
        if letter.is_ascii_uppercase() && !word.is_empty() {
            word.push('-');
        }
        word.push(letter.to_ascii_lowercase());
    }
    let family = |stage: &&str| word.starts_with(&format!("{stage}-"));
    STAGES.into_iter().find(|stage| *stage == word).or_else(|| STAGES.into_iter().find(family))
}

impl Observer for Rules {
    fn event(&self, notice: Notice<'_>) {
        let event = notice.event;
        match event.event_type {
            EventType::TaskStateEntered => {
                if let Some(stage) = event.state().and_then(stage_of) {
                    lock(&self.states).insert(notice.execution_id.to_owned(), stage);
                } else {
                    lock(&self.states).remove(notice.execution_id);
                }
            }
            EventType::TaskScheduled
            | EventType::TaskSucceeded
            | EventType::TaskFailed
            | EventType::TaskTimedOut => {
                let stage = lock(&self.states).get(notice.execution_id).copied();
                let Some(stage) = stage else { return };
                if event.event_type == EventType::TaskFailed {
                    self.failed(stage, &event.details["cause"].to_string());
                }
                self.called(stage, event.event_type == EventType::TaskScheduled);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_belongs_to_its_stage() {
        for (state, stage) in [
            ("Discover", Some("discover")),
            ("PlanFetch", Some("plan")),
            ("CountLarge", Some("count-large")),
            ("QuarantineCountLarge", Some("quarantine")),
            ("Announce", None),
        ] {
            assert_eq!(stage_of(state), stage, "{state}");
        }
    }
}
