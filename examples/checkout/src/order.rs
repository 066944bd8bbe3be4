//! The durable functions.
//!
//! Each call to the outside is a `run` with a name: its result is recorded in the journal, and once
//! recorded the step never runs again, whatever dies in between.
//! Invariant: what an order took is given back before the order is given up.

use std::time::Duration;

use restate_sdk::prelude::{
    Context, ContextSideEffects, ContextTimers, HandlerError, Json, RunFuture, TerminalError,
};
use serde::{Deserialize, Serialize};

use crate::outside::Outside;

/// What a customer wants.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    /// The order's number.
    order: String,
}

/// A reminder to be sent later.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Reminder {
    /// The order's number.
    order: String,
    /// How long to wait, in milliseconds.
    after_ms: u64,
}

/// How an order ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    /// It is on its way.
    Shipped,
    /// The bank refused; the stock is back on its shelf.
    Declined,
    /// The carrier refused; the money and the stock are back.
    Undeliverable,
}

/// One step and the token its recorded run got from the outside.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Step {
    step: String,
    token: String,
}

/// The answer to an order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Receipt {
    order: String,
    invocation: String,
    outcome: Outcome,
    steps: Vec<Step>,
}

/// The service. Everlog knows it as `Checkout`.
#[derive(Debug)]
pub(crate) struct Checkout {
    outside: Outside,
}

#[restate_sdk::service]
impl Checkout {
    /// Takes an order: reserve stock, charge, ship, mail.
    #[handler]
    async fn place(
        &self,
        ctx: Context<'_>,
        Json(order): Json<Order>,
    ) -> Result<Json<Receipt>, HandlerError> {
        let mut course = Course::new(&self.outside, &ctx, &order.order);
        course.step("reserve-stock").await?;

        if course.step("charge").await.is_err() {
            course.step("release-stock").await?;
            return Ok(Json(course.end(Outcome::Declined)));
        }
        if course.step("ship").await.is_err() {
            course.step("refund").await?;
            course.step("release-stock").await?;
            return Ok(Json(course.end(Outcome::Undeliverable)));
        }
        course.step("mail").await?;
        Ok(Json(course.end(Outcome::Shipped)))
    }

    /// Sleeps durably, then mails. The sleep outlives every process.
    #[handler]
    async fn remind(
        &self,
        ctx: Context<'_>,
        Json(reminder): Json<Reminder>,
    ) -> Result<Json<Receipt>, HandlerError> {
        ctx.sleep(Duration::from_millis(reminder.after_ms)).await?;
        let mut course = Course::new(&self.outside, &ctx, &reminder.order);
        course.step("remind").await?;
        Ok(Json(course.end(Outcome::Shipped)))
    }
}

impl Checkout {
    pub(crate) fn new(outside: Outside) -> Self {
        Self { outside }
    }
}

/// The steps of one order so far.
struct Course<'ctx> {
    outside: &'ctx Outside,
    ctx: &'ctx Context<'ctx>,
    order: &'ctx str,
    steps: Vec<Step>,
}

impl<'ctx> Course<'ctx> {
    fn new(outside: &'ctx Outside, ctx: &'ctx Context<'ctx>, order: &'ctx str) -> Self {
        Self { outside, ctx, order, steps: Vec::new() }
    }

    /// Runs one step and keeps its recorded result. Fails only when the outside refused for good.
    async fn step(&mut self, name: &'static str) -> Result<(), TerminalError> {
        let (outside, ctx, order) = (self.outside, self.ctx, self.order);
        let token = ctx
            .run(move || async move { outside.ask(ctx.invocation_id(), name, order).await })
            .name(name)
            .await?;
        self.steps.push(Step { step: name.to_owned(), token });
        Ok(())
    }

    fn end(self, outcome: Outcome) -> Receipt {
        Receipt {
            order: self.order.to_owned(),
            invocation: self.ctx.invocation_id().to_owned(),
            outcome,
            steps: self.steps,
        }
    }
}
