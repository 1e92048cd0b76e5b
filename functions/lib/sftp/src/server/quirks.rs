//! What servers get wrong, on purpose: partners' servers do, and tests rehearse it here.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};

/// How a server falls short. By default it does not.
#[derive(Clone, Debug, Default)]
pub struct Quirks {
    /// Files and directories that may be open at a time.
    pub max_open: Option<usize>,
    /// Says only "failure" when too many files are open.
    pub silent_about_files: bool,
    /// What happens to READs that are not asked one after the other.
    pub reads: Reads,
    /// The connection ends at a packet from the client that is longer.
    pub max_packet_bytes: Option<usize>,
    /// A WRITE of a longer packet is answered with "failure".
    pub max_write_bytes: Option<usize>,
    /// Files may be written and never read.
    pub drop_box: bool,
    /// Renaming over a file is not offered.
    pub no_posix_rename: bool,
    /// What the server makes of a wish for a hash.
    pub hashes: Hashes,
    /// Free space to tell of.
    pub free_bytes: Option<u64>,
    /// Every file seems to end here.
    pub ends_at: Option<u64>,
    /// Reading this byte fails.
    pub bad_sector: Option<u64>,
    /// Every file seems to be longer by so much.
    pub adds_to_sizes: u64,
    /// A directory never ends.
    pub endless_listing: bool,
    /// The connection ends after so many bytes of answers.
    pub hangs_up_after_bytes: Option<usize>,
    /// Where it is remembered that it hung up; it does not do so again then.
    pub hung_up: Option<Arc<AtomicBool>>,
    /// What is wrong with the packets.
    pub wire: WireFault,
    /// After so many bytes of answers the server falls silent and keeps the connection.
    pub stalls_after_bytes: Option<usize>,
    /// What happens to renames.
    pub renames: Renames,
    /// Nothing may be written, renamed or removed.
    pub read_only: bool,
    /// Heeds the owner's bits of files and directories also where the system lets everything pass.
    pub heeds_modes: bool,
    /// Bytes that a file may have, and what is said when it would have more.
    pub room: Option<(u64, &'static str)>,
    /// Connections that are served at a time; more are hung up on before a word.
    pub max_startups: Option<usize>,
    /// Channels that are opened on one connection.
    pub max_sessions: Option<usize>,
}

/// What a server makes of a rename.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Renames {
    /// It renames and says so.
    #[default]
    Done,
    /// posix-rename is announced and then refused as unknown.
    PosixRefused,
    /// It renames, says so and hangs up.
    AnsweredThenHungUp,
    /// It renames and hangs up without a word.
    HungUpUnanswered,
}

impl Renames {
    fn hangs_up(self) -> bool {
        matches!(self, Self::AnsweredThenHungUp | Self::HungUpUnanswered)
    }
}

/// What a server makes of several READs at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reads {
    /// Answers them.
    #[default]
    Parallel,
    /// Answers the first, fails the others.
    OneElseFailure,
    /// Hangs up.
    OneElseHangUp,
}

/// What a server makes of a wish for a hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hashes {
    /// It does not offer them.
    #[default]
    None,
    /// SHA-256 of the file of a path.
    ByName,
    /// SHA-256 of an open file.
    ByHandle,
    /// It knows MD5 only and says so.
    OnlyMd5,
    /// SHA-256, but not of this file.
    Wrong,
    /// It offers them and fails.
    Refused,
}

/// What is wrong with a server's packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WireFault {
    /// Nothing.
    #[default]
    None,
    /// The answers to questions that came together come in the reverse order.
    OutOfOrder,
    /// Every answer comes twice, and then once to a question that nobody asked.
    Repeated,
    /// After the first answer to a READ a packet of 4 GiB is announced.
    GiantPacket,
}

impl Quirks {
    pub(super) fn are_on_the_wire(&self) -> bool {
        self.reads != Reads::Parallel
            || self.max_packet_bytes.is_some()
            || self.max_write_bytes.is_some()
            || self.hangs_up_after_bytes.is_some()
            || self.stalls_after_bytes.is_some()
            || self.renames.hangs_up()
            || self.wire != WireFault::None
    }
}

const READ: u8 = 5;
const WRITE: u8 = 6;
const RENAME: u8 = 18;
const EXTENDED: u8 = 200;
const DATA: u8 = 103;
/// More than a client keeps in flight, so that neither side waits for the other.
const BUFFER_BYTES: usize = 64 << 20;

/// Stands between a client and a server and does what is asked of it.
pub(super) fn between<S>(client: S, quirks: &Quirks) -> DuplexStream
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (server, stream) = tokio::io::duplex(BUFFER_BYTES);
    let mut middle = Middle {
        client,
        server,
        quirks: quirks.clone(),
        questions: BytesMut::new(),
        answers: BytesMut::new(),
        reading: HashSet::new(),
        renaming: HashSet::new(),
        answered_bytes: 0,
    };
    tokio::spawn(async move {
        // Whatever ends it: dropping both streams hangs up.
        while middle.step().await.is_some() {}
        let _ = middle.client.shutdown().await;
    });
    stream
}

