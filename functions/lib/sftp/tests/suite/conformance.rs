//! One suite, run against every server of `servers`: what a server does otherwise stands in the table
//! there, with its reason, and is asserted like everything else.

use std::os::unix::ffi::OsStrExt;

use crate::proxy::Proxy;
use crate::servers::Difference;
use crate::world::{Server, World, noise};
use bytes::Bytes;
use domain::ErrorClass;
use sftp::{Error, Kind, Leads, ListOptions, RenamePolicy, Session, WriteMode};
use sha2::{Digest, Sha256};

/// Runs each check against every server; those of the second list start theirs themselves.
macro_rules! conformance {
    ($($check:ident,)* ; $($refusal:ident,)*) => {
        conformance!(@server openssh OpenSsh [$($check)*] [$($refusal)*]);
        conformance!(@server proftpd ProFtpd [$($check)*] [$($refusal)*]);
        conformance!(@server green_end GreenEnd [$($check)*] [$($refusal)*]);
        conformance!(@server asyncssh AsyncSsh [$($check)*] [$($refusal)*]);
        conformance!(@server embedded Embedded [$($check)*] [$($refusal)*]);
        conformance!(@server bare Bare [$($check)*] [$($refusal)*]);
    };
    (@server $module:ident $kind:ident [$($check:ident)*] [$($refusal:ident)*]) => {
        mod $module {
            use crate::servers::{Case, Kind};
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                super::$check(Kind::$kind.start(Case::Plain).await).await;
            })*
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $refusal() {
                crate::refusals::$refusal(Kind::$kind).await;
            })*
        }
    };
}

conformance!(
    round_trips_of_many_sizes,
    reads_from_an_offset,
    reads_past_the_end_are_empty,
    pieces_of_any_size_make_the_same_file,
    resumes_a_partial_file,
    refuses_to_resume_over_a_gap,
    create_new_refuses_an_existing_file,
    a_dropped_writer_leaves_a_partial_file,
    names_with_blanks_and_accents,
    lists_one_level_and_all_levels,
    lists_many_entries,
    stops_a_listing_that_is_too_long,
    lists_nothing_of_a_missing_directory,
    stats_what_is_there_and_what_is_not,
    reading_a_missing_file,
    writing_into_a_missing_directory,
    renames_by_every_policy,
    moves_into_a_directory_that_is_made,
    makes_directories_on_the_way,
    removes_files,
    sets_times,
    resolves_paths,
    eight_readers_share_a_session,
    readers_and_writers_share_a_session,
    a_cancelled_read_loses_nothing,
    losing_the_connection_while_reading,
    losing_the_connection_while_writing,
    a_closed_session_says_so,
    a_wrong_host_key_is_named,
    no_pinned_host_key_is_refused,
    a_second_pinned_key_is_accepted,
    hashes_where_it_can,
    tells_free_space_where_it_can,
    a_small_end_over_all_is_kept,
    offers_what_the_table_says,
    names_of_every_length_and_kind,
    names_that_are_not_utf8,
    links_are_followed_inside_alone,
    goes_on_over_a_new_connection,
    an_existing_target_is_replaced_or_kept,
    ;
    a_file_that_may_not_be_read,
    a_directory_that_may_not_be_listed,
    a_directory_that_may_not_be_written,
    a_target_that_is_read_only,
    a_disk_that_is_full,
);

async fn offers_what_the_table_says(world: World) {
    let session = world.connect().await;
    let offered = session.capabilities();
    for (what, found) in [
        (Difference::NoPosixRename, offered.posix_rename),
        (Difference::NoFsync, offered.fsync),
        (Difference::NoStatvfs, offered.statvfs),
        (Difference::NoLimits, offered.limits),
    ] {
        assert_eq!(found, !world.kind.differs(what), "{what:?}: {offered:?}");
    }
}

