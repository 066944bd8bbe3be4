//! Serves the functions on the port of loopback that is the first argument.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result};
use restate_sdk::prelude::HttpServer;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<()> {
    let port = std::env::args().nth(1).context("usage: e2e-functions PORT")?.parse()?;
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
    HttpServer::new(everlog_e2e::program::endpoint()?)
        .serve_with_cancel(listener, std::future::pending::<()>())
        .await;
    Ok(())
}
