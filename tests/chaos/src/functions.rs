//! The interpreter of programs, as functions in a process of its own, so that it can be killed.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use everlog_harness::Http;
use restate_sdk::prelude::*;
use serde_json::json;
use tokio::net::TcpListener;

use crate::program::{Chain, Did, Digest, Op, Program};

/// The state key of an object's [`Chain`].
const CHAIN: &str = "chain";
/// The state key of an object's sum.
const SUM: &str = "sum";

/// Serves the interpreter until the process ends.
pub async fn serve(listen: SocketAddr, outside: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(listen).await?;
    let interpreter = Interp(Outside { http: Http::default(), at: outside });
    let endpoint = Endpoint::builder().bind(interpreter).build();
    HttpServer::new(endpoint).serve_with_cancel(listener, std::future::pending::<()>()).await;
    Ok(())
}

/// The outside world, as functions reach it.
#[derive(Debug, Clone)]
struct Outside {
    http: Http,
    at: SocketAddr,
}

impl Outside {
    /// Asks for something. What fails is a fault of the run, and the attempt is made again.
    async fn ask(self, path: &str, body: serde_json::Value) -> Result<String, HandlerError> {
        let reply = self.http.post(self.at, path, &[], body.to_string()).await;
        let reply = reply.and_then(everlog_harness::Reply::success);
        let reply = reply.map_err(|error| std::io::Error::other(format!("{error:#}")))?;
        Ok(reply.text())
    }
}

struct Interp(Outside);

#[object(invocation_retry_policy(initial_interval = "20ms", factor = 2.0, max_interval = "500ms"))]
impl Interp {
    /// Runs a program while no other of the key runs.
    #[handler]
    async fn run(
        &self,
        ctx: ObjectContext<'_>,
        Json(program): Json<Program>,
    ) -> HandlerResult<Json<Digest>> {
        let began = ctx.run(async || Ok(millis_now())).name("began").await?;
        let Json(mut chain) = ctx.get::<Json<Chain>>(CHAIN).await?.unwrap_or_default();
        let place = chain.push(&program.id);
        ctx.set(CHAIN, Json(chain));
        let mut did = Vec::new();
        for step in 0..program.ops.len() {
            did.push(self.step(&ctx, &program, step).await?);
        }
        let ended = ctx.run(async || Ok(millis_now())).name("ended").await?;
        Ok(Json(Digest { place, began, ended, did }))
    }

    /// Adds one to the sum, and does nothing else.
    #[handler]
    async fn bump(&self, ctx: ObjectContext<'_>) -> HandlerResult<u64> {
        let sum = ctx.get::<u64>(SUM).await?.unwrap_or_default() + 1;
        ctx.set(SUM, sum);
        Ok(sum)
    }

    /// Tells how long the chain is, beside whatever runs.
    #[handler]
    async fn read(&self, ctx: SharedObjectContext<'_>) -> HandlerResult<Json<Chain>> {
        Ok(ctx.get::<Json<Chain>>(CHAIN).await?.unwrap_or_default())
    }

    /// Tells the sum, beside whatever runs.
    #[handler]
    async fn sum(&self, ctx: SharedObjectContext<'_>) -> HandlerResult<u64> {
        Ok(ctx.get::<u64>(SUM).await?.unwrap_or_default())
    }
}

impl Interp {
    async fn step(
        &self,
        ctx: &ObjectContext<'_>,
        program: &Program,
        step: usize,
    ) -> HandlerResult<Did> {
        let Some(op) = program.ops.get(step) else { return Ok(Did::Done) };
        let note = |name: &str| format!("note-{name}");
        Ok(match op {
            Op::Get { name } => Did::Got { value: ctx.get::<String>(&note(name)).await? },
            Op::Set { name, value } => {
                ctx.set(&note(name), value.clone());
                Did::Done
            }
            Op::Clear { name } => {
                ctx.clear(&note(name));
                Did::Done
            }
            Op::Add { by } => {
                let sum = ctx.get::<u64>(SUM).await?.unwrap_or_default() + by;
                ctx.set(SUM, sum);
                Did::Added { sum }
            }
            Op::Effect => Did::Had { token: self.effect(ctx, program, step).await? },
            Op::Call { key, program } => {
                let callee = ctx.object_client::<InterpClient>(key.to_string());
                let Json(digest) = callee.run(Json(program.clone())).call().await?;
                Did::Called { place: digest.place }
            }
            Op::Send { key, program } => {
                let at = ctx.run(async || Ok(millis_now())).name("sent").await?;
                send(ctx, *key, program.clone());
                Did::Sent { at }
            }
            Op::SendLater { key, program, millis } => {
                let at = ctx.run(async || Ok(millis_now())).name("sent").await?;
                let callee = ctx.object_client::<InterpClient>(key.to_string());
                let delay = Duration::from_millis(*millis);
                callee.run(Json(program.clone())).send_after(delay);
                Did::Sent { at }
            }
            Op::Sleep { millis } => {
                let from = ctx.run(async || Ok(millis_now())).name("asleep").await?;
                ctx.sleep(Duration::from_millis(*millis)).await?;
                let to = ctx.run(async || Ok(millis_now())).name("awake").await?;
                Did::Slept { from, to }
            }
            Op::Await { helper } => {
                Did::Woken { value: self.wait(ctx, program, step, *helper).await? }
            }
            Op::Resolve { awakeable, value } => {
                ctx.resolve_awakeable(awakeable, value.clone());
                Did::Done
            }
        })
    }

    async fn effect(
        &self,
        ctx: &ObjectContext<'_>,
        program: &Program,
        step: usize,
    ) -> HandlerResult<String> {
        let (outside, invocation) = (self.0.clone(), ctx.invocation_id().to_owned());
        let body = json!({ "invocation": invocation, "program": program.id, "step": step });
        let act = async move || outside.ask("/effects", body).await;
        Ok(ctx.run(act).name("effect").await?)
    }

    async fn wait(
        &self,
        ctx: &ObjectContext<'_>,
        program: &Program,
        step: usize,
        helper: Option<u32>,
    ) -> HandlerResult<String> {
        let (awakeable, promise) = ctx.awakeable::<String>();
        if let Some(key) = helper {
            send(ctx, key, program.helper(step, awakeable));
        } else {
            let (outside, value) = (self.0.clone(), program.wakes_with(step));
            let body = json!({
                "awakeable": awakeable, "program": program.id, "step": step, "value": value,
            });
            let tell = async move || outside.ask("/awakeables", body).await;
            ctx.run(tell).name("announce").await?;
        }
        Ok(promise.await?)
    }
}

fn send(ctx: &ObjectContext<'_>, key: u32, program: Program) {
    ctx.object_client::<InterpClient>(key.to_string()).run(Json(program)).send();
}

/// The system's clock, in milliseconds of Unix time.
fn millis_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
