//! A partner's connections over whole runs: two processes at once on one account, and a server that
//! takes few.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain::events::{Connections, Verdict};
use integration::{Dray, Finished, Kind, World};
use serde_json::json;

/// What the partner allows to the account, at each of its two servers.
const CEILING: usize = 3;
/// Files of each partner, each large enough to be a parcel of its own.
const FILES: usize = 4;
const FILE_BYTES: usize = 33 << 20;

/// Established connections of this machine to those ports, by the kernel's table.
fn connections_to(ports: [u16; 2]) -> [usize; 2] {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the kernel's table");
    let rows: Vec<Vec<&str>> =
        table.lines().skip(1).map(|row| row.split_whitespace().collect()).collect();
    ports.map(|port| {
        let remote = format!(":{port:04X}");
        rows.iter().filter(|row| row[2].ends_with(&remote) && row[3] == "01").count()
    })
}

/// The most that were seen at once while `busy`.
fn watch(ports: [u16; 2], busy: &Arc<AtomicBool>) -> std::thread::JoinHandle<[usize; 2]> {
    let busy = Arc::clone(busy);
    std::thread::spawn(move || {
        let mut most = [0, 0];
        while busy.load(Ordering::SeqCst) {
            let now = connections_to(ports);
            most = [most[0].max(now[0]), most[1].max(now[1])];
            std::thread::sleep(Duration::from_millis(2));
        }
        most
    })
}

fn run(world: &World, profile: &Path, name: &str, folder: &Path) -> Finished {
    let state = world.state.join(name);
    let mut dray = Dray::new(["run"]).arg(profile).arg("--json");
    for (option, value) in
        [("--state", state.as_path()), ("--secrets", &world.secrets), ("--connections", folder)]
    {
        dray = dray.arg(option).arg(value);
    }
    dray.finish()
}

#[test]
fn two_runs_at_once_on_one_account_stay_below_its_ceiling() {
    let mut world = World::new(Kind::OpenSshNarrow);
    // The neighbour logs in at the same servers as the same user, in directories of its own.
    let mut neighbour = world.neighbour("beta", Kind::Embedded);
    for side in ["source", "target"] {
        world.partner.profile[side]["max_connections"] = json!(CEILING);
        neighbour.profile[side] = world.partner.profile[side].clone();
        let directory = world.partner.profile[side]["directory"].as_str().expect("a directory");
        neighbour.profile[side]["directory"] = json!(format!("{directory}/beta"));
        std::fs::create_dir(Path::new(directory).join("beta")).expect("its directory");
    }
    for number in 0..FILES {
        for name in [format!("a{number}.csv"), format!("beta/b{number}.csv")] {
            world.put(&name, &vec![b'\n'; FILE_BYTES + number]);
        }
    }
    let ports = ["source", "target"].map(|side| {
        let port = world.partner.profile[side]["port"].as_u64().expect("a port");
        u16::try_from(port).expect("a port")
    });
    let shared = world.state.with_file_name("connections");
    let profiles = [world.profile_file(&world.partner), world.profile_file(&neighbour)];
    let busy = Arc::new(AtomicBool::new(true));
    let watching = watch(ports, &busy);
    let ended = std::thread::scope(|scope| {
        let (world, shared) = (&world, &shared);
        let [first, second] = &profiles;
        let second = scope.spawn(move || run(world, second, "second", shared));
        [run(world, first, "first", shared), second.join().expect("a run")]
    });
    busy.store(false, Ordering::SeqCst);
    let most = watching.join().expect("a count");
    for finished in ended {
        let summary = finished.expect_code(0).summary();
        assert_eq!(summary.verdict, Verdict::Delivered);
        assert_eq!(summary.totals.delivered, FILES as u64);
        let ceiling = u32::try_from(CEILING).expect("a small number");
        let told = Connections { source: ceiling, target: ceiling };
        assert_eq!(summary.connections, Some(told), "nobody was turned away");
    }
    assert_eq!(most, [CEILING, CEILING], "connections at once to the source and to the target");
}
