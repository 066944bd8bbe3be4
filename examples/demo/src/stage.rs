//! The course of the demo, told as it happens.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use counter::{Effect, Summary};
use http::{Method, StatusCode};
use serde_json::json;
use tempfile::TempDir;

use crate::check::{Facts, Finding, findings};
use crate::children::{Program, check_ports};
use crate::orders::{Answered, Caller, Receipt, order_name, place_all};

/// How long a program may take to listen.
const START_LIMIT: Duration = Duration::from_secs(20);
/// How long all orders together may take, with the kill.
const ORDERS_LIMIT: Duration = Duration::from_secs(45);
/// How long each step takes outside, so that a kill meets some in flight.
const STEP_DELAY_MS: u64 = 25;
/// The steps of an order that goes well.
const STEPS_MAX: u32 = 4;
/// Every order whose number is a multiple of this has a bad card.
const BAD_CARD_EVERY: u32 = 50;

/// What to play, and on which ports.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) orders: u32,
    pub(crate) concurrency: u32,
    pub(crate) ingress: u16,
    pub(crate) admin: u16,
    pub(crate) functions: u16,
    pub(crate) counter: u16,
}

/// The running programs and the folder they write to.
#[derive(Debug)]
pub(crate) struct Stage {
    plan: Plan,
    caller: Caller,
    programs: Vec<Program>,
    // Last, so that the folder is removed after the programs have ended.
    folder: TempDir,
}

impl Stage {
    /// Checks the ports and makes a folder. Starts nothing yet.
    pub(crate) fn set(plan: Plan) -> anyhow::Result<Self> {
        check_ports(&[
            (plan.ingress, "--ingress-port"),
            (plan.admin, "--admin-port"),
            (plan.functions, "--functions-port"),
            (plan.counter, "--counter-port"),
        ])?;
        let folder = tempfile::Builder::new().prefix("everlog-demo-").tempdir()?;
        Ok(Self { plan, caller: Caller::new(), programs: Vec::new(), folder })
    }

    /// Plays it all. Gives whether every check held.
    pub(crate) async fn play(&mut self) -> anyhow::Result<bool> {
        let plan = self.plan;
        self.start_outside().await?;
        println!(
            "Starting everlog dev: calls on port {}, administration on {}.",
            plan.ingress, plan.admin
        );
        self.start_everlog().await?;

        println!(
            "Placing {} orders, {} at a time, each with an idempotency key.",
            plan.orders, plan.concurrency
        );
        let answered = Answered::default();
        let url = self.place_url();
        let receipts = place_all(&self.caller, &url, plan.orders, plan.concurrency, &answered);
        let mut receipts = Box::pin(tokio::time::timeout(ORDERS_LIMIT, receipts));
        tokio::select! {
            busy = self.wait_for_busy_moment(&answered) => busy?,
            early = &mut receipts => {
                early.context("too few orders were answered in time")??;
                bail!("all orders were answered before everlog could be killed");
            }
        }

        let in_flight = self.kill_everlog(&answered).await?;
        let restarted = Instant::now();
        let facts = Facts {
            orders: plan.orders,
            declined: bad_cards(plan.orders),
            in_flight,
            restarted_ms: unix_time_ms(),
        };
        let before = answered.count();
        println!("Starting everlog again on the same data.");
        self.start_everlog().await?;
        tokio::time::timeout(ORDERS_LIMIT, answered.wait_for(before + 1))
            .await
            .context("no order was answered after the restart")?;
        println!("  the first answer came {:.1} s later", restarted.elapsed().as_secs_f64());

        let receipts = receipts.await.with_context(|| {
            format!("only {} of {} orders were answered in time", answered.count(), plan.orders)
        })??;
        println!("  every order is answered after {:.1} s\n", restarted.elapsed().as_secs_f64());
        self.judge(&facts, &receipts).await
    }

