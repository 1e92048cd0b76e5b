//! Where everything lies in the bucket. People look there, infrastructure grants rights by these
//! prefixes, and an older run's items must still be found: a changed key is a changed contract.

use domain::ids::{Name, file_id, member_id, text_id};
use domain::keys::{self, Inbox, Phase, RunKeys};

#[test]
fn keys_are_as_documented() {
    let run = RunKeys::new("acme", "run-7");
    let name = Name::new(16, "ab12");
    assert_eq!((run.partner(), run.run()), ("acme", "run-7"));
    let target = text_id("target", "/in/a.pgp");
    for (key, expected) in [
        (run.root(), "runs/acme/run-7/".to_owned()),
        (run.data(), "data/acme/run-7/".to_owned()),
        (run.inbox(Inbox::Sealed), "runs/acme/run-7/sealed/".to_owned()),
        (
            run.item(Inbox::Failed, &name),
            "runs/acme/run-7/failed/ffffffffffffffef-ab12.json".to_owned(),
        ),
        (run.profile(), "runs/acme/run-7/profile.json".to_owned()),
        (run.discovery(), "runs/acme/run-7/discovery.json".to_owned()),
        (run.halt(), "runs/acme/run-7/halt.json".to_owned()),
        (run.wave(Phase::Seal, "p1"), "runs/acme/run-7/waves/seal-p1.json".to_owned()),
        (run.parcel(Phase::Fetch, "p1-0"), "runs/acme/run-7/waves/fetch/p1-0.json".to_owned()),
        (run.map_results(Phase::Deliver), "runs/acme/run-7/maps/deliver".to_owned()),
        (run.target_name("/in/a.pgp"), format!("runs/acme/run-7/names/{target}.json")),
        (run.spark(), "runs/acme/run-7/spark/".to_owned()),
        (run.summary(), "runs/acme/run-7/summary.json".to_owned()),
        (run.report(), "runs/acme/run-7/report.html".to_owned()),
        (run.raw("ab12"), "data/acme/run-7/raw/ab12".to_owned()),
        (run.plain("ab12"), "data/acme/run-7/plain/ab12".to_owned()),
        (run.sealed("ab12", "2"), "data/acme/run-7/sealed/ab12-2".to_owned()),
        (keys::profile("acme"), "partners/acme.json".to_owned()),
        (keys::lease("acme"), "leases/acme.json".to_owned()),
        (keys::ledger_files("acme"), "ledger/acme/files/".to_owned()),
        (keys::ledger_file("acme", "ab12"), "ledger/acme/files/ab12.json".to_owned()),
        (keys::ledger_members("acme"), "ledger/acme/members/".to_owned()),
        (keys::ledger_member("acme", "ab12"), "ledger/acme/members/ab12.json".to_owned()),
        (
            keys::trigger("acme", "2026-11-22T06:00:00Z"),
            "triggers/acme/2026-11-22T06_00_00Z.json".to_owned(),
        ),
        (keys::trigger("acme", "../x y"), "triggers/acme/___x_y.json".to_owned()),
    ] {
        assert_eq!(key, expected);
    }
}

#[test]
fn a_phase_takes_from_one_inbox_and_is_done_when_one_of_others_has_the_item() {
    let rows = Phase::ALL.map(|phase| {
        let outputs: Vec<&str> = phase.outputs().iter().map(|inbox| inbox.folder()).collect();
        (phase.word(), phase.input().folder(), outputs)
    });
    assert_eq!(
        rows,
        [
            ("fetch", "discovered", vec!["expanded", "skipped"]),
            ("inspect", "members", vec!["counted", "large", "delivered"]),
            ("seal", "counted", vec!["sealed"]),
            ("deliver", "sealed", vec!["delivered"]),
        ]
    );
    let others = [Inbox::Downloaded, Inbox::Reported].map(Inbox::folder);
    assert_eq!(others, ["downloaded", "reported"]);
}

#[test]
fn ids_are_the_same_in_every_release() {
    // Computed by Python's hashlib over length-prefixed parts: the ledger of years ago must still match.
    assert_eq!(file_id("acme", "a.csv", 7, -3), FILE);
    assert_eq!(member_id("ab12", "x/y.csv"), MEMBER);
    assert_eq!(text_id("spark", "run-7"), TEXT);
    assert_ne!(member_id("ab", "12"), member_id("ab1", "2"));
    assert_ne!(text_id("a", "bc"), text_id("ab", "c"));
}

const FILE: &str = "f4a943ced560809f4b0d3231cd9ac2ce";
const MEMBER: &str = "da64a45291b0e4580c47182145091fd7";
const TEXT: &str = "be1660d8be4cce0ee451ce5f01d838f0";

#[test]
fn only_a_whole_name_is_read_back_from_a_key() {
    let name = Name::new(1 << 40, "ab-12");
    assert_eq!(name.as_str(), "fffffeffffffffff-ab-12");
    assert_eq!(name.to_string(), name.as_str());
    assert_eq!((name.id(), name.size_bytes()), ("ab-12", 1 << 40));
    assert_eq!(Name::from_key("runs/a/fffffeffffffffff-ab-12.json"), Some(name.clone()));
    assert_eq!(Name::from_key("fffffeffffffffff-ab-12"), Some(name));
    for key in [
        "",
        "runs/acme/profile.json",
        "fffffeffffffffff-.json",
        "fffffeffffffffff.json",
        "ffffeffffffffff-ab.json",
        "zzzzzzzzzzzzzzzz-ab.json",
    ] {
        assert_eq!(Name::from_key(key), None, "{key:?}");
    }
}
