//! The same streams for synchronous libraries, to be used inside `spawn_blocking`.
//!
//! The network runs in a task of the runtime, the library on its blocking thread, and a bounded
//! channel is all that connects them: both work at the same time, either may end first, and one
//! runtime thread is enough. Reading or writing on a runtime thread itself would stop the runtime;
//! tokio panics there.
//!
//! A failure of storage travels as an [`io::Error`] around a [`Failure`], so a library hands it
//! through unchanged and [`failure_in`] finds it again.

mod object;
mod reader;
mod turn;
mod writer;

use std::io;

use domain::Failure;

pub use object::Object;
pub use reader::SyncReader;
pub use turn::{Turn, turn};
pub use writer::SyncWriter;

use crate::Error;

/// How many chunks wait for the other side; a chunk is at most 400 KiB, so a stream costs 1.5 MiB.
const CHUNKS_AHEAD: usize = 4;

/// The failure that an I/O error carries, if it came from storage.
#[must_use]
pub fn failure_in(error: &io::Error) -> Option<&Failure> {
    let inner = error.get_ref()?;
    match inner.downcast_ref::<Failure>() {
        Some(failure) => Some(failure),
        None => failure_in(inner.downcast_ref::<io::Error>()?),
    }
}

fn io_error(failure: Failure) -> io::Error {
    io::Error::other(failure)
}

fn cut_off(place: &(String, String)) -> Failure {
    let (bucket, key) = place.clone();
    Error::CutOff { bucket, key }.into()
}
