//! Free space at the target, asked for before a byte is sent.

use bytes::{Buf, Bytes};
use domain::names::to_bytes;

use crate::error::{Error, Operation};
use crate::session::Session;
use crate::wire::{Reply, Request};

/// No file system has larger units.
const MAX_UNIT_BYTES: u64 = 1 << 30;

impl Session {
    /// Bytes that this account may still write at `path`; `None` when the server does not tell, or
    /// tells what cannot be.
    ///
    /// # Errors
    /// [`Error::NoSuchFile`] and what a connection can suffer.
    pub async fn free_bytes(&self, path: &str) -> Result<Option<u64>, Error> {
        if !self.inner.capabilities.statvfs {
            return Ok(None);
        }
        let context = self.inner.context(Operation::FreeSpace, path);
        let name = to_bytes(path);
        let arguments: [&[u8]; 1] = [&name];
        let request = Request::Extended { name: "statvfs@openssh.com", arguments: &arguments };
        match self.inner.ask(context, request).await? {
            Reply::Extended(numbers) => Ok(free(numbers)),
            other => Err(context.unexpected(other)),
        }
    }

    /// Refuses when the server says that fewer than `needed_bytes` are free at `directory`. Where it
    /// says nothing, or nonsense, writing will show.
    ///
    /// # Errors
    /// [`Error::DiskFull`] with both numbers.
    pub async fn refuse_full(&self, directory: &str, needed_bytes: u64) -> Result<(), Error> {
        match self.free_bytes(directory).await {
            Ok(Some(free_bytes)) if free_bytes < needed_bytes => Err(Error::DiskFull {
                server: self.inner.server.clone(),
                operation: Operation::Write,
                path: directory.to_owned(),
                reason: format!(
                    "{free_bytes} bytes are free and {needed_bytes} are needed; nothing was sent"
                ),
            }),
            _ => Ok(()),
        }
    }
}

/// Free bytes out of an answer: unit, blocks, free to root, free to us. Zeros come from servers that
/// do not know, and more free than there is from those that guess.
fn free(mut numbers: Bytes) -> Option<u64> {
    if numbers.len() < 40 {
        return None;
    }
    numbers.advance(8);
    let unit_bytes = numbers.get_u64();
    let blocks = numbers.get_u64();
    numbers.advance(8);
    let free_blocks = numbers.get_u64();
    let possible =
        (1..=MAX_UNIT_BYTES).contains(&unit_bytes) && (1..=blocks).contains(&free_blocks);
    possible.then(|| free_blocks.saturating_mul(unit_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::{BufMut, BytesMut};

    fn answer(numbers: &[u64]) -> Option<u64> {
        let mut bytes = BytesMut::new();
        numbers.iter().for_each(|number| bytes.put_u64(*number));
        free(bytes.freeze())
    }

    #[test]
    fn nonsense_is_not_believed() {
        assert_eq!(answer(&[1, 4096, 100, 60, 50, 0]), Some(50 * 4096));
        assert_eq!(answer(&[1, 1 << 30, 100, 100, 100]), Some(100 << 30));
        for (numbers, why) in [
            (&[1, 4096, 100, 60][..], "too short"),
            (&[1, 0, 100, 60, 50], "no unit"),
            (&[1, (1 << 30) + 1, 100, 60, 50], "an impossible unit"),
            (&[1, 4096, 0, 0, 0], "no disk"),
            (&[1, 4096, 100, 60, 0], "zero"),
            (&[1, 4096, 100, 60, 101], "more free than there is"),
            (&[1, 4096, u64::MAX, u64::MAX, 0], "zero of everything"),
        ] {
            assert_eq!(answer(numbers), None, "{why}");
        }
        assert_eq!(answer(&[1, 4096, u64::MAX, 1, u64::MAX]), Some(u64::MAX), "no overflow");
    }
}
