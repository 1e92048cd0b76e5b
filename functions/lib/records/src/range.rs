//! Counts one byte range, fed in pieces, for every state in which it may be entered.
//!
//! Readers that entered in different states soon stand in the same one: after that they are one
//! reader, and what they counted before is kept aside. So a range costs little more than one reader
//! outside quotes and one inside, and the range at the start of a file costs exactly one.

use crate::error::Error;
use crate::jsonl::Jsonl;
use crate::lines::Lines;
use crate::model::Model;
use crate::partial::{Partial, Row};
use crate::simd::Level;
use crate::state::{self, Machine, OPENING, State};
use crate::wide::Head;

/// First piece that is read by all readers before looking whether some have met; pieces double.
const FIRST_PIECE_BYTES: usize = 64;
/// Largest piece: it stays in the cache while each reader passes over it.
const PIECE_BYTES: usize = 64 << 10;

/// Readers that stand in the same state.
struct Group {
    state: State,
    records: u64,
    /// The states in which they entered, and what each had counted before they met.
    entries: Vec<(State, u64)>,
}

/// Counts a range of a file. Pieces are given to [`update`](Self::update) in order.
pub struct RangeCounter {
    machine: Option<Box<dyn Machine + Send + Sync>>,
    level: Level,
    model: String,
    bytes: u64,
    head: Head,
    piece: usize,
    groups: Vec<Group>,
}

impl RangeCounter {
    /// For the range that begins the file: one reader, the fastest way.
    ///
    /// # Errors
    ///
    /// [`Error::Options`] for a model that cannot be counted in ranges, or not at all.
    pub fn first(model: &Model) -> Result<Self, Error> {
        let mut counter = Self::new(model)?;
        counter.enter(&[State::Start]);
        Ok(counter)
    }

    /// For a range anywhere in the file.
    ///
    /// # Errors
    ///
    /// [`Error::Options`] for a model that cannot be counted in ranges, or not at all.
    pub fn any(model: &Model) -> Result<Self, Error> {
        let mut counter = Self::new(model)?;
        let mut states = OPENING.to_vec();
        states.extend(counter.machine.iter().flat_map(|machine| machine.states()));
        counter.enter(&states);
        Ok(counter)
    }

    fn new(model: &Model) -> Result<Self, Error> {
        model.check()?;
        let machine: Option<Box<dyn Machine + Send + Sync>> = match model {
            Model::Lines { terminator } => Some(Box::new(Lines(*terminator))),
            Model::Csv(csv) => Some(Box::new(csv.clone())),
            Model::Jsonl => Some(Box::new(Jsonl)),
            Model::Fixed { .. } => None,
            Model::Parquet | Model::Avro | Model::None => {
                return Err(Error::Options("this model is not counted in ranges".to_owned()));
            }
        };
        Ok(Self {
            machine,
            level: Level::best(),
            model: model.fingerprint(),
            bytes: 0,
            head: Head::default(),
            piece: FIRST_PIECE_BYTES,
            groups: Vec::new(),
        })
    }

    /// Counts with these instructions instead of the fastest ones.
    #[must_use]
    pub fn at(mut self, level: Level) -> Self {
        self.level = level;
        self
    }

    fn enter(&mut self, states: &[State]) {
        if self.machine.is_some() {
            let group = |&state: &State| Group { state, records: 0, entries: vec![(state, 0)] };
            self.groups = states.iter().map(group).collect();
        }
    }

    /// Reads the next bytes of the range.
    pub fn update(&mut self, mut bytes: &[u8]) {
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        let Some(machine) = &self.machine else { return };
        self.head.extend(bytes);
        while !bytes.is_empty() {
            // For speed alone, as merging is: pieces stay in the cache from reader to reader.
            let length = if self.groups.len() == 1 { bytes.len() } else { self.piece };
            let (piece, rest) = bytes.split_at_checked(length).unwrap_or((bytes, &[]));
            for group in &mut self.groups {
                let (ended, after) =
                    state::advance(machine.as_ref(), self.level, group.state, piece);
                group.records = group.records.saturating_add(ended);
                group.state = after;
            }
            merge(&mut self.groups);
            self.piece = self.piece.saturating_mul(2).min(PIECE_BYTES);
            bytes = rest;
        }
    }

    /// The count of what was read.
    #[must_use]
    pub fn finish(self) -> Partial {
        let rows = self.groups.iter().flat_map(|group| {
            group.entries.iter().map(|&(entry, before)| Row {
                entry,
                exit: group.state,
                records: before.saturating_add(group.records),
            })
        });
        let mut rows: Vec<Row> = rows.collect();
        rows.sort_by_key(|row| row.entry);
        Partial { model: self.model, bytes: self.bytes, head: self.head, rows }
    }
}

/// Makes one group of those that stand in the same state. Counts are the same without it.
fn merge(groups: &mut Vec<Group>) {
    let mut merged: Vec<Group> = Vec::with_capacity(groups.len());
    for group in groups.drain(..) {
        match merged.iter_mut().find(|other| other.state == group.state) {
            None => merged.push(group),
            Some(other) => {
                other.settle();
                let joining = group
                    .entries
                    .into_iter()
                    .map(|(entry, before)| (entry, before + group.records));
                other.entries.extend(joining);
            }
        }
    }
    *groups = merged;
}

impl Group {
    /// Writes what was counted together into each reader's own account.
    fn settle(&mut self) {
        for (_, before) in &mut self.entries {
            *before = before.saturating_add(self.records);
        }
        self.records = 0;
    }
}
