//! The command's own rehearsal: one giant member, invocations that end long before it does, and
//! `kill -9` in the middle of each stage. `REHEARSAL_MIB=3072 REHEARSAL_SECONDS=1` makes it real.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use domain::events::Verdict;
use integration::{Dray, World, wait_until};
use serde_json::Value;
use sha2::{Digest, Sha256};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::{INVOCATIONS, unfinished};

/// What the giant repeats, with a number before each: it compresses to two thirds.
const PIECE_BYTES: usize = 256 << 10;

fn variable(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

/// Lays a zip with one member, one deflate stream, and gives the member's SHA-256.
fn lay(path: &Path) -> String {
    let mib: usize = variable("REHEARSAL_MIB", "4").parse().expect("a number");
    let mut piece = super::noise(PIECE_BYTES / 3);
    let text = hex::encode(&piece);
    piece.extend_from_slice(text.as_bytes());
    let mut zip = ZipWriter::new(File::create(path).expect("a file at the source"));
    let options = SimpleFileOptions::default().large_file(true).compression_level(Some(2));
    zip.start_file("giant.bin", options).expect("a member");
    let mut hash = Sha256::new();
    for number in 0..(mib << 20) / piece.len() {
        for part in [number.to_le_bytes().as_slice(), &piece] {
            hash.update(part);
            zip.write_all(part).expect("room");
        }
    }
    zip.finish().expect("the end of a zip");
    hex::encode(hash.finalize())
}

fn dray(world: &World) -> Dray {
    let seconds = variable("REHEARSAL_SECONDS", "0.01");
    Dray::run(world, &[]).arg("--json").arg("--deadline").arg(seconds)
}

/// How often each state of a run's Maps was entered, as their histories tell.
fn entries(children: &Path) -> BTreeMap<String, usize> {
    let text = std::fs::read(children).expect("the Maps' children");
    let children: Vec<Value> = serde_json::from_slice(&text).expect("children");
    let mut entries = BTreeMap::new();
    let events = children.iter().filter_map(|child| child["history"].as_array()).flatten();
    for event in events {
        let name = &event["stateEnteredEventDetails"]["name"];
        if let Some(name) = name.as_str() {
            *entries.entry(name.to_owned()).or_default() += 1;
        }
    }
    entries
}

/// Files under a folder, however deep, whose path holds that word.
fn holding(folder: &Path, word: &str) -> Vec<PathBuf> {
    let mut open = vec![folder.to_owned()];
    let mut found = Vec::new();
    while let Some(folder) = open.pop() {
        // A run moves on while this looks.
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if path.to_string_lossy().contains(word) {
                found.push(path);
            }
        }
    }
    found
}

/// Stops a run by force once `when` comes true.
fn kill(world: &World, what: &str, mut when: impl FnMut() -> bool) {
    let mut run = dray(world).spawn();
    wait_until(what, || {
        assert!(run.try_wait().expect("a process").is_none(), "it ended before: {what}");
        when()
    });
    run.kill().expect("it is killed");
    run.wait().expect("it is gone");
}

#[test]
fn a_giant_member_outlives_every_invocation_and_every_kill() {
    let world = World::openssh();
    let expected = lay(&world.source.folder.join("giant.zip"));
    let documents = world.state.join("s3/drayage/runs");
    let fresh = |word: &str, known: &[PathBuf]| {
        holding(&documents, word).iter().any(|path| !known.contains(path))
    };
    let mut dead: Vec<PathBuf> = Vec::new();
    for stage in ["download", "unpack", "upload"] {
        let word = format!("progress/{stage}/");
        kill(&world, &format!("{stage} stands in the middle"), || fresh(&word, &dead));
        dead.extend(holding(&documents, "progress/"));
    }
    // Within the sending, and while what was sent is read back.
    let sent = |at_least: u64| {
        let sizes = world.target.marks();
        sizes.into_iter().any(|(name, (bytes, _))| name.ends_with(".part") && bytes >= at_least)
    };
    kill(&world, "half of it is at the target", || {
        fresh("progress/upload/", &dead) && sent(1 << 20)
    });
    dead.extend(holding(&documents, "progress/"));
    kill(&world, "it is read back", || {
        let kept = holding(&documents, "progress/upload/");
        kept.iter().filter(|path| !dead.contains(path)).any(|path| {
            let text = std::fs::read(path).unwrap_or_default();
            let kept: Value = serde_json::from_slice(&text).unwrap_or_default();
            kept["read_back"]["bytes"].as_u64() > Some(0)
        })
    });

    let summary = dray(&world).finish().expect_code(0).summary();
    assert_eq!((summary.verdict, summary.totals.delivered), (Verdict::Delivered, 1));
    let entries = entries(&world.run_folder("acme", &summary.run).join("children.json"));
    eprintln!("invocations: {entries:?}");
    for state in ["Download", "Unpack", "Upload"] {
        let times = entries.get(state).copied().unwrap_or_default();
        assert!(times >= INVOCATIONS, "{state} was entered {times} times");
    }
    assert_eq!(summary.receipts[0].sha256, expected);
    assert_eq!(world.target.names().len(), 1, "something is left: {:?}", world.target.names());
    assert_eq!(unfinished(&world), Vec::<PathBuf>::new());
    let opened = world.gpg().hash(&world.target.paths()[0]);
    assert_eq!(opened, expected, "other bytes arrived");
}
