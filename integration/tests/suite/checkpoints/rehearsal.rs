//! The command's own rehearsal: one giant member, invocations that end long before it does, and
//! `kill -9` at random places within the stages. `make rehearsal` makes it 3 GiB; `REHEARSAL_SEED`
//! draws other places.

use std::collections::{BTreeMap, BTreeSet};
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
/// What goes on in the next invocation.
const STAGES: [&str; 3] = ["download", "unpack", "upload"];

fn variable(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

/// A zip with one member, one deflate stream.
struct Giant {
    packed: u64,
    bytes: u64,
    /// Of the member.
    sha256: String,
}

impl Giant {
    fn lay(path: &Path) -> Self {
        let mib: usize = variable("REHEARSAL_MIB", "4").parse().expect("a number");
        let mut piece = super::noise(PIECE_BYTES / 3);
        let text = hex::encode(&piece);
        piece.extend_from_slice(text.as_bytes());
        let mut zip = ZipWriter::new(File::create(path).expect("a file at the source"));
        // The fastest level would make one block of it, which cannot be entered.
        let options = SimpleFileOptions::default().large_file(true).compression_level(Some(2));
        zip.start_file("giant.bin", options).expect("a member");
        let mut hash = Sha256::new();
        let mut bytes = 0;
        for number in 0..(mib << 20) / piece.len() {
            for part in [number.to_le_bytes().as_slice(), &piece] {
                hash.update(part);
                zip.write_all(part).expect("room");
                bytes += part.len() as u64;
            }
        }
        let file = zip.finish().expect("the end of a zip");
        let packed = file.metadata().expect("a file").len();
        Self { packed, bytes, sha256: hex::encode(hash.finalize()) }
    }

    /// How far a stage goes, at least.
    fn bytes(&self, stage: &str) -> u64 {
        match stage {
            "download" => self.packed,
            "unpack" => self.bytes,
            // It is sent and read back; sealing may have compressed it.
            _ => 2 * self.packed,
        }
    }
}

/// How far a stage has come, as it noted for its next invocation.
fn position(stage: &str, document: &Path) -> u64 {
    let text = std::fs::read(document).unwrap_or_default();
    // It may be gone by now.
    let kept: Value = serde_json::from_slice(&text).unwrap_or_default();
    let numbers = match stage {
        "download" => vec![&kept["object"]["offset"]],
        "unpack" => {
            let begun = kept["begun"].as_object().into_iter().flat_map(serde_json::Map::values);
            begun.map(|begun| &begun["kept"]["bytes"]).collect()
        }
        _ => vec![&kept["sent"], &kept["read_back"]["bytes"]],
    };
    numbers.into_iter().filter_map(Value::as_u64).sum()
}

/// The documents in which a stage notes that.
fn documents(world: &World, stage: &str) -> Vec<PathBuf> {
    holding(&world.state.join("s3/drayage/runs"), &format!("progress/{stage}/"))
}

/// A number of the seed's.
fn drawn(seed: &str, at: u8) -> u64 {
    let hash = Sha256::new().chain_update(seed).chain_update([at]).finalize();
    hash.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
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
    let giant = Giant::lay(&world.source.folder.join("giant.zip"));
    let seed = variable("REHEARSAL_SEED", "1");
    let [any, places @ ..] = [0, 1, 2, 3, 4, 5].map(|at| drawn(&seed, at));
    let stages = ["download", "unpack", "upload", "upload", STAGES[any as usize % STAGES.len()]];
    let mut dead: BTreeSet<PathBuf> = BTreeSet::new();
    for (stage, drawn) in stages.into_iter().zip(places) {
        let permille = 50 + drawn % 800;
        let what = format!("{permille} of 1000 of {stage} (REHEARSAL_SEED={seed})");
        eprintln!("killed after {what}");
        let until = giant.bytes(stage) * permille / 1000;
        kill(&world, &what, || {
            let kept = documents(&world, stage).into_iter();
            kept.filter(|path| !dead.contains(path)).any(|path| position(stage, &path) >= until)
        });
        dead.extend(STAGES.into_iter().flat_map(|stage| documents(&world, stage)));
    }

    let summary = dray(&world).finish().expect_code(0).summary();
    assert_eq!((summary.verdict, summary.totals.delivered), (Verdict::Delivered, 1));
    let entries = entries(&world.run_folder("acme", &summary.run).join("children.json"));
    eprintln!("invocations: {entries:?}");
    for state in ["Download", "Unpack", "Upload"] {
        let times = entries.get(state).copied().unwrap_or_default();
        assert!(times >= INVOCATIONS, "{state} was entered {times} times");
    }
    assert_eq!(summary.receipts[0].sha256, giant.sha256);
    assert_eq!(world.target.names().len(), 1, "something is left: {:?}", world.target.names());
    assert_eq!(unfinished(&world), Vec::<PathBuf>::new());
    let opened = world.gpg().hash(&world.target.paths()[0]);
    assert_eq!(opened, giant.sha256, "other bytes arrived");
}