async fn names_of_every_length_and_kind(world: World) {
    let session = world.connect().await;
    let long = "x".repeat(255);
    let wide = "ü".repeat(127);
    let names = [
        long.as_str(),
        &wide,
        "two\nlines.csv",
        "cr\rlf",
        "'quoted\" $name`",
        "back\\slash",
        " ",
        " leading and trailing ",
        "...",
        "~",
        "#",
        "%41%FF",
        "-",
        "\u{1b}[31m",
        "\u{202e}vsc.exe",
        "e\u{301}",
        "\u{e9}",
    ];
    for name in names {
        put(&session, &world.remote(name), name.as_bytes()).await;
        assert_eq!(std::fs::read(world.folder.join(name)).unwrap(), name.as_bytes(), "{name:?}");
    }
    let listed = session.list(&world.remote, ListOptions::default()).await.unwrap();
    let mut found: Vec<&str> = listed.iter().map(|entry| entry.path.as_str()).collect();
    let mut expected = names.to_vec();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
    for name in names {
        assert_eq!(get(&session, &world.remote(name), 0).await, name.as_bytes(), "{name:?}");
    }
    let longer = world.remote(&"x".repeat(256));
    assert!(session.writer(&longer, WriteMode::Truncate).await.is_err());
    assert!(session.stat(&world.remote).await.unwrap().is_some(), "the session goes on");
}

async fn names_that_are_not_utf8(world: World) {
    let session = world.connect().await;
    let raw: [&[u8]; 4] =
        [b"caf\xe9.csv", b"\xff\xfe", b"\x93\xfa\x96{.zip", "\u{10FEE9}".as_bytes()];
    let here = |name: &[u8]| world.folder.join(std::ffi::OsStr::from_bytes(name));
    for name in raw {
        std::fs::write(here(name), name).unwrap();
    }
    let listed = session.list(&world.remote, ListOptions::default()).await.unwrap();
    assert_eq!(listed.len(), raw.len());
    if world.kind.differs(Difference::OnlyUtf8) {
        assert!(listed.iter().any(|entry| entry.path.contains('\u{fffd}')), "{listed:?}");
        return;
    }
    for name in raw {
        let text = domain::names::from_bytes(name);
        assert!(listed.iter().any(|entry| entry.path == text), "{text:?} in {listed:?}");
        let path = world.remote(&text);
        assert_eq!(get(&session, &path, 0).await, name);
        assert_eq!(session.stat(&path).await.unwrap().unwrap().size, name.len() as u64);
        let moved = session.move_to(&path, &world.remote("done")).await.unwrap();
        assert!(!here(name).exists());
        assert_eq!(get(&session, &moved, 0).await, name);
        session.remove(&moved).await.unwrap();
        put(&session, &path, b"put").await;
        assert_eq!(std::fs::read(here(name)).unwrap(), b"put");
    }
}

/// Links that stay inside, lead out, end nowhere or go in circles.
fn make_links(world: &World) {
    let folder = &world.folder;
    std::fs::create_dir_all(folder.join("d/e")).unwrap();
    std::fs::write(folder.join("d/file"), b"abc").unwrap();
    std::fs::write(folder.parent().unwrap().join("secret"), b"s").unwrap();
    let root = world.remote("");
    let inside = |path: &str| format!("{root}{path}");
    for (name, to) in [
        ("to_file", "d/file"),
        ("to_link", "to_file"),
        ("around", "d/e/../../d/./file"),
        ("absolute", inside("d/file").as_str()),
        ("to_directory", "d"),
        ("to_itself", "."),
        ("through", "to_directory/file"),
        ("d/e/up", "../../to_file"),
        ("out", "../secret"),
        ("far_out", "/etc/passwd"),
        ("out_and_in", "../files/d/file"),
        ("sneaky", "to_directory/../../secret"),
        ("nowhere", "absent"),
        ("below_file", "d/file/x"),
        ("loop_a", "loop_b"),
        ("loop_b", "loop_a"),
        ("own", "own"),
    ] {
        std::os::unix::fs::symlink(to, folder.join(name)).unwrap();
    }
}

async fn links_are_followed_inside_alone(world: World) {
    let session = world.connect().await;
    make_links(&world);
    // It leaves the directory and comes back.
    let absolute = world.kind.differs(Difference::AbsoluteLinks);
    let out_and_in = if absolute { "file" } else { "out" };
    for (name, expected) in [
        ("to_file", "file"),
        ("to_link", "file"),
        ("around", "file"),
        ("absolute", "file"),
        ("through", "file"),
        ("d/e/up", "file"),
        ("d/file", "file"),
        ("to_directory", "directory"),
        ("to_itself", "directory"),
        ("out", "out"),
        ("far_out", "out"),
        ("out_and_in", out_and_in),
        ("sneaky", "out"),
        ("nowhere", "nowhere"),
        ("below_file", "nowhere"),
        ("absent", "nowhere"),
        ("loop_a", "circles"),
        ("own", "circles"),
    ] {
        let found = match session.follow(&world.remote, name).await.unwrap() {
            Leads::ToFile(found) => {
                assert_eq!((found.size, found.kind), (3, Kind::File), "{name}");
                "file"
            }
            Leads::ToDirectory => "directory",
            Leads::ToOther => "other",
            Leads::Nowhere => "nowhere",
            Leads::Out(_) => "out",
            Leads::InCircles => "circles",
        };
        assert_eq!(found, expected, "{name}");
    }
}

