//! The main job as a person runs it: the `dray` program, two OpenSSH servers, GnuPG as the partner.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use domain::events::{Summary, Verdict};
use domain::items::Receipt;
use integration::{Dray, Kind, Member, Sample, World, csv, mixed, wait_until, zip};
use sha2::{Digest, Sha256};

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// What must be at the target, by name without the seal's suffix.
fn expected(samples: &[Sample]) -> BTreeMap<&str, (&Sample, &Member)> {
    let members = samples.iter().flat_map(|sample| {
        sample.members.iter().map(move |member| (member.delivered_as.as_str(), (sample, member)))
    });
    let expected: BTreeMap<_, _> = members.collect();
    let count: usize = samples.iter().map(|sample| sample.members.len()).sum();
    assert_eq!(expected.len(), count, "the samples themselves must not share a name");
    expected
}

/// The target holds these members, each sealed for the partner, each with the source's bytes.
fn assert_delivered(world: &World, samples: &[Sample]) {
    let expected = expected(samples);
    let names: BTreeSet<String> = expected.keys().map(|name| format!("{name}.pgp")).collect();
    let found: BTreeSet<String> = world.target.files().into_keys().collect();
    assert_eq!(found, names, "the target holds every member under its final name, nothing else");
    for (name, plaintext) in world.opened() {
        let (_, member) = expected[name.as_str()];
        assert_eq!(sha256(&plaintext), sha256(&member.bytes), "{name}");
    }
}

/// One receipt per member, and each says what is true of the source's bytes.
fn assert_receipts(receipts: &[Receipt], samples: &[Sample], world: &World) {
    let expected = expected(samples);
    let sealed = world.target.files();
    assert_eq!(receipts.len(), expected.len());
    for receipt in receipts {
        let name = Path::new(&receipt.remote_path).file_name().unwrap().to_str().unwrap();
        let (sample, member) = expected[name.strip_suffix(".pgp").unwrap()];
        assert_eq!((&receipt.file.path, &receipt.member), (&sample.name, &member.path));
        assert_eq!(receipt.bytes, member.bytes.len() as u64, "{name}");
        assert_eq!(receipt.sha256, sha256(&member.bytes), "{name}");
        assert_eq!(receipt.records, Some(member.records), "{name}");
        assert_eq!(receipt.sealed_sha256, sha256(&sealed[name]), "{name}");
        assert_eq!(receipt.sealed_bytes, sealed[name].len() as u64, "{name}");
    }
}

/// The API was told of every member once, with the right numbers and credentials.
fn assert_reported(world: &World, samples: &[Sample]) {
    let mut told = BTreeMap::new();
    let requests = world.api.requests();
    for request in &requests {
        let text = |field: &str| request.body[field].as_str().unwrap().to_owned();
        assert_eq!(request.body["id"], request.headers["idempotency-key"]);
        let numbers =
            (text("sha256"), request.body["bytes"].clone(), request.body["records"].clone());
        let before = told.insert((text("file"), text("member")), numbers);
        assert!(before.is_none(), "told twice: {}", request.body);
    }
    let members = samples.iter().flat_map(|sample| {
        sample.members.iter().map(|member| {
            let numbers = (sha256(&member.bytes), member.bytes.len().into(), member.records.into());
            ((sample.name.clone(), member.path.clone()), numbers)
        })
    });
    assert_eq!(told, members.collect());
}

#[test]
fn two_hundred_mixed_files_go_from_sshd_to_sshd_and_never_again() {
    let world = World::openssh();
    let samples = mixed(200);
    world.put_all(&samples);
    let source_before = (world.source.marks(), world.source.files());

    let first = Dray::run(&world, &[]).arg("--json").finish().expect_code(0).summary();
    let members: usize = samples.iter().map(|sample| sample.members.len()).sum();
    assert_eq!(first.verdict, Verdict::Delivered);
    assert_eq!(first.totals.discovered, 200);
    assert_eq!((first.totals.members, first.totals.delivered), (members as u64, members as u64));
    let records: u64 =
        samples.iter().flat_map(|sample| &sample.members).map(|member| member.records).sum();
    assert_eq!((first.totals.records, first.totals.failed), (records, 0));
    assert_delivered(&world, &samples);
    assert_receipts(&first.receipts, &samples, &world);
    assert_reported(&world, &samples);
    assert_eq!((world.source.marks(), world.source.files()), source_before, "source untouched");

    let target_before = world.target.marks();
    let second = Dray::run(&world, &[]).finish().expect_code(0);
    let sentence = "Nothing new: 200 files were delivered by earlier runs";
    assert!(second.stdout.contains(sentence), "{}", second.stdout);
    assert_eq!(world.target.marks(), target_before);
    assert_eq!(world.api.requests().len(), members, "nothing is reported again");
    let last = world.summaries("acme").pop().unwrap();
    assert_eq!((last.verdict, last.totals.delivered), (Verdict::Nothing, 0));
    assert_eq!(last.totals.already_delivered, 200);
}

