//! Functions for the tests, written with the official SDK and served in this process, so that
//! they outlive the server they talk to.

#![expect(clippy::unused_async, reason = "the SDK wants async handlers")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use restate_sdk::prelude::*;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::{Effects, millis_now};

/// How long the effect of a step takes.
const EFFECT_TAKES: Duration = Duration::from_millis(2);

/// A served endpoint.
pub struct Functions {
    /// Where it listens.
    pub address: SocketAddr,
    /// What its functions did.
    pub effects: Arc<Effects>,
    sleepers: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

/// When a sleeper went to sleep and woke up, by the function's clock.
#[derive(Debug, Clone, Copy)]
pub struct Woken {
    /// Milliseconds since the Unix epoch.
    pub asleep: u64,
    /// Milliseconds since the Unix epoch.
    pub awake: u64,
}

impl Functions {
    /// Serves the functions on a free port.
    pub async fn serve() -> Result<Self> {
        Self::serve_on("127.0.0.1:0".parse()?).await
    }

    /// Serves the functions at an address.
    pub async fn serve_on(address: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let effects = Arc::new(Effects::default());
        let sleepers = Arc::new(AtomicUsize::new(0));
        let endpoint = Endpoint::builder()
            .bind(Steps(Arc::clone(&effects)))
            .bind(Sleeper(Arc::clone(&sleepers)))
            .bind(Failing(Arc::clone(&effects)))
            .bind(Account(Arc::clone(&effects)))
            .bind(Bank(Arc::clone(&effects)))
            .build();
        let task = tokio::spawn(async move {
            HttpServer::new(endpoint)
                .serve_with_cancel(listener, std::future::pending::<()>())
                .await;
        });
        Ok(Self { address, effects, sleepers, task })
    }

    /// How often a sleeper has fallen asleep: once per attempt that got so far.
    #[must_use]
    pub fn sleepers(&self) -> usize {
        self.sleepers.load(Ordering::Relaxed)
    }

    /// What to register.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Functions {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Woken {
    /// Reads a sleeper's answer.
    pub fn parse(answer: &str) -> Result<Self> {
        let (asleep, awake) = serde_json::from_str(answer)?;
        Ok(Self { asleep, awake })
    }
}

struct Steps(Arc<Effects>);

#[service]
impl Steps {
    /// Takes five steps and returns the token of each.
    #[handler]
    async fn five(&self, ctx: Context<'_>) -> Result<Json<Vec<u64>>, TerminalError> {
        let mut tokens = Vec::new();
        for step in 0..5 {
            let (effects, invocation) = (Arc::clone(&self.0), ctx.invocation_id().to_owned());
            let run = ctx.run(move || effect(effects, invocation, step)).name("effect");
            let token = run.await?;
            self.0.is_recorded(ctx.invocation_id(), step, token);
            tokens.push(token);
        }
        Ok(Json(tokens))
    }

    /// Returns what it is given.
    #[handler]
    async fn echo(&self, _ctx: Context<'_>, text: String) -> Result<String, TerminalError> {
        Ok(text)
    }
}

struct Account(Arc<Effects>);

#[object]
impl Account {
    /// Takes two steps while no other call of the key does.
    #[handler]
    async fn post(&self, ctx: ObjectContext<'_>) -> Result<Json<Vec<u64>>, TerminalError> {
        let invocation = ctx.invocation_id().to_owned();
        let (effects, name) = (Arc::clone(&self.0), invocation.clone());
        let first = ctx.run(move || effect(effects, name, 0)).name("debit").await?;
        let effects = Arc::clone(&self.0);
        let second = ctx.run(move || effect(effects, invocation, 1)).name("credit").await?;
        Ok(Json(vec![first, second]))
    }

    /// Takes a step and counts the deposits of the key in its state.
    #[handler]
    async fn deposit(&self, ctx: ObjectContext<'_>) -> Result<Json<Deposit>, TerminalError> {
        let (effects, invocation) = (Arc::clone(&self.0), ctx.invocation_id().to_owned());
        let token = ctx.run(move || effect(effects, invocation, 0)).name("deposit").await?;
        self.0.is_recorded(ctx.invocation_id(), 0, token);
        let deposits = ctx.get::<u64>("deposits").await?.unwrap_or(0) + 1;
        ctx.set("deposits", deposits);
        Ok(Json(Deposit { token, deposits, invocation: ctx.invocation_id().to_owned() }))
    }
}

/// What a deposit came to.
#[derive(Debug, Serialize, Deserialize)]
pub struct Deposit {
    /// The token of its effect.
    pub token: u64,
    /// The deposits of the account, this one among them.
    pub deposits: u64,
    /// The invocation that made it.
    pub invocation: String,
}

struct Bank(Arc<Effects>);

#[service]
impl Bank {
    /// Takes a step and calls an account; returns the token of its step and what the account said.
    #[handler]
    async fn transfer(
        &self,
        ctx: Context<'_>,
        to: String,
    ) -> Result<Json<(u64, Deposit)>, TerminalError> {
        let (effects, invocation) = (Arc::clone(&self.0), ctx.invocation_id().to_owned());
        let token = ctx.run(move || effect(effects, invocation, 0)).name("withdraw").await?;
        self.0.is_recorded(ctx.invocation_id(), 0, token);
        let Json(deposit) = ctx.object_client::<AccountClient>(to).deposit().call().await?;
        Ok(Json((token, deposit)))
    }
}

/// Has one effect; the name and number of the step tell it from others.
async fn effect(effects: Arc<Effects>, invocation: String, step: u32) -> Result<u64, HandlerError> {
    let token = effects.take_place(&invocation, step);
    tokio::time::sleep(EFFECT_TAKES).await;
    Ok(token)
}

struct Sleeper(Arc<AtomicUsize>);

#[service]
impl Sleeper {
    /// Sleeps for a number of milliseconds.
    #[handler]
    async fn nap(&self, ctx: Context<'_>, millis: u64) -> Result<Json<(u64, u64)>, TerminalError> {
        let asleep = ctx.run(async || Ok(millis_now())).name("asleep").await?;
        // The sleep is recorded by the time it is waited for: both go out at once.
        let sleep = ctx.sleep(Duration::from_millis(millis));
        self.0.fetch_add(1, Ordering::Relaxed);
        sleep.await?;
        let awake = ctx.run(async || Ok(millis_now())).name("awake").await?;
        Ok(Json((asleep, awake)))
    }
}

struct Failing(Arc<Effects>);

#[service]
impl Failing {
    /// Fails for good.
    #[handler]
    async fn terminally(&self, _ctx: Context<'_>) -> Result<(), TerminalError> {
        Err(TerminalError::new_with_code(422, "the card was declined"))
    }

    /// Fails twice, then succeeds and says how often it was tried.
    #[handler]
    async fn twice(&self, ctx: Context<'_>) -> Result<Json<u64>, HandlerError> {
        let invocation = ctx.invocation_id().to_owned();
        self.0.take_place(&invocation, 0);
        let tries = self.0.runs_of(&invocation, 0);
        if tries < 3 {
            return Err(std::io::Error::other("not yet").into());
        }
        Ok(Json(tries))
    }
}
