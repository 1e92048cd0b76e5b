//! Live progress: a bar per phase, from the bucket alone.
//!
//! An item's key tells its size, so listing an inbox gives files and bytes; the same view therefore
//! works for a run on AWS. The state machine's events only say which phases are worth listing.

use std::collections::{BTreeMap, HashSet};
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::ids::Name;
use domain::keys::{Inbox, Phase};
use engine::{Notice, Observer};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use storage::Store;
use storage::runs::Run;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Between two looks at the bucket, at least.
const TICK: Duration = Duration::from_millis(250);

/// The phase that each run is in, told by the engine's events.
#[derive(Default)]
pub struct Phases(Mutex<BTreeMap<String, Phase>>);

impl Observer for Phases {
    fn event(&self, notice: Notice<'_>) {
        if notice.item.is_some() {
            return;
        }
        let phase = match notice.event.state() {
            Some("PlanFetch") => Phase::Fetch,
            Some("PlanInspect") => Phase::Inspect,
            Some("PlanSeal") => Phase::Seal,
            Some("PlanDeliver") => Phase::Deliver,
            _ => return,
        };
        let mut phases = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        phases.insert(notice.execution_name.to_owned(), phase);
    }
}

impl Phases {
    fn of(&self, run: &str) -> Option<Phase> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(run).copied()
    }
}

/// The bars of all runs of this process.
pub struct Progress {
    store: Store,
    phases: Arc<Phases>,
    bars: MultiProgress,
    /// Lines instead of bars, where nobody watches a terminal.
    plain: bool,
    quiet: bool,
}

/// One watched run.
pub struct Watching {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Watching {
    /// Shows the last state and stops.
    pub async fn finish(self) {
        // Either the watcher hears it or it has ended by itself.
        let _unheard = self.stop.send(());
        drop(self.task.await);
    }
}

impl Progress {
    /// Bars on standard error; lines when that is no terminal; nothing when `quiet`.
    #[must_use]
    pub fn new(store: &Store, phases: &Arc<Phases>, quiet: bool) -> Self {
        let plain = !std::io::stderr().is_terminal();
        let hidden = plain || quiet;
        let target =
            if hidden { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bars = MultiProgress::with_draw_target(target);
        Self { store: store.clone(), phases: Arc::clone(phases), bars, plain, quiet }
    }

    /// Begins to show a run.
    #[must_use]
    pub fn watch(&self, partner: &str, run: &str) -> Watching {
        let (stop, mut stopped) = oneshot::channel();
        let mut watcher = Watcher {
            run: Run::new(&self.store, partner, run),
            phases: Arc::clone(&self.phases),
            all_bars: self.bars.clone(),
            bars: Vec::new(),
            told: None,
            plain: self.plain && !self.quiet,
            partner: partner.to_owned(),
        };
        let task = tokio::spawn(async move {
            loop {
                let begun = Instant::now();
                watcher.look().await;
                // A long listing of a large run must not become its main load.
                let pause = TICK.max(begun.elapsed() * 10);
                if tokio::time::timeout(pause, &mut stopped).await.is_ok() {
                    watcher.look().await;
                    watcher.close();
                    return;
                }
            }
        });
        Watching { stop, task }
    }

    /// Leaves the bars as they are and gives the terminal back.
    pub fn close(&self) {
        // A terminal that is gone needs no clearing.
        drop(self.bars.clear());
    }
}

struct Watcher {
    run: Run,
    phases: Arc<Phases>,
    all_bars: MultiProgress,
    /// One per phase that has begun.
    bars: Vec<ProgressBar>,
    told: Option<Phase>,
    plain: bool,
    partner: String,
}

/// Items and bytes.
#[derive(Clone, Copy, Default)]
struct Amount {
    items: u64,
    bytes: u64,
}

impl Amount {
    fn of<'a>(names: impl Iterator<Item = &'a Name>) -> Self {
        names.fold(Self::default(), |sum, name| Self {
            items: sum.items + 1,
            bytes: sum.bytes + name.size_bytes(),
        })
    }
}

impl Watcher {
    async fn look(&mut self) {
        let Some(current) = self.phases.of(self.run.keys().run()) else { return };
        let begun = Phase::ALL.into_iter().take_while(|phase| *phase as u8 <= current as u8);
        for (index, phase) in begun.enumerate() {
            if self.bars.len() == index {
                self.bars.push(self.bar(phase));
            }
            let Some(bar) = self.bars.get(index).filter(|bar| !bar.is_finished()) else { continue };
            // A look that fails is made again at the next tick.
            let Ok((done, total)) = self.amounts(phase).await else { continue };
            bar.set_length(total.bytes);
            bar.set_position(done.bytes.min(total.bytes));
            bar.set_message(format!("{}/{}", done.items, total.items));
            if phase != current {
                bar.finish();
            }
        }
        self.tell(current).await;
    }

    /// A bar under those of the phases before.
    fn bar(&self, phase: Phase) -> ProgressBar {
        let bar = match self.bars.last() {
            Some(last) => self.all_bars.insert_after(last, ProgressBar::new(0)),
            None => self.all_bars.add(ProgressBar::new(0)),
        };
        let style = "{prefix:>24} [{bar:28}] {msg:>14} {bytes:>10}/{total_bytes:<10} {eta:>6}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(format!("{} {}", self.partner, phase.word()));
        bar
    }

    /// What a phase has done and what it has to do.
    async fn amounts(&self, phase: Phase) -> Result<(Amount, Amount), domain::Failure> {
        let total: HashSet<Name> = self.run.names(phase.input()).await?.into_iter().collect();
        let mut done: HashSet<Name> = HashSet::new();
        for inbox in phase.outputs().iter().chain(&[Inbox::Failed]) {
            done.extend(self.run.names(*inbox).await?);
        }
        let done = Amount::of(done.iter().filter(|name| total.contains(name)));
        Ok((done, Amount::of(total.iter())))
    }

    /// One line per phase, for logs.
    async fn tell(&mut self, current: Phase) {
        if !self.plain || self.told == Some(current) {
            return;
        }
        if let Ok((_, total)) = self.amounts(current).await {
            let size = indicatif::HumanBytes(total.bytes);
            eprintln!("{}: {} {} items, {size}", self.partner, current.word(), total.items);
            self.told = Some(current);
        }
    }

    fn close(&self) {
        for bar in &self.bars {
            bar.abandon();
        }
    }
}
