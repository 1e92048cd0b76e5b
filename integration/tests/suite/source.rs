//! The source as partners leave it: files that are still written, that change under our hands, odd
//! names, links, directories, and very many entries.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use domain::ErrorClass;
use domain::events::{Summary, Verdict};
use dray::local::Options;
use engine::{EventType, Notice};
use integration::{Kind, World};
use serde_json::json;

async fn run(world: &World) -> Summary {
    world.run().await.summary.expect("a summary")
}

fn age(path: &Path, seconds: u64) {
    let file = File::options().write(true).open(path).expect("a file at the source");
    let time = SystemTime::now() - Duration::from_secs(seconds);
    file.set_modified(time).expect("its time");
}

fn warned(summary: &Summary, words: &[&str]) -> bool {
    summary.warnings.iter().any(|text| words.iter().all(|word| text.contains(word)))
}

/// Does something to the source once, when the run enters that state: after the listing, before
/// anything else there.
fn at(options: &mut Options, state: &'static str, act: impl Fn() + Send + Sync + 'static) {
    let done = AtomicBool::new(false);
    options.observer = Some(Arc::new(move |notice: Notice<'_>| {
        let entered = notice.event.event_type == EventType::TaskStateEntered;
        if entered && notice.event.state() == Some(state) && !done.swap(true, Ordering::SeqCst) {
            act();
        }
    }));
}

type Change = fn(&Path);