/// A zip whose first member's bytes were damaged after it was packed: its CRC tells.
fn corrupt_zip() -> Vec<u8> {
    let mut bytes = zip(&[("data.csv", &csv(77, 4000)), ("more.csv", &csv(78, 2))]);
    let middle = bytes.len() / 2;
    for byte in &mut bytes[middle..middle + 64] {
        *byte ^= 0xa5;
    }
    bytes
}

#[test]
fn one_corrupt_archive_among_fifty_files_stays_alone_and_is_taken_when_it_is_mended() {
    let world = World::openssh();
    let good = mixed(49);
    world.put_all(&good);
    world.put("broken.zip", &corrupt_zip());
    let source_before = (world.source.marks(), world.source.files());

    let first = Dray::run(&world, &[]).arg("--json").finish().expect_code(1).summary();
    assert_eq!(first.verdict, Verdict::Incomplete);
    assert_eq!((first.totals.discovered, first.totals.failed), (50, 1));
    let [failed] = first.failed.as_slice() else { panic!("{:?}", first.failed) };
    assert_eq!((failed.file.path.as_str(), failed.stage.as_str()), ("broken.zip", "unpack"));
    assert_eq!(failed.failure.class.name(), "Rejected");
    assert!(failed.failure.message.contains("broken.zip"), "{}", failed.failure.message);
    assert_delivered(&world, &good);
    assert_receipts(&first.receipts, &good, &world);
    assert_reported(&world, &good);
    assert_eq!((world.source.marks(), world.source.files()), source_before, "source untouched");

    let people = Dray::run(&world, &[]).finish().expect_code(1);
    assert!(people.stdout.contains("quarantined in unpack: broken.zip"), "{}", people.stdout);
    assert!(people.stdout.contains(&failed.failure.code.to_string()), "{}", people.stdout);

    let mended = Sample::zip("broken", &[("data.csv", 4), ("more.csv", 2)], 5);
    world.put(&mended.name, &mended.bytes);
    let target_before = world.target.marks();
    let third = Dray::run(&world, &[]).arg("--json").finish().expect_code(0).summary();
    assert_receipts(&third.receipts, std::slice::from_ref(&mended), &world);
    assert_eq!((third.totals.delivered, third.totals.already_delivered), (2, 49));
    let now = world.target.marks();
    assert!(target_before.iter().all(|(name, mark)| now.get(name) == Some(mark)));
    let all: Vec<Sample> = good.into_iter().chain([mended]).collect();
    assert_delivered(&world, &all);
    assert_reported(&world, &all);
}

/// Files large enough that a run cannot be over when its first file shows.
fn heavy() -> Vec<Sample> {
    (0..40)
        .map(|n| Sample::zip(&format!("load-{n}"), &[("a.csv", 9000), ("b.csv", 20)], n))
        .collect()
}

fn sealed_names(world: &World) -> Vec<String> {
    world.target.names().into_iter().filter(|name| name.ends_with(".pgp")).collect()
}

#[test]
fn a_run_that_is_killed_in_the_middle_is_finished_by_the_next_one() {
    let mut world = World::openssh();
    // One connection and one member after the other: the kill comes in the middle.
    world.profile["target"]["max_connections"] = 1.into();
    let samples = heavy();
    world.put_all(&samples);
    let mut dray = Dray::run(&world, &[]).spawn();
    wait_until("the first file is at the target", || {
        assert!(dray.try_wait().unwrap().is_none(), "the run ended before it could be killed");
        !sealed_names(&world).is_empty()
    });
    dray.kill().unwrap();
    dray.wait().unwrap();
    let there = world.target.marks();
    assert!(world.summaries("acme").is_empty(), "a killed run has no summary");

    let summary = Dray::run(&world, &[]).arg("--json").finish().expect_code(0).summary();
    assert_eq!((summary.verdict, summary.totals.failed), (Verdict::Delivered, 0));
    let now = world.target.marks();
    for (name, mark) in there.iter().filter(|(name, _)| name.ends_with(".pgp")) {
        assert_eq!(now.get(name), Some(mark), "{name} was there already and is not written again");
    }
    assert_only_leftovers_of(&killed_run(&world), &world, &samples);
    assert_delivered(&world, &samples);
    assert_receipts(&summary.receipts, &samples, &world);
    assert_eq!(ledger_rows(&world), summary.receipts.len(), "every member has one ledger row");
    Dray::run(&world, &[]).finish().expect_code(0);
    assert_eq!(world.target.files().len(), summary.receipts.len());
}