    /// Waits until two fifths of the orders are answered and the others are in the middle of it.
    ///
    /// Callers that start together stay together, so the count of answers alone would meet them
    /// all between two orders.
    async fn wait_for_busy_moment(&self, answered: &Answered) -> anyhow::Result<()> {
        answered.wait_for(self.plan.orders * 2 / 5).await;
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        loop {
            let summary = self.counter(Method::GET, "effects/summary", String::new()).await?;
            let effects = serde_json::from_slice::<Summary>(&summary)?.effects;
            let of_answered = u64::from(answered.count() * STEPS_MAX);
            if effects >= of_answered + u64::from(self.plan.concurrency) {
                return Ok(());
            }
            tick.tick().await;
        }
    }

    /// Ends everlog with SIGKILL. Gives how many orders may have been in flight.
    async fn kill_everlog(&mut self, answered: &Answered) -> anyhow::Result<u32> {
        let mut everlog = self.programs.pop().context("everlog was not started")?;
        let pid = everlog.pid();
        let before = answered.count();
        everlog.kill().await?;
        let in_flight = self.plan.concurrency.min(self.plan.orders - before);
        println!("\n  kill -9 {pid}: everlog is gone.");
        println!("  {before} orders were answered, up to {in_flight} were in flight.\n");
        Ok(in_flight)
    }

    async fn start_outside(&mut self) -> anyhow::Result<()> {
        let plan = self.plan;
        println!(
            "Starting the counter service, which stands for the outside world, on port {}.",
            plan.counter
        );
        let effects = path_text(&self.folder.path().join("effects.jsonl"))?;
        let address = format!("127.0.0.1:{}", plan.counter);
        let arguments = ["--address".into(), address, "--file".into(), effects];
        self.start("counter", &arguments, plan.counter).await?;
        self.add_rules().await?;

        println!("Starting the checkout functions (examples/checkout) on port {}.", plan.functions);
        let address = format!("127.0.0.1:{}", plan.functions);
        let counter = format!("http://127.0.0.1:{}", plan.counter);
        let arguments = ["--address".into(), address, "--counter-url".into(), counter];
        self.start("checkout", &arguments, plan.functions).await
    }

    async fn start(
        &mut self,
        name: &'static str,
        arguments: &[String],
        port: u16,
    ) -> anyhow::Result<()> {
        let mut program = Program::start(name, arguments, self.folder.path())?;
        let listening = program.wait_for_port(port, START_LIMIT).await;
        self.programs.push(program);
        listening
    }

    /// Makes each step take a while, and the bank refuse some cards.
    async fn add_rules(&self) -> anyhow::Result<()> {
        let mut rules: Vec<_> = bad_cards(self.plan.orders)
            .into_iter()
            .map(|order| json!({ "step": "charge", "subject": order, "status": 402 }))
            .collect();
        for step in ["reserve-stock", "charge", "ship", "mail"] {
            rules.push(json!({ "step": step, "delay_ms": STEP_DELAY_MS }));
        }
        for rule in rules {
            self.counter(Method::POST, "rules", rule.to_string()).await?;
        }
        Ok(())
    }

    async fn counter(&self, method: Method, path: &str, body: String) -> anyhow::Result<Vec<u8>> {
        let url = format!("http://127.0.0.1:{}/{path}", self.plan.counter);
        let (status, answer) = self.caller.send(method, &url, None, body).await?;
        if !status.is_success() {
            bail!("the counter service answered {status} to /{path}");
        }
        Ok(answer.to_vec())
    }

    /// Starts everlog and waits until it knows the functions.
    async fn start_everlog(&mut self) -> anyhow::Result<()> {
        let plan = self.plan;
        let arguments = [
            "dev".into(),
            "--data-dir".into(),
            path_text(&self.folder.path().join("data"))?,
            "--ingress-address".into(),
            format!("127.0.0.1:{}", plan.ingress),
            "--admin-address".into(),
            format!("127.0.0.1:{}", plan.admin),
            "--register".into(),
            format!("http://127.0.0.1:{}", plan.functions),
        ];
        self.start("everlog", &arguments, plan.admin).await?;
        self.wait_for_service().await
    }