/// The connection is cut in the middle of both directions; a new session goes on at the byte.
async fn goes_on_over_a_new_connection(mut world: World) {
    let proxy = Proxy::before(world.endpoint.port).await;
    world.endpoint.port = proxy.port;
    let data = noise(48 << 20, 5);
    std::fs::write(world.folder.join("down"), &data).unwrap();
    let (down, up) = (world.remote("down"), world.remote("up"));
    let (mut found, mut sent) = (Vec::new(), 0);
    for cut_at in [1, data.len() / 3, data.len() / 2, usize::MAX] {
        let session = world.connect().await;
        let mut reader = session.reader(&down, found.len() as u64).await.unwrap();
        loop {
            match reader.next().await {
                Ok(Some(piece)) => found.extend_from_slice(&piece),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(error.class(), ErrorClass::Transient, "{error}");
                    break;
                }
            }
            if found.len() >= cut_at {
                proxy.cut();
            }
        }
        let session = world.connect().await;
        let mode = if sent == 0 { WriteMode::Truncate } else { WriteMode::ResumeAt(sent) };
        let mut writer = session.writer(&up, mode).await.unwrap();
        let begun = sent as usize;
        for (number, piece) in data[begun..].chunks(1 << 20).enumerate() {
            if writer.write(Bytes::copy_from_slice(piece)).await.is_err() {
                break;
            }
            if begun + number * (1 << 20) >= cut_at {
                proxy.cut();
            }
        }
        let ended = writer.finish().await;
        assert_eq!(ended.is_ok(), cut_at == usize::MAX, "{ended:?}");
        let session = world.connect().await;
        sent = session.stat(&up).await.unwrap().unwrap().size;
    }
    same(&found, &data);
    same(&std::fs::read(world.folder.join("up")).unwrap(), &data);
}

/// A writer truncates what was longer; a fresh rename leaves what is there, whatever it is.
async fn an_existing_target_is_replaced_or_kept(world: World) {
    let session = world.connect().await;
    let path = world.remote("f");
    put(&session, &path, &noise(300_000, 1)).await;
    put(&session, &path, b"short").await;
    assert_eq!(std::fs::read(world.folder.join("f")).unwrap(), b"short");
    std::fs::create_dir(world.folder.join("d")).unwrap();
    std::fs::write(world.folder.join("d/inside"), b"kept").unwrap();
    std::os::unix::fs::symlink("nowhere", world.folder.join("link")).unwrap();
    for taken in ["d", "link"] {
        let result = session.rename(&path, &world.remote(taken), RenamePolicy::Fresh).await;
        assert_eq!(code(result), ("sftp.target_exists", ErrorClass::Rejected), "{taken}");
    }
    for policy in [RenamePolicy::Replace, RenamePolicy::Posix] {
        let result = session.rename(&path, &world.remote("d"), policy).await;
        assert!(result.is_err(), "a directory was replaced by {policy:?}");
    }
    assert_eq!(std::fs::read(world.folder.join("d/inside")).unwrap(), b"kept");
    assert_eq!(std::fs::read(world.folder.join("f")).unwrap(), b"short");
}

#[tokio::test]
async fn short_answers_are_asked_for_again() {
    for max_answer_bytes in [1_000, 261_119] {
        let change = |options: &mut sftp::server::Options| {
            options.max_answer_bytes = max_answer_bytes;
        };
        let world = World::embedded_with(change).await;
        let session = world.connect().await;
        let data = noise(3_000_001, 4);
        std::fs::write(world.folder.join("f"), &data).unwrap();
        same(&get(&session, &world.remote("f"), 0).await, &data);
        same(&get(&session, &world.remote("f"), 1_234_567).await, &data[1_234_567..]);
    }
}

