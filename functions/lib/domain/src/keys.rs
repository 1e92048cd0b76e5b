//! Where everything lies in the bucket.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::ids::{Name, text_id};

/// An inbox: a prefix of items that all know equally much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Inbox {
    /// Files found at the source.
    Discovered,
    /// Files whose bytes are in our bucket.
    Downloaded,
    /// Files all of whose members are written: the commit of a file.
    Expanded,
    /// Members, not yet counted.
    Members,
    /// Members left to Spark.
    Large,
    /// Members with size, hash and count.
    Counted,
    /// Members that the third party was told about, intent and answer.
    Reported,
    /// Members with a proven ciphertext.
    Sealed,
    /// Members with a receipt.
    Delivered,
    /// Files and members that did not make it, with the reason.
    Failed,
    /// Files that were discovered and then left to a later run.
    Skipped,
}

impl Inbox {
    /// The inbox's folder.
    #[must_use]
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Discovered => "discovered",
            Self::Downloaded => "downloaded",
            Self::Expanded => "expanded",
            Self::Members => "members",
            Self::Large => "large",
            Self::Counted => "counted",
            Self::Reported => "reported",
            Self::Sealed => "sealed",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// One of the four waves of a run; each is a plan and a Map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Download and unpack files.
    Fetch,
    /// Count members.
    Inspect,
    /// Report and encrypt members.
    Seal,
    /// Upload members.
    Deliver,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: [Self; 4] = [Self::Fetch, Self::Inspect, Self::Seal, Self::Deliver];

    /// The phase's word in keys and logs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Inspect => "inspect",
            Self::Seal => "seal",
            Self::Deliver => "deliver",
        }
    }

    /// The inbox that the phase works off.
    #[must_use]
    pub const fn input(self) -> Inbox {
        match self {
            Self::Fetch => Inbox::Discovered,
            Self::Inspect => Inbox::Members,
            Self::Seal => Inbox::Counted,
            Self::Deliver => Inbox::Sealed,
        }
    }

    /// The inboxes of which one holds an item when the phase is done with it.
    #[must_use]
    pub const fn outputs(self) -> &'static [Inbox] {
        match self {
            Self::Fetch => &[Inbox::Expanded, Inbox::Skipped],
            Self::Inspect => &[Inbox::Counted, Inbox::Large, Inbox::Delivered],
            Self::Seal => &[Inbox::Sealed],
            Self::Deliver => &[Inbox::Delivered],
        }
    }
}

/// The keys of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunKeys {
    partner: String,
    run: String,
}

impl RunKeys {
    /// The keys of that partner's run.
    #[must_use]
    pub fn new(partner: &str, run: &str) -> Self {
        Self { partner: partner.to_owned(), run: run.to_owned() }
    }

    /// The partner's name.
    #[must_use]
    pub fn partner(&self) -> &str {
        &self.partner
    }

    /// The run's id.
    #[must_use]
    pub fn run(&self) -> &str {
        &self.run
    }

    /// Everything about the run lies under this prefix.
    #[must_use]
    pub fn root(&self) -> String {
        format!("runs/{}/{}/", self.partner, self.run)
    }

    /// Every byte of content that the run holds lies under this prefix.
    #[must_use]
    pub fn data(&self) -> String {
        format!("data/{}/{}/", self.partner, self.run)
    }

    /// The prefix of an inbox.
    #[must_use]
    pub fn inbox(&self, inbox: Inbox) -> String {
        format!("{}{}/", self.root(), inbox.folder())
    }

    /// One item of an inbox.
    #[must_use]
    pub fn item(&self, inbox: Inbox, name: &Name) -> String {
        format!("{}{name}.json", self.inbox(inbox))
    }

    /// The profile as it was when the run began.
    #[must_use]
    pub fn profile(&self) -> String {
        format!("{}profile.json", self.root())
    }

    /// What Discover found, in numbers.
    #[must_use]
    pub fn discovery(&self) -> String {
        format!("{}discovery.json", self.root())
    }

