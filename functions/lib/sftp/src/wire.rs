//! The SFTP version 3 packets, as bytes: what is asked and what is answered.
//!
//! Handles and file names are bytes, as the protocol has them; a status may carry any code and may
//! lack its text. Everything here comes from the other side and nothing of it is trusted.
//!
//! The client of `russh-sftp` ends the session on a status above 8, and reads handles and names as
//! text; its server side is the embedded server's.

use bytes::{Buf, BufMut, Bytes, BytesMut, TryGetError};
use domain::names;

/// The largest packet that is accepted; a server never needs more for what is asked here.
pub(crate) const MAX_PACKET_BYTES: usize = 1 << 20;

/// Status codes of version 3, and the later ones that servers send all the same.
pub(crate) mod status {
    pub(crate) const OK: u32 = 0;
    pub(crate) const EOF: u32 = 1;
    pub(crate) const NO_SUCH_FILE: u32 = 2;
    pub(crate) const PERMISSION_DENIED: u32 = 3;
    pub(crate) const FAILURE: u32 = 4;
    pub(crate) const BAD_MESSAGE: u32 = 5;
    pub(crate) const NO_CONNECTION: u32 = 6;
    pub(crate) const CONNECTION_LOST: u32 = 7;
    pub(crate) const UNSUPPORTED: u32 = 8;
    pub(crate) const NO_SUCH_PATH: u32 = 10;
    pub(crate) const ALREADY_EXISTS: u32 = 11;
    pub(crate) const WRITE_PROTECT: u32 = 12;
    pub(crate) const NO_SPACE: u32 = 14;
    pub(crate) const QUOTA: u32 = 15;
}

/// Flags of OPEN.
pub(crate) mod open {
    pub(crate) const READ: u32 = 1;
    pub(crate) const WRITE: u32 = 2;
    pub(crate) const CREATE: u32 = 8;
    pub(crate) const TRUNCATE: u32 = 16;
    pub(crate) const EXCLUSIVE: u32 = 32;
}

const INIT: u8 = 1;
const VERSION: u8 = 2;

/// One question to the server.
#[derive(Clone)]
pub(crate) enum Request<'a> {
    Open {
        path: &'a str,
        flags: u32,
    },
    Close {
        handle: &'a [u8],
    },
    Read {
        handle: &'a [u8],
        offset: u64,
        len: u32,
    },
    Write {
        handle: &'a [u8],
        offset: u64,
        data: Bytes,
    },
    Lstat {
        path: &'a str,
    },
    Fstat {
        handle: &'a [u8],
    },
    SetTimes {
        path: &'a str,
        seconds: u32,
    },
    OpenDir {
        path: &'a str,
    },
    ReadDir {
        handle: &'a [u8],
    },
    Remove {
        path: &'a str,
    },
    MkDir {
        path: &'a str,
    },
    ReadLink {
        path: &'a str,
    },
    RealPath {
        path: &'a str,
    },
    Stat {
        path: &'a str,
    },
    Rename {
        from: &'a str,
        to: &'a str,
    },
    Extended {
        name: &'a str,
        arguments: &'a [&'a [u8]],
    },
    /// The hash of a whole file, as one block; the subject is a path or a handle.
    CheckFile {
        name: &'a str,
        subject: &'a [u8],
        algorithm: &'a str,
    },
}

/// A packet ready to send: a small head, and for a write the data, uncopied.
pub(crate) struct Frame {
    pub(crate) head: Bytes,
    pub(crate) data: Bytes,
}

struct Encoder(BytesMut);

impl Encoder {
    fn new(kind: u8, id: u32) -> Self {
        let mut buffer = BytesMut::with_capacity(64);
        buffer.put_u32(0);
        buffer.put_u8(kind);
        buffer.put_u32(id);
        Self(buffer)
    }

    fn string(mut self, text: impl AsRef<[u8]>) -> Self {
        let text = text.as_ref();
        self.0.put_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
        self.0.put_slice(text);
        self
    }

    /// A name as the server has it.
    fn path(self, text: &str) -> Self {
        self.string(names::to_bytes(text))
    }

    fn u32(mut self, value: u32) -> Self {
        self.0.put_u32(value);
        self
    }

    fn u64(mut self, value: u64) -> Self {
        self.0.put_u64(value);
        self
    }

    fn finish(mut self, data: Bytes) -> Frame {
        let len = (self.0.len() + data.len()).saturating_sub(4);
        if let Some(slot) = self.0.get_mut(..4) {
            slot.copy_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
        }
        Frame { head: self.0.freeze(), data }
    }
}

/// The first packet of a session.
pub(crate) fn greeting() -> Bytes {
    let mut buffer = BytesMut::with_capacity(9);
    buffer.put_u32(5);
    buffer.put_u8(INIT);
    buffer.put_u32(3);
    buffer.freeze()
}