#[tokio::test]
async fn a_server_that_falls_silent_is_a_timeout() {
    let mut world = World::openssh();
    world.endpoint.timeouts.idle = std::time::Duration::from_millis(300);
    let session = world.connect().await;
    let Server::Program(sshd) = &world.server else { panic!("an sshd was expected") };
    sshd.pause();
    assert_eq!(code(session.stat("/").await), ("sftp.timeout", ErrorClass::Transient));
}

pub async fn put(session: &Session, path: &str, data: &[u8]) {
    let mut writer = session.writer(path, WriteMode::Truncate).await.unwrap();
    writer.write(Bytes::copy_from_slice(data)).await.unwrap();
    assert_eq!(writer.finish().await.unwrap(), data.len() as u64);
}

pub async fn get(session: &Session, path: &str, offset: u64) -> Vec<u8> {
    let mut reader = session.reader(path, offset).await.unwrap();
    let mut data = Vec::new();
    while let Some(piece) = reader.next().await.unwrap() {
        assert!(!piece.is_empty());
        data.extend_from_slice(&piece);
    }
    assert!(reader.next().await.unwrap().is_none(), "the end stays the end");
    data
}

pub fn same(left: &[u8], right: &[u8]) {
    assert_eq!(left.len(), right.len());
    assert_eq!(Sha256::digest(left), Sha256::digest(right));
}

pub fn code<T>(result: Result<T, Error>) -> (&'static str, ErrorClass) {
    match result {
        Ok(_) => panic!("an error was expected"),
        Err(error) => (error.code(), error.class()),
    }
}

async fn round_trips_of_many_sizes(world: World) {
    let session = world.connect().await;
    let packet = session.capabilities().max_write_bytes as usize;
    let mib5 = 5 << 20;
    let sizes = [0, 1, 511, packet - 1, packet, packet + 1, 2 * packet, mib5 + 4321, 40 << 20];
    for (seed, size) in sizes.into_iter().enumerate() {
        let data = noise(size, seed as u64 + 1);
        let path = world.remote("round trip");
        put(&session, &path, &data).await;
        same(&std::fs::read(world.folder.join("round trip")).unwrap(), &data);
        same(&get(&session, &path, 0).await, &data);
        let hash: [u8; 32] = Sha256::digest(&data).into();
        assert_eq!(session.hash(&path).await.unwrap(), hash, "{size}");
    }
    session.close().await;
}

async fn reads_from_an_offset(world: World) {
    let session = world.connect().await;
    let data = noise(3_000_001, 7);
    std::fs::write(world.folder.join("f"), &data).unwrap();
    for offset in [1, 32_768, 261_120, 261_121, 2_999_999, 3_000_000] {
        same(&get(&session, &world.remote("f"), offset).await, &data[offset as usize..]);
    }
}

async fn reads_past_the_end_are_empty(world: World) {
    let session = world.connect().await;
    std::fs::write(world.folder.join("f"), b"abc").unwrap();
    assert!(get(&session, &world.remote("f"), 3).await.is_empty());
    assert!(get(&session, &world.remote("f"), 1 << 40).await.is_empty());
}

async fn pieces_of_any_size_make_the_same_file(world: World) {
    let session = world.connect().await;
    let data = noise(4_000_003, 3);
    let mut writer = session.writer(&world.remote("f"), WriteMode::Truncate).await.unwrap();
    let mut rest = Bytes::from(data.clone());
    for len in [1, 70_000, 0, 3, 300_000, 1_000_000, 17].into_iter().cycle() {
        writer.write(rest.split_to(rest.len().min(len))).await.unwrap();
        if rest.is_empty() {
            break;
        }
    }
    writer.finish().await.unwrap();
    same(&std::fs::read(world.folder.join("f")).unwrap(), &data);
}

async fn resumes_a_partial_file(world: World) {
    let session = world.connect().await;
    let data = noise(2_000_000, 11);
    let partial = &data[..1_234_567];
    std::fs::write(world.folder.join("f"), partial).unwrap();
    let mode = WriteMode::ResumeAt(1_000_000);
    let mut writer = session.writer(&world.remote("f"), mode).await.unwrap();
    writer.write(Bytes::copy_from_slice(&data[1_000_000..])).await.unwrap();
    assert_eq!(writer.finish().await.unwrap(), 2_000_000);
    same(&std::fs::read(world.folder.join("f")).unwrap(), &data);
}

