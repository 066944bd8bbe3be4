//! A TCP connection that acknowledges what it reads at once, and notices when its peer is gone.
//!
//! SDKs leave Nagle's algorithm on: a small message waits until the one before it is acknowledged,
//! which a kernel may put off for 40 ms. Those waits would add up over the steps of a function.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, ToSocketAddrs};

/// After this long without a byte the peer's host is asked whether the connection still exists.
/// HTTP/1.1 has no such question of its own.
const PROBE_AFTER: Duration = Duration::from_secs(15);
/// How long after one such question the next is asked.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);
/// How many of them may go without an answer.
const PROBES_MAX: u32 = 3;

/// A connection to an endpoint.
#[derive(Debug)]
pub(crate) struct PromptSocket(TcpStream);

impl PromptSocket {
    /// Opens a connection that neither holds back what is written nor acknowledges late.
    pub(crate) async fn connect(address: impl ToSocketAddrs) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let probes = TcpKeepalive::new()
            .with_time(PROBE_AFTER)
            .with_interval(PROBE_INTERVAL)
            .with_retries(PROBES_MAX);
        SockRef::from(&stream).set_tcp_keepalive(&probes)?;
        Ok(Self(stream))
    }

    #[cfg(target_os = "linux")]
    fn acknowledge(&self) {
        // The kernel forgets the option, so that it is set after each read. Where it is refused,
        // acknowledgements are late and nothing is wrong.
        let _ = self.0.set_quickack(true);
    }

    #[cfg(not(target_os = "linux"))]
    fn acknowledge(&self) {}
}

impl AsyncRead for PromptSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.0).poll_read(cx, buffer);
        if outcome.is_ready() {
            self.acknowledge();
        }
        outcome
    }
}

impl AsyncWrite for PromptSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_peer_that_vanishes_is_noticed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = PromptSocket::connect(listener.local_addr().unwrap()).await.unwrap();
        let options = SockRef::from(&socket.0);
        assert!(options.keepalive().unwrap());
        assert_eq!(options.tcp_keepalive_time().unwrap(), PROBE_AFTER);
        assert_eq!(options.tcp_keepalive_interval().unwrap(), PROBE_INTERVAL);
        assert_eq!(options.tcp_keepalive_retries().unwrap(), PROBES_MAX);
    }
}
