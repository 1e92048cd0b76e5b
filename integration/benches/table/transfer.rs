//! Downloads and uploads: one large file, many small ones, and a long way.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::delay::Delay;
use crate::measure::{Contender, alternate};
use crate::rows::{Row, Scale, compare, join};
use crate::world::{World, hop, noise, text};

const MIB: u64 = 1 << 20;
/// Round trip that the long way adds.
const DELAY_MS: u64 = 50;
/// A long way is slow, so less goes over it.
const FAR_BYTES: u64 = 128 * MIB;
const SMALL_FILES: usize = 500;
const SMALL_BYTES: u64 = 10 << 10;
const NINE_THREADS: &str = "pysftp, 9 threads";
const NINE_TRANSFERS: &str = "rclone, 9 transfers";
const SMALL_BARS: [(&str, f64); 2] = [(NINE_THREADS, 3.0), (NINE_TRANSFERS, 1.0)];

/// Rows of one large file.
pub fn large(bytes: u64) -> Vec<Row> {
    let world = World::start();
    let large = world.folder.join("large");
    noise(&large, bytes);
    let mut rows = down(&world, &large, bytes);
    rows.extend(up(&world, &large, bytes));
    rows
}

/// Rows of many small files.
pub fn small(_: u64) -> Vec<Row> {
    let world = World::start();
    let many = world.empty("many");
    for number in 0..SMALL_FILES {
        noise(&many.join(format!("{number:03}.csv")), SMALL_BYTES);
    }
    let mut rows = small_down(&world, &many);
    rows.extend(small_up(&world, &many));
    rows
}

fn down(world: &World, large: &Path, bytes: u64) -> Vec<Row> {
    let port = world.sshd.port;
    let server = world.server_file(port);
    let mut to_nowhere = [
        Contender::new("ours", || hop(&["get", text(&server), "/dev/null", text(large)])),
        Contender::new("ssh cat", || {
            discard(world.openssh("ssh", port).arg(world.login()).args(["cat", text(large)]))
        }),
        Contender::new("sftp", || sftp_get(world, port, large, Path::new("/dev/null"))),
    ];
    alternate(&mut to_nowhere, 3, true);
    let bars = [("ssh cat", 0.95), ("sftp", 1.0)];
    let mut rows = compare("download", Scale::mib(bytes), &to_nowhere, Some("ssh cat"), &bars);
    let into = |name: &str| world.empty(&format!("into-{name}"));
    let came = |name: &'static str| {
        move |_: &str| same_length(&world.folder.join(format!("into-{name}/large")), bytes)
    };
    let mut to_files = [
        Contender::new("ours", || hop(&["get", text(&server), text(&into("ours")), text(large)]))
            .checked(came("ours")),
        Contender::new("rclone copy", || rclone(&world.rclone(port, large), text(&into("rclone"))))
            .checked(came("rclone")),
        Contender::new("pysftp", || {
            let mut command = world.pysftp("pysftp_get.py", 1);
            command.arg("--into").arg(into("pysftp")).arg(large);
            command
        })
        .checked(came("pysftp")),
    ];
    alternate(&mut to_files, 3, false);
    drop((into("ours"), into("rclone"), into("pysftp")));
    let bars = [("rclone copy", 1.5), ("pysftp", 3.0)];
    join(&mut rows, compare("download", Scale::mib(bytes), &to_files, None, &bars));
    rows
}

fn up(world: &World, large: &Path, bytes: u64) -> Vec<Row> {
    let port = world.sshd.port;
    let server = world.server_file(port);
    let into = |name: &str| world.empty(&format!("up-{name}"));
    let came = |name: &'static str| {
        move |_: &str| same_length(&world.folder.join(format!("up-{name}/large")), bytes)
    };
    let mut contenders = [
        Contender::new("ours", || hop(&["put", text(&server), text(&into("ours")), text(large)]))
            .checked(came("ours")),
        Contender::new("ssh cat", || {
            let place = into("cat").join("large");
            let mut command = Command::new("sh");
            let ssh = words(world.openssh("ssh", port).arg(world.login()));
            command
                .args(["-c", &format!("{ssh} 'cat > {}' < {}", place.display(), large.display())]);
            command
        })
        .checked(came("cat")),
        Contender::new("sftp", || sftp_put(world, port, large, &into("sftp")))
            .checked(came("sftp")),
        Contender::new("rclone copy", || rclone(text(large), &world.rclone(port, &into("rclone"))))
            .checked(came("rclone")),
    ];
    alternate(&mut contenders, 3, true);
    let bars = [("sftp", 1.0), ("rclone copy", 1.4)];
    let mut rows = compare("upload", Scale::mib(bytes), &contenders, Some("ssh cat"), &bars);
    let mut slow = [
        Contender::new("ours", || hop(&["put", text(&server), text(&into("ours")), text(large)]))
            .checked(came("ours")),
        Contender::new("pysftp", || {
            let mut command = world.pysftp("pysftp_put.py", 1);
            command.arg("--to").arg(into("pysftp")).arg(large);
            command
        })
        .checked(came("pysftp")),
    ];
    alternate(&mut slow, 3, false);
    for name in ["ours", "cat", "sftp", "rclone", "pysftp"] {
        drop(into(name));
    }
    join(&mut rows, compare("upload", Scale::mib(bytes), &slow, None, &[("pysftp", 12.0)]));
    rows
}