async fn refuses_to_resume_over_a_gap(world: World) {
    let session = world.connect().await;
    std::fs::write(world.folder.join("f"), b"abc").unwrap();
    let result = session.writer(&world.remote("f"), WriteMode::ResumeAt(4)).await;
    assert_eq!(code(result), ("sftp.resume_gap", ErrorClass::Transient));
}

async fn create_new_refuses_an_existing_file(world: World) {
    let session = world.connect().await;
    std::fs::write(world.folder.join("f"), b"abc").unwrap();
    let result = session.writer(&world.remote("f"), WriteMode::CreateNew).await;
    assert_eq!(code(result).0, "sftp.target_exists");
    let writer = session.writer(&world.remote("new"), WriteMode::CreateNew).await.unwrap();
    writer.finish().await.unwrap();
    assert_eq!(std::fs::read(world.folder.join("new")).unwrap(), b"");
    assert_eq!(std::fs::read(world.folder.join("f")).unwrap(), b"abc");
}

async fn a_dropped_writer_leaves_a_partial_file(world: World) {
    let session = world.connect().await;
    let mut writer = session.writer(&world.remote("f"), WriteMode::Truncate).await.unwrap();
    writer.write(Bytes::from(noise(1_000_000, 1))).await.unwrap();
    drop(writer);
    // The server answers in order, so what was sent before is done.
    assert!(session.stat(&world.remote("f")).await.unwrap().is_some());
    assert!(std::fs::metadata(world.folder.join("f")).unwrap().len() < 1_000_000);
}

async fn names_with_blanks_and_accents(world: World) {
    let session = world.connect().await;
    let mut names = ["a b  c.csv", "Übergrößen 日本.zip", "quo'te\"s", "-rf", "[x]*?", "tab\tname"];
    names.sort_unstable();
    for name in names {
        put(&session, &world.remote(name), name.as_bytes()).await;
        assert_eq!(std::fs::read(world.folder.join(name)).unwrap(), name.as_bytes());
    }
    let mut listed = session.list(&world.remote, ListOptions::default()).await.unwrap();
    listed.sort_by(|a, b| a.path.cmp(&b.path));
    assert_eq!(listed.iter().map(|entry| entry.path.as_str()).collect::<Vec<_>>(), names);
    for name in names {
        let target = world.remote(&format!("moved {name}"));
        session.rename(&world.remote(name), &target, RenamePolicy::Fresh).await.unwrap();
        assert_eq!(get(&session, &target, 0).await, name.as_bytes());
    }
}

async fn lists_one_level_and_all_levels(world: World) {
    let session = world.connect().await;
    std::fs::create_dir_all(world.folder.join("a/b")).unwrap();
    std::fs::write(world.folder.join("top"), b"1234").unwrap();
    std::fs::write(world.folder.join("a/b/deep"), b"12").unwrap();
    std::os::unix::fs::symlink("..", world.folder.join("a/loop")).unwrap();
    session.set_times(&world.remote("top"), 1_700_000_000).await.unwrap();

    let rows = |mut entries: Vec<sftp::Entry>| {
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        entries.into_iter().map(|entry| (entry.path, entry.kind)).collect::<Vec<_>>()
    };
    let row = |path: &str, kind| (path.to_owned(), kind);
    let flat = session.list(&world.remote, ListOptions::default()).await.unwrap();
    let top = flat.iter().find(|entry| entry.path == "top").unwrap();
    assert_eq!((top.size, top.mtime), (4, 1_700_000_000));
    assert_eq!(rows(flat), [row("a", Kind::Directory), row("top", Kind::File)]);

    let options = ListOptions { recursive: true, ..ListOptions::default() };
    let deep = session.list(&format!("{}/", world.remote), options).await.unwrap();
    let expected = [
        row("a", Kind::Directory),
        row("a/b", Kind::Directory),
        row("a/b/deep", Kind::File),
        row("a/loop", Kind::Symlink),
        row("top", Kind::File),
    ];
    assert_eq!(rows(deep), expected);
}

async fn lists_many_entries(world: World) {
    let session = world.connect().await;
    for number in 0..2_345 {
        std::fs::write(world.folder.join(format!("file-{number:05}")), b"").unwrap();
    }
    let mut listed = session.list(&world.remote, ListOptions::default()).await.unwrap();
    listed.sort_by(|a, b| a.path.cmp(&b.path));
    assert_eq!(listed.len(), 2_345);
    assert_eq!(listed[2_344].path, "file-02344");
}

