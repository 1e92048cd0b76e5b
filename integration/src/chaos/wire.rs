//! A door before an SFTP server: hands bytes on, and cuts or stops some connections at a drawn byte of
//! either direction, or refuses them. Host keys are pinned by key, so nobody minds the port.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use super::http::reset;
use super::plan::{Door, Fault};
use super::rules::{Deed, Rules};

const PIECE_BYTES: usize = 16 << 10;

/// Opens a door before a port of this machine and returns its own port.
pub(super) async fn open(rules: &Arc<Rules>, door: Door, server: u16) -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let port = listener.local_addr()?.port();
    let rules = Arc::clone(rules);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let rules = Arc::clone(&rules);
            // A connection that ends early is what this is for.
            tokio::spawn(async move { carry(&rules, door, client, server).await });
        }
    });
    Ok(port)
}

async fn carry(rules: &Rules, door: Door, client: TcpStream, server: u16) -> io::Result<()> {
    let deed = rules.connection(door);
    if let Some(deed) = &deed
        && deed.aim.fault == Fault::Cut
        && deed.aim.variety(5) == 0
    {
        rules.struck(deed, "refused");
        return reset(&client);
    }
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
    }
    let hard = deed.as_ref().is_some_and(|deed| deed.aim.variety(2) == 0);
    if hard {
        // Whoever is cut off hears it at once; without, bytes on their way still come.
        for stream in [&client, &server] {
            stream.set_zero_linger()?;
        }
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let up = deed.as_ref().is_some_and(|deed| deed.aim.variety(4) < 2);
    let [up, down] = [(up, true), (!up, false)].map(|(meant, _)| deed.as_ref().filter(|_| meant));
    let up = Way { rules, deed: up }.pass(from_client, to_server);
    let down = Way { rules, deed: down }.pass(from_server, to_client);
    // The first that is cut ends both.
    tokio::try_join!(up, down).map(drop)
}

/// One direction of a connection.
struct Way<'a> {
    rules: &'a Rules,
    deed: Option<&'a Deed>,
}

impl Way<'_> {
    async fn pass(mut self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> io::Result<()> {
        let mut piece = vec![0; PIECE_BYTES];
        let mut passed = 0;
        loop {
            let read = from.read(&mut piece).await?;
            if read == 0 {
                return to.shutdown().await;
            }
            let mut rest = &piece[..read];
            if let Some(deed) = self.deed.filter(|deed| passed + read as u64 > deed.aim.bytes) {
                let (before, after) = rest.split_at((deed.aim.bytes - passed) as usize);
                to.write_all(before).await?;
                rest = after;
                self.deed = None;
                self.befall(deed, passed + before.len() as u64).await?;
            }
            to.write_all(rest).await?;
            passed += read as u64;
        }
    }

    /// An error ends the connection.
    async fn befall(&self, deed: &Deed, at: u64) -> io::Result<()> {
        match deed.aim.fault {
            Fault::Kill | Fault::Freeze => self.rules.hold(deed, &format!("at byte {at}")).await,
            Fault::Stall => {
                tokio::time::sleep(Duration::from_millis(deed.aim.millis)).await;
                if deed.aim.variety(3) > 0 {
                    self.rules.struck(deed, "went on");
                    return Ok(());
                }
                self.rules.struck(deed, "silent, then cut");
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            _ => {
                self.rules.struck(deed, if deed.aim.variety(2) == 0 { "reset" } else { "ended" });
                return Err(io::ErrorKind::ConnectionReset.into());
            }
        }
        Ok(())
    }
}
