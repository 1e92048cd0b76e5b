//! Unpacking to files, for each second of a processor: `tar` starts a second process, we start
//! threads.

use std::path::Path;
use std::process::Command;

use crate::measure::{Contender, alternate};
use crate::rows::{Row, Scale, compare};
use crate::text::csv;
use crate::world::{empty, hop, noise, succeed, text};

const MEMBERS: u64 = 8;

/// All rows of unpacking.
pub fn rows(bytes: u64) -> Vec<Row> {
    let folder = tempfile::tempdir().expect("a folder");
    let mut rows = Vec::new();
    for (what, make) in [("noise", noise as fn(&Path, u64)), ("CSV", prose)] {
        let members = empty(&folder.path().join("members"));
        for number in 0..MEMBERS {
            make(&members.join(format!("{number}.csv")), bytes / MEMBERS);
        }
        let total = folder_bytes(&members);
        let (zip, tar) = (folder.path().join("x.zip"), folder.path().join("x.tar.gz"));
        succeed(
            Command::new("zip").args(["-q", "-1", "-r"]).arg(&zip).arg(".").current_dir(&members),
        );
        succeed(Command::new("tar").args(["-I", "gzip -1", "-cf"]).arg(&tar).args([
            "-C",
            text(&members),
            ".",
        ]));
        std::fs::remove_dir_all(&members).expect("the members");
        rows.append(&mut one(
            folder.path(),
            &format!("unpack zip of {what}"),
            &zip,
            total,
            ("unzip", &["-qq"], "-d"),
        ));
        rows.append(&mut one(
            folder.path(),
            &format!("unpack tar.gz of {what}"),
            &tar,
            total,
            ("tar", &["-xzf"], "-C"),
        ));
        std::fs::remove_file(&zip).expect("the zip");
        std::fs::remove_file(&tar).expect("the tar");
    }
    rows
}

fn prose(path: &Path, bytes: u64) {
    csv(path, bytes);
}

fn one(
    folder: &Path,
    what: &str,
    archive: &Path,
    bytes: u64,
    (peer, flags, into_flag): (&'static str, &[&str], &str),
) -> Vec<Row> {
    let into = |name: &str| empty(&folder.join(name));
    let whole = |name: &'static str| {
        move |_: &str| assert_eq!(folder_bytes(&folder.join(name)), bytes, "{name}")
    };
    let mut contenders = [
        Contender::new("ours", || hop(&["unpack", text(archive), text(&into("ours"))]))
            .checked(whole("ours")),
        Contender::new(peer, || {
            let mut command = Command::new(peer);
            command.args(flags).arg(archive).arg(into_flag).arg(into("theirs"));
            command
        })
        .checked(whole("theirs")),
    ];
    alternate(&mut contenders, 3, false);
    drop((into("ours"), into("theirs")));
    compare(what, Scale::mib_per_core(bytes), &contenders, None, &[(peer, 1.3)])
}

fn folder_bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).expect("a folder");
    entries.map(|entry| entry.and_then(|entry| entry.metadata()).expect("an entry").len()).sum()
}
