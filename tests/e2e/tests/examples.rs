//! The examples in TypeScript and Python do what their READMEs say, also when they are killed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use anyhow::Result;
use everlog_e2e::{Mode, World, installed, node};
use serde_json::{Value, json};
use tokio::process::Command;

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name)
}

fn serve_cart(port: u16) -> Result<Command> {
    let folder = example("cart");
    let mut command = node(&folder)?;
    command.arg(installed(&folder, "dist/app.js")?).env("PORT", port.to_string());
    Ok(command)
}

fn serve_auction(port: u16) -> Result<Command> {
    let folder = example("auction");
    let mut command = Command::new(installed(&folder, ".venv/bin/hypercorn")?);
    command.args(["--bind", &format!("127.0.0.1:{port}"), "app:app"]).current_dir(&folder);
    Ok(command)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_s_cart_is_merged_into_the_user_s_at_login() -> Result<()> {
    let mut world = World::serving(Mode::Streaming, serve_cart).await?;
    let item = |product: &str, quantity: u32| json!({ "product": product, "quantity": quantity });
    world.call("/Cart/session-1/add", item("tea", 2)).await?;
    world.call("/Cart/ada/add", item("cake", 1)).await?;
    let refused = world.try_call("/Cart/ada/add", item("tea", 0)).await?;
    assert_eq!(refused.status, 400, "{}", refused.text());

    world.functions.kill().await?;
    world.everlog.kill().await?;
    world.everlog.restart().await?;
    world.functions.restart().await?;
    let merged = world.call("/Cart/ada/merge", json!("session-1")).await?;
    assert_eq!(merged, json!([item("cake", 1), item("tea", 2)]));
    assert_eq!(world.call("/Cart/session-1/read", Value::Null).await?, json!([]));
    let left = world.call("/Cart/ada/remove", json!("cake")).await?;
    assert_eq!(left, json!([item("tea", 2)]));

    let headers = [("idempotency-key", "order-1")];
    let bought = world.everlog.call("/Cart/ada/checkout", &headers, "").await?.success()?;
    let again = world.everlog.call("/Cart/ada/checkout", &headers, "").await?.success()?;
    assert_eq!(bought.body, again.body);
    assert_eq!(world.functions.output().matches("charged").count(), 1);
    let empty = world.try_call("/Cart/ada/checkout", Value::Null).await?;
    assert_eq!(empty.status, 409, "{}", empty.text());
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_highest_bidder_wins_when_the_auction_closes() -> Result<()> {
    let mut world = World::serving(Mode::Streaming, serve_auction).await?;
    world.call("/Auction/painting/open", json!({ "price": 100, "seconds": 20 })).await?;
    let compete = |bidder: &str, amount: u32, limit: u32| {
        let item = "painting";
        json!({ "item": item, "bidder": bidder, "amount": amount, "limit": limit })
    };
    let ada = world.send("/Bidder/compete", compete("ada", 100, 150)).await?;
    let bob = world.send("/Bidder/compete", compete("bob", 110, 180)).await?;
    let lost = world.answer(&ada).await?;
    assert_eq!(lost["won"], false, "{lost}");
    let low = world.try_call("/Auction/painting/bid", json!({ "bidder": "you", "amount": 5 }));
    assert_eq!(low.await?.status, 409);
    let private = world.try_call("/Auction/painting/close", Value::Null).await?;
    assert_eq!(private.status, 400, "{}", private.text());

    world.everlog.kill().await?;
    world.functions.kill().await?;
    world.functions.restart().await?;
    world.everlog.restart().await?;
    let bids = json!({ "bidder": "you", "amount": 160 });
    world.call("/Auction/painting/bid", bids).await?;
    assert_eq!(world.answer(&bob).await?, json!({ "won": true, "amount": 161 }));
    let closed = world.call("/Auction/painting/read", Value::Null).await?;
    assert_eq!(
        (&closed["status"], &closed["highest"]["bidder"]),
        (&json!("closed"), &json!("bob"))
    );
    let late = world.try_call("/Auction/painting/bid", json!({ "bidder": "you", "amount": 999 }));
    assert_eq!(late.await?.status, 409);
    world.stop().await
}
