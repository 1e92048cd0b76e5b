//! A whole run beside the scripts that it replaces: 200 mixed files, 2 GiB in archives, one partner.

use std::path::Path;
use std::process::Command;

use domain::events::{Summary, Verdict};
use integration::{Api, Gpg, Partner, World, mixed};
use serde_json::{Value, json};

use crate::measure::{By, Contender, alternate};
use crate::rows::{Row, Scale, compare};
use crate::text::csv;
use crate::world::{empty, python, succeed, text};

/// The peer takes minutes.
const ROUNDS: usize = 1;
const SMALL_FILES: usize = 192;
const ARCHIVES: u64 = 8;
const MEMBERS: u64 = 4;
/// Bytes of all members of an archive, for each byte of the large file of other rows: 2 in 8.
const SHARE: u64 = 4;
const PEAK_BYTES_MAX: f64 = 256.0 * 1_048_576.0;

/// What a run must deliver.
struct Expected {
    members: usize,
    records: u64,
    bytes: u64,
}

/// All rows of whole runs.
pub fn rows(bytes: u64) -> Vec<Row> {
    let world = World::openssh();
    let expected = fill(&world.partner.source.folder, bytes);
    let profile = world.profile_file(&world.partner);
    let config = config(&world);
    let target = &world.partner.target.folder;
    let mut contenders = [
        Contender::new("ours", || {
            empty(target);
            empty(&world.state);
            let mut command = Command::new(dray());
            command.arg("run").arg(&profile).arg("--json").arg("--state").arg(&world.state);
            command.arg("--secrets").arg(&world.secrets);
            command
        })
        .checked(|printed| delivered_by_us(printed, target, &expected)),
        Contender::new("Python and Spark", || {
            empty(target);
            // It wants to make this folder itself.
            drop(std::fs::remove_dir_all(world.state.with_file_name("peer")));
            let mut command = python("stack.py");
            command.arg(&config);
            command
        })
        .checked(|printed| delivered_by_them(printed, target, &expected)),
    ];
    alternate(&mut contenders, ROUNDS, false);
    let peak =
        contenders[0].costs.iter().map(|cost| cost.peak_bytes).max().unwrap_or_default() as f64;
    let scale = Scale { unit: "MiB/s", amount: expected.bytes as f64 / 1_048_576.0, by: By::Wall };
    let mut rows = compare("whole run", scale, &contenders, None, &[("Python and Spark", 6.0)]);
    rows.push(Row {
        name: "whole run: peak memory, 256 MiB allowed".to_owned(),
        unit: "MiB".to_owned(),
        ours: peak / 1_048_576.0,
        peer: PEAK_BYTES_MAX / 1_048_576.0,
        limit: None,
        ratio: PEAK_BYTES_MAX / peak,
        bar: 1.0,
        holds: peak <= PEAK_BYTES_MAX,
    });
    rows
}

fn fill(source: &Path, bytes: u64) -> Expected {
    let mut expected = Expected { members: 0, records: 0, bytes: 0 };
    for sample in mixed(SMALL_FILES) {
        std::fs::write(source.join(&sample.name), &sample.bytes).expect("room");
        expected.members += sample.members.len();
        expected.records += sample.members.iter().map(|member| member.records).sum::<u64>();
        expected.bytes +=
            sample.members.iter().map(|member| member.bytes.len() as u64).sum::<u64>();
    }
    let room = tempfile::tempdir().expect("a folder");
    for number in 0..ARCHIVES {
        let members = empty(&room.path().join("members"));
        for member in 0..MEMBERS {
            let path = members.join(format!("part-{member}.csv"));
            expected.records += csv(&path, bytes / SHARE / MEMBERS);
            expected.members += 1;
            expected.bytes += std::fs::metadata(&path).expect("its length").len();
        }
        if number % 2 == 0 {
            let zip = source.join(format!("batch-{number}.zip"));
            succeed(
                Command::new("zip")
                    .args(["-q", "-1", "-r"])
                    .arg(zip)
                    .arg(".")
                    .current_dir(&members),
            );
        } else {
            let tar = source.join(format!("batch-{number}.tar.gz"));
            let all = (0..MEMBERS).map(|member| format!("part-{member}.csv"));
            succeed(
                Command::new("tar")
                    .args(["-I", "gzip -1", "-cf"])
                    .arg(tar)
                    .args(["-C", text(&members)])
                    .args(all),
            );
        }
    }
    expected
}

/// The peer's settings: the same servers, key and API.
fn config(world: &World) -> std::path::PathBuf {
    let end = |server: &integration::Server, name: &str| -> Value {
        let sshd = server.sshd();
        let key = sshd.client_key_file();
        json!({
            "host": "127.0.0.1", "port": sshd.port, "user": sshd.username, "key": key,
            "known_hosts": sshd.known_hosts(), "directory": server.folder, "name": name,
        })
    };
    let Partner { source, target, .. } = &world.partner;
    let config = json!({
        "source": end(source, "source"), "target": end(target, "target"),
        "gnupg_home": world.gpg().home(), "recipient": Gpg::USER,
        "report_url": world.api.url, "report_token": Api::TOKEN,
        "work": world.state.with_file_name("peer"), "threads": 9, "spark_master": "local[2]",
    });
    let path = world.state.with_file_name("peer.json");
    std::fs::write(&path, config.to_string()).expect("room");
    path
}

fn delivered_by_us(printed: &str, target: &Path, expected: &Expected) {
    let summary: Summary = serde_json::from_str(printed).expect("a summary");
    assert_eq!(summary.verdict, Verdict::Delivered, "{printed}");
    let records: u64 = summary.receipts.iter().filter_map(|receipt| receipt.records).sum();
    assert_eq!(records, expected.records, "records");
    delivered(target, expected);
}

fn delivered_by_them(printed: &str, target: &Path, expected: &Expected) {
    let last = printed.lines().last().unwrap_or_default();
    eprintln!("    {last}");
    let summary: Value = serde_json::from_str(last).expect("their figures");
    assert_eq!(summary["records"], expected.records, "{summary}");
    delivered(target, expected);
}

fn delivered(target: &Path, expected: &Expected) {
    let entries = std::fs::read_dir(target).expect("the target");
    assert_eq!(entries.count(), expected.members, "members at the target");
}

/// Cargo puts the program beside the folder of the benchmark's own.
fn dray() -> std::path::PathBuf {
    let own = std::env::current_exe().expect("this program");
    own.parent().and_then(Path::parent).expect("target/release").join("dray")
}