/// What a partner does to a file between our listing and our reading.
const CHANGES: [(&str, Change, &str); 6] = [
    ("grows", |path| std::fs::write(path, b"id\n1\n2\n3\n").unwrap(), "it has 9 bytes"),
    ("shrinks", |path| std::fs::write(path, b"id\n").unwrap(), "it has 3 bytes"),
    ("vanishes", |path| std::fs::remove_file(path).unwrap(), "it is gone"),
    (
        "is replaced by one of its size",
        |path| {
            std::fs::write(path.with_extension("new"), b"id\n9\n").unwrap();
            std::fs::rename(path.with_extension("new"), path).unwrap();
        },
        "its modification time moved",
    ),
    ("is touched", |path| age(path, 5), "its modification time moved"),
    (
        "becomes a directory",
        |path| {
            std::fs::remove_file(path).unwrap();
            std::fs::create_dir(path).unwrap();
        },
        "changed while it was read",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_after_the_listing_is_left_to_the_next_run() {
    for (what, change, words) in CHANGES {
        let world = World::embedded();
        world.put("moving.csv", b"id\n1\n");
        world.put("still.csv", b"id\n2\n");
        let path = world.source.folder.join("moving.csv");
        let mut options = world.options();
        let moving = path.clone();
        at(&mut options, "PlanFetch", move || change(&moving));
        let ended = world.run_with(options, world.start()).await;
        let summary = ended.summary.expect("a summary");
        assert_eq!((summary.totals.delivered, summary.totals.failed), (1, 1), "{what}");
        let failure = &summary.failed[0].failure;
        assert_eq!(failure.class, ErrorClass::SourceChanged, "{what}: {failure}");
        assert!(failure.message.contains(words), "{what}: {failure}");
        assert_eq!(world.opened().into_keys().collect::<Vec<_>>(), ["still.csv"], "{what}");

        let next = run(&world).await;
        let is_file = path.is_file();
        assert_eq!(next.totals.delivered, u64::from(is_file), "{what}: {next:?}");
        if is_file {
            assert_eq!(world.opened()["moving.csv"], std::fs::read(&path).unwrap(), "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_still_written_between_two_looks_is_not_taken() {
    let mut world = World::embedded();
    world.partner.profile["source"]["settle_seconds"] = json!(1);
    world.put("settled.csv", b"id\n1\n");
    let growing = world.source.folder.join("growing.csv");
    world.put("growing.csv", b"id\n");
    let written = Arc::new(AtomicBool::new(true));
    let writer = std::thread::spawn({
        let (written, growing) = (Arc::clone(&written), growing.clone());
        move || {
            let mut file = File::options().append(true).open(growing).unwrap();
            while written.load(Ordering::SeqCst) {
                std::io::Write::write_all(&mut file, b"1\n").unwrap();
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    });
    let summary = run(&world).await;
    written.store(false, Ordering::SeqCst);
    writer.join().unwrap();
    let totals = &summary.totals;
    assert_eq!((totals.matched, totals.unsettled, totals.delivered), (2, 1, 1), "{summary:?}");
    let next = run(&world).await;
    assert_eq!((next.totals.unsettled, next.totals.delivered), (0, 1), "{next:?}");
    assert_eq!(world.opened()["growing.csv"], std::fs::read(growing).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_done_file_vouches_for_the_file_before_it_alone() {
    let mut world = World::embedded();
    world.partner.profile["source"]["done_file"] = json!(".done");
    world.partner.profile["source"]["after_delivery"] = json!("delete");
    let folder = world.source.folder.clone();
    for name in ["ready.csv", "unmarked.csv", "newer.csv"] {
        world.put(name, b"id\n1\n");
    }
    // Of a file that is not there, and of one that was written again since.
    for (marker, seconds) in [("ready.csv", 60), ("gone.csv", 60), ("newer.csv", 3600)] {
        let marker = folder.join(format!("{marker}.done"));
        std::fs::write(&marker, b"").unwrap();
        age(&marker, seconds);
    }
    let summary = run(&world).await;
    let totals = &summary.totals;
    assert_eq!((totals.matched, totals.unsettled, totals.delivered), (3, 2, 1), "{summary:?}");
    assert_eq!(world.opened().into_keys().collect::<Vec<_>>(), ["ready.csv"]);
    let left = ["gone.csv.done", "newer.csv", "newer.csv.done", "unmarked.csv"];
    assert_eq!(world.source.names(), left, "the marker goes with its file, no other is touched");
    age(&folder.join("newer.csv.done"), 0);
    std::fs::write(folder.join("unmarked.csv.done"), b"").unwrap();
    assert_eq!(run(&world).await.totals.delivered, 2);
    assert_eq!(world.source.names(), ["gone.csv.done"]);
}

/// Names that are UTF-8, each with what the target calls it.
fn odd_names() -> BTreeMap<String, String> {
    let long = format!("{}.csv", "n".repeat(251));
    let cut = "n".repeat(100);
    let same = [
        "two words.csv",
        " ahead.csv",
        "it's.csv",
        "\"quoted\".csv",
        "$(id)`id`.csv",
        "-rf.csv",
        "[a]*?.csv",
        "%41%FF.csv",
        "Übergröße 日本.csv",
        "e\u{301}.csv",
        "semi;colon&amp.csv",
        "..hidden..csv",
    ];
    let mut names: BTreeMap<_, _> =
        same.map(|name| (name.to_owned(), name.to_owned())).into_iter().collect();
    names.insert("two\nlines.csv".to_owned(), "two_lines.csv".to_owned());
    names.insert("tab\there\r.csv".to_owned(), "tab_here_.csv".to_owned());
    names.insert("back\\slash.csv".to_owned(), "back_slash.csv".to_owned());
    names.insert(long, cut);
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_names_travel_from_server_to_server() {
    let mut world = World::openssh();
    world.partner.profile["source"]["after_delivery"] = json!("move");
    world.partner.profile["source"]["move_to"] = json!("done");
    let names = odd_names();
    for (number, name) in names.keys().enumerate() {
        world.put(name, format!("id\n{number}\n").as_bytes());
    }
    let summary = run(&world).await;
    assert_eq!(summary.verdict, Verdict::Delivered, "{:?} {:?}", summary.failed, summary.warnings);
    assert!(summary.warnings.is_empty(), "{:?}", summary.warnings);
    let opened = world.opened();
    assert_eq!(opened.len(), names.len());
    for (number, (name, expected)) in names.iter().enumerate() {
        let found = opened.iter().find(|(found, _)| {
            *found == expected || (name.len() == 255 && found.starts_with(expected))
        });
        let (found, bytes) = found.unwrap_or_else(|| panic!("{name:?} in {:?}", opened.keys()));
        assert!(found.len() + ".pgp".len() <= 255 && found.ends_with(".csv"), "{found}");
        assert_eq!(*bytes, format!("id\n{number}\n").into_bytes(), "{name:?}");
        assert!(world.source.folder.join("done").join(name).exists(), "{name:?} was not moved");
    }
    assert_eq!(run(&world).await.verdict, Verdict::Nothing);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_not_utf8_arrive_under_a_name_that_says_their_bytes() {
    for after in ["move", "delete"] {
        let mut world = World::openssh();
        world.partner.profile["source"]["after_delivery"] = json!(after);
        world.partner.profile["source"]["move_to"] = json!("done");
        let raw: [(&[u8], &str); 3] = [
            (b"caf\xe9.csv", "caf%E9.csv"),
            (b"\xff\xfe\x00"[..2].as_ref(), "%FF%FE"),
            (b"\x93\xfa\x96{.csv", "%93%FA%96{.csv"),
        ];
        let here = |name: &[u8]| world.source.folder.join(OsStr::from_bytes(name));
        for (number, (name, _)) in raw.iter().enumerate() {
            std::fs::write(here(name), format!("id\n{number}\n")).unwrap();
        }
        let summary = run(&world).await;
        assert_eq!(summary.verdict, Verdict::Delivered, "{:?}", summary.failed);
        assert!(summary.warnings.is_empty(), "{:?}", summary.warnings);
        let opened = world.opened();
        for (number, (name, expected)) in raw.iter().enumerate() {
            assert_eq!(opened[*expected], format!("id\n{number}\n").into_bytes());
            assert!(!here(name).exists(), "{expected} still lies at the source");
            let moved = world.source.folder.join("done").join(OsStr::from_bytes(name));
            assert_eq!(moved.exists(), after == "move", "{expected}");
        }
        let told: Vec<_> =
            world.api.requests().into_iter().map(|one| one.body["file"].clone()).collect();
        assert!(told.contains(&json!("caf%E9.csv")), "{told:?}");
        assert_eq!(run(&world).await.verdict, Verdict::Nothing);
    }
}

/// Links, directories and a pipe beside one plain file; the names that are links.
fn lay_links(world: &World) -> [&'static str; 6] {
    let folder = &world.source.folder;
    world.put("plain.csv", b"id\n1\n");
    std::fs::create_dir_all(folder.join("folder.csv/below")).unwrap();
    std::fs::write(folder.join("folder.csv/inner.csv"), b"id\n2\n").unwrap();
    std::fs::write(folder.parent().unwrap().join("outside.csv"), b"id\n3\n").unwrap();
    let pipe = std::process::Command::new("mkfifo").arg(folder.join("pipe.csv")).status();
    assert!(pipe.expect("mkfifo runs").success());
    for (name, to) in [
        ("inside.csv", PathBuf::from("folder.csv/inner.csv")),
        ("out.csv", PathBuf::from("../outside.csv")),
        ("passwd.csv", PathBuf::from("/etc/passwd")),
        ("nowhere.csv", PathBuf::from("absent")),
        ("circle.csv", PathBuf::from("circle.csv")),
        ("directory.csv", PathBuf::from("folder.csv")),
    ] {
        symlink(to, folder.join(name)).unwrap();
    }
    ["inside.csv", "out.csv", "passwd.csv", "nowhere.csv", "circle.csv", "directory.csv"]
}

#[tokio::test(flavor = "multi_thread")]
async fn links_are_skipped_with_a_warning_and_counted() {
    for kind in [Kind::Embedded, Kind::OpenSsh] {
        let mut world = World::new(kind);
        world.partner.profile["source"]["after_delivery"] = json!("delete");
        let links = lay_links(&world);
        let summary = run(&world).await;
        assert_eq!(summary.verdict, Verdict::Delivered, "{summary:?}");
        assert_eq!((summary.totals.matched, summary.totals.left_alone), (1, 6), "{kind:?}");
        for link in links {
            assert!(warned(&summary, &[link, "left alone", "follow"]), "{link}: {summary:?}");
            assert!(world.source.folder.join(link).symlink_metadata().is_ok(), "{link} is gone");
        }
        assert_eq!(world.opened().into_keys().collect::<Vec<_>>(), ["plain.csv"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn links_are_followed_to_files_inside_alone() {
    for kind in [Kind::Embedded, Kind::OpenSsh] {
        let mut world = World::new(kind);
        world.partner.profile["source"]["symlinks"] = json!("follow");
        world.partner.profile["source"]["after_delivery"] = json!("delete");
        lay_links(&world);
        let summary = run(&world).await;
        assert_eq!(summary.verdict, Verdict::Delivered, "{summary:?}");
        assert_eq!((summary.totals.matched, summary.totals.left_alone), (2, 5), "{kind:?}");
        for (link, why) in [
            ("out.csv", "out of the source directory"),
            ("passwd.csv", "out of the source directory"),
            ("nowhere.csv", "leads to nothing"),
            ("circle.csv", "in circles"),
            ("directory.csv", "to a directory"),
        ] {
            assert!(warned(&summary, &[link, why]), "{link}: {:?}", summary.warnings);
        }
        let opened = world.opened();
        assert_eq!(opened["inside.csv"], b"id\n2\n");
        assert_eq!(opened.len(), 2);
        // What was delivered is the link: what it leads to is somebody else's.
        assert!(world.source.folder.join("inside.csv").symlink_metadata().is_err());
        assert!(world.source.folder.join("folder.csv/inner.csv").exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn links_that_are_refused_end_the_run_before_its_first_file() {
    let mut world = World::embedded();
    world.partner.profile["source"]["symlinks"] = json!("refuse");
    world.partner.profile["source"]["exclude"] = json!(["*.tmp"]);
    world.put("plain.csv", b"id\n1\n");
    symlink("plain.csv", world.source.folder.join("excluded.tmp")).unwrap();
    assert_eq!(run(&world).await.verdict, Verdict::Delivered, "no pattern lets that link through");
    world.put("other.csv", b"id\n2\n");
    symlink("plain.csv", world.source.folder.join("link.csv")).unwrap();
    let summary = run(&world).await;
    assert_eq!(summary.verdict, Verdict::Misconfigured);
    let error = summary.error.expect("a reason");
    assert_eq!(error.code, "source.symlink");
    assert!(error.message.contains("link.csv") && error.message.contains("refuse"), "{error}");
    assert!(!world.opened().contains_key("other.csv"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recursive_source_enters_directories_and_no_links() {
    let mut world = World::openssh();
    world.partner.profile["source"]["recursive"] = json!(true);
    world.partner.profile["source"]["symlinks"] = json!("follow");
    world.partner.profile["source"]["include"] = json!(["*.csv"]);
    let folder = world.source.folder.clone();
    std::fs::create_dir_all(folder.join("a/b")).unwrap();
    world.put("a/b/deep.csv", b"id\n1\n");
    symlink("../..", folder.join("a/b/up")).unwrap();
    symlink("..", folder.join("a/loop.csv")).unwrap();
    symlink("a/b/deep.csv", folder.join("short.csv")).unwrap();
    let summary = run(&world).await;
    assert_eq!(summary.verdict, Verdict::Delivered, "{summary:?}");
    assert_eq!((summary.totals.delivered, summary.totals.left_alone), (2, 1), "{summary:?}");
    assert!(warned(&summary, &["a/loop.csv", "to a directory"]), "{:?}", summary.warnings);
}

/// Entries of a crowded directory.
const CROWD: usize = 100_000;

#[test]
fn a_hundred_thousand_entries_are_listed_and_discovered_in_bounded_memory() {
    let mut world = World::openssh();
    world.partner.profile["source"]["include"] = json!(["take-*"]);
    for number in 0..CROWD {
        File::create(world.source.folder.join(format!("left-{number:06}.csv"))).unwrap();
    }
    for number in 0..3 {
        world.put(&format!("take-{number}.csv"), b"id\n1\n");
    }
    let (finished, peak_bytes) = integration::Dray::run(&world, &[]).arg("--json").measure();
    let summary = finished.expect_code(0).summary();
    assert_eq!((summary.totals.matched, summary.totals.delivered), (3, 3));
    assert!(peak_bytes < 256 << 20, "{} MiB were held", peak_bytes >> 20);
}
