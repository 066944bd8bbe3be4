//! A shop that uses a little of everything: steps, calls, state, sleeps and awakeables.

#![expect(clippy::unused_async, reason = "the SDK wants async handlers")]

use std::time::Duration;

use restate_sdk::prelude::*;

/// How long an order sleeps.
const PACKING: Duration = Duration::from_millis(100);
/// How many things are in stock, each an object with a key and state of its own.
const ITEMS: u64 = 100;

/// Puts them together.
pub(super) fn endpoint() -> Endpoint {
    Endpoint::builder().bind(Order).bind(Stock).bind(Desk).build()
}

struct Order;

#[service(idempotency_retention = "1m")]
impl Order {
    /// Charges, takes from the stock, packs, and waits until the desk approves.
    #[handler]
    async fn place(&self, ctx: Context<'_>, number: u64) -> Result<String, TerminalError> {
        let payment =
            ctx.run(move || async move { Ok(format!("payment-{number}")) }).name("charge").await?;
        let item = format!("item-{}", number % ITEMS);
        let taken = ctx.object_client::<StockClient>(item).take().call().await?;
        ctx.sleep(PACKING).await?;
        let (approval, approved) = ctx.awakeable::<String>();
        ctx.service_client::<DeskClient>().approve(approval).send();
        let approved = approved.await?;
        Ok(format!("{payment}, {taken} taken, {approved}"))
    }
}

struct Stock;

#[object]
impl Stock {
    /// Counts what has been taken.
    #[handler]
    async fn take(&self, ctx: ObjectContext<'_>) -> Result<u64, TerminalError> {
        let taken = ctx.get::<u64>("taken").await?.unwrap_or(0) + 1;
        ctx.set("taken", taken);
        Ok(taken)
    }
}

struct Desk;

#[service]
impl Desk {
    /// Wakes an order.
    #[handler]
    async fn approve(&self, ctx: Context<'_>, approval: String) -> Result<(), TerminalError> {
        ctx.resolve_awakeable(&approval, "approved".to_owned());
        Ok(())
    }
}