struct Middle<S> {
    client: S,
    server: DuplexStream,
    quirks: Quirks,
    questions: BytesMut,
    answers: BytesMut,
    /// READs that the server has not answered.
    reading: HashSet<u32>,
    /// Renames that it has not answered.
    renaming: HashSet<u32>,
    answered_bytes: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Middle<S> {
    /// Passes on what comes from either side; `None` ends the connection.
    async fn step(&mut self) -> Option<()> {
        // Questions first: what came together is seen together.
        tokio::select! {
            biased;
            got = self.client.read_buf(&mut self.questions) => match got {
                Ok(1..) => self.ask().await,
                _ => None,
            },
            got = self.server.read_buf(&mut self.answers) => match got {
                Ok(1..) => self.answer().await,
                _ => None,
            },
        }
    }

    async fn ask(&mut self) -> Option<()> {
        while let Some(packet) = take(&mut self.questions) {
            if self.quirks.max_packet_bytes.is_some_and(|max| packet.len() > max) {
                return None;
            }
            let (kind, id) = head(&packet);
            let too_long = self.quirks.max_write_bytes.is_some_and(|max| packet.len() > max);
            if kind == WRITE && too_long {
                self.fail(id).await?;
                continue;
            }
            if self.quirks.renames.hangs_up() && is_rename(kind, &packet) {
                self.renaming.insert(id);
            }
            if kind == READ && self.quirks.reads != Reads::Parallel {
                if !self.reading.is_empty() {
                    if self.quirks.reads == Reads::OneElseHangUp {
                        return None;
                    }
                    self.fail(id).await?;
                    continue;
                }
                self.reading.insert(id);
            }
            self.server.write_all(&packet).await.ok()?;
        }
        Some(())
    }

    fn hangs_up(&self) -> bool {
        let remembered = self.quirks.hung_up.as_ref();
        !remembered.is_some_and(|hung_up| hung_up.swap(true, Ordering::SeqCst))
    }

    /// Takes in whatever comes and answers nothing, until the client hangs up.
    async fn stall(&mut self) -> Option<()> {
        while let Ok(1..) = self.client.read_buf(&mut self.questions).await {
            self.questions.clear();
        }
        None
    }

    async fn fail(&mut self, id: u32) -> Option<()> {
        self.client.write_all(&failure(id)).await.ok()
    }

    async fn answer(&mut self) -> Option<()> {
        let mut packets = Vec::new();
        while let Some(packet) = take(&mut self.answers) {
            packets.push(packet);
        }
        if self.quirks.wire == WireFault::OutOfOrder {
            packets.reverse();
        }
        for packet in packets {
            let (kind, id) = head(&packet);
            self.reading.remove(&id);
            self.answered_bytes += packet.len();
            let enough = self.quirks.hangs_up_after_bytes;
            if enough.is_some_and(|after| self.answered_bytes > after) && self.hangs_up() {
                return None;
            }
            if self.quirks.stalls_after_bytes.is_some_and(|after| self.answered_bytes > after) {
                return self.stall().await;
            }
            let renamed = self.renaming.remove(&id);
            if renamed && self.quirks.renames == Renames::HungUpUnanswered && self.hangs_up() {
                return None;
            }
            self.client.write_all(&packet).await.ok()?;
            if renamed && self.quirks.renames == Renames::AnsweredThenHungUp && self.hangs_up() {
                return None;
            }
            match self.quirks.wire {
                WireFault::Repeated if kind > DATA - 3 => {
                    self.client.write_all(&packet).await.ok()?;
                    self.client.write_all(&failure(u32::MAX)).await.ok()?;
                }
                WireFault::GiantPacket if kind == DATA => {
                    self.client.write_all(&[0xff; 8]).await.ok()?;
                }
                _ => {}
            }
        }
        Some(())
    }
}

/// A rename of either kind.
fn is_rename(kind: u8, packet: &[u8]) -> bool {
    let name = packet.get(13..).unwrap_or_default();
    kind == RENAME || (kind == EXTENDED && name.starts_with(b"posix-rename"))
}

/// One whole packet with its length.
fn take(buffer: &mut BytesMut) -> Option<Bytes> {
    let len = buffer.get(..4)?.get_u32() as usize + 4;
    (buffer.len() >= len).then(|| buffer.split_to(len).freeze())
}

/// What kind of packet it is, and its number.
fn head(packet: &Bytes) -> (u8, u32) {
    let mut packet = packet.slice(4.min(packet.len())..);
    (packet.try_get_u8().unwrap_or_default(), packet.try_get_u32().unwrap_or_default())
}

/// STATUS "failure" without words.
fn failure(id: u32) -> Vec<u8> {
    let mut packet = vec![0, 0, 0, 17, 101];
    packet.extend(id.to_be_bytes());
    packet.extend([0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0]);
    packet
}