    async fn wait_for_service(&mut self) -> anyhow::Result<()> {
        let url = format!("http://127.0.0.1:{}/services/Checkout", self.plan.admin);
        let deadline = Instant::now() + START_LIMIT;
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        loop {
            let answer = self.caller.send(Method::GET, &url, None, String::new()).await;
            if answer.is_ok_and(|(status, _)| status == StatusCode::OK) {
                return Ok(());
            }
            for program in &mut self.programs {
                program.check_alive()?;
            }
            if Instant::now() >= deadline {
                bail!("everlog does not know the checkout functions after {START_LIMIT:?}");
            }
            tick.tick().await;
        }
    }

    fn place_url(&self) -> String {
        format!("http://127.0.0.1:{}/Checkout/place", self.plan.ingress)
    }

    async fn effects(&self) -> anyhow::Result<Vec<Effect>> {
        let answer = self.counter(Method::GET, "effects", String::new()).await?;
        serde_json::from_slice(&answer).context("failed to read the list of effects")
    }

    async fn judge(&self, facts: &Facts, receipts: &[Receipt]) -> anyhow::Result<bool> {
        let effects = self.effects().await?;
        let mut all = findings(facts, receipts, &effects);
        all.push(self.ask_again(receipts, effects.len()).await?);
        println!("What is left:");
        for finding in &all {
            print_finding(finding);
        }
        let holds = all.iter().all(|finding| finding.holds);
        if holds {
            println!("\nWhere to look next:");
            println!("  examples/checkout/src/order.rs   the functions that just survived");
            println!("  README.md                        a first function of your own");
            println!("  docs/architecture.md             how it works");
        }
        Ok(holds)
    }

    /// Places every order a second time with its key: the answers must be the recorded ones.
    async fn ask_again(&self, receipts: &[Receipt], effects: usize) -> anyhow::Result<Finding> {
        let plan = self.plan;
        let again = place_all(
            &self.caller,
            &self.place_url(),
            plan.orders,
            plan.concurrency,
            &Answered::default(),
        );
        let again = tokio::time::timeout(ORDERS_LIMIT, again)
            .await
            .context("asking again was not answered in time")??;
        let same = receipts.iter().zip(&again).filter(|(first, second)| first == second).count();
        let new_effects = self.effects().await?.len() - effects;
        Ok(Finding {
            claim: "asking again with the same keys gives the same answers",
            details: vec![format!(
                "{same} of {} the same, {new_effects} new side effects",
                again.len()
            )],
            holds: same == receipts.len() && again.len() == receipts.len() && new_effects == 0,
        })
    }

    /// Prints the end of each program's output.
    pub(crate) fn print_logs(&self) {
        for program in &self.programs {
            program.print_log();
        }
    }

    /// Ends all programs, last started first, and removes the folder.
    pub(crate) async fn clear(mut self) {
        for mut program in self.programs.drain(..).rev() {
            if let Err(error) = program.kill().await {
                println!("failed to end a program: {error}");
            }
        }
        if let Err(error) = self.folder.close() {
            println!("failed to remove the demo's folder: {error}");
        }
    }
}

fn bad_cards(orders: u32) -> BTreeSet<String> {
    (1..=orders).filter(|number| number % BAD_CARD_EVERY == 0).map(order_name).collect()
}

fn print_finding(finding: &Finding) {
    println!("  {}  {}", if finding.holds { "ok  " } else { "FAIL" }, finding.claim);
    for detail in &finding.details {
        println!("          {detail}");
    }
}

fn path_text(path: &Path) -> anyhow::Result<String> {
    Ok(path.to_str().context("the temporary folder's path is not UTF-8")?.to_owned())
}

fn unix_time_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
