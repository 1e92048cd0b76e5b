//! SFTP as the pipeline needs it: pinned host keys, pipelined transfers, rename policies.
//!
//! The only package that knows SSH. Connections and encryption come from `russh`; the SFTP protocol
//! on top is spoken here, so that a server's binary handles, later status codes and short answers
//! are survived and so that many requests stay in flight with bounded memory.

#![deny(missing_docs)]

mod algorithms;
mod attributes;
mod ceiling;
mod connect;
mod duplex;
mod endpoint;
mod error;
mod hash;
mod inner;
#[cfg(feature = "server")]
pub mod keys;
mod line;
mod link;
mod links;
mod listing;
mod login;
mod pace;
mod profile;
mod reader;
#[cfg(feature = "server")]
pub mod server;
mod session;
mod slots;
mod space;
mod start;
mod wire;
mod writer;

pub use attributes::{Attributes, Kind};
pub use ceiling::share_connections;
pub use domain::profile::Algorithms;
pub use endpoint::{Credentials, Endpoint, REKEY_BYTES, Secret, Timeouts};
pub use error::{Error, Operation};
pub use links::Leads;
pub use listing::{Entry, ListOptions};
pub use profile::{connect_source, connect_target, connections_at_once};
pub use reader::Reader;
pub use session::{Effective, RenamePolicy, Session};
pub use start::{Capabilities, CheckFile};
pub use writer::{WriteMode, Writer};
