//! What befalls a seed: at which stage what goes wrong, and when. A seed's plan is drawn from its
//! number alone.

use serde::{Deserialize, Serialize};

use super::dice::Dice;

/// The stages, in pipeline order.
pub const STAGES: [&str; 12] = [
    "discover",
    "plan",
    "download",
    "unpack",
    "inspect",
    "size",
    "count-large",
    "report",
    "encrypt",
    "upload",
    "quarantine",
    "finish",
];
/// Stages that talk to a partner's server.
const WIRED: [&str; 4] = ["discover", "download", "upload", "finish"];
/// Aims of a seed.
const AIMS: u64 = 4;
/// From one aim's cell to the next one's: no divisor in common with the number of cells.
const STEP: u64 = 61;

macro_rules! faults {
    ($($(#[$doc:meta])+ $name:ident => $word:literal,)+) => {
        /// What goes wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Fault { $($(#[$doc])+ $name,)+ }

        impl Fault {
            /// Every fault.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// What the histogram calls it.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }
        }
    };
}

faults! {
    /// `kill -9` of the process.
    Kill => "kill",
    /// The process stands still, is taken for dead, and wakes up after the next run.
    Freeze => "freeze",
    /// A connection to a partner's server is cut, or refused.
    Cut => "cut",
    /// A connection to a partner's server falls silent for a while.
    Stall => "stall",
    /// The API answers 500 or 503.
    ApiError => "api-5xx",
    /// The API answers 429 with `Retry-After`.
    ApiLimit => "api-429",
    /// The API answers late, or too late.
    ApiSlow => "api-slow",
    /// The connection to the API ends before the report, or before its answer, is whole.
    ApiCut => "api-cut",
    /// S3 answers 503 `SlowDown` or 500.
    S3Busy => "s3-503",
    /// S3 answers late, or bit by bit.
    S3Slow => "s3-slow",
    /// A body of S3 ends half-way.
    S3Half => "s3-half",
    /// S3 does what it was asked, or not, and nobody hears of it.
    S3Lost => "s3-lost",
    /// The disk under the state folder is full.
    StateFull => "disk",
    /// The partner's disk is full.
    TargetFull => "disk-to",
    /// The machine's clock jumps, back or ahead.
    Clock => "clock",
}

/// Where an aim waits for its moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// The stage's requests to the bucket.
    Bucket,
    /// The requests to the API.
    Api,
    /// The connections to the source.
    Source,
    /// The connections to the target.
    Target,
    /// Time since the stage began.
    Time,
}

/// One fault at one stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aim {
    /// The stage.
    pub stage: String,
    /// The fault.
    pub fault: Fault,
    /// Which request or connection of the stage is the first to be struck, from 1.
    pub nth: u32,
    /// How many are struck.
    pub times: u32,
    /// Which variety of the fault.
    pub kind: u32,
    /// Bytes of a connection that come through.
    pub bytes: u64,
    /// For times that are waited.
    pub millis: u64,
}

impl Aim {
    fn draw(stage: &str, fault: Fault, dice: &mut Dice) -> Self {
        let times = match fault {
            // A client asks three times before it gives up, and a state calls six times.
            Fault::S3Busy | Fault::S3Half | Fault::S3Lost => dice.one(&[1, 1, 2, 3, 4, 6]),
            Fault::S3Slow => dice.one(&[1, 3, 10]),
            Fault::Cut => dice.one(&[1, 1, 2, 3, 6, 10]),
            Fault::ApiError | Fault::ApiCut => dice.one(&[1, 1, 2, 3, 8, 30]),
            Fault::StateFull | Fault::TargetFull => dice.one(&[1, 2, 4, 20]),
            _ => 1,
        };
        let millis = match fault {
            Fault::Kill => dice.skewed(60),
            _ => 50 + dice.below(500),
        };
        let (nth, kind) = (dice.skewed(20) as u32, dice.below(1 << 16) as u32);
        let bytes = dice.skewed(1 << 14);
        let mut aim = Self { stage: stage.to_owned(), fault, nth, times, kind, bytes, millis };
        if aim.is_choosy() {
            // Of these there are fewer.
            aim.nth = 1 + aim.nth % if stage == "upload" { 9 } else { 4 };
        }
        aim
    }

