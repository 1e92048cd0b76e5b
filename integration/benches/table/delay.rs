//! A long way on one machine: a proxy that hands on every byte after a fixed time, in both
//! directions, as fast as it comes.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// What may be on the way at a time: a line of 1 GiB/s would hold as much.
const PIECES_ON_THE_WAY: usize = 4096;
const PIECE_BYTES: usize = 64 << 10;

/// The proxy; it ends with the process.
pub struct Delay {
    /// Its port on 127.0.0.1.
    pub port: u16,
}

impl Delay {
    /// Stands before a port of this machine.
    pub fn start(before: u16, one_way: Duration) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("its number").port();
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let near = near.expect("a connection");
                let far = TcpStream::connect((Ipv4Addr::LOCALHOST, before)).expect("the server");
                for stream in [&near, &far] {
                    stream.set_nodelay(true).expect("a socket");
                }
                carry(
                    near.try_clone().expect("a socket"),
                    far.try_clone().expect("a socket"),
                    one_way,
                );
                carry(far, near, one_way);
            }
        });
        Self { port }
    }
}

/// One direction: a thread takes what comes and when, another hands it on when its time has come.
fn carry(mut from: TcpStream, mut to: TcpStream, one_way: Duration) {
    let (send, receive) = mpsc::sync_channel::<(Instant, Vec<u8>)>(PIECES_ON_THE_WAY);
    std::thread::spawn(move || {
        let mut piece = vec![0; PIECE_BYTES];
        while let Ok(len @ 1..) = from.read(&mut piece) {
            if send.send((Instant::now() + one_way, piece[..len].to_vec())).is_err() {
                break;
            }
        }
    });
    std::thread::spawn(move || {
        for (when, piece) in receive {
            std::thread::sleep(when.saturating_duration_since(Instant::now()));
            if to.write_all(&piece).is_err() {
                break;
            }
        }
        // The other end may be gone already.
        drop(to.shutdown(Shutdown::Write));
    });
}
