//! The callers: random programs over a few keys, through all gateways, as clients do it.
//!
//! A call with an idempotency key is repeated until it is answered; one without is made once, and what
//! is no answer leaves its end unknown. **Invariant:** no error is ever taken for a refusal.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use everlog_harness::{Http, Reply};
use everlog_simulation::rng::{Rng, mix};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout, timeout_at};

use crate::history::{Event, History, How};
use crate::outside::Awakeable;
use crate::program::{Chain, Digest, Program};

/// How long a caller waits for one answer before it asks again, perhaps elsewhere.
const ASK_MAX: Duration = Duration::from_secs(15);
/// How long a caller that asks only once waits.
const ASK_ONCE_MAX: Duration = Duration::from_secs(45);
/// How soon a caller asks again.
const AGAIN_AFTER: Duration = Duration::from_millis(50);
/// How many ask for old answers at once.
const ASKING_AGAIN: usize = 8;
/// How many answers are asked for once more, at most: the last ones.
const ASKED_AGAIN_MAX: usize = 5_000;
/// The answer of a call without idempotency key is kept for ten minutes; it is asked for again only
/// well before that.
const KEPT_SURELY: Duration = Duration::from_mins(5);

/// What the callers do.
#[derive(Debug, Clone)]
pub struct Load {
    /// Decides all programs.
    pub seed: u64,
    /// How many there are.
    pub callers: u32,
    /// How many keys they call.
    pub keys: u32,
    /// How many calls they make per second, all together, where they are answered that fast.
    pub rate: u32,
}

/// All callers.
#[derive(Debug)]
pub struct Driver {
    load: Load,
    http: Http,
    gateways: Vec<SocketAddr>,
    history: Arc<History>,
    next_call: AtomicU64,
    answered: AtomicUsize,
    stopped: AtomicBool,
}

impl Driver {
    /// Makes callers of the ingresses at these addresses.
    pub fn new(load: Load, gateways: Vec<SocketAddr>, history: Arc<History>) -> Arc<Self> {
        Arc::new(Self {
            load,
            http: Http::default(),
            gateways,
            history,
            next_call: AtomicU64::new(0),
            answered: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
        })
    }

