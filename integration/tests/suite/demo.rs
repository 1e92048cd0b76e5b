//! `dray demo`: the first thing that a stranger runs.

use std::collections::BTreeSet;
use std::path::Path;

use integration::{Dray, Gpg, wait_until};

fn paths(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn the_demo_ends_by_itself_and_gpg_opens_what_it_delivered() {
    let room = tempfile::tempdir().unwrap();
    let folder = room.path().join("demo");
    let finished = Dray::new(["demo", "--folder"]).arg(&folder).finish().expect_code(0);
    let mut sealed = 0;
    for partner in ["acme", "globex"] {
        let home = folder.join("partners").join(partner);
        let gpg = Gpg::with_key(&home.join("secret-key.asc"));
        let delivered = paths(&home.join("target/inbound"));
        let opened = gpg.open(&delivered);
        let source = |name: &str| std::fs::read(home.join("source/outbound").join(name)).unwrap();
        // A plain file, an empty one and a name beyond ASCII come out as they went in.
        for name in ["customers.csv", "nothing today.csv", "Übersicht März 2026.csv"] {
            assert!(opened[name] == source(name), "{name} of {partner}");
        }
        for name in ["orders_orders.csv", "orders_2026_lines.csv", "stock_stock_east.csv"] {
            assert!(opened[name].starts_with(b"id,partner,what,amount\n"), "{name} of {partner}");
        }
        assert_eq!(opened.len(), 9, "{:?}", opened.keys());
        sealed += opened.len();
        let runs = paths(&folder.join("state/s3/drayage/runs").join(partner));
        assert_eq!(runs.len(), 2, "the demo runs twice");
        let receipts: usize = runs
            .iter()
            .map(|run| run.join("delivered"))
            .filter(|f| f.is_dir())
            .map(|f| paths(&f).len())
            .sum();
        assert_eq!(receipts, 9, "a receipt for each");
        for what in ["target/inbound", "secret-key.asc"] {
            let place = home.join(what).display().to_string();
            assert!(finished.stdout.contains(&place), "{place} is not named");
        }
    }
    assert!(finished.stdout.contains("report.html"), "{}", finished.stdout);
    assert!(finished.stdout.contains("Nothing new"), "the second run says that it had nothing");
    let told = std::fs::read_to_string(folder.join("api/reports.jsonl")).unwrap();
    assert_eq!(told.lines().count(), sealed, "the API is told of each member once");
}

/// The local addresses that a process listens on, as the kernel knows them.
fn listening(process: u32) -> BTreeSet<String> {
    let mut sockets = BTreeSet::new();
    for entry in std::fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten() {
        let Ok(target) = std::fs::read_link(entry.path()) else { continue };
        let text = target.display().to_string();
        if let Some(inode) = text.strip_prefix("socket:[").and_then(|t| t.strip_suffix(']')) {
            sockets.insert(inode.to_owned());
        }
    }
    let mut addresses = BTreeSet::new();
    for table in ["tcp", "tcp6", "udp", "udp6"] {
        let text = std::fs::read_to_string(format!("/proc/{process}/net/{table}"));
        for line in text.unwrap_or_default().lines().skip(1) {
            let columns: Vec<&str> = line.split_whitespace().collect();
            let waits = table.starts_with("udp") || columns[3] == "0A";
            if waits && sockets.contains(columns[9]) {
                addresses.insert(format!("{table} {}", columns[1]));
            }
        }
    }
    addresses
}

#[test]
fn the_demo_opens_no_port_beyond_loopback() {
    let room = tempfile::tempdir().unwrap();
    let mut demo = Dray::new(["demo", "--folder"]).arg(room.path().join("demo")).spawn();
    let mut seen = BTreeSet::new();
    wait_until("the demo ends", || {
        seen.extend(listening(demo.id()));
        demo.try_wait().unwrap().is_some()
    });
    // S3, the API, and two SFTP servers for each of two partners.
    assert!(seen.len() >= 6, "{seen:?}");
    assert!(seen.iter().all(|address| address.starts_with("tcp 0100007F:")), "{seen:?}");
}

#[test]
fn the_demo_leaves_a_folder_with_other_things_alone() {
    let room = tempfile::tempdir().unwrap();
    std::fs::write(room.path().join("mine.txt"), "mine").unwrap();
    let finished = Dray::new(["demo", "--folder"]).arg(room.path()).finish().expect_code(2);
    assert!(finished.stderr.contains("is not empty; name a new folder"), "{}", finished.stderr);
    assert_eq!(paths(room.path()).len(), 1);
}

#[test]
fn the_help_teaches_by_example() {
    let help = Dray::new(["--help"]).finish().expect_code(0).stdout;
    for words in ["dray demo", "dray run acme.json --state", "Exit status"] {
        assert!(help.contains(words), "{words} is not in:\n{help}");
    }
    let help = Dray::new(["run", "--help"]).finish().expect_code(0).stdout;
    for words in ["--secrets", "--inject Upload=error", "acme/source-key"] {
        assert!(help.contains(words), "{words} is not in:\n{help}");
    }
    let schema = Dray::new(["schema"]).finish().expect_code(0).stdout;
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    assert!(schema["properties"]["source"].is_object());
}