async fn stops_a_listing_that_is_too_long(world: World) {
    let session = world.connect().await;
    for number in 0..11 {
        std::fs::write(world.folder.join(number.to_string()), b"").unwrap();
    }
    let options = |max_entries| ListOptions { max_entries, ..ListOptions::default() };
    assert_eq!(session.list(&world.remote, options(11)).await.unwrap().len(), 11);
    let result = session.list(&world.remote, options(10)).await;
    assert_eq!(code(result), ("sftp.too_many_entries", ErrorClass::Misconfigured));
}

async fn lists_nothing_of_a_missing_directory(world: World) {
    let session = world.connect().await;
    let path = world.remote("absent");
    let error = session.list(&path, ListOptions::default()).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&path) && text.contains(&world.endpoint.server()), "{text}");
    assert_eq!(code::<()>(Err(error)), ("sftp.no_such_directory", ErrorClass::Misconfigured));
}

async fn stats_what_is_there_and_what_is_not(world: World) {
    let session = world.connect().await;
    std::fs::write(world.folder.join("f"), b"abc").unwrap();
    let found = session.stat(&world.remote("f")).await.unwrap().unwrap();
    assert_eq!((found.size, found.kind), (3, Kind::File));
    assert!(found.mtime > 1_500_000_000);
    assert_eq!(session.stat(&world.remote).await.unwrap().unwrap().kind, Kind::Directory);
    assert_eq!(session.stat(&world.remote("absent")).await.unwrap(), None);
    assert_eq!(session.stat(&world.remote("absent/below")).await.unwrap(), None);
}

async fn reading_a_missing_file(world: World) {
    let session = world.connect().await;
    let result = session.reader(&world.remote("absent"), 0).await;
    assert_eq!(code(result), ("sftp.no_such_file", ErrorClass::SourceChanged));
}

async fn writing_into_a_missing_directory(world: World) {
    let session = world.connect().await;
    let error = match session.writer(&world.remote("absent/f"), WriteMode::Truncate).await {
        Ok(_) => panic!("written into nothing"),
        Err(error) => error,
    };
    assert!(matches!(&error, Error::NoSuchDirectory { path, .. } if path.ends_with("/absent")));
    assert_eq!(error.class(), ErrorClass::Misconfigured);
}

async fn renames_by_every_policy(world: World) {
    let session = world.connect().await;
    let read = |name: &str| std::fs::read(world.folder.join(name)).unwrap();
    let (from, to) = (world.remote("from"), world.remote("to"));
    let policies = [RenamePolicy::Posix, RenamePolicy::Fresh, RenamePolicy::Replace];
    for policy in policies {
        if policy == RenamePolicy::Posix && !session.capabilities().posix_rename {
            let result = session.rename(&from, &to, policy).await;
            assert_eq!(code(result), ("sftp.unsupported", ErrorClass::Misconfigured));
            continue;
        }
        std::fs::write(world.folder.join("from"), b"new").unwrap();
        let _ = std::fs::remove_file(world.folder.join("to"));
        session.rename(&from, &to, policy).await.unwrap();
        assert_eq!(read("to"), b"new", "{policy:?}");
        assert!(!world.folder.join("from").exists());

        std::fs::write(world.folder.join("from"), b"newer").unwrap();
        let result = session.rename(&from, &to, policy).await;
        if policy == RenamePolicy::Fresh {
            assert_eq!(code(result), ("sftp.target_exists", ErrorClass::Rejected));
            assert_eq!((read("to"), read("from")), (b"new".to_vec(), b"newer".to_vec()));
        } else {
            result.unwrap();
            assert_eq!(read("to"), b"newer", "{policy:?}");
        }
        let gone = session.rename(&world.remote("absent"), &world.remote("x"), policy).await;
        assert_eq!(code(gone).0, "sftp.no_such_file", "{policy:?}");
    }
    session.rename(&to, &to, RenamePolicy::Direct).await.unwrap();
    let result = session.rename(&to, &from, RenamePolicy::Direct).await;
    assert_eq!(code(result).0, "sftp.unsupported");
}

