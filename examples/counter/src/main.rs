//! Serves the counter: `counter --address 127.0.0.1:9090 --file effects.jsonl`.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use counter::{Counter, EffectLog, router};
use tokio::net::TcpListener;

/// Records every side effect it is asked for, so that repeats can be seen.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where to listen; port 0 lets the system choose.
    #[arg(long, env = "COUNTER_ADDRESS", default_value = "127.0.0.1:9090")]
    address: SocketAddr,
    /// Also write each effect to this file, as one JSON line. The file starts empty.
    #[arg(long, env = "COUNTER_FILE")]
    file: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let log = match &arguments.file {
        Some(path) => EffectLog::with_file(path)
            .with_context(|| format!("failed to create {}", path.display()))?,
        None => EffectLog::default(),
    };
    let listener = TcpListener::bind(arguments.address)
        .await
        .with_context(|| format!("failed to listen on {} (--address)", arguments.address))?;
    println!("counter listening on http://{}", listener.local_addr()?);
    axum::serve(listener, router(Counter::new(log))).await?;
    Ok(())
}
