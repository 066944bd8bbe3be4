//! The outside world: it notes who acts on it, and resolves the awakeables that it is told of.
//!
//! It lives in the driver, which no fault touches. **Invariant:** an act is in the history before it
//! is answered.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use crate::history::{Event, History};

/// The world as it is served. Dropping it ends it.
#[derive(Debug)]
pub struct Outside {
    /// Where functions reach it.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

/// An awakeable that somebody waits for.
#[derive(Debug, Deserialize)]
pub struct Awakeable {
    /// Its name.
    pub awakeable: String,
    /// The program that waits.
    pub program: String,
    /// The step of the program.
    pub step: usize,
    /// What to resolve it with.
    pub value: String,
}

#[derive(Debug, Deserialize)]
struct Act {
    invocation: String,
    program: String,
    step: usize,
}

#[derive(Debug)]
struct Noted {
    history: Arc<History>,
    acts: AtomicU64,
    known: Mutex<BTreeSet<String>>,
    awakeables: UnboundedSender<Awakeable>,
}

impl Outside {
    /// Serves the world on a free port. Awakeables come out of the channel, each once.
    pub async fn serve(history: Arc<History>) -> Result<(Self, UnboundedReceiver<Awakeable>)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (awakeables, told) = unbounded_channel();
        let (acts, known) = (AtomicU64::new(0), Mutex::default());
        let noted = Arc::new(Noted { history, acts, known, awakeables });
        let routes = Router::new()
            .route("/effects", post(act))
            .route("/awakeables", post(wait))
            .with_state(noted);
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, routes).await {
                eprintln!("chaos: the outside world has ended: {error}");
            }
        });
        Ok((Self { address, task }, told))
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn act(State(noted): State<Arc<Noted>>, Json(act): Json<Act>) -> String {
    let token = format!("act-{}", noted.acts.fetch_add(1, Ordering::Relaxed));
    let Act { invocation, program, step } = act;
    noted.history.note(Event::Effect { invocation, program, step, token: token.clone() });
    token
}

async fn wait(State(noted): State<Arc<Noted>>, Json(told): Json<Awakeable>) -> &'static str {
    let mut known = noted.known.lock().unwrap_or_else(PoisonError::into_inner);
    if known.insert(told.awakeable.clone()) {
        let (program, step, value) = (told.program.clone(), told.step, told.value.clone());
        noted.history.note(Event::Resolved { program, step, value });
        // Nobody listens any more once the run is over.
        let _ = noted.awakeables.send(told);
    }
    "noted"
}
