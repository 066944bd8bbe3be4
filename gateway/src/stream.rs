//! The socket of a caller, which may vanish or stop reading at any time.
//!
//! Its invariant: a peer that takes nothing in for as long as is allowed is an error, and so is one
//! that is no longer there, even where nothing is to be sent to it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

/// How long a connection may be silent before its peer is asked whether it is there, and how long
/// it has to answer each time.
const KEEPALIVE: Duration = Duration::from_secs(20);
/// How often it is asked before it is given up.
const KEEPALIVE_TRIES: u32 = 3;

/// A connection whose peer must read.
#[derive(Debug)]
pub(crate) struct CallerStream {
    stream: TcpStream,
    stall_max: Duration,
    /// Runs while the peer takes nothing in.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl CallerStream {
    /// Watches over a connection that was accepted.
    pub(crate) fn new(stream: TcpStream, stall_max: Duration) -> Self {
        // An answer is written whole: holding its last bytes back only adds latency.
        let tuned = stream.set_nodelay(true).and_then(|()| {
            sockopt::set_socket_keepalive(&stream, true)?;
            sockopt::set_tcp_keepidle(&stream, KEEPALIVE)?;
            sockopt::set_tcp_keepintvl(&stream, KEEPALIVE)?;
            Ok(sockopt::set_tcp_keepcnt(&stream, KEEPALIVE_TRIES)?)
        });
        if let Err(error) = tuned {
            tracing::debug!(%error, "failed to tune a connection, which goes on without");
        }
        Self { stream, stall_max, stalled: None }
    }

    /// Passes on what became of a write, unless it has been stuck for too long.
    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stall_max = self.stall_max;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(stall_max)));
        stalled.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for CallerStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for CallerStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(30);

    async fn pair(stall_max: Duration) -> (CallerStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        (CallerStream::new(stream, stall_max), peer)
    }

    #[tokio::test]
    async fn a_peer_that_does_not_read_is_an_error() {
        let (mut stream, _peer) = pair(Duration::from_millis(20)).await;
        let much = vec![0; 64 << 20];
        let writing = stream.write_all(&much);
        let error = tokio::time::timeout(DEADLINE, writing).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_peer_that_reads_is_none() {
        let (mut stream, mut peer) = pair(Duration::from_hours(1)).await;
        let reading = tokio::spawn(async move {
            let mut read = Vec::new();
            peer.read_to_end(&mut read).await.unwrap();
            read.len()
        });
        let much = vec![0; 8 << 20];
        stream.write_all(&much).await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(reading.await.unwrap(), much.len());
    }

    #[tokio::test]
    async fn the_system_asks_whether_the_peer_is_there() {
        let (stream, _peer) = pair(Duration::from_hours(1)).await;
        assert!(sockopt::socket_keepalive(&stream.stream).unwrap());
        assert_eq!(sockopt::tcp_keepidle(&stream.stream).unwrap(), KEEPALIVE);
        assert_eq!(sockopt::tcp_keepcnt(&stream.stream).unwrap(), KEEPALIVE_TRIES);
    }
}
