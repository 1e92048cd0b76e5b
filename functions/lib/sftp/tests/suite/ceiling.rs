//! The ceiling over all processes of a machine: counted where it matters, among the kernel's sockets.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sftp::{Credentials, Endpoint, Session, share_connections};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::conformance::{get, same};
use crate::world::{World, endpoint, noise, wait_until};

/// What a partner allows.
const NINE: u32 = 9;
/// Sessions that each process wants at once.
const WANTED: usize = 12;
const FILE_BYTES: usize = 3_000_001;
/// The file that lets the processes' sessions go.
const DONE: &str = "done";

/// Established connections of this machine to that port, by the kernel's table.
fn connections_to(port: u16) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let remote = format!(":{port:04X}");
    let rows = table.lines().skip(1).map(|row| row.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row[2].ends_with(&remote) && row[3] == "01").count()
}

/// The most that were seen at once while `busy`.
fn watch(port: u16, busy: &Arc<AtomicBool>) -> std::thread::JoinHandle<usize> {
    let busy = Arc::clone(busy);
    std::thread::spawn(move || {
        let mut most = 0;
        while busy.load(Ordering::SeqCst) {
            most = most.max(connections_to(port));
            std::thread::sleep(Duration::from_millis(1));
        }
        most
    })
}

/// Every session reads the whole file and is held until there is that file; all are wanted at once.
async fn crowd(
    endpoint: &Endpoint,
    credentials: &Credentials,
    path: &str,
    data: &[u8],
    held_until: Option<PathBuf>,
) {
    let mut tasks = Vec::new();
    for _ in 0..WANTED {
        let (endpoint, credentials) = (endpoint.clone(), credentials.clone());
        let (path, data, held_until) = (path.to_owned(), data.to_vec(), held_until.clone());
        tasks.push(tokio::spawn(async move {
            let session = Session::connect_within(&endpoint, &credentials, NINE).await.unwrap();
            same(&get(&session, &path, 0).await, &data);
            while held_until.as_ref().is_some_and(|file| !file.exists()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            session.close().await;
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

/// What the other processes do: this test starts itself again with a place to go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn worker() {
    let Ok(told) = std::env::var("CEILING_WORKER") else { return };
    let told: Vec<&str> = told.split('|').collect();
    let [port, username, pin, key, folder, path] = told[..] else { panic!("{told:?}") };
    share_connections(folder.as_ref()).unwrap();
    let endpoint = endpoint(port.parse().unwrap(), username, vec![pin.to_owned()]);
    let credentials = Credentials::private_key(&std::fs::read_to_string(key).unwrap());
    let done = Path::new(folder).join(DONE);
    crowd(&endpoint, &credentials, path, &noise(FILE_BYTES, 1), Some(done)).await;
}

fn process(world: &World, folder: &str) -> Child {
    let key = world.folder.parent().unwrap().join("user").display().to_string();
    let (port, pin) = (world.endpoint.port.to_string(), &world.endpoint.host_keys[0]);
    let path = world.remote("f");
    let told: [&str; 6] = [&port, &world.endpoint.username, pin, &key, folder, &path];
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "ceiling::worker", "--nocapture"])
        .env("CEILING_WORKER", told.join("|"))
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Two processes, each of which wants more than the ceiling, until `full` are held or any; the most
/// connections at once.
fn two_processes(max_startups: &str, full: Option<usize>) -> usize {
    let config = format!("MaxStartups {max_startups}\nMaxSessions 1");
    let world = World::openssh_with(&["ed25519"], &["-t", "ed25519"], "", &config);
    std::fs::write(world.folder.join("f"), noise(FILE_BYTES, 1)).unwrap();
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().to_str().unwrap();
    let busy = Arc::new(AtomicBool::new(true));
    let watching = watch(world.endpoint.port, &busy);
    let processes = [process(&world, folder), process(&world, folder)];
    // Nobody closes anything yet: of those that wait, more would have come in these looks.
    let mut quiet = 0;
    wait_until("no more come", || {
        let now = connections_to(world.endpoint.port);
        let enough = full.map_or(now > 0, |full| now >= full);
        quiet = if enough { quiet + 1 } else { 0 };
        quiet > 50
    });
    std::fs::write(temporary.path().join(DONE), b"").unwrap();
    for mut process in processes {
        assert!(process.wait().unwrap().success(), "a process did not read its files");
    }
    busy.store(false, Ordering::SeqCst);
    watching.join().unwrap()
}

/// Keeps what is told as a metric: its text and its number.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<(String, u64)>>>);

impl Subscriber for Told {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == domain::METRICS
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        self.0.lock().unwrap().push((line.server, line.number));
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Line {
    server: String,
    number: u64,
}

impl Visit for Line {
    fn record_u64(&mut self, field: &Field, value: u64) {
        assert_eq!(field.name(), "sftp_connections_at_once");
        self.number = value;
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        assert_eq!(field.name(), "server");
        value.clone_into(&mut self.server);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        panic!("{field} {value:?}");
    }
}

#[tokio::test]
async fn a_session_that_is_closed_tells_once_what_the_account_may_have() {
    let told = Told::default();
    let _told_here = tracing::subscriber::set_default(told.clone());
    let world = World::embedded().await;
    let connect = Session::connect_within(&world.endpoint, &world.credentials, NINE);
    let session = connect.await.unwrap();
    assert_eq!(*told.0.lock().unwrap(), []);
    for _ in 0..2 {
        session.close().await;
        assert_eq!(*told.0.lock().unwrap(), [(world.endpoint.server(), u64::from(NINE))]);
    }
}

#[test]
fn two_processes_together_hold_nine_connections_at_most() {
    let most = two_processes("2:100:2", Some(NINE as usize));
    assert_eq!(most, NINE as usize, "connections at once");
}

#[test]
fn a_server_that_lets_one_log_in_at_a_time_gets_everything_done() {
    let most = two_processes("1:100:1", None);
    assert!((1..=NINE as usize).contains(&most), "{most} connections at once");
}

#[test]
fn what_a_killed_process_held_is_free_at_once() {
    let world = World::openssh();
    std::fs::write(world.folder.join("f"), noise(FILE_BYTES, 1)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut first = process(&world, folder.path().to_str().unwrap());
    wait_until("it holds connections", || connections_to(world.endpoint.port) > 0);
    first.kill().unwrap();
    first.wait().unwrap();
    std::fs::write(folder.path().join(DONE), b"").unwrap();
    let mut second = process(&world, folder.path().to_str().unwrap());
    assert!(second.wait().unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fewer_are_held_once_a_real_server_turns_one_away() {
    let world = World::proftpd_as(true, false, "MaxClients 3");
    let folder = tempfile::tempdir().unwrap();
    share_connections(folder.path()).unwrap();
    let (endpoint, credentials) = (world.endpoint.clone(), world.credentials.clone());
    let connect = || Session::connect_within(&endpoint, &credentials, NINE);
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(connect().await.unwrap());
    }
    let at_once = || held[0].effective().connections_at_once;
    assert_eq!(at_once(), Some(NINE));
    {
        let mut fourth = std::pin::pin!(connect());
        while at_once() == Some(NINE) {
            tokio::select! {
                refused = &mut fourth => panic!("{refused:?} although three are held"),
                () = tokio::time::sleep(Duration::from_millis(10)) => {}
            }
        }
        assert_eq!(at_once(), Some(3));
        held.pop().unwrap().close().await;
        fourth.await.unwrap().close().await;
    }
    // Later ones know before they ask.
    let data = noise(FILE_BYTES, 1);
    std::fs::write(world.folder.join("f"), &data).unwrap();
    for session in held {
        session.close().await;
    }
    crowd(&world.endpoint, &world.credentials, &world.remote("f"), &data, None).await;
}
