//! A stream that keeps taking in while it cannot send.
//!
//! The SSH layer does not read while it waits for a send to finish. If the server does the same,
//! transfers in both directions block each other for ever; so what arrives meanwhile is taken off
//! the stream here. The SSH window and the budget of transfers bound how much that can be.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// More than all sessions keep in flight.
const MAX_AHEAD_BYTES: usize = 64 << 20;
const STEP_BYTES: usize = 16 << 10;

/// A stream, and what arrived while it could not send.
pub(crate) struct Duplex<S> {
    stream: S,
    ahead: BytesMut,
    ended: Option<io::Result<()>>,
}

impl<S: AsyncRead + Unpin> Duplex<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, ahead: BytesMut::new(), ended: None }
    }

    /// Takes in what is there; the task is woken when more comes.
    fn take_in(&mut self, context: &mut Context<'_>) {
        let mut step = [0; STEP_BYTES];
        while self.ended.is_none() && self.ahead.len() < MAX_AHEAD_BYTES {
            let mut buffer = ReadBuf::new(&mut step);
            match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => self.ended = Some(Ok(())),
                Poll::Ready(Ok(())) => self.ahead.extend_from_slice(buffer.filled()),
                Poll::Ready(Err(error)) => self.ended = Some(Err(error)),
                Poll::Pending => return,
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Duplex<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(chunk) = this.ahead.get(..buffer.remaining().min(this.ahead.len()))
            && !chunk.is_empty()
        {
            buffer.put_slice(chunk);
            let taken = chunk.len();
            this.ahead.advance(taken);
            return Poll::Ready(Ok(()));
        }
        match &mut this.ended {
            None => Pin::new(&mut this.stream).poll_read(context, buffer),
            Some(end) => Poll::Ready(std::mem::replace(end, Ok(()))),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Duplex<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let sent = Pin::new(&mut this.stream).poll_write(context, data);
        if sent.is_pending() {
            this.take_in(context);
        }
        sent
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn two_sides_that_only_send_do_not_block_each_other() {
        let (left, mut right) = tokio::io::duplex(1000);
        let mut left = Duplex::new(left);
        let answer = vec![7; 50_000];
        let question = vec![8; 50_000];
        let other = tokio::spawn({
            let answer = answer.clone();
            async move {
                right.write_all(&answer).await.unwrap();
                let mut got = vec![0; 50_000];
                right.read_exact(&mut got).await.unwrap();
                got
            }
        });
        left.write_all(&question).await.unwrap();
        let mut got = Vec::new();
        left.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, answer);
        assert_eq!(other.await.unwrap(), question);
    }
}
