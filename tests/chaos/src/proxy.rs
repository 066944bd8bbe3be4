//! A network that can be cut: TCP proxies between one executor and the brokers.
//!
//! While it is cut nothing passes and nothing is refused: connections stay open and are silent, as when
//! packets are lost. What was on its way arrives when the network is whole again.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How much is read before it is passed on.
const CHUNK_BYTES: usize = 64 << 10;

/// Proxies in front of brokers. Dropping it ends them.
#[derive(Debug)]
pub struct Network {
    addresses: Vec<SocketAddr>,
    /// Where each proxy leads: known only once the brokers run, who are told of the proxies first.
    targets: Arc<Mutex<Vec<SocketAddr>>>,
    whole: watch::Sender<bool>,
    _proxies: JoinSet<()>,
}

impl Network {
    /// Starts so many proxies, which lead nowhere yet.
    pub async fn start(count: usize) -> Result<Self> {
        let (mut addresses, mut proxies) = (Vec::new(), JoinSet::new());
        let targets = Arc::<Mutex<Vec<SocketAddr>>>::default();
        let whole = watch::Sender::new(true);
        for number in 0..count {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            addresses.push(listener.local_addr()?);
            proxies.spawn(accept(listener, number, Arc::clone(&targets), whole.subscribe()));
        }
        Ok(Self { addresses, targets, whole, _proxies: proxies })
    }

    /// Where the proxies listen.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Tells where each proxy leads.
    pub fn lead_to(&self, targets: Vec<SocketAddr>) {
        *self.targets.lock().unwrap_or_else(PoisonError::into_inner) = targets;
    }

    /// Cuts the network.
    pub fn cut(&self) {
        self.whole.send_replace(false);
    }

    /// Makes it whole again.
    pub fn mend(&self) {
        self.whole.send_replace(true);
    }
}

async fn accept(
    listener: TcpListener,
    number: usize,
    targets: Arc<Mutex<Vec<SocketAddr>>>,
    whole: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let target = targets.lock().unwrap_or_else(PoisonError::into_inner).get(number).copied();
        // Nobody is there, or not yet: the client sees its connection end.
        let Some(target) = target else { continue };
        connections.spawn(connect(client, target, whole.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn connect(client: TcpStream, target: SocketAddr, mut whole: watch::Receiver<bool>) {
    if whole.wait_for(|whole| *whole).await.is_err() {
        return;
    }
    let Ok(server) = TcpStream::connect(target).await else { return };
    // A delay of small packets would be a fault that nobody asked for.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) =
        (client.into_split(), server.into_split());
    // When one side has ended, so has the connection.
    tokio::select! {
        () = pass(from_client, to_server, whole.clone()) => {}
        () = pass(from_server, to_client, whole) => {}
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut whole: watch::Receiver<bool>) {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let Ok(count @ 1..) = from.read(&mut chunk).await else { return };
        if whole.wait_for(|whole| *whole).await.is_err() {
            return;
        }
        let Some(bytes) = chunk.get(..count) else { return };
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn nothing_passes_while_it_is_cut_and_nothing_is_lost() {
        let echo = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let network = Network::start(1).await.unwrap();
        network.lead_to(vec![echo.local_addr().unwrap()]);
        let mut client = TcpStream::connect(network.addresses()[0]).await.unwrap();
        let (mut server, _) = echo.accept().await.unwrap();
        client.write_all(b"a").await.unwrap();
        assert_eq!(server.read_u8().await.unwrap(), b'a');

        network.cut();
        client.write_all(b"b").await.unwrap();
        let mut late = TcpStream::connect(network.addresses()[0]).await.unwrap();
        late.write_all(b"c").await.unwrap();
        let silence = Duration::from_millis(300);
        assert!(timeout(silence, server.read_u8()).await.is_err());
        assert!(timeout(silence, echo.accept()).await.is_err());

        network.mend();
        assert_eq!(server.read_u8().await.unwrap(), b'b');
        let (mut other, _) = echo.accept().await.unwrap();
        assert_eq!(other.read_u8().await.unwrap(), b'c');
        drop(server);
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    }
}
