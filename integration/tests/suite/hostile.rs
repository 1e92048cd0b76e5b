//! Whole runs over files that nobody should trust: every good member is delivered with its own bytes
//! and its own count, every bad one is quarantined for the reason that a person wrote beside it, and
//! the process stays small.

use std::collections::{BTreeMap, BTreeSet};

use domain::events::{Summary, Verdict as Ended};
use domain::items::{Failed, Receipt};
use integration::{
    ArchiveRow, CertificateRow, Corpus, Dray, Finished, Kind, Partner, RecordsRow, Verdict, World,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The most memory that a whole run may hold at once.
const MEMORY_BYTES: u64 = 256 << 20;

/// What a run must have made of one source file.
struct Expected {
    verdict: Verdict,
    code: Option<String>,
    names: Vec<String>,
    /// By the member's path: size, SHA-256 and records.
    members: BTreeMap<String, (u64, String, Option<u64>)>,
    why: String,
}

/// All partners' runs in one process, with their summaries.
fn run_all(world: &World, neighbours: &[Partner]) -> (BTreeMap<String, Summary>, Finished) {
    let partners: Vec<&Partner> = neighbours.iter().collect();
    let (finished, peak) = Dray::run(world, &partners).arg("--json").measure();
    let lines = finished.json();
    let summaries: BTreeMap<String, Summary> = lines
        .into_iter()
        .map(|line| {
            serde_json::from_value::<Summary>(line.clone())
                .unwrap_or_else(|error| panic!("{error}: {line}\n{}", finished.stderr))
        })
        .map(|summary| (summary.partner.clone(), summary))
        .collect();
    assert_eq!(summaries.len(), partners.len() + 1, "{}", finished.stderr);
    println!("{} partners, {} MiB at most", summaries.len(), peak >> 20);
    assert!(peak <= MEMORY_BYTES, "{} MiB were held at once", peak >> 20);
    (summaries, finished)
}

/// Everything that differs between what a partner's run made and what it had to make.
fn differences(
    world: &World,
    partner: &Partner,
    summary: &Summary,
    expected: &BTreeMap<String, Expected>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let any_bad = expected.values().any(|one| one.verdict != Verdict::Good);
    let verdict = if any_bad { Ended::Incomplete } else { Ended::Delivered };
    if summary.verdict != verdict || summary.error.is_some() {
        wrong.push(format!("{}: {:?} {:?}", partner.name, summary.verdict, summary.error));
    }
    for (file, one) in expected {
        let receipts: Vec<&Receipt> =
            summary.receipts.iter().filter(|receipt| receipt.file.path == *file).collect();
        let failed: Vec<&Failed> =
            summary.failed.iter().filter(|failed| failed.file.path == *file).collect();
        for sentence in difference(one, &receipts, &failed) {
            wrong.push(format!("{}/{file} ({}): {sentence}", partner.name, one.why));
        }
    }
    let opened: BTreeMap<String, String> = world
        .opened_of(partner)
        .into_iter()
        .map(|(name, plain)| (format!("{name}.pgp"), hex::encode(Sha256::digest(plain))))
        .collect();
    let receipts: BTreeMap<String, String> = summary
        .receipts
        .iter()
        .map(|receipt| (file_name(&receipt.remote_path), receipt.sha256.clone()))
        .collect();
    if opened != receipts {
        wrong.push(format!("{}: receipts and the target's files differ", partner.name));
    }
    wrong
}

fn file_name(path: &str) -> String {
    path.rsplit('/').next().unwrap().to_owned()
}

fn difference(expected: &Expected, receipts: &[&Receipt], failed: &[&Failed]) -> Vec<String> {
    let mut wrong = Vec::new();
    let delivered: BTreeMap<_, _> = receipts
        .iter()
        .map(|one| (one.member.clone(), (one.bytes, one.sha256.clone(), one.records)))
        .collect();
    if delivered != expected.members {
        let (found, wanted): (BTreeSet<_>, BTreeSet<_>) =
            (delivered.iter().collect(), expected.members.iter().collect());
        let (more, less): (Vec<_>, Vec<_>) =
            (found.difference(&wanted).collect(), wanted.difference(&found).collect());
        wrong.push(format!("delivered, but should not: {more:?}; should, but was not: {less:?}"));
    }
    if expected.verdict == Verdict::Good {
        wrong.extend(failed.iter().map(|one| format!("quarantined: {:?}", one.failure)));
        return wrong;
    }
    let [failed] = failed else { return vec![format!("{} failures", failed.len())] };
    if Some(failed.failure.code.as_ref()) != expected.code.as_deref() {
        wrong.push(format!("quarantined as {:?}", failed.failure));
    }
    for name in &expected.names {
        if !failed.failure.message.contains(name.as_str()) {
            wrong.push(format!("{name:?} is not in {:?}", failed.failure.message));
        }
    }
    wrong
}

/// Partners of one world, one per group; the first group is the world's own.
fn partners(world: &World, groups: usize, kind: Kind) -> Vec<Partner> {
    (1..groups).map(|n| world.neighbour(&format!("partner-{n}"), kind)).collect()
}

fn expect_archive(row: &ArchiveRow) -> Expected {
    let members = row
        .members
        .iter()
        .map(|one| (one.name.clone(), (one.bytes, one.sha256.clone(), one.records)));
    Expected {
        verdict: row.verdict,
        code: row.code.clone(),
        names: [Some(row.file.clone()), row.names_entry.clone()].into_iter().flatten().collect(),
        members: members.collect(),
        why: row.why.clone(),
    }
}

#[test]
fn every_good_archive_is_delivered_and_every_bad_one_is_quarantined_for_its_reason() {
    let corpus = Corpus::archives();
    let mut groups: BTreeMap<(Option<String>, String), Vec<&ArchiveRow>> = BTreeMap::new();
    for row in corpus.rows.iter().filter(|row| row.limits.is_none()) {
        groups.entry((row.password.clone(), row.charset.clone())).or_default().push(row);
    }
    let mut world = World::openssh();
    let mut neighbours = partners(&world, groups.len(), Kind::OpenSsh);
    let mut expected = BTreeMap::new();
    for (index, ((password, charset), rows)) in groups.iter().enumerate() {
        let partner = match index {
            0 => &mut world.partner,
            _ => &mut neighbours[index - 1],
        };
        partner.profile["records"] = json!({"model": "lines"});
        partner.profile["unpack"] = json!({"name_charset": charset});
        let name = partner.name.clone();
        if password.is_some() {
            partner.profile["unpack"]["password"] = format!("{name}/zip-password").into();
        }
        for row in rows {
            partner.put(&row.file, &corpus.bytes(&row.file));
        }
        let of_partner: BTreeMap<String, Expected> =
            rows.iter().map(|row| (row.file.clone(), expect_archive(row))).collect();
        expected.insert(name.clone(), of_partner);
        if let Some(password) = password {
            world.secret(&format!("{name}/zip-password"), password);
        }
    }
    check(&world, &neighbours, &expected, 80);
}

/// Runs everything and fails with every difference at once.
fn check(
    world: &World,
    neighbours: &[Partner],
    expected: &BTreeMap<String, BTreeMap<String, Expected>>,
    at_least: usize,
) {
    let files: usize = expected.values().map(BTreeMap::len).sum();
    assert!(files >= at_least, "only {files} files");
    let (summaries, finished) = run_all(world, neighbours);
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    let mut wrong = Vec::new();
    for partner in std::iter::once(&world.partner).chain(neighbours) {
        let summary = &summaries[&partner.name];
        wrong.extend(differences(world, partner, summary, &expected[&partner.name]));
    }
    assert!(wrong.is_empty(), "{} of {files}:\n{}", wrong.len(), wrong.join("\n"));
}

fn expect_records(corpus: &Corpus<RecordsRow>, row: &RecordsRow) -> Expected {
    let bytes = corpus.bytes(&row.file);
    let numbers = (bytes.len() as u64, hex::encode(Sha256::digest(&bytes)), row.count);
    let good = row.verdict == Verdict::Good;
    Expected {
        verdict: row.verdict,
        code: row.code.clone(),
        names: vec![row.file.clone()],
        members: good.then(|| (row.file.clone(), numbers)).into_iter().collect(),
        why: row.why.clone(),
    }
}

#[test]
fn every_file_of_records_is_delivered_with_its_count_or_quarantined_for_its_reason() {
    let corpus = Corpus::records();
    let mut groups: BTreeMap<String, Vec<&RecordsRow>> = BTreeMap::new();
    for row in &corpus.rows {
        groups.entry(row.records.to_string()).or_default().push(row);
    }
    let mut world = World::embedded();
    let mut neighbours = partners(&world, groups.len(), Kind::Embedded);
    let mut expected = BTreeMap::new();
    for (index, (rules, rows)) in groups.iter().enumerate() {
        let partner = match index {
            0 => &mut world.partner,
            _ => &mut neighbours[index - 1],
        };
        partner.profile["records"] = serde_json::from_str::<Value>(rules).unwrap();
        for row in rows {
            partner.put(&row.file, &corpus.bytes(&row.file));
        }
        let of_partner: BTreeMap<String, Expected> =
            rows.iter().map(|row| (row.file.clone(), expect_records(&corpus, row))).collect();
        expected.insert(partner.name.clone(), of_partner);
    }
    check(&world, &neighbours, &expected, 80);
}

#[test]
fn every_certificate_is_sealed_for_or_ends_its_run_before_the_first_file() {
    let corpus = Corpus::certificates();
    assert!(corpus.rows.len() >= 25, "only {} certificates", corpus.rows.len());
    let world = World::embedded();
    let neighbours = partners(&world, corpus.rows.len(), Kind::Embedded);
    world.partner.put("orders.csv", b"id\n1\n2\n");
    for (index, row) in corpus.rows.iter().enumerate() {
        let name = match index {
            0 => world.partner.name.clone(),
            _ => {
                neighbours[index - 1].put("orders.csv", b"id\n1\n2\n");
                neighbours[index - 1].name.clone()
            }
        };
        let certificate = world.secrets.join(name).join("recipient-cert");
        std::fs::write(certificate, corpus.bytes(&row.file)).unwrap();
    }
    let (summaries, finished) = run_all(&world, &neighbours);
    assert_eq!(finished.code, Some(2), "{}", finished.stderr);
    let mut wrong = Vec::new();
    for (row, partner) in corpus.rows.iter().zip(std::iter::once(&world.partner).chain(&neighbours))
    {
        let sealed = partner.target.files().len();
        for sentence in certificate_difference(row, &summaries[&partner.name], sealed) {
            wrong.push(format!("{} ({}): {sentence}", row.file, row.why));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn certificate_difference(row: &CertificateRow, summary: &Summary, sealed: usize) -> Vec<String> {
    if row.verdict == Verdict::Good {
        let right = summary.verdict == Ended::Delivered && sealed == 1;
        return if right { Vec::new() } else { vec![format!("{:?}", summary.error)] };
    }
    let Some(error) = &summary.error else { return vec![format!("{:?}", summary.verdict)] };
    let mut wrong = Vec::new();
    // A secret without a value is refused before anybody reads a certificate from it.
    if error.code == "secrets.empty" && ["blank.asc", "empty.pgp"].contains(&row.file.as_str()) {
        return wrong;
    }
    if (error.class.name(), Some(error.code.as_ref())) != ("Misconfigured", row.code.as_deref()) {
        wrong.push(format!("refused as {error:?}"));
    }
    for name in row.names.iter().filter(|name| !error.message.contains(name.as_str())) {
        wrong.push(format!("{name:?} is not in {:?}", error.message));
    }
    if sealed > 0 {
        wrong.push("something was delivered".to_owned());
    }
    wrong
}
