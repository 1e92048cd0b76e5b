//! Large windows: one at a time in the whole process, waited for with an eye on the clock, and never
//! by two who hold what the other needs.

use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use archive::{Entry, Limits, MemberWriter, Options, Sink, unpack};
use domain::{ErrorClass, Failure};
use liblzma::stream::{Check, Filters, LzmaOptions, Stream};

use crate::world::*;

/// These tests watch something that the process has once.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// How long the others may take to get as far as they should.
const PATIENCE: Duration = Duration::from_secs(20);
const BODY: &[u8] = b"id,name\n1,a\n2,b\n";

fn xz(body: &[u8], dictionary: u32) -> Vec<u8> {
    let mut lzma = LzmaOptions::new_preset(0).unwrap();
    lzma.dict_size(dictionary);
    let mut filters = Filters::new();
    filters.lzma2(&lzma);
    let stream = Stream::new_stream_encoder(&filters, Check::Crc32).unwrap();
    let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

/// A zstd stream of a window of 16 MiB.
fn wide_zstd(body: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(24).unwrap();
    // Without a flush the whole would be one segment, whose window is its length.
    encoder.write_all(&body[..1]).unwrap();
    encoder.flush().unwrap();
    encoder.write_all(&body[1..]).unwrap();
    encoder.finish().unwrap()
}

/// Counts who writes at the same time, and holds everybody until the gate is open.
#[derive(Default)]
struct Watch {
    inside: AtomicUsize,
    most: AtomicUsize,
    begun: AtomicUsize,
    committed: AtomicUsize,
    /// How often the sink is asked before it says that time is up; without a number it never is.
    patience: Mutex<Option<usize>>,
    /// How long every write takes.
    linger: Duration,
    open: Mutex<bool>,
    opened: Condvar,
}

impl Watch {
    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    fn wait_for(&self, begun: usize) {
        let start = Instant::now();
        while self.begun.load(Ordering::SeqCst) < begun {
            if start.elapsed() > PATIENCE {
                self.open();
                panic!("{begun} did not begin");
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

struct Watched(Arc<Watch>);

struct Visit(Arc<Watch>);

impl Sink for Watched {
    fn wanted(&self, _: &Entry) -> io::Result<bool> {
        Ok(true)
    }

    fn begin(&self, _: &Entry) -> io::Result<Box<dyn MemberWriter>> {
        let inside = self.0.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.most.fetch_max(inside, Ordering::SeqCst);
        self.0.begun.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(Visit(self.0.clone())))
    }

    fn stop(&self) -> bool {
        match &mut *self.0.patience.lock().unwrap() {
            None => false,
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
        }
    }
}

impl Write for Visit {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let mut open = self.0.open.lock().unwrap();
        while !*open {
            open = self.0.opened.wait(open).unwrap();
        }
        drop(open);
        thread::sleep(self.0.linger);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MemberWriter for Visit {
    fn commit(self: Box<Self>) -> io::Result<()> {
        self.0.committed.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::SeqCst);
    }
}

fn run(bytes: &[u8], watch: &Arc<Watch>) -> Result<archive::Outcome, archive::Error> {
    let options = Options { parallelism: 4, ..Options::default() };
    let sink = Watched(watch.clone());
    unpack(&Memory::new(bytes), "x", &Limits::default(), &options, &sink)
}

/// A zip whose members are compressed by `pack` with that method.
fn zip_with(method: u16, members: usize, packed: &[u8]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    let mut crc = flate2::Crc::new();
    crc.update(BODY);
    for at in 0..members {
        let mut common = vec![20, 0, 0, 8];
        common.extend(method.to_le_bytes());
        common.extend([0, 0, 0x21, 0]);
        for word in [crc.sum(), packed.len() as u32, BODY.len() as u32] {
            common.extend(word.to_le_bytes());
        }
        common.extend([2, 0, 0, 0]);
        let name = format!("m{at}");
        directory.extend([b"PK\x01\x02\x14\x03".as_slice(), &common, &[0; 10]].concat());
        directory.extend((out.len() as u32).to_le_bytes());
        directory.extend(name.as_bytes());
        out.extend([b"PK\x03\x04", &common[..], name.as_bytes(), packed].concat());
    }
    let count = (members as u16).to_le_bytes();
    let (length, start) = (directory.len() as u32, out.len() as u32);
    out.extend(directory);
    out.extend([b"PK\x05\x06\0\0\0\0".as_slice(), &count, &count].concat());
    out.extend([&length.to_le_bytes()[..], &start.to_le_bytes(), &[0, 0]].concat());
    out
}

#[test]
fn only_one_large_window_is_open_in_the_process() {
    let _alone = alone();
    let tar = tar_of(&[("a", BODY)]);
    let large = [
        xz(BODY, 64 << 20),
        xz(&tar, 9 << 20),
        wide_zstd(BODY),
        wide_zstd(&tar),
        zip_with(95, 3, &xz(BODY, 64 << 20)),
        zip_with(93, 3, &wide_zstd(BODY)),
    ];
    let watch = Arc::new(Watch { linger: Duration::from_millis(30), ..Watch::default() });
    watch.open();
    thread::scope(|scope| {
        for bytes in &large {
            scope.spawn(|| run(bytes, &watch).unwrap());
        }
    });
    assert_eq!(watch.committed.load(Ordering::SeqCst), 10);
    assert_eq!(watch.most.load(Ordering::SeqCst), 1, "two large windows at a time");
}

#[test]
fn usual_windows_wait_for_nobody() {
    let _alone = alone();
    let usual = [
        xz(BODY, 8 << 20),
        zstd::encode_all(BODY, 19).unwrap(),
        gzip(BODY),
        zip_with(95, 1, &xz(BODY, 8 << 20)),
        zip_with(93, 1, &zstd::encode_all(BODY, 3).unwrap()),
    ];
    let watch = Arc::new(Watch::default());
    thread::scope(|scope| {
        scope.spawn(|| run(&xz(BODY, 64 << 20), &watch).unwrap());
        for bytes in &usual {
            scope.spawn(|| run(bytes, &watch).unwrap());
        }
        // All of them are inside although the one with the large window has not ended.
        watch.wait_for(6);
        watch.open();
    });
    assert_eq!(watch.most.load(Ordering::SeqCst), 6);
}

#[test]
fn who_waits_for_room_stops_when_time_is_up() {
    let _alone = alone();
    let (holder, late) = (Arc::new(Watch::default()), Arc::new(Watch::default()));
    let waiting = [xz(BODY, 64 << 20), zip_with(95, 2, &xz(BODY, 64 << 20))];
    thread::scope(|scope| {
        scope.spawn(|| run(&xz(BODY, 64 << 20), &holder).unwrap());
        holder.wait_for(1);
        late.open();
        // There is time when it is asked for the first time, and none when it waits.
        let outcomes = waiting.each_ref().map(|bytes| {
            *late.patience.lock().unwrap() = Some(1);
            run(bytes, &late)
        });
        holder.open();
        for outcome in outcomes {
            let outcome = outcome.unwrap();
            assert!(outcome.more && outcome.members == 0);
        }
    });
    *late.patience.lock().unwrap() = None;
    for bytes in &waiting {
        assert!(!run(bytes, &late).unwrap().more, "the place is free again");
    }
    assert_eq!(late.committed.load(Ordering::SeqCst), 3);
}

/// A member is open when a later stream turns out to need room: waiting there could wait for ever.
#[test]
fn room_that_is_needed_in_the_middle_is_not_waited_for() {
    let _alone = alone();
    let grown = [xz(BODY, 1 << 20), xz(BODY, 64 << 20)].concat();
    let (holder, other) = (Arc::new(Watch::default()), Arc::new(Watch::default()));
    other.open();
    thread::scope(|scope| {
        scope.spawn(|| run(&xz(BODY, 64 << 20), &holder).unwrap());
        holder.wait_for(1);
        let answer = run(&grown, &other);
        holder.open();
        let failure = Failure::from(answer.unwrap_err());
        assert_eq!((failure.class, failure.code.as_ref()), (ErrorClass::Transient, "archive.read"));
        assert!(failure.message.contains("memory"), "{failure}");
    });
    assert_eq!(other.committed.load(Ordering::SeqCst), 0);
    assert_eq!(run(&grown, &other).unwrap().bytes, 2 * BODY.len() as u64);
}

/// A stream is held to the window that its start asks for.
#[test]
fn a_block_that_asks_for_more_than_the_first_is_refused() {
    let _alone = alone();
    let (small, large) = (xz(BODY, 1 << 20), xz(BODY, 64 << 20));
    // Two blocks after one stream header. The footer tells the length of the index before it.
    let block = |whole: &[u8]| {
        let footer = &whole[whole.len() - 12..];
        let index = (u32::from_le_bytes(footer[4..8].try_into().unwrap()) as usize + 1) * 4;
        whole[12..whole.len() - 12 - index].to_vec()
    };
    let joined = [&small[..12], &block(&small), &block(&large)].concat();
    let failure = refusal(&joined, "x.xz", &Limits::default(), &Options::default());
    assert_eq!(failure.code, "archive.unsupported", "{failure}");
    assert!(failure.message.contains("window"), "{failure}");
}