impl Request<'_> {
    /// Whether asking twice does no harm, and no handle of one connection is named.
    pub(crate) fn is_repeatable(&self) -> bool {
        match self {
            Self::Open { flags, .. } => flags & open::EXCLUSIVE == 0,
            Self::Lstat { .. }
            | Self::Stat { .. }
            | Self::OpenDir { .. }
            | Self::ReadLink { .. }
            | Self::RealPath { .. }
            | Self::Extended { name: "statvfs@openssh.com", .. } => true,
            _ => false,
        }
    }

    pub(crate) fn encode(self, id: u32) -> Frame {
        let none = Bytes::new();
        match self {
            Self::Open { path, flags } => {
                Encoder::new(3, id).path(path).u32(flags).u32(0).finish(none)
            }
            Self::Close { handle } => Encoder::new(4, id).string(handle).finish(none),
            Self::Read { handle, offset, len } => {
                Encoder::new(5, id).string(handle).u64(offset).u32(len).finish(none)
            }
            Self::Write { handle, offset, data } => {
                let len = u32::try_from(data.len()).unwrap_or(u32::MAX);
                Encoder::new(6, id).string(handle).u64(offset).u32(len).finish(data)
            }
            Self::Lstat { path } => Encoder::new(7, id).path(path).finish(none),
            Self::Fstat { handle } => Encoder::new(8, id).string(handle).finish(none),
            Self::SetTimes { path, seconds } => Encoder::new(9, id)
                .path(path)
                .u32(ATTR_TIMES)
                .u32(seconds)
                .u32(seconds)
                .finish(none),
            Self::OpenDir { path } => Encoder::new(11, id).path(path).finish(none),
            Self::ReadDir { handle } => Encoder::new(12, id).string(handle).finish(none),
            Self::Remove { path } => Encoder::new(13, id).path(path).finish(none),
            Self::MkDir { path } => Encoder::new(14, id).path(path).u32(0).finish(none),
            Self::ReadLink { path } => Encoder::new(19, id).path(path).finish(none),
            Self::RealPath { path } => Encoder::new(16, id).path(path).finish(none),
            Self::Stat { path } => Encoder::new(17, id).path(path).finish(none),
            Self::Rename { from, to } => Encoder::new(18, id).path(from).path(to).finish(none),
            Self::Extended { name, arguments } => arguments
                .iter()
                .fold(Encoder::new(200, id).string(name), Encoder::string)
                .finish(none),
            Self::CheckFile { name, subject, algorithm } => Encoder::new(200, id)
                .string(name)
                .string(subject)
                .string(algorithm)
                .u64(0)
                .u64(0)
                .u32(0)
                .finish(none),
        }
    }
}

/// One answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Status { code: u32, message: String },
    Handle(Bytes),
    Data(Bytes),
    Names(Vec<Name>),
    Attributes(RawAttributes),
    Extended(Bytes),
}

/// One row of a directory, or the answer to REALPATH.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) filename: Bytes,
    pub(crate) longname: Bytes,
    pub(crate) attributes: RawAttributes,
}

/// Attributes as sent: each may be missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RawAttributes {
    pub(crate) size: Option<u64>,
    pub(crate) permissions: Option<u32>,
    pub(crate) mtime: Option<u32>,
}

/// The packet does not follow the protocol.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Malformed(pub(crate) String);

impl From<TryGetError> for Malformed {
    fn from(_: TryGetError) -> Self {
        Self("a packet ended too early".to_owned())
    }
}

const ATTR_SIZE: u32 = 1;
const ATTR_OWNER: u32 = 2;
const ATTR_PERMISSIONS: u32 = 4;
const ATTR_TIMES: u32 = 8;
const ATTR_EXTENDED: u32 = 0x8000_0000;

pub(crate) fn string(packet: &mut Bytes) -> Result<Bytes, Malformed> {
    let len = packet.try_get_u32()? as usize;
    if len > packet.len() {
        return Err(Malformed("a string is longer than its packet".to_owned()));
    }
    Ok(packet.split_to(len))
}

fn attributes(packet: &mut Bytes) -> Result<RawAttributes, Malformed> {
    let flags = packet.try_get_u32()?;
    let mut found = RawAttributes::default();
    if flags & ATTR_SIZE != 0 {
        found.size = Some(packet.try_get_u64()?);
    }
    if flags & ATTR_OWNER != 0 {
        packet.try_get_u64()?;
    }
    if flags & ATTR_PERMISSIONS != 0 {
        found.permissions = Some(packet.try_get_u32()?);
    }
    if flags & ATTR_TIMES != 0 {
        packet.try_get_u32()?;
        found.mtime = Some(packet.try_get_u32()?);
    }
    if flags & ATTR_EXTENDED != 0 {
        for _ in 0..packet.try_get_u32()? {
            string(packet)?;
            string(packet)?;
        }
    }
    Ok(found)
}

fn rows(packet: &mut Bytes) -> Result<Vec<Name>, Malformed> {
    let count = packet.try_get_u32()? as usize;
    // Each row takes 12 bytes at least, so a lying count reserves nothing.
    let mut rows = Vec::with_capacity(count.min(packet.len() / 12));
    for _ in 0..count {
        rows.push(Name {
            filename: string(packet)?,
            longname: string(packet)?,
            attributes: attributes(packet)?,
        });
    }
    Ok(rows)
}

