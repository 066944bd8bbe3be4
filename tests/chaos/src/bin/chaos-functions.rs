//! Serves the interpreter: `chaos-functions PORT OUTSIDE`, with the port of loopback to listen on and
//! the address of the outside world.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result};

#[tokio::main]
async fn main() -> Result<()> {
    let usage = "usage: chaos-functions PORT OUTSIDE";
    let port = std::env::args().nth(1).context(usage)?.parse()?;
    let outside = std::env::args().nth(2).context(usage)?.parse()?;
    everlog_chaos::serve_functions(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), outside).await
}