    /// How many calls have been answered.
    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// Begins. The callers go on until they are stopped.
    pub fn start(self: &Arc<Self>, awakeables: UnboundedReceiver<Awakeable>) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        for caller in 0..self.load.callers {
            tasks.spawn(Arc::clone(self).run_caller(caller));
        }
        tokio::spawn(Arc::clone(self).resolve_all(awakeables));
        tasks
    }

    /// Lets each caller finish its call. What is not answered until `deadline` never is.
    pub async fn stop(&self, mut callers: JoinSet<()>, deadline: Instant) -> Result<()> {
        self.stopped.store(true, Ordering::Relaxed);
        let all = async { while callers.join_next().await.is_some() {} };
        let left = timeout_at(deadline, all).await;
        left.context("some calls were never answered, though everything was healed")
    }

    async fn run_caller(self: Arc<Self>, caller: u32) {
        let mut rng = Rng::new(self.load.seed ^ mix(u64::from(caller) + 1));
        let rate = f64::from(self.load.rate.max(1)) / f64::from(self.load.callers.max(1));
        let mut tick = interval(Duration::from_secs_f64(1.0 / rate));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for number in 0_u64.. {
            tick.tick().await;
            if self.stopped.load(Ordering::Relaxed) {
                return;
            }
            let key = u32::try_from(rng.below(u64::from(self.load.keys))).unwrap_or_default();
            let gateway = rng.index(self.gateways.len());
            let kind = rng.below(10);
            if kind == 0 {
                self.read(key, gateway).await;
                continue;
            }
            let how = match kind {
                1 | 2 => How::Plain,
                3 | 4 => How::Sent,
                _ => How::Keyed,
            };
            let id = format!("c{caller}-{number}");
            let program = Program::draw(&mut rng, id, key, self.load.keys);
            self.call(how, key, gateway, program).await;
        }
    }

    async fn call(&self, how: How, key: u32, gateway: usize, program: Program) {
        let call = self.next_call.fetch_add(1, Ordering::Relaxed);
        let id = program.id.clone();
        let body = serde_json::to_string(&program).expect("a program is JSON");
        self.history.note(Event::Called { call, key, how, program });
        let path = format!("/Interp/{key}/run");
        match how {
            How::Plain => self.call_once(call, gateway, &path, body).await,
            How::Keyed => self.ask(call, gateway, &path, Some(&id), &body).await,
            How::Sent => {
                let path = format!("{path}/send");
                if let Some(invocation) = self.send(call, gateway, &path, &id, &body).await {
                    self.ask(call, gateway + 1, &attach(&invocation), None, "").await;
                }
            }
        }
    }

    async fn call_once(&self, call: u64, gateway: usize, path: &str, body: String) {
        let asked = self.http.post(self.gateway(gateway), path, &[], body);
        match timeout(ASK_ONCE_MAX, asked).await {
            Ok(Ok(reply)) if reply.status.is_success() => self.answer(call, gateway, &reply),
            Ok(Ok(reply)) if failed(&reply) => self.fail(call, &reply),
            Ok(Ok(reply)) => self.unknown(call, format!("{}: {}", reply.status, reply.text())),
            Ok(Err(error)) => self.unknown(call, format!("{error:#}")),
            Err(_) => self.unknown(call, format!("no answer within {ASK_ONCE_MAX:?}")),
        }
    }

    /// Asks until there is an answer: by an idempotency key, or for the outcome of an invocation.
    async fn ask(&self, call: u64, first: usize, path: &str, key: Option<&str>, body: &str) {
        for gateway in first.. {
            let asked = timeout(ASK_MAX, self.once(gateway, path, key, body)).await;
            let Ok(Ok(reply)) = asked else {
                sleep(AGAIN_AFTER).await;
                continue;
            };
            if reply.status.is_success() {
                return self.answer(call, gateway, &reply);
            }
            if failed(&reply) || !may_pass(&reply) {
                return self.fail(call, &reply);
            }
            sleep(AGAIN_AFTER).await;
        }
    }

    async fn send(
        &self,
        call: u64,
        first: usize,
        path: &str,
        key: &str,
        body: &str,
    ) -> Option<String> {
        for gateway in first.. {
            let reply = timeout(ASK_MAX, self.once(gateway, path, Some(key), body)).await;
            if let Ok(Ok(reply)) = reply {
                if reply.status.is_success() {
                    let invocation = invocation_of(&reply);
                    let accepted = Event::Accepted { call, invocation: invocation.clone() };
                    self.history.note(accepted);
                    return Some(invocation);
                }
                if !may_pass(&reply) {
                    self.fail(call, &reply);
                    return None;
                }
            }
            sleep(AGAIN_AFTER).await;
        }
        None
    }

    async fn once(
        &self,
        gateway: usize,
        path: &str,
        key: Option<&str>,
        body: &str,
    ) -> Result<Reply> {
        let at = self.gateway(gateway);
        match key {
            Some(key) => {
                let headers = [("idempotency-key", key)];
                self.http.post(at, path, &headers, body.to_owned()).await
            }
            None => self.http.get(at, path).await,
        }
    }

    async fn read(&self, key: u32, gateway: usize) {
        let asked = self.history.now();
        let path = format!("/Interp/{key}/read");
        let reply = timeout(ASK_MAX, self.http.post(self.gateway(gateway), &path, &[], "")).await;
        if let Ok(Ok(reply)) = reply
            && reply.status.is_success()
            && let Ok(chain) = serde_json::from_slice::<Chain>(&reply.body)
        {
            self.history.note(Event::Read { key, asked, chain });
        }
    }

    fn gateway(&self, number: usize) -> SocketAddr {
        let number = number.checked_rem(self.gateways.len()).unwrap_or_default();
        *self.gateways.get(number).expect("there is a gateway")
    }

    fn answer(&self, call: u64, gateway: usize, reply: &Reply) {
        let gateway = gateway.checked_rem(self.gateways.len()).unwrap_or_default();
        let invocation = invocation_of(reply);
        match serde_json::from_slice::<Digest>(&reply.body) {
            Ok(digest) => {
                self.history.note(Event::Answered { call, gateway, invocation, digest });
                self.answered.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                let what = format!("answered {error}: {}", reply.text());
                self.history.note(Event::Failed { call, what });
            }
        }
    }

    fn fail(&self, call: u64, reply: &Reply) {
        let what = format!("{}: {}", reply.status, reply.text());
        self.history.note(Event::Failed { call, what });
    }

    fn unknown(&self, call: u64, why: String) {
        self.history.note(Event::Unknown { call, why });
    }

    /// Asks for the answers that are certainly kept once more, each at another gateway.
    pub async fn ask_again(self: &Arc<Self>) -> usize {
        let since = self.history.now().saturating_sub(micros(KEPT_SURELY));
        let mut plain = std::collections::BTreeSet::new();
        let mut known = Vec::new();
        for line in self.history.lines() {
            if let Event::Called { call, how: How::Plain, .. } = line.event {
                plain.insert(call);
            } else if let Event::Answered { call, gateway, invocation, .. } = line.event
                && (line.at >= since || !plain.contains(&call))
            {
                known.push((call, gateway + 1, invocation));
            }
        }
        let known = known.split_off(known.len().saturating_sub(ASKED_AGAIN_MAX));
        let count = known.len();
        let mut asking = JoinSet::new();
        for (call, gateway, invocation) in known {
            while asking.len() >= ASKING_AGAIN {
                asking.join_next().await;
            }
            let driver = Arc::clone(self);
            asking.spawn(async move {
                driver.ask(call, gateway, &attach(&invocation), None, "").await;
            });
        }
        while asking.join_next().await.is_some() {}
        count
    }

    async fn resolve_all(self: Arc<Self>, mut told: UnboundedReceiver<Awakeable>) {
        let mut number = 0;
        while let Some(awakeable) = told.recv().await {
            number += 1;
            tokio::spawn(Arc::clone(&self).resolve(awakeable, number));
        }
    }

    /// Resolves an awakeable until that is accepted, and then once more with something else.
    async fn resolve(self: Arc<Self>, awakeable: Awakeable, first: usize) {
        let path = format!("/restate/awakeables/{}/resolve", awakeable.awakeable);
        let body = serde_json::Value::from(awakeable.value).to_string();
        for gateway in first.. {
            let asked = self.http.post(self.gateway(gateway), &path, &[], body.clone());
            match timeout(ASK_MAX, asked).await {
                Ok(Ok(reply)) if reply.status.is_success() => break,
                // An attempt of a deposed owner has announced what never was.
                Ok(Ok(reply)) if !may_pass(&reply) => return,
                _ => sleep(AGAIN_AFTER).await,
            }
        }
        let again = self.http.post(self.gateway(first + 1), &path, &[], "\"once more\"");
        // It must have no effect, so that its own end is of no interest.
        let _ = timeout(ASK_MAX, again).await;
    }
}

fn attach(invocation: &str) -> String {
    format!("/restate/attach/{invocation}")
}

fn invocation_of(reply: &Reply) -> String {
    let id = reply.headers.get("x-restate-id").and_then(|id| id.to_str().ok());
    id.unwrap_or_default().to_owned()
}

/// Whether the invocation itself has failed.
fn failed(reply: &Reply) -> bool {
    reply.headers.get("x-restate-error-source").is_some_and(|source| source == "invocation")
}

/// Whether an error may pass when the call is made again.
fn may_pass(reply: &Reply) -> bool {
    reply.status.is_server_error() || matches!(reply.status.as_u16(), 408 | 429)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