/// Takes one whole packet, without its length, off the front of what has arrived.
pub(crate) fn take_packet(buffer: &mut BytesMut) -> Result<Option<Bytes>, Malformed> {
    let Some(mut head) = buffer.get(..4) else { return Ok(None) };
    let len = head.get_u32() as usize;
    if len == 0 || len > MAX_PACKET_BYTES {
        return Err(Malformed(format!("a packet of {len} bytes was announced")));
    }
    if buffer.len() < len + 4 {
        buffer.reserve(len + 4 - buffer.len());
        return Ok(None);
    }
    buffer.advance(4);
    Ok(Some(buffer.split_to(len).freeze()))
}

/// Reads the server's greeting: its version and the extensions that it names.
pub(crate) fn version(mut packet: Bytes) -> Result<(u32, Vec<(String, String)>), Malformed> {
    let kind = packet.try_get_u8()?;
    if kind != VERSION {
        return Err(Malformed(format!("the first packet is of type {kind}, not VERSION")));
    }
    let version = packet.try_get_u32()?;
    let mut extensions = Vec::new();
    while !packet.is_empty() {
        let name = text(&string(&mut packet)?);
        extensions.push((name, text(&string(&mut packet)?)));
    }
    Ok((version, extensions))
}

/// Reads one answer and the number of the question.
pub(crate) fn reply(mut packet: Bytes) -> Result<(u32, Reply), Malformed> {
    let kind = packet.try_get_u8()?;
    let id = packet.try_get_u32()?;
    let reply = match kind {
        101 => {
            let code = packet.try_get_u32()?;
            let message = string(&mut packet).map(|bytes| text(&bytes)).unwrap_or_default();
            Reply::Status { code, message }
        }
        102 => Reply::Handle(string(&mut packet)?),
        103 => Reply::Data(string(&mut packet)?),
        104 => Reply::Names(rows(&mut packet)?),
        105 => Reply::Attributes(attributes(&mut packet)?),
        201 => Reply::Extended(packet),
        other => return Err(Malformed(format!("a packet of unknown type {other} arrived"))),
    };
    Ok((id, reply))
}

/// Foreign text made fit for a log line: one line, printable, at most 200 characters.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(200)
        .collect::<String>()
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(bytes: &[u8]) -> Bytes {
        Bytes::copy_from_slice(bytes)
    }

    #[test]
    fn a_handle_keeps_bytes_that_are_no_text() {
        let (id, reply) = reply(packet(&[102, 0, 0, 0, 7, 0, 0, 0, 2, 0xff, 0x80])).unwrap();
        assert_eq!((id, reply), (7, Reply::Handle(packet(&[0xff, 0x80]))));
    }

    #[test]
    fn a_status_may_lack_its_text_and_carry_a_later_code() {
        let (_, bare) = reply(packet(&[101, 0, 0, 0, 1, 0, 0, 0, 14])).unwrap();
        assert_eq!(bare, Reply::Status { code: status::NO_SPACE, message: String::new() });
    }

    #[test]
    fn extended_attributes_are_stepped_over() {
        let mut bytes = BytesMut::new();
        bytes.put_slice(&[104, 0, 0, 0, 1, 0, 0, 0, 2]);
        for name in [b"a", b"b"] {
            bytes.put_u32(1);
            bytes.put_slice(name);
            bytes.put_u32(0);
            bytes.put_u32(ATTR_SIZE | ATTR_EXTENDED);
            bytes.put_u64(5);
            bytes.put_u32(1);
            bytes.put_slice(&[0, 0, 0, 1, b'x', 0, 0, 0, 1, b'y']);
        }
        let (_, Reply::Names(rows)) = reply(bytes.freeze()).unwrap() else { panic!("no names") };
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[1].filename, "b");
        assert_eq!(rows[1].attributes.size, Some(5));
    }

    #[test]
    fn hostile_lengths_are_refused_without_memory() {
        assert!(reply(packet(&[104, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff])).is_err());
        assert!(reply(packet(&[103, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0])).is_err());
        assert!(take_packet(&mut BytesMut::from(&[0xff, 0xff, 0xff, 0xff][..])).is_err());
        assert!(take_packet(&mut BytesMut::from(&[0, 0, 0, 0][..])).is_err());
    }

    #[test]
    fn packets_are_taken_whole_and_in_order() {
        let mut buffer = BytesMut::from(&[0, 0, 0, 2, 1, 2, 0, 0, 0, 1][..]);
        assert_eq!(take_packet(&mut buffer).unwrap().unwrap(), &[1u8, 2][..]);
        assert!(take_packet(&mut buffer).unwrap().is_none());
        buffer.put_u8(9);
        assert_eq!(take_packet(&mut buffer).unwrap().unwrap(), &[9u8][..]);
    }

    #[test]
    fn foreign_text_is_one_short_printable_line() {
        assert_eq!(text(b"a\r\nb\x1b[31m"), "a  b [31m");
        assert_eq!(text(&[b'x'; 900]).len(), 200);
    }
}