fn small_down(world: &World, many: &Path) -> Vec<Row> {
    let port = world.sshd.port;
    let server = world.server_file(port);
    let folder = format!("{}/", many.display());
    let into = |name: &str| world.empty(&format!("into-{name}"));
    let came =
        |name: &'static str| move |_: &str| all_came(&world.folder.join(format!("into-{name}")));
    let mut contenders = [
        Contender::new("ours", || hop(&["get", text(&server), text(&into("ours")), &folder]))
            .checked(came("ours")),
        Contender::new(NINE_THREADS, || {
            let mut command = world.pysftp("pysftp_get.py", 9);
            command.arg("--into").arg(into("pysftp")).arg(&folder);
            command
        })
        .checked(came("pysftp")),
        Contender::new(NINE_TRANSFERS, || {
            let mut command = rclone(&world.rclone(port, many), text(&into("rclone")));
            command.args(["--transfers", "9"]);
            command
        })
        .checked(came("rclone")),
    ];
    alternate(&mut contenders, 5, true);
    compare("download 500 x 10 KiB", Scale::files(SMALL_FILES), &contenders, None, &SMALL_BARS)
}

fn small_up(world: &World, many: &Path) -> Vec<Row> {
    let port = world.sshd.port;
    let server = world.server_file(port);
    let folder = format!("{}/", many.display());
    let into = |name: &str| world.empty(&format!("into-{name}"));
    let came =
        |name: &'static str| move |_: &str| all_came(&world.folder.join(format!("into-{name}")));
    let mut contenders = [
        Contender::new("ours", || hop(&["put", text(&server), text(&into("ours")), &folder]))
            .checked(came("ours")),
        Contender::new(NINE_THREADS, || {
            let mut command = world.pysftp("pysftp_put.py", 9);
            command.arg("--to").arg(into("pysftp")).arg(many);
            command
        })
        .checked(came("pysftp")),
        Contender::new(NINE_TRANSFERS, || {
            let mut command = rclone(text(many), &world.rclone(port, &into("rclone")));
            command.args(["--transfers", "9"]);
            command
        })
        .checked(came("rclone")),
    ];
    alternate(&mut contenders, 5, true);
    compare("upload 500 x 10 KiB", Scale::files(SMALL_FILES), &contenders, None, &SMALL_BARS)
}

/// Rows of a long way.
pub fn far(_: u64) -> Vec<Row> {
    let world = &World::start();
    let delay = Delay::start(world.sshd.port, std::time::Duration::from_millis(DELAY_MS / 2));
    let port = delay.port;
    world.known_at(port);
    let server = world.server_file(port);
    let large = world.folder.join("far");
    noise(&large, FAR_BYTES);
    let null = Path::new("/dev/null");
    let into = |name: &str| world.empty(&format!("far-{name}"));
    let came = |name: &'static str| {
        move |_: &str| same_length(&world.folder.join(format!("far-{name}/far")), FAR_BYTES)
    };
    let mut down = [
        Contender::new("ours", || hop(&["get", text(&server), text(&into("ours")), text(&large)]))
            .checked(came("ours")),
        Contender::new("sftp", || sftp_get(world, port, &large, null)),
        Contender::new("rclone copy", || {
            rclone(&world.rclone(port, &large), text(&into("rclone")))
        })
        .checked(came("rclone")),
    ];
    alternate(&mut down, 3, false);
    let bars = [("sftp", 1.0), ("rclone copy", 1.0)];
    let scale = Scale::mib(FAR_BYTES);
    let mut rows = compare("download, 50 ms away", scale, &down, None, &bars);
    let mut up = [
        Contender::new("ours", || hop(&["put", text(&server), text(&into("ours")), text(&large)]))
            .checked(came("ours")),
        Contender::new("sftp", || sftp_put(world, port, &large, &into("sftp")))
            .checked(came("sftp")),
        Contender::new("rclone copy", || {
            rclone(text(&large), &world.rclone(port, &into("rclone")))
        })
        .checked(came("rclone")),
    ];
    alternate(&mut up, 3, false);
    rows.append(&mut compare("upload, 50 ms away", scale, &up, None, &bars));
    rows
}

fn sftp_get(world: &World, port: u16, from: &Path, to: &Path) -> Command {
    let ask = format!("{}:{}", world.login(), from.display());
    let mut command = world.openssh("sftp", port);
    command.arg("-q").arg(ask).arg(to);
    command
}

fn sftp_put(world: &World, port: u16, from: &Path, to: &Path) -> Command {
    let batch = world.key.with_file_name("batch");
    std::fs::write(&batch, format!("put {} {}\n", from.display(), to.display())).expect("room");
    let mut command = world.openssh("sftp", port);
    command.arg("-q").arg("-b").arg(batch).arg(world.login());
    command
}

fn rclone(from: &str, to: &str) -> Command {
    let mut command = Command::new("rclone");
    // Without a configuration of its own, which it would warn about.
    command.args(["--config", "", "copy", from, to]);
    command
}

/// The command with its output thrown away by the kernel, not read by us.
fn discard(command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{} > /dev/null", words(command))]);
    shell
}

fn words(command: &Command) -> String {
    let all = std::iter::once(command.get_program()).chain(command.get_args());
    all.map(|word| format!("'{}'", word.to_string_lossy())).collect::<Vec<_>>().join(" ")
}

fn same_length(path: &PathBuf, bytes: u64) {
    let found = std::fs::metadata(path).map(|file| file.len());
    assert!(found.as_ref().is_ok_and(|&len| len == bytes), "{}: {found:?}", path.display());
}

fn all_came(folder: &Path) {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let whole = entries
        .filter(|entry| {
            let file = entry.as_ref().expect("an entry").metadata().expect("its size");
            file.len() == SMALL_BYTES
        })
        .count();
    assert_eq!(whole, SMALL_FILES, "{}", folder.display());
}
