//! One hop of the data plane as a process of its own, for the peers are processes too: the libraries
//! that the stages call, with a file or nothing in the place of S3.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use archive::{Entry, Limits, MemberWriter, Options, Sink, Source};
use bytes::Bytes;
use jiff::Timestamp;
use openpgp::{Recipient, SealOptions};
use records::{Csv, Model, Partial, RangeCounter};
use serde::{Deserialize, Serialize};
use sftp::{
    Algorithms, Credentials, Endpoint, REKEY_BYTES, RenamePolicy, Session, Timeouts, WriteMode,
};
use tokio::sync::mpsc;

/// Connections to a partner at a time, as the profile has it by default.
const CONNECTIONS: usize = 9;
/// Small files that share one connection, as `plan` packs them.
const FILES_OF_A_CONNECTION: usize = 64;
/// Transfers of one connection at a time, as the profile has it by default.
const TRANSFERS: usize = 4;
/// What is written to S3 in one part.
const PART_BYTES: usize = 8 << 20;
/// What one thread counts at a time.
const RANGE_BYTES: u64 = 8 << 20;
const PIECE_BYTES: usize = 256 << 10;
/// Pieces between the network and a file.
const PIECES_AHEAD: usize = 4;

/// Where a hop connects.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Server {
    /// TCP port on 127.0.0.1.
    pub port: u16,
    /// The account.
    pub username: String,
    /// The pinned host key.
    pub host_key: String,
    /// The private key's text.
    pub key: String,
}

/// Does what the arguments say: `get SERVER INTO PATH…`, `put SERVER DIRECTORY FILE…`,
/// `unpack ARCHIVE INTO`, `count THREADS FILE`, `seal CERTIFICATE FILE INTO`.
pub fn main(words: &[&str]) {
    match *words {
        ["get", server, into, ref paths @ ..] => get(server, into, paths),
        ["put", server, directory, ref files @ ..] => put(server, directory, files),
        ["unpack", archive, into] => unpack(Path::new(archive), Path::new(into)),
        ["count", threads, file] => count(threads.parse().expect("a number"), Path::new(file)),
        ["seal", certificate, file, into] => seal(certificate, file, into),
        _ => panic!("no such hop: {words:?}"),
    }
}

fn get(server: &str, into: &str, paths: &[&str]) {
    let into = into.to_owned();
    each(server, paths, move |session, path| {
        let into = into.clone();
        async move {
            let mut reader = session.reader(&path, 0).await.expect("the file");
            let file = local(&into, &path);
            let (send, receive) = mpsc::channel::<Bytes>(PIECES_AHEAD);
            let written = tokio::task::spawn_blocking(move || write_all(file, receive));
            while let Some(piece) = reader.next().await.expect("a piece") {
                send.send(piece).await.expect("the file's thread");
            }
            drop(send);
            written.await.expect("the file's thread");
        }
    });
}

/// A file as it comes over the network, on a thread of its own.
fn write_all(mut file: File, mut pieces: mpsc::Receiver<Bytes>) {
    while let Some(piece) = pieces.blocking_recv() {
        file.write_all(&piece).expect("room");
    }
}

/// A file on its way to the network, on a thread of its own.
fn read_all(mut file: File, pieces: &mpsc::Sender<Bytes>) {
    loop {
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        let read = (&mut file).take(PIECE_BYTES as u64).read_to_end(&mut piece).expect("bytes");
        if read == 0 || pieces.blocking_send(piece.into()).is_err() {
            return;
        }
    }
}

fn local(into: &str, path: &str) -> File {
    let name = path.rsplit('/').next().unwrap_or(path);
    let place = if into == "/dev/null" { PathBuf::from(into) } else { Path::new(into).join(name) };
    File::create(place).expect("a file of our own")
}

fn put(server: &str, directory: &str, files: &[&str]) {
    let directory = directory.to_owned();
    each(server, files, move |session, path| {
        let directory = directory.clone();
        async move {
            let name = path.rsplit('/').next().unwrap_or(&path);
            let (temporary, last) =
                (format!("{directory}/.{name}.tmp"), format!("{directory}/{name}"));
            let file = File::open(&path).expect("a file of our own");
            let (send, mut receive) = mpsc::channel::<Bytes>(PIECES_AHEAD);
            let read = tokio::task::spawn_blocking(move || read_all(file, &send));
            let mut writer = session.writer(&temporary, WriteMode::Truncate).await.expect("a file");
            while let Some(piece) = receive.recv().await {
                writer.write(piece).await.expect("the server takes it");
            }
            read.await.expect("the file's thread");
            writer.finish().await.expect("all of it arrived");
            session.rename(&temporary, &last, RenamePolicy::Posix).await.expect("a new name");
        }
    });
}