    pub(super) fn door(&self) -> Door {
        let wired = WIRED.contains(&self.stage.as_str());
        match self.fault {
            Fault::Cut | Fault::Stall => self.side(),
            Fault::ApiError | Fault::ApiLimit | Fault::ApiSlow | Fault::ApiCut => Door::Api,
            Fault::Kill => match self.kind % 8 {
                0 => Door::Time,
                1 | 2 if wired => self.side(),
                _ => Door::Bucket,
            },
            _ => Door::Bucket,
        }
    }

    /// Of the connections, whose end it is about. Discover tries both; Finish tidies the source and
    /// brings the manifest to the target.
    fn side(&self) -> Door {
        match self.stage.as_str() {
            "upload" => Door::Target,
            "discover" | "finish" if self.variety(2) == 1 => Door::Target,
            _ => Door::Source,
        }
    }

    /// One of so many varieties, whatever the door was drawn from.
    pub(super) const fn variety(&self, of: u32) -> u32 {
        (self.kind / 8) % of
    }

    /// Whether it strikes one object, or one report, for as long as the run asks for it, and nothing
    /// else: so one member fails beside others that are delivered.
    pub(super) const fn is_stubborn(&self) -> bool {
        match self.fault {
            Fault::S3Busy | Fault::S3Half | Fault::S3Lost => self.kind >> 12 == 0,
            Fault::ApiError => self.kind >> 12 < 6,
            _ => false,
        }
    }

    /// Whether it counts only requests on which the steps of its stage hang: writes of the ledger's
    /// rows, and uploads in parts.
    fn is_choosy(&self) -> bool {
        let stages = ["download", "unpack", "encrypt", "upload"];
        matches!(self.fault, Fault::Kill | Fault::Freeze | Fault::S3Lost)
            && self.door() == Door::Bucket
            && stages.contains(&self.stage.as_str())
            && !(self.kind >> 10).is_multiple_of(4)
    }

    /// Whether a request is one of those that it counts.
    pub(super) fn heeds(&self, about: &str) -> bool {
        match (self.is_choosy(), self.stage == "upload") {
            (false, _) => true,
            (true, true) => about.starts_with("PUT ") && about.contains("/ledger/"),
            (true, false) => about.contains("?uploads") || about.contains("uploadId="),
        }
    }

    /// How many requests or connections are struck.
    pub(super) const fn most(&self) -> u32 {
        if self.is_stubborn() { 100 } else { self.times }
    }

    /// The process does not outlive it as it was.
    pub(super) fn ends(&self) -> bool {
        matches!(self.fault, Fault::Kill | Fault::Freeze)
    }

    /// The same, earlier: where it never came to its moment.
    pub(super) fn earlier(&self) -> Self {
        let [nth, bytes, millis] = [u64::from(self.nth), self.bytes, self.millis].map(|n| n / 4);
        let kind = self.kind & !(3 << 10);
        Self { nth: nth.max(1) as u32, bytes, millis, kind, ..self.clone() }
    }

    fn place(&self) -> usize {
        STAGES.iter().position(|stage| *stage == self.stage).unwrap_or_default()
    }
}

/// What happens to delivered files at the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum After {
    /// Nothing.
    Keep,
    /// They are moved.
    Move,
    /// They are deleted.
    Delete,
}

