//! Serves the checkout functions: `checkout --address 127.0.0.1:9080 --counter-url http://127.0.0.1:9090`.

mod order;
mod outside;

use std::net::SocketAddr;

use anyhow::Context;
use clap::Parser;
use http::Uri;
use restate_sdk::prelude::{Endpoint, HttpServer};
use tokio::net::TcpListener;

use crate::order::Checkout;
use crate::outside::Outside;

/// Durable functions that take an order.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where Everlog reaches the functions; port 0 lets the system choose.
    #[arg(long, env = "CHECKOUT_ADDRESS", default_value = "127.0.0.1:9080")]
    address: SocketAddr,
    /// The counter service, which stands for the warehouse, the bank, the carrier and the mail.
    #[arg(long, env = "COUNTER_URL", default_value = "http://127.0.0.1:9090")]
    counter_url: Uri,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_env_filter("warn").with_writer(std::io::stderr).init();
    let arguments = Arguments::parse();
    let outside = Outside::new(&arguments.counter_url)?;
    let listener = TcpListener::bind(arguments.address)
        .await
        .with_context(|| format!("failed to listen on {} (--address)", arguments.address))?;
    println!("checkout listening on http://{}", listener.local_addr()?);
    let endpoint = Endpoint::builder().bind(Checkout::new(outside)).build();
    HttpServer::new(endpoint).serve(listener).await;
    Ok(())
}