    /// The order to stop: exists once a fault of the whole partner was met.
    #[must_use]
    pub fn halt(&self) -> String {
        format!("{}halt.json", self.root())
    }

    /// The list of a wave's parcels, which the Map reads; `plan` tells one planning from another.
    #[must_use]
    pub fn wave(&self, phase: Phase, plan: &str) -> String {
        format!("{}waves/{}-{plan}.json", self.root(), phase.word())
    }

    /// Which member has a file name at the target in this run.
    #[must_use]
    pub fn target_name(&self, path: &str) -> String {
        format!("{}names/{}.json", self.root(), text_id("target", path))
    }

    /// One parcel of a wave.
    #[must_use]
    pub fn parcel(&self, phase: Phase, parcel: &str) -> String {
        format!("{}waves/{}/{parcel}.json", self.root(), phase.word())
    }

    /// Where the Map of a phase writes its results.
    #[must_use]
    pub fn map_results(&self, phase: Phase) -> String {
        format!("{}maps/{}", self.root(), phase.word())
    }

    /// Where a stage stands in the middle of an item.
    #[must_use]
    pub fn progress(&self, stage: &str, name: &Name) -> String {
        format!("{}progress/{stage}/{name}.json", self.root())
    }

    /// The parts of the Spark job, plans and partial counts.
    #[must_use]
    pub fn spark(&self) -> String {
        format!("{}spark/", self.root())
    }

    /// The list of what was delivered, on its way to the target.
    #[must_use]
    pub fn manifest(&self) -> String {
        format!("{}manifest.json", self.root())
    }

    /// The acknowledgements that the run waits for.
    #[must_use]
    pub fn acknowledgements(&self) -> String {
        format!("{}acknowledgements.json", self.root())
    }

    /// The run's summary.
    #[must_use]
    pub fn summary(&self) -> String {
        format!("{}summary.json", self.root())
    }

    /// The run's report for people.
    #[must_use]
    pub fn report(&self) -> String {
        format!("{}report.html", self.root())
    }

    /// A downloaded file, as the source had it.
    #[must_use]
    pub fn raw(&self, id: &str) -> String {
        format!("{}raw/{id}", self.data())
    }

    /// An unpacked member.
    #[must_use]
    pub fn plain(&self, id: &str) -> String {
        format!("{}plain/{id}", self.data())
    }

    /// A sealed member. Every attempt to seal has a place of its own, so that one that was given up
    /// cannot replace what a later one proved.
    #[must_use]
    pub fn sealed(&self, id: &str, attempt: &str) -> String {
        format!("{}sealed/{id}-{attempt}", self.data())
    }
}

/// A partner's profile.
#[must_use]
pub fn profile(partner: &str) -> String {
    format!("partners/{partner}.json")
}

/// A partner's lease.
#[must_use]
pub fn lease(partner: &str) -> String {
    format!("leases/{partner}.json")
}

/// The claim of one scheduled start.
#[must_use]
pub fn trigger(partner: &str, scheduled_time: &str) -> String {
    let safe: String = scheduled_time
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' })
        .collect();
    format!("triggers/{partner}/{safe}.json")
}

/// What is known of the files of one expectation for one date.
#[must_use]
pub fn expected(partner: &str, pattern: &str, date: Date) -> String {
    format!("expected/{partner}/{}/{date}.json", text_id("expected", pattern))
}

/// The prefix of a partner's ledger rows for whole files.
#[must_use]
pub fn ledger_files(partner: &str) -> String {
    format!("ledger/{partner}/files/")
}

/// The ledger's row for a file: exists once its last member is delivered.
#[must_use]
pub fn ledger_file(partner: &str, file_id: &str) -> String {
    format!("{}{file_id}.json", ledger_files(partner))
}

/// The prefix of a partner's ledger rows for members.
#[must_use]
pub fn ledger_members(partner: &str) -> String {
    format!("ledger/{partner}/members/")
}

/// The ledger's row for a member: claimed, then delivered.
#[must_use]
pub fn ledger_member(partner: &str, member_id: &str) -> String {
    format!("{}{member_id}.json", ledger_members(partner))
}