async fn moves_into_a_directory_that_is_made(world: World) {
    let session = world.connect().await;
    std::fs::write(world.folder.join("f.csv"), b"x").unwrap();
    let done = world.remote("done/2026/");
    let target = session.move_to(&world.remote("f.csv"), &done).await.unwrap();
    assert_eq!(target, world.remote("done/2026/f.csv"));
    assert_eq!(std::fs::read(world.folder.join("done/2026/f.csv")).unwrap(), b"x");
    std::fs::write(world.folder.join("f.csv"), b"y").unwrap();
    let result = session.move_to(&world.remote("f.csv"), &done).await;
    assert_eq!(code(result).0, "sftp.target_exists");
}

async fn makes_directories_on_the_way(world: World) {
    let session = world.connect().await;
    for _ in 0..2 {
        session.mkdir_all(&world.remote("a/b c/d")).await.unwrap();
        assert!(world.folder.join("a/b c/d").is_dir());
    }
    std::fs::write(world.folder.join("file"), b"").unwrap();
    assert!(session.mkdir_all(&world.remote("file/below")).await.is_err());
}

async fn removes_files(world: World) {
    let session = world.connect().await;
    std::fs::write(world.folder.join("f"), b"").unwrap();
    session.remove(&world.remote("f")).await.unwrap();
    assert!(!world.folder.join("f").exists());
    let result = session.remove(&world.remote("f")).await;
    assert_eq!(code(result).0, "sftp.no_such_file");
}

async fn sets_times(world: World) {
    let session = world.connect().await;
    std::fs::write(world.folder.join("f"), b"abc").unwrap();
    session.set_times(&world.remote("f"), 1_234_567_890).await.unwrap();
    let found = session.stat(&world.remote("f")).await.unwrap().unwrap();
    assert_eq!((found.mtime, found.size), (1_234_567_890, 3));
}

async fn resolves_paths(world: World) {
    let session = world.connect().await;
    let dotted = format!("{}/./../{}", world.remote, "files");
    let real = session.real_path(&dotted).await.unwrap();
    assert_eq!(session.stat(&real).await.unwrap().unwrap().kind, Kind::Directory);
    assert!(real.starts_with('/') && real.ends_with("/files") && !real.contains(".."), "{real}");
}

