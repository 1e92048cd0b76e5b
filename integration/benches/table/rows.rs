//! The rows: what was compared, and whether the bar holds.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::measure::{By, Contender, speedup};

/// One comparison. `ours`, `peer` and `limit` are in `unit`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Row {
    /// What was done, and by which peer.
    pub name: String,
    /// What the figures are: more is better.
    pub unit: String,
    /// Our figure, the median of all rounds.
    pub ours: f64,
    /// The peer's.
    pub peer: f64,
    /// What the machine allows, measured in the same rounds where it was.
    pub limit: Option<f64>,
    /// How many times faster we are: the median of the rounds' ratios.
    pub ratio: f64,
    /// What the ratio has to be at least.
    pub bar: f64,
    /// Whether it is.
    pub holds: bool,
}

/// How seconds become a figure.
#[derive(Clone, Copy)]
pub struct Scale {
    /// What is counted.
    pub unit: &'static str,
    /// How much of it there was.
    pub amount: f64,
    /// What is compared.
    pub by: By,
}

impl Scale {
    /// MiB each second.
    pub fn mib(bytes: u64) -> Self {
        Self { unit: "MiB/s", amount: bytes as f64 / f64::from(1 << 20), by: By::Wall }
    }

    /// MiB each second of one processor.
    pub fn mib_per_core(bytes: u64) -> Self {
        Self { unit: "MiB/s/core", by: By::Processor, ..Self::mib(bytes) }
    }

    /// Files each second.
    pub fn files(count: usize) -> Self {
        Self { unit: "files/s", amount: count as f64, by: By::Wall }
    }

    fn figure(self, contender: &Contender<'_>) -> f64 {
        self.amount / contender.median(self.by)
    }
}

/// Rows of one group: the first contender is ours, `bars` name the peers and what is asked.
pub fn compare(
    what: &str,
    scale: Scale,
    contenders: &[Contender<'_>],
    limit: Option<&str>,
    bars: &[(&str, f64)],
) -> Vec<Row> {
    let find = |name: &str| {
        contenders.iter().find(|one| one.name == name).unwrap_or_else(|| panic!("no {name}"))
    };
    let ours = &contenders[0];
    let row = |&(peer, bar): &(&str, f64)| {
        let peer_found = find(peer);
        let ratio = speedup(ours, peer_found, scale.by);
        Row {
            name: format!("{what}: {peer}"),
            unit: scale.unit.to_owned(),
            ours: scale.figure(ours),
            peer: scale.figure(peer_found),
            limit: limit.map(|name| scale.figure(find(name))),
            ratio,
            bar,
            holds: ratio >= bar,
        }
    };
    let rows: Vec<Row> = bars.iter().map(row).collect();
    for row in &rows {
        eprintln!("{}", line(row));
    }
    rows
}

/// Adds rows of the same work in other rounds, beside the limit that the first rounds met.
pub fn join(rows: &mut Vec<Row>, mut more: Vec<Row>) {
    let limit = rows.first().and_then(|row| row.limit);
    more.iter_mut().for_each(|row| row.limit = limit);
    rows.append(&mut more);
}

fn line(row: &Row) -> String {
    let figure = |value: f64| {
        if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.1}") }
    };
    format!(
        "| {:<44} | {:>8} | {:>8} | {:>8} | {:<10} | {:>6.2} | {:>5} | {:<5} |",
        row.name,
        figure(row.ours),
        figure(row.peer),
        row.limit.map_or_else(String::new, figure),
        row.unit,
        row.ratio,
        row.bar,
        if row.holds { "yes" } else { "NO" },
    )
}

/// The table as Markdown.
pub fn table(rows: &[Row]) -> String {
    let head = format!(
        "| {:<44} | {:>8} | {:>8} | {:>8} | {:<10} | {:>6} | {:>5} | {:<5} |\n\
         | {:-<44} | {:->7}: | {:->7}: | {:->7}: | {:-<10} | {:->5}: | {:->4}: | {:-<5} |",
        "what: peer",
        "ours",
        "peer",
        "limit",
        "unit",
        "ratio",
        "bar",
        "holds",
        "",
        "",
        "",
        "",
        "",
        "",
        "",
        "",
    );
    rows.iter().fold(head, |text, row| format!("{text}\n{}", line(row)))
}

/// Writes the rows where tools find them.
pub fn write(rows: &[Row], path: &Path) {
    let text = serde_json::to_string_pretty(rows).expect("rows are JSON");
    std::fs::write(path, text + "\n").expect("room for the rows");
}

/// Reads what [`write`] wrote.
pub fn read(path: &Path) -> Vec<Row> {
    serde_json::from_slice(&std::fs::read(path).expect("rows")).expect("rows are JSON")
}
