//! Opens connections to deployments: TCP, TLS where the address says so, and the version of HTTP
//! that both sides speak.
//!
//! Discovery (in the gateway) and attempts (in the executor) both start here, so that whatever can
//! be registered can be called, and fails with the same words.
//!
//! It also holds what requests to deployments are signed with ([`Identity`]), since both make them.
//!
//! **Architecture invariant:** it makes no requests. It hands out a stream of bytes and the version
//! of HTTP to speak on it, and puts a signature among headers.

mod error;
mod identity;
mod origin;
mod socket;
mod trust;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub use self::error::{AddressError, ConnectError, TrustError};
pub use self::identity::{IDENTITY_KEYS_MAX, Identity, IdentityError};
pub use self::origin::Origin;
use self::socket::PromptSocket;
pub use self::trust::TlsOptions;

/// Opens connections. Cheap to clone: clones share what they trust.
#[derive(Clone)]
pub struct Connector {
    /// Offers HTTP/2 and, where the peer has none, HTTP/1.1.
    best: TlsConnector,
    /// Offers HTTP/1.1 alone.
    one: TlsConnector,
    identity: Identity,
}

/// Which versions of HTTP will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// HTTP/2 or, over TLS with a peer that has none, HTTP/1.1. Without TLS there is nothing to
    /// agree by: it is HTTP/2 there, and a peer that does not speak it fails the first request.
    Best,
    /// HTTP/1.1, whatever else the peer speaks.
    HttpOne,
}

/// A version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpVersion {
    /// HTTP/1.1: one request at a time.
    One,
    /// HTTP/2: many requests at once.
    Two,
}

/// An open connection.
#[derive(Debug)]
pub struct Connection {
    socket: Socket,
    version: HttpVersion,
}

#[derive(Debug)]
enum Socket {
    Plain(PromptSocket),
    // Its state is large.
    Tls(Box<TlsStream<PromptSocket>>),
}

impl Connector {
    /// Makes a connector that trusts what the host trusts, and what `options` add.
    pub fn new(options: &TlsOptions) -> Result<Self, TrustError> {
        let trusted = trust::roots(options)?;
        let [best, one] = [&[&b"h2"[..], b"http/1.1"][..], &[&b"http/1.1"[..]]].map(|offered| {
            let mut config = trust::client_config(&trusted);
            config.alpn_protocols = offered.iter().map(|protocol| protocol.to_vec()).collect();
            TlsConnector::from(Arc::new(config))
        });
        Ok(Self { best, one, identity: Identity::default() })
    }

    /// Has requests on its connections signed.
    #[must_use]
    pub fn signed_by(self, identity: Identity) -> Self {
        Self { identity, ..self }
    }

    /// What requests on its connections are to be signed with.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Opens a connection. Waits as long as the peer lets it: callers bound it.
    pub async fn connect(
        &self,
        origin: &Origin,
        wanted: Wanted,
    ) -> Result<Connection, ConnectError> {
        let address = (origin.host(), origin.port());
        let socket = PromptSocket::connect(address).await.map_err(ConnectError::Network)?;
        if !origin.is_tls() {
            let version = match wanted {
                Wanted::Best => HttpVersion::Two,
                Wanted::HttpOne => HttpVersion::One,
            };
            return Ok(Connection { socket: Socket::Plain(socket), version });
        }
        let name = ServerName::try_from(origin.host().to_owned())
            .map_err(|_| ConnectError::NoServerName(origin.host().to_owned()))?;
        let tls = match wanted {
            Wanted::Best => &self.best,
            Wanted::HttpOne => &self.one,
        };
        let stream = Box::pin(tls.connect(name, socket))
            .await
            .map_err(|cause| ConnectError::of_handshake(origin.host(), cause))?;
        let version = match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => HttpVersion::Two,
            // A peer that knows nothing of such agreements speaks the older version.
            Some(_) | None => HttpVersion::One,
        };
        Ok(Connection { socket: Socket::Tls(Box::new(stream)), version })
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

impl Connection {
    /// The version of HTTP to speak on it.
    pub fn version(&self) -> HttpVersion {
        self.version
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Plain(socket) => Pin::new(socket).poll_read(cx, buffer),
            Socket::Tls(socket) => Pin::new(socket).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.socket {
            Socket::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
            Socket::Tls(socket) => Pin::new(socket).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.socket {
            Socket::Plain(socket) => Pin::new(socket).poll_write_vectored(cx, buffers),
            Socket::Tls(socket) => Pin::new(socket).poll_write_vectored(cx, buffers),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.socket {
            Socket::Plain(socket) => socket.is_write_vectored(),
            Socket::Tls(socket) => socket.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Socket::Tls(socket) => Pin::new(socket).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Socket::Tls(socket) => Pin::new(socket).poll_shutdown(cx),
        }
    }
}
