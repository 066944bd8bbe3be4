//! Deployments over bare sockets, which break HTTP/1.1 itself.

use std::net::SocketAddr;

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::{CHUNK_BYTES, DRIP_EVERY, MANIFEST, manifest};

/// The longest head of a request that is read.
const REQUEST_HEAD_BYTES_MAX: usize = 64 << 10;

/// In which way it answers.
#[derive(Debug, Clone, Copy)]
pub enum RawBehaviour {
    /// Sends the head of its answer byte by byte, and never ends it.
    DrippedHead,
    /// Sends the body of its answer byte by byte, and never ends it.
    DrippedBody,
    /// Sends one header after the other.
    EndlessHead,
    /// Sends a body without end.
    EndlessBody,
    /// Sends the size of a chunk of its body, and what belongs to it, without end.
    EndlessChunkHead,
    /// Says again and again that the answer will come.
    EndlessInterim,
}

/// What is answered in that way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Harm {
    /// Discovery.
    Discovery,
    /// Attempts; discovery is answered well.
    Attempts,
}

/// A served hostile endpoint.
pub struct RawHostile {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl RawHostile {
    /// Serves one that cannot be discovered.
    pub async fn never_discovered(behaviour: RawBehaviour) -> Result<Self> {
        Self::serve(behaviour, Harm::Discovery).await
    }

    /// Serves one with one service named `Hostile` and its handler `call`, which is tried once and
    /// then paused.
    pub async fn never_answering(behaviour: RawBehaviour) -> Result<Self> {
        Self::serve(behaviour, Harm::Attempts).await
    }

    async fn serve(behaviour: RawBehaviour, harm: Harm) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // It ends when the peer hangs up.
                tokio::spawn(async move { drop(converse(stream, behaviour, harm).await) });
            }
        });
        Ok(Self { address, task })
    }

    /// What to register.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for RawHostile {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Answers requests until one is answered with harm.
async fn converse(mut stream: TcpStream, behaviour: RawBehaviour, harm: Harm) -> Result<()> {
    loop {
        let head = read_head(&mut stream).await?;
        // The beginning of HTTP/2, which is not spoken here.
        if head.starts_with(b"PRI ") {
            return Ok(());
        }
        let is_discovery = head.starts_with(b"GET /discover ");
        if !is_discovery || harm == Harm::Discovery {
            return do_harm(&mut stream, behaviour, is_discovery, &head).await;
        }
        let manifest = manifest("REQUEST_RESPONSE", (5, 6));
        let length = manifest.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {MANIFEST}\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(manifest.as_bytes()).await?;
    }
}

/// Reads up to the first empty line. What follows it is of no interest.
async fn read_head(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read_buf(&mut head).await?;
        anyhow::ensure!(read > 0 && head.len() <= REQUEST_HEAD_BYTES_MAX, "no request");
    }
    Ok(head)
}

async fn do_harm(
    stream: &mut TcpStream,
    behaviour: RawBehaviour,
    is_discovery: bool,
    request: &[u8],
) -> Result<()> {
    let kind = if is_discovery { MANIFEST.to_owned() } else { content_type_of(request) };
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n");
    let body = format!("{head}\r\n");
    let (first, then, is_slow) = match behaviour {
        RawBehaviour::DrippedHead => (head, "x-filler: x\r\n".to_owned(), true),
        // As the head of a frame, these bytes announce 16 MiB.
        RawBehaviour::DrippedBody => (body, "1\r\n\x01\r\n".to_owned(), true),
        RawBehaviour::EndlessHead => (head, "x-filler: x\r\n".repeat(CHUNK_BYTES >> 4), false),
        RawBehaviour::EndlessBody => {
            let chunk = format!("{CHUNK_BYTES:x}\r\n{}\r\n", "\x01".repeat(CHUNK_BYTES));
            (body, chunk, false)
        }
        RawBehaviour::EndlessChunkHead => (format!("{body}1;"), "x".repeat(CHUNK_BYTES), false),
        RawBehaviour::EndlessInterim => {
            let interim = "HTTP/1.1 100 Continue\r\n\r\n";
            (interim.to_owned(), interim.repeat(CHUNK_BYTES >> 5), false)
        }
    };
    stream.write_all(first.as_bytes()).await?;
    loop {
        if is_slow {
            for byte in then.bytes() {
                stream.write_all(&[byte]).await?;
                tokio::time::sleep(DRIP_EVERY).await;
            }
        } else {
            stream.write_all(then.as_bytes()).await?;
        }
    }
}

/// The content type that a request names, which an answer must have.
fn content_type_of(request: &[u8]) -> String {
    let request = String::from_utf8_lossy(request);
    let name = "content-type:";
    let line = request.lines().find(|line| line.to_ascii_lowercase().starts_with(name));
    line.and_then(|line| line.get(name.len()..)).unwrap_or_default().trim().to_owned()
}
