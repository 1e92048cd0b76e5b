//! How often a source is asked: over the network each request costs a round trip.

use std::io::{self, Read};
use std::sync::Mutex;

use archive::{Limits, Options, Source, unpack};
use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

use crate::world::*;

/// Bytes that come as asked for; notes every request.
#[derive(Default)]
struct Ledger {
    bytes: Vec<u8>,
    reads: Mutex<Vec<(u64, usize)>>,
    streams: Mutex<Vec<u64>>,
}

impl Source for Ledger {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.reads.lock().unwrap().push((offset, buf.len()));
        (&self.bytes[offset as usize..]).read(buf)
    }

    fn stream(&self, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        self.streams.lock().unwrap().push(offset);
        Ok(Box::new(io::Cursor::new(self.bytes[offset as usize..].to_vec())))
    }
}

fn asked(bytes: &[u8], parallelism: usize, shelf: &Shelf) -> (Vec<(u64, usize)>, Vec<u64>) {
    let source = Ledger { bytes: bytes.to_vec(), ..Ledger::default() };
    let limits = Limits { max_entries: 100_000, ..Limits::default() };
    let options = Options { parallelism, ..Options::default() };
    unpack(&source, "x", &limits, &options, shelf).unwrap();
    (source.reads.into_inner().unwrap(), source.streams.into_inner().unwrap())
}

fn stored(count: usize, size: usize) -> Vec<u8> {
    let names: Vec<String> = (0..count).map(|at| format!("folder/member-{at}.csv")).collect();
    let body = sample(3, size);
    let members: Vec<(&str, &[u8])> =
        names.iter().map(|name| (name.as_str(), body.as_slice())).collect();
    let method = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    zip_of(&members, method)
}

#[test]
fn a_small_zip_takes_head_tail_and_one_stream() {
    let (reads, streams) = asked(&stored(200, 10), 4, &Shelf::default());
    assert_eq!(reads.len(), 2, "{reads:?}");
    assert_eq!(streams, [0]);
}

#[test]
fn a_zip_with_a_long_directory_takes_one_stream_more() {
    let bytes = stored(4000, 10);
    let (reads, streams) = asked(&bytes, 1, &Shelf::default());
    assert_eq!(reads.len(), 2, "{reads:?}");
    let directory = bytes.windows(4).position(|four| four == b"PK\x01\x02").unwrap();
    assert_eq!(streams, [directory as u64, 0], "the directory, then all members in one");
}

#[test]
fn a_large_zip_takes_a_request_for_many_neighbours() {
    let bytes = stored(3000, 20_000);
    let shelf = || Shelf { discard: true, ..Shelf::default() };
    let (reads, streams) = asked(&bytes, 1, &shelf());
    assert_eq!((reads.len(), streams.len()), (2, 2), "one worker reads on");
    let (reads, streams) = asked(&bytes, 4, &shelf());
    let batches = bytes.len().div_ceil(4 << 20);
    assert_eq!(reads.len(), 2);
    assert!(streams.len() <= batches + 1, "{} requests for {batches} batches", streams.len());
    assert!(streams.len() >= 4, "{} requests, so the workers did not share", streams.len());
}

#[test]
fn members_that_the_sink_has_are_not_read_again() {
    let bytes = stored(40, 300_000);
    let shelf = Shelf::default();
    for at in 0..39 {
        let path = format!("folder/member-{at}.csv");
        shelf.members.lock().unwrap().insert(path, Vec::new());
    }
    let (reads, streams) = asked(&bytes, 1, &shelf);
    assert_eq!(reads.len(), 2);
    assert_eq!(streams.len(), 1, "only the last member is read: {streams:?}");
    assert!(streams[0] > 39 * 300_000);
}

#[test]
fn streams_and_tars_are_read_in_one_request_besides_the_first_look() {
    let tar = tar_of(&[("a", &sample(1, 3_000_000)), ("b", &sample(2, 3_000_000))]);
    for (bytes, wanted) in [(gzip(&tar), 2), (tar.clone(), 1)] {
        let (reads, streams) = asked(&bytes, 4, &Shelf::default());
        assert_eq!((reads.len(), streams.len()), (1, wanted));
    }
    let shelf = Shelf::default();
    shelf.members.lock().unwrap().insert("a".to_owned(), Vec::new());
    let (_, streams) = asked(&tar, 1, &shelf);
    assert_eq!(streams.len(), 2, "a member that is not wanted is passed over by a jump");
}