/// The run that left no summary.
fn killed_run(world: &World) -> String {
    let runs = std::fs::read_dir(world.run_folder("acme", "")).unwrap();
    let dead = runs.map(|run| run.unwrap().path()).find(|run| !run.join("summary.json").is_file());
    dead.unwrap().file_name().unwrap().to_str().unwrap().to_owned()
}

/// What a killed run was writing may lie at the target under its temporary name, which no partner
/// takes for a delivery. It is cleared away, so that the rest can be compared.
fn assert_only_leftovers_of(run: &str, world: &World, samples: &[Sample]) {
    let expected = expected(samples);
    let temporary = format!(".pgp.{run}.part");
    for path in world.target.paths() {
        let name = path.file_name().unwrap().to_str().unwrap();
        if let Some(member) = name.strip_suffix(&temporary) {
            assert!(expected.contains_key(member), "{name}");
            std::fs::remove_file(path).unwrap();
        }
    }
}

fn ledger_rows(world: &World) -> usize {
    let folder = world.state.join("s3/drayage/ledger/acme");
    let mut open = vec![folder];
    let mut delivered = 0;
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if let Ok(text) = std::fs::read_to_string(&path) {
                let row: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
                delivered += usize::from(row["delivered"].is_object());
            }
        }
    }
    delivered
}

#[test]
fn two_runs_of_one_partner_at_the_same_time_do_not_deliver_twice() {
    let mut world = World::openssh();
    world.profile["report"]["timeout_seconds"] = 120.into();
    let samples = mixed(20);
    world.put_all(&samples);
    // The first cannot end before the API answers, so that they do overlap.
    let held = world.api.hold();
    let mut first = Dray::run(&world, &[]).spawn();
    wait_until("the first run is in the middle", || !world.api.requests().is_empty());
    let mut second = Dray::run(&world, &[]).spawn();
    wait_until("the second run has left", || second.try_wait().expect("a process").is_some());
    let second = Dray::run(&world, &[]).arg("--json").finish().expect_code(1).json();
    drop(held);
    assert_eq!(second.len(), 1);
    assert_eq!(second[0]["verdict"], "Busy", "{}", second[0]);
    assert!(first.wait().unwrap().success());
    assert_delivered(&world, &samples);
    assert_reported(&world, &samples);
    let summaries: Vec<Summary> = world.summaries("acme");
    assert_eq!(summaries.len(), 1, "only one of them was a run");
}

#[test]
fn a_partner_in_trouble_does_not_touch_its_neighbour() {
    let world = World::openssh();
    world.secret("acme/source-key", &integration::Sshd::start().client_key);
    let globex = world.neighbour("globex", Kind::OpenSsh);
    let samples = mixed(12);
    world.put_all(&samples);
    globex.put_all(&samples);

    let finished = Dray::run(&world, &[&globex]).arg("--json").finish().expect_code(2);
    let by_partner: BTreeMap<String, Summary> = finished
        .json()
        .into_iter()
        .map(|line| serde_json::from_value::<Summary>(line).unwrap())
        .map(|summary| (summary.partner.clone(), summary))
        .collect();
    let error = by_partner["acme"].error.clone().unwrap();
    assert_eq!((error.class.name(), error.code.as_ref()), ("Misconfigured", "sftp.login_refused"));
    // The server writes its log at its own pace.
    wait_until("the refusal is logged", || world.source.sshd().refused_logins() > 0);
    assert_eq!(world.source.sshd().refused_logins(), 1, "one attempt, not one per retry");
    assert!(world.target.files().is_empty());

    assert_eq!(by_partner["globex"].verdict, Verdict::Delivered);
    let opened = world.opened_of(&globex);
    assert_eq!(opened.len(), expected(&samples).len());
    assert!(world.api.reports().iter().all(|report| report["partner"] == "globex"));
}