async fn eight_readers_share_a_session(world: World) {
    let session = world.connect().await;
    let mut tasks = Vec::new();
    for number in 0..8_u64 {
        let data = noise(6_000_000 + number as usize, number + 1);
        std::fs::write(world.folder.join(number.to_string()), &data).unwrap();
        let (session, path) = (session.clone(), world.remote(&number.to_string()));
        tasks.push(tokio::spawn(async move { same(&get(&session, &path, 0).await, &data) }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

async fn readers_and_writers_share_a_session(world: World) {
    let session = world.connect().await;
    let data = noise(30_000_000, 5);
    std::fs::write(world.folder.join("source"), &data).unwrap();
    let mut tasks = Vec::new();
    for number in 0..6 {
        let (session, data) = (session.clone(), data.clone());
        let (source, target) = (world.remote("source"), world.remote(&format!("w{number}")));
        tasks.push(tokio::spawn(async move {
            if number % 2 == 0 {
                same(&get(&session, &source, 0).await, &data);
            } else {
                put(&session, &target, &data).await;
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    for number in [1, 3, 5] {
        same(&std::fs::read(world.folder.join(format!("w{number}"))).unwrap(), &data);
    }
}

async fn a_cancelled_read_loses_nothing(world: World) {
    let session = world.connect().await;
    let data = noise(3_000_000, 9);
    std::fs::write(world.folder.join("f"), &data).unwrap();
    let mut reader = session.reader(&world.remote("f"), 0).await.unwrap();
    let mut found = Vec::new();
    loop {
        let piece = tokio::select! {
            biased;
            piece = reader.next() => piece,
            () = tokio::task::yield_now() => continue,
        };
        match piece.unwrap() {
            Some(piece) => found.extend_from_slice(&piece),
            None => break,
        }
    }
    same(&found, &data);
}

async fn losing_the_connection_while_reading(mut world: World) {
    let session = world.connect().await;
    std::fs::write(world.folder.join("f"), noise(64 << 20, 2)).unwrap();
    let mut reader = session.reader(&world.remote("f"), 0).await.unwrap();
    assert!(reader.next().await.unwrap().is_some());
    world.kill();
    let error = loop {
        match reader.next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("half a file was taken for a whole one"),
            Err(error) => break error,
        }
    };
    assert_eq!(code::<()>(Err(error)), ("sftp.connection_lost", ErrorClass::Transient));
    assert_eq!(code(session.stat("/").await), ("sftp.connection_lost", ErrorClass::Transient));
    let again = Session::connect(&world.endpoint, &world.credentials).await;
    assert_eq!(code(again), ("sftp.connect_refused", ErrorClass::Transient));
}

async fn losing_the_connection_while_writing(mut world: World) {
    let session = world.connect().await;
    let mut writer = session.writer(&world.remote("f"), WriteMode::Truncate).await.unwrap();
    let piece = Bytes::from(noise(1 << 20, 2));
    writer.write(piece.clone()).await.unwrap();
    world.kill();
    let error = loop {
        if let Err(error) = writer.write(piece.clone()).await {
            break error;
        }
    };
    assert_eq!(code::<()>(Err(error)), ("sftp.connection_lost", ErrorClass::Transient));
    assert!(writer.finish().await.is_err());
}

async fn a_closed_session_says_so(world: World) {
    let session = world.connect().await;
    let other = session.clone();
    session.close().await;
    session.close().await;
    assert_eq!(code(other.stat("/").await).0, "sftp.connection_lost");
}

async fn a_wrong_host_key_is_named(world: World) {
    let right = world.endpoint.host_keys[0].clone();
    let wrong = format!("SHA256:{}", "A".repeat(43));
    let mut endpoint = world.endpoint.clone();
    endpoint.host_keys = vec![wrong.clone()];
    let error = match Session::connect(&endpoint, &world.credentials).await {
        Ok(_) => panic!("a wrong host key was accepted"),
        Err(error) => error,
    };
    let text = error.to_string();
    assert!(text.contains(&right) && text.contains(&wrong), "{text}");
    assert!(text.contains(&endpoint.server()), "{text}");
    assert_eq!(code::<()>(Err(error)), ("sftp.host_key_changed", ErrorClass::Misconfigured));
}

async fn no_pinned_host_key_is_refused(world: World) {
    for pins in [vec![], vec!["MD5:00:11:22".to_owned()]] {
        let mut endpoint = world.endpoint.clone();
        endpoint.host_keys = pins;
        let result = Session::connect(&endpoint, &world.credentials).await;
        assert_eq!(code(result), ("sftp.host_key_missing", ErrorClass::Misconfigured));
    }
}

async fn a_second_pinned_key_is_accepted(mut world: World) {
    world.endpoint.host_keys.insert(0, format!("SHA256:{}", "A".repeat(43)));
    world.connect().await.close().await;
}

async fn hashes_where_it_can(world: World) {
    let session = world.connect().await;
    let data = noise(3_000_001, 21);
    std::fs::write(world.folder.join("f"), &data).unwrap();
    let found = session.server_hash(&world.remote("f"), data.len() as u64).await.unwrap();
    let hash: [u8; 32] = Sha256::digest(&data).into();
    assert_eq!(found, world.kind.differs(Difference::Hashes).then_some(hash));
    assert_eq!(session.server_hash(&world.remote("f"), 0).await.unwrap(), None);
    assert_eq!(session.server_hash(&world.remote("f"), 1 << 32).await.unwrap(), None);
    if found.is_some() {
        let result = session.server_hash(&world.remote("absent"), 5).await;
        assert_eq!(code(result).0, "sftp.no_such_file");
    }
}

async fn tells_free_space_where_it_can(world: World) {
    let session = world.connect().await;
    let free = session.free_bytes(&world.remote).await.unwrap();
    assert_eq!(free.is_some(), session.capabilities().statvfs);
    session.refuse_full(&world.remote, 1).await.unwrap();
    let refused = session.refuse_full(&world.remote, u64::MAX).await;
    if free.is_some() {
        let error = refused.unwrap_err();
        assert!(error.to_string().contains("18446744073709551615 are needed"), "{error}");
        assert_eq!(code::<()>(Err(error)), ("sftp.disk_full", ErrorClass::Transient));
    } else {
        refused.unwrap();
    }
}

async fn a_small_end_over_all_is_kept(world: World) {
    let session = world.connect().await;
    std::fs::write(world.folder.join("f"), b"abc").unwrap();
    session.end_after(std::time::Duration::ZERO);
    assert_eq!(code(session.stat("/").await), ("sftp.deadline", ErrorClass::Transient));
    session.end_after(std::time::Duration::MAX);
    assert!(session.stat(&world.remote("f")).await.unwrap().is_some());
    session.close().await;
}