/// All that is drawn for a seed.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// Whether the partner's servers are OpenSSH; else they are the embedded one.
    pub openssh: bool,
    /// What happens at the source.
    pub after: After,
    /// Whether the partner gets manifests.
    pub manifest: bool,
    /// Whether invocations end early and go on in the next one.
    pub hurry: bool,
    /// Whether files are there that the bucket takes in several parts.
    pub large: bool,
    /// The runs, each with what befalls it.
    pub runs: Vec<Vec<Aim>>,
}

impl Plan {
    /// The plan of that seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let cells = cells();
        let cell = |number: u64| cells[(number.wrapping_mul(STEP) % cells.len() as u64) as usize];
        let mut aims: Vec<Aim> = (0..AIMS)
            .map(|aim| cell(seed.wrapping_mul(AIMS).wrapping_add(aim)))
            .map(|(stage, fault)| Aim::draw(stage, fault, &mut dice))
            .collect();
        dice.shuffle(&mut aims);
        let finish_at = |door| aims.iter().any(|aim| aim.stage == "finish" && aim.door() == door);
        let manifest = finish_at(Door::Target) || dice.below(3) == 0;
        let after = match finish_at(Door::Source) {
            true => dice.one(&[After::Move, After::Delete]),
            false => dice.one(&[After::Keep, After::Move, After::Delete]),
        };
        let parts = aims.iter().any(|aim| aim.is_choosy() && aim.stage != "upload");
        // In a hurry, a large file takes hundreds of invocations.
        let (openssh, hurry) = (dice.below(2) == 0, dice.below(4) == 0 && !parts);
        let large = parts || (dice.below(3) == 0 && !hurry);
        let mut runs: Vec<Vec<Aim>> = Vec::new();
        for aim in aims {
            match runs.last_mut().filter(|run| dice.below(3) > 0 && fit(run, &aim)) {
                Some(run) => {
                    run.push(aim);
                    run.sort_by_key(Aim::place);
                }
                None => runs.push(vec![aim]),
            }
        }
        Self { seed, openssh, after, manifest, hurry, large, runs }
    }
}

/// Whether two aims can both come to their moment in one run: the first must let the second stage
/// begin, and what is in quarantine comes no further.
fn fit(run: &[Aim], aim: &Aim) -> bool {
    let [before] = run else { return false };
    let first = if before.place() <= aim.place() { before } else { aim };
    !first.ends() && [before, aim].iter().all(|aim| aim.stage != "quarantine")
}

/// Every stage with every fault that can befall it, in a fixed order.
pub(super) fn cells() -> Vec<(&'static str, Fault)> {
    let all = STAGES.iter().flat_map(|stage| Fault::ALL.iter().map(|fault| (*stage, *fault)));
    all.filter(|(stage, fault)| possible(stage, *fault)).collect()
}

/// Whether a fault can befall a stage at all. `integration/README.md` has the reasons.
pub(super) fn possible(stage: &str, fault: Fault) -> bool {
    match fault {
        Fault::Cut | Fault::Stall => WIRED.contains(&stage),
        Fault::ApiError | Fault::ApiLimit | Fault::ApiSlow | Fault::ApiCut => stage == "report",
        Fault::StateFull => stage != "size",
        Fault::TargetFull => stage == "upload",
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn three_hundred_seeds_in_a_row_aim_at_every_cell_alike() {
        for first in [1, 5000] {
            let mut aims: BTreeMap<(String, Fault), u32> = BTreeMap::new();
            for plan in (first..first + 300).map(Plan::of) {
                for aim in plan.runs.into_iter().flatten() {
                    *aims.entry((aim.stage, aim.fault)).or_default() += 1;
                }
            }
            assert_eq!(aims.len(), cells().len());
            let (least, most) = (aims.values().min(), aims.values().max());
            assert!(least >= Some(&10) && most <= Some(&13), "{least:?} to {most:?}");
        }
    }

    #[test]
    fn a_plan_is_the_same_each_time() {
        for seed in 0..50 {
            assert_eq!(format!("{:?}", Plan::of(seed)), format!("{:?}", Plan::of(seed)));
        }
    }
}