/// Shares the paths out among connections, and among the transfers of each.
fn each<F, W>(server: &str, paths: &[&str], work: F)
where
    F: Fn(Session, String) -> W + Clone + Send + Sync + 'static,
    W: Future<Output = ()> + Send + 'static,
{
    let server: Server = serde_json::from_slice(&std::fs::read(server).expect("a server's file"))
        .expect("a server's file");
    let paths: VecDeque<String> = paths.iter().flat_map(|path| listed(path)).collect();
    let connections = paths.len().div_ceil(FILES_OF_A_CONNECTION).min(CONNECTIONS);
    let queue = Arc::new(Mutex::new(paths));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..connections {
            let (server, queue, work) = (server.clone(), Arc::clone(&queue), work.clone());
            tasks.spawn(async move {
                let session = connect(&server).await;
                let one = || async {
                    while let Some(path) = next(&queue) {
                        work(session.clone(), path).await;
                    }
                };
                futures::future::join_all((0..TRANSFERS).map(|_| one())).await;
                session.close().await;
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.expect("a connection");
        }
    });
}

fn next(queue: &Mutex<VecDeque<String>>) -> Option<String> {
    queue.lock().expect("the queue").pop_front()
}

/// A path that ends in `/` means every file in that folder, which both ends see.
fn listed(path: &str) -> Vec<String> {
    if !path.ends_with('/') {
        return vec![path.to_owned()];
    }
    let entries = std::fs::read_dir(path).expect("a folder");
    entries.map(|entry| entry.expect("an entry").path().display().to_string()).collect()
}

async fn connect(server: &Server) -> Session {
    let endpoint = Endpoint {
        host: "127.0.0.1".to_owned(),
        port: server.port,
        username: server.username.clone(),
        host_keys: vec![server.host_key.clone()],
        algorithms: Algorithms::Default,
        timeouts: Timeouts::default(),
        rekey_bytes: REKEY_BYTES,
    };
    let credentials = Credentials::private_key(&server.key);
    Session::connect(&endpoint, &credentials).await.expect("a login")
}

struct Packed(File, u64);

impl Source for Packed {
    fn len(&self) -> u64 {
        self.1
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn stream(&self, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(io::BufReader::with_capacity(PIECE_BYTES, At(self.0.try_clone()?, offset))))
    }
}

/// A stream of its own over a file that others read too.
struct At(File, u64);

impl Read for At {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read_at(buffer, self.1)?;
        self.1 += read as u64;
        Ok(read)
    }
}

struct Folder<'a>(&'a Path);

impl Sink for Folder<'_> {
    fn wanted(&self, _: &Entry) -> io::Result<bool> {
        Ok(true)
    }

    fn begin(&self, entry: &Entry) -> io::Result<Box<dyn MemberWriter>> {
        let path = self.0.join(entry.path.replace('/', "_"));
        Ok(Box::new(Member(BufWriter::with_capacity(PART_BYTES, File::create(path)?))))
    }
}

struct Member(BufWriter<File>);

impl Write for Member {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl MemberWriter for Member {
    fn commit(mut self: Box<Self>) -> io::Result<()> {
        self.0.flush()
    }
}

fn unpack(archive: &Path, into: &Path) {
    let mut file = File::open(archive).expect("the archive");
    let len = file.seek(SeekFrom::End(0)).expect("its length");
    let name = archive.file_name().expect("a name").to_string_lossy();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let options = Options { parallelism: threads, ..Options::default() };
    let packed = Packed(file, len);
    archive::unpack(&packed, &name, &Limits::default(), &options, &Folder(into)).expect("members");
}

fn count(threads: usize, path: &Path) {
    let model = Model::Csv(Csv::default());
    let file = File::open(path).expect("the file");
    let len = file.metadata().expect("its length").len();
    let ranges = usize::try_from(len.div_ceil(RANGE_BYTES)).expect("not so many");
    let next = AtomicUsize::new(0);
    let work = || {
        let mut buffer = vec![0; PIECE_BYTES];
        let mut counted = Vec::new();
        loop {
            let range = next.fetch_add(1, Ordering::Relaxed);
            if range >= ranges {
                return counted;
            }
            let counter =
                if range == 0 { RangeCounter::first(&model) } else { RangeCounter::any(&model) };
            let mut counter = counter.expect("a model of ranges");
            let mut at = range as u64 * RANGE_BYTES;
            let end = (at + RANGE_BYTES).min(len);
            while at < end {
                let room = PIECE_BYTES.min(usize::try_from(end - at).expect("a small number"));
                let read = file.read_at(&mut buffer[..room], at).expect("bytes");
                counter.update(&buffer[..read]);
                at += read as u64;
            }
            counted.push((range, counter.finish()));
        }
    };
    let mut counted: Vec<(usize, Partial)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mine = work();
        let others = workers.into_iter().flat_map(|worker| worker.join().expect("a worker"));
        mine.into_iter().chain(others).collect()
    });
    counted.sort_by_key(|&(range, _)| range);
    let sum = |sum: Partial, (_, part): &(usize, Partial)| sum.combine(part).expect("one file");
    let whole = counted.iter().fold(Partial::identity(), sum);
    println!("{}", whole.finish(&model, 1, 0).expect("a count").records);
}

fn seal(certificate: &str, file: &str, into: &str) {
    let certificate = std::fs::read(certificate).expect("a certificate");
    let recipient = Recipient::parse(&certificate, Timestamp::now()).expect("a usable certificate");
    let mut plain = File::open(file).expect("the file");
    let mut sealed = File::create(into).expect("room");
    openpgp::seal(&[&recipient], &SealOptions::default(), &mut plain, &mut sealed).expect("sealed");
}
