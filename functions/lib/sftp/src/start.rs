//! From a login to SFTP: the subsystem, the greeting, and what the server can do.

use std::sync::Arc;
use std::time::Duration;

use bytes::Buf;
use russh::client::Handle;
use russh::{ChannelMsg, ChannelOpenFailure};

use crate::connect::{Connection, Gate, Notes};
use crate::endpoint::Endpoint;
use crate::error::{Context, Error, Operation};
use crate::link::{Link, LinkError, Patience};
use crate::pace::SMALL_BYTES;
use crate::wire::{Reply, Request};

/// The most that fits, with its head, into the 256 KiB that implementations allow.
const LARGE_BYTES: u32 = 255 << 10;

/// How long a server that hangs up is listened to.
const LAST_WORD: Duration = Duration::from_secs(1);

/// What the server said it can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// `posix-rename@openssh.com`: rename over an existing file in one step.
    pub posix_rename: bool,
    /// `fsync@openssh.com`: the file is on the server's disk before it is renamed.
    pub fsync: bool,
    /// `statvfs@openssh.com`: free space can be asked for.
    pub statvfs: bool,
    /// `check-file`: the server hashes a file itself, and how it is asked.
    pub check_file: Option<CheckFile>,
    /// `limits@openssh.com`: the three numbers below come from the server.
    pub limits: bool,
    /// Bytes asked for in one READ.
    pub max_read_bytes: u32,
    /// Bytes sent in one WRITE.
    pub max_write_bytes: u32,
    /// Files and directories that may be open at a time, if the server tells.
    pub max_open_files: Option<u64>,
}

/// How a server that hashes files is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckFile {
    /// `check-file-name`: by path, also where the account may not read.
    ByName,
    /// `check-file-handle`: by an open file.
    ByHandle,
}

/// Opens the SFTP subsystem on a logged-in connection.
pub(crate) async fn start(
    endpoint: &Endpoint,
    connection: Connection,
    patience: Arc<Patience>,
) -> Result<(Link, Capabilities, Handle<Gate>), Error> {
    let Connection { handle, notes } = connection;
    match open(endpoint, &handle, &notes, patience).await {
        Ok((link, capabilities)) => Ok((link, capabilities, handle)),
        Err(error @ (Error::ConnectionLost { .. } | Error::NoSftp { .. })) => {
            // Its last word may still be on its way through the SSH layer.
            let _ = tokio::time::timeout(LAST_WORD, handle).await;
            Err(notes.too_many().map_or(error, |reason| Error::TooManyConnections {
                server: endpoint.server(),
                reason,
            }))
        }
        Err(error) => Err(error),
    }
}

async fn open(
    endpoint: &Endpoint,
    handle: &Handle<Gate>,
    notes: &Notes,
    patience: Arc<Patience>,
) -> Result<(Link, Capabilities), Error> {
    let server = endpoint.server();
    let no_sftp = |reason: String| Error::NoSftp {
        server: endpoint.server(),
        username: endpoint.username.clone(),
        reason,
    };
    let context = Context { server: &server, operation: Operation::Connect, path: "it" };
    let lost = |error: russh::Error| context.link(LinkError::Closed(error.to_string()));
    let mut channel = handle.channel_open_session().await.map_err(|error| match error {
        russh::Error::ChannelOpenFailure(
            why @ (ChannelOpenFailure::ResourceShortage
            | ChannelOpenFailure::AdministrativelyProhibited
            | ChannelOpenFailure::ConnectFailed),
        ) => Error::TooManyConnections {
            server: endpoint.server(),
            reason: format!("no channel after the login: {why:?}"),
        },
        russh::Error::ChannelOpenFailure(why) => no_sftp(format!("no channel: {why:?}")),
        other => lost(other),
    })?;
    channel.request_subsystem(true, "sftp").await.map_err(lost)?;
    loop {
        match channel.wait().await {
            Some(ChannelMsg::Success) => break,
            Some(ChannelMsg::Failure) => {
                return Err(no_sftp("the subsystem was refused".to_owned()));
            }
            Some(ChannelMsg::Eof | ChannelMsg::Close) | None => {
                return Err(lost(russh::Error::Disconnect));
            }
            Some(_) => {}
        }
    }
    let farewell = Arc::clone(&notes.farewell);
    let (link, version, extensions) =
        Link::open(channel, patience, farewell).await.map_err(|error| match error {
            LinkError::Malformed(what) => {
                no_sftp(format!("{what}; a login script or a shell that prints text breaks SFTP"))
            }
            LinkError::Closed(reason) => no_sftp(reason),
            waited @ (LinkError::Idle(_) | LinkError::Over(_)) => context.link(waited),
        })?;
    if version < 3 {
        return Err(no_sftp(format!("it speaks SFTP version {version}, needed is 3")));
    }
    let capabilities = capabilities(&link, &extensions).await.map_err(|e| context.link(e))?;
    Ok((link, capabilities))
}

async fn capabilities(
    link: &Link,
    extensions: &[(String, String)],
) -> Result<Capabilities, LinkError> {
    let offers = |name: &str| extensions.iter().any(|(offered, _)| offered == name);
    let mut found = Capabilities {
        posix_rename: offers("posix-rename@openssh.com"),
        fsync: offers("fsync@openssh.com"),
        statvfs: offers("statvfs@openssh.com"),
        check_file: if offers("check-file") || offers("check-file-name") {
            Some(CheckFile::ByName)
        } else {
            offers("check-file-handle").then_some(CheckFile::ByHandle)
        },
        limits: false,
        max_read_bytes: SMALL_BYTES,
        max_write_bytes: SMALL_BYTES,
        max_open_files: None,
    };
    if !offers("limits@openssh.com") {
        return Ok(found);
    }
    let request = Request::Extended { name: "limits@openssh.com", arguments: &[] };
    if let Reply::Extended(mut numbers) = link.ask(request).await?
        && numbers.len() >= 32
    {
        // Zero means that the server sets no limit and promises nothing.
        let usable = |bytes: u64| match u32::try_from(bytes) {
            Ok(0) => SMALL_BYTES,
            Ok(bytes) => bytes.min(LARGE_BYTES),
            Err(_) => LARGE_BYTES,
        };
        let packet = match numbers.get_u64() {
            0 => u64::MAX,
            // Room for the head of a packet: handle, offset, length.
            bytes => bytes.saturating_sub(1024).max(1024),
        };
        found.limits = true;
        found.max_read_bytes = usable(numbers.get_u64().min(packet));
        found.max_write_bytes = usable(numbers.get_u64().min(packet));
        found.max_open_files = Some(numbers.get_u64()).filter(|files| *files > 0);
    }
    Ok(found)
}
