//! One seed from its first run to rest.

use std::fmt;
use std::path::{Path, PathBuf};

use domain::events::Verdict;
use dray::run::Ended;
use engine::Status;
use serde_json::json;

use super::child::Orders;
use super::dice::Dice;
use super::fate::{Fate, send};
use super::laws::{Asked, DONE, Laws, content_left};
use super::plan::{After, Aim, Fault, Plan};
use super::room::{Disks, Small, empty};
use crate::{Kind, Member, Sample, World};

/// Members above this many bytes are counted by the job.
const LARGE_ABOVE_BYTES: u64 = 2000;
/// Runs that make up for aims that never came to their moment.
const AGAIN: usize = 3;
/// Stages that take bytes to the bucket or from it, many at a time.
const STREAMS: [&str; 4] = ["download", "unpack", "encrypt", "upload"];
/// Of a member that the bucket takes in two parts, at least, packed or not.
const LARGE_BYTES: usize = 5_500_000;
const LINE_BYTES: usize = 64;
/// Clean runs until one finds nothing: one that delivers, and one that finds nothing.
const CLEAN: usize = 2;

/// What came of a seed.
#[derive(Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// Every strike: stage, fault and how, in words.
    pub strikes: Vec<(String, Fault, String)>,
    /// The laws that were broken; nothing is well.
    pub broken: Vec<String>,
    /// Where everything lies that tells why, when a law was broken.
    pub evidence: Option<PathBuf>,
    /// Whether disks were full as the kernel means it.
    pub mounted: bool,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, strikes, broken, evidence, .. } = self;
        if broken.is_empty() {
            return write!(f, "seed {seed}: well, after {} strikes", strikes.len());
        }
        writeln!(f, "seed {seed}: BROKEN; again with: make chaos SEED={seed} SEEDS=1")?;
        for (stage, fault, how) in strikes {
            writeln!(f, "  struck {stage} by {}: {how}", fault.word())?;
        }
        for law in broken {
            writeln!(f, "  broken: {law}")?;
        }
        let evidence = evidence.as_deref().unwrap_or(Path::new("nowhere"));
        write!(f, "  evidence: {}", evidence.display())
    }
}

/// A seed under way.
struct Under<'p> {
    plan: &'p Plan,
    program: &'p Path,
    world: World,
    laws: Laws,
    dice: Dice,
    disks: Disks,
    logs: PathBuf,
    runs: usize,
    strikes: Vec<(String, Fault, String)>,
    told: Vec<String>,
    runtime: tokio::runtime::Runtime,
}

/// Tries a seed. `program` is the chaos program, of which children are made; `evidence` the folder
/// where those that fail leave what tells why.
///
/// # Panics
/// When a server or a folder of the test world cannot be made.
#[must_use]
pub fn try_seed(seed: u64, program: &Path, evidence: &Path) -> Outcome {
    let plan = Plan::of(seed);
    let aims = || plan.runs.iter().flatten();
    let world = world(&plan);
    let logs = tempfile::tempdir().expect("a folder for logs");
    let small = |fault, folder: &Path| {
        aims().any(|aim| aim.fault == fault).then(|| Small::mount(folder)).flatten()
    };
    let state = small(Fault::StateFull, &world.state);
    let target = small(Fault::TargetFull, &world.target.folder);
    let disks = Disks {
        state: state.as_ref().map(|_| world.state.clone()),
        target: Some(world.target.folder.clone()).filter(|_| target.is_some()),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let mut under = Under {
        plan: &plan,
        program,
        laws: Laws::new(plan.after, plan.manifest),
        world,
        dice: Dice::new(!seed),
        disks,
        logs: logs.path().to_owned(),
        runs: 0,
        strikes: Vec::new(),
        told: Vec::new(),
        runtime: runtime.expect("a runtime"),
    };
    under.storm();
    under.calm();
    let kept = (!under.laws.broken.is_empty()).then(|| under.keep(evidence));
    Outcome {
        seed,
        strikes: under.strikes,
        broken: under.laws.broken,
        evidence: kept,
        mounted: state.is_some() || target.is_some(),
    }
}

/// A zip with a member that does not compress, and a small one.
fn large(stem: &str, dice: &mut Dice) -> Sample {
    let lines = LARGE_BYTES / LINE_BYTES + dice.below(10_000) as usize;
    let mut noise = dice.bytes(lines * LINE_BYTES);
    noise.iter_mut().skip(LINE_BYTES - 1).step_by(LINE_BYTES).for_each(|byte| *byte = b'\n');
    // The first line is the header.
    let records = lines as u64 - 1;
    let small = crate::csv(3, 2);
    let bytes = crate::zip(&[("noise.bin", &noise), ("small.csv", &small)]);
    let member = |path: &str, bytes, records| Member {
        path: path.to_owned(),
        delivered_as: format!("{stem}_{path}"),
        bytes,
        records,
    };
    let members = vec![member("noise.bin", noise, records), member("small.csv", small, 2)];
    Sample { name: format!("{stem}.zip"), bytes, members }
}

fn world(plan: &Plan) -> World {
    let mut world = World::new(if plan.openssh { Kind::OpenSsh } else { Kind::Embedded });
    let profile = &mut world.partner.profile;
    profile["records"]["large_above_bytes"] = LARGE_ABOVE_BYTES.into();
    profile["report"]["timeout_seconds"] = 1.into();
    profile["source"]["after_delivery"] = json!(plan.after);
    if plan.manifest {
        profile["target"]["manifest"] = json!({});
    }
    if plan.after == After::Move {
        profile["source"]["move_to"] = json!(DONE);
    }
    world
}

impl Under<'_> {
    /// The runs that something befalls.
    fn storm(&mut self) {
        let mut missed = Vec::new();
        for aims in &self.plan.runs {
            missed.extend(self.strike(aims));
        }
        for _ in 0..AGAIN {
            let Some(aim) = missed.pop() else { break };
            missed.extend(self.strike(&[aim.earlier()]));
        }
    }

    /// One run with those aims; returns the aims that did not strike.
    fn strike(&mut self, aims: &[Aim]) -> Vec<Aim> {
        self.runs += 1;
        let streams = aims.iter().any(|aim| STREAMS.contains(&aim.stage.as_str()));
        self.lay(self.plan.large && streams);
        let folder = self.logs.join(format!("run-{}", self.runs));
        std::fs::create_dir(&folder).expect("a folder for logs");
        let has = |fault| aims.iter().any(|aim| aim.fault == fault);
        let orders = Orders {
            state: self.world.state.clone(),
            secrets: self.world.secrets.clone(),
            profile: self.world.partner.profile.clone(),
            aims: aims.to_vec(),
            disks: self.disks.clone(),
            clock: has(Fault::Clock).then(|| folder.join("clock")),
            inject: self.inject(aims),
            hurry: self.plan.hurry,
        };
        let asked = self.world.api.requests().len();
        let (runtime, world) = (&self.runtime, &self.world);
        let mut meanwhile_ended = Vec::new();
        let fate = send(self.program, &orders, &folder, &mut || {
            meanwhile_ended.push(runtime.block_on(world.run()));
        });
        for folder in [&self.disks.state, &self.disks.target].into_iter().flatten() {
            empty(folder);
        }
        let when = format!("run {}", self.runs);
        self.tell(&when, aims, &fate);
        self.laws.between(&self.world, &when);
        self.after_run(&when, aims, &fate, asked);
        let missed = aims.iter().enumerate().filter(|(n, _)| !fate.struck.contains_key(n));
        let missed = missed.map(|(_, aim)| aim.clone()).collect();
        for (number, aim) in aims.iter().enumerate() {
            let how = fate
                .ways
                .iter()
                .find_map(|way| way.strip_prefix(&format!("{} {}: ", aim.stage, aim.fault.word())));
            if fate.struck.contains_key(&number) {
                let how = how.unwrap_or_default().to_owned();
                self.strikes.push((aim.stage.clone(), aim.fault, how));
            }
        }
        missed
    }

    fn after_run(&mut self, when: &str, aims: &[Aim], fate: &Fate, asked: usize) {
        if let Some(complaint) = &fate.complaint {
            self.laws.broken.push(format!("{when}: {complaint}"));
        }
        if let Some((run, end, verdict)) = &fate.end
            && end == "Succeeded"
            && verdict == "Delivered"
        {
            self.laws
                .broken
                .extend(content_left(&self.world, run).map(|it| format!("{when}: {it}")));
        }
        // Who dies between the API's answer and writing it down has to ask again, with the same key.
        let only_the_api = |aim: &Aim| {
            aim.stage != "report" || matches!(aim.fault, Fault::ApiError | Fault::ApiLimit)
        };
        let whole = aims.iter().all(|aim| only_the_api(aim) && !aim.ends());
        if whole && !aims.iter().any(|aim| matches!(aim.fault, Fault::StateFull | Fault::Clock)) {
            let requests = self.world.api.requests();
            self.laws.asked_once(&Asked { requests: &requests[asked..], lost: 0 }, when);
        }
    }

    fn tell(&mut self, when: &str, aims: &[Aim], fate: &Fate) {
        let aims: Vec<String> =
            aims.iter().map(|aim| format!("{} {} {aim:?}", aim.stage, aim.fault.word())).collect();
        self.told.push(format!("{when}: {}\n  {:?}", aims.join("\n  "), fate));
    }

    /// New files for a run, so that every stage has something to do.
    fn lay(&mut self, large_too: bool) {
        let (run, dice) = (self.runs, &mut self.dice);
        let many = 90 + dice.skewed(3000);
        let salt = run * 100 + (self.plan.seed % 97) as usize;
        let zip = [("lines.csv", dice.below(40)), ("march/orders.csv", many)];
        let mut samples = vec![Sample::zip(&format!("orders-{run}"), &zip, salt)];
        let lines = dice.below(60);
        let csv = crate::csv(salt + 7, lines);
        samples.push(Sample::plain(&format!("prices {run}.csv"), csv, lines));
        match dice.below(3) {
            0 => samples.push(Sample::gz(&format!("stock-{run}.csv"), dice.below(900), salt + 9)),
            1 => samples.push(Sample::tar_gz(&format!("old-{run}"), &[("a/b.csv", 5)], salt + 11)),
            _ => {}
        }
        if large_too {
            samples.push(large(&format!("large-{run}"), dice));
        }
        for sample in samples {
            self.laws.lay(&self.world, sample);
        }
    }

    /// Something has to go into quarantine for that stage to have work.
    fn inject(&mut self, aims: &[Aim]) -> Vec<String> {
        let stages = ["Download", "Unpack", "Inspect", "Report", "Encrypt", "Upload"];
        let wanted = aims.iter().any(|aim| aim.stage == "quarantine");
        let stage = self.dice.one(&stages);
        wanted.then(|| format!("{stage}=error:Rejected")).into_iter().collect()
    }

    /// Clean runs until one finds nothing, and then the laws.
    fn calm(&mut self) {
        let mut quiet = false;
        for run in 1..=CLEAN {
            let when = format!("clean run {run}");
            let ended = self.runtime.block_on(self.world.run());
            self.laws.between(&self.world, &when);
            let verdict = ended.summary.as_ref().map(|summary| summary.verdict);
            self.told.push(format!("{when}: {:?} {verdict:?}", ended.outcome.status));
            if let Some(left) = content_left(&self.world, &ended.run).filter(|_| is_well(&ended)) {
                self.laws.broken.push(format!("{when}: {left}"));
            }
            quiet = is_well(&ended) && verdict == Some(Verdict::Nothing);
            if !is_well(&ended) {
                let failed = ended.summary.map(|summary| summary.failed);
                self.laws.broken.push(format!(
                    "{when} ended with {verdict:?}, {:?} {:?}, {failed:?}",
                    ended.outcome.error, ended.outcome.cause
                ));
            }
            if quiet {
                break;
            }
        }
        if !quiet {
            self.laws.broken.push(format!("after {CLEAN} clean runs there is still work"));
        }
        self.laws.at_rest(&self.world);
    }

    /// Keeps what tells why a law was broken.
    fn keep(&self, evidence: &Path) -> PathBuf {
        let folder = evidence.join(format!("seed-{}", self.plan.seed));
        drop(std::fs::remove_dir_all(&folder));
        std::fs::create_dir_all(&folder).expect("a folder for evidence");
        for (name, from) in [
            ("logs", &self.logs),
            ("state", &self.world.state),
            ("source", &self.world.source.folder),
            ("target", &self.world.target.folder),
        ] {
            let mut copy = std::process::Command::new("cp");
            drop(copy.arg("-a").arg(from).arg(folder.join(name)).output());
        }
        let requests: Vec<String> =
            self.world.api.requests().iter().map(|told| format!("{told:?}")).collect();
        let text = format!(
            "{:#?}\n\n{}\n\nbroken:\n{}\n\nrequests to the API:\n{}\n",
            self.plan,
            self.told.join("\n"),
            self.laws.broken.join("\n"),
            requests.join("\n")
        );
        std::fs::write(folder.join("story.txt"), text).expect("the story");
        folder
    }
}

fn is_well(ended: &Ended) -> bool {
    let verdict = ended.summary.as_ref().map(|summary| summary.verdict);
    ended.outcome.status == Status::Succeeded
        && matches!(verdict, Some(Verdict::Delivered | Verdict::Nothing))
}
