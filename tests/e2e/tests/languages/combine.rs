//! Several waits at once: all, any, the first, and all whatever comes of them.

use anyhow::Result;
use everlog_e2e::World;
use serde_json::{Value, json};

/// A handler that waits for two awakeables.
struct Waits {
    id: String,
    awakeables: [String; 2],
}

impl Waits {
    async fn begin(world: &World, handler: &str, key: &str) -> Result<Self> {
        let key = format!("{handler}-{key}");
        let id = world.send(&format!("/Combiner/{key}/{handler}"), Value::Null).await?;
        let first = world.noted(&key, "first").await?;
        Ok(Self { id, awakeables: [first, world.noted(&key, "second").await?] })
    }

    async fn resolve(&self, world: &World, which: usize, value: &str) -> Result<()> {
        let input = json!({ "id": self.awakeables[which], "value": value });
        world.call("/Resolver/resolve", input).await?;
        Ok(())
    }

    async fn reject(&self, world: &World, which: usize, why: &str) -> Result<()> {
        let input = json!({ "id": self.awakeables[which], "value": why });
        world.call("/Resolver/reject", input).await?;
        Ok(())
    }

    async fn is_waiting(&self, world: &World) -> Result<bool> {
        Ok(!world.is_completed(&self.id).await?)
    }

    async fn answers(&self, world: &World, answer: &str) -> Result<()> {
        assert_eq!(world.answer(&self.id).await?, json!(answer));
        Ok(())
    }
}

pub(crate) async fn all_wait_for_the_last_or_the_first_failure(world: &mut World) -> Result<()> {
    let waits = Waits::begin(world, "all", "well").await?;
    waits.resolve(world, 1, "b").await?;
    assert!(waits.is_waiting(world).await?);
    waits.resolve(world, 0, "a").await?;
    waits.answers(world, "a, b, ran").await?;

    let waits = Waits::begin(world, "all", "ill").await?;
    waits.reject(world, 1, "sold out").await?;
    waits.answers(world, "failed: sold out").await?;

    let waits = Waits::begin(world, "settled", "mixed").await?;
    waits.reject(world, 0, "sold out").await?;
    assert!(waits.is_waiting(world).await?);
    waits.resolve(world, 1, "b").await?;
    waits.answers(world, "failed: sold out, b").await
}

pub(crate) async fn any_waits_for_the_first_success(world: &mut World) -> Result<()> {
    let waits = Waits::begin(world, "any", "late").await?;
    waits.reject(world, 0, "sold out").await?;
    assert!(waits.is_waiting(world).await?);
    waits.resolve(world, 1, "b").await?;
    waits.answers(world, "b").await?;

    let waits = Waits::begin(world, "any", "none").await?;
    waits.reject(world, 1, "sold out").await?;
    waits.reject(world, 0, "sold out, too").await?;
    waits.answers(world, "all failed").await
}

pub(crate) async fn a_race_is_won_once_and_whatever_is_in_it(world: &mut World) -> Result<()> {
    let waits = Waits::begin(world, "race", "second").await?;
    waits.resolve(world, 1, "b").await?;
    waits.resolve(world, 0, "a").await?;
    waits.answers(world, "b").await?;

    let waits = Waits::begin(world, "race", "failed").await?;
    waits.reject(world, 0, "sold out").await?;
    waits.answers(world, "failed: sold out").await?;

    let waits = Waits::begin(world, "nested", "both").await?;
    waits.resolve(world, 1, "b").await?;
    assert!(waits.is_waiting(world).await?);
    waits.resolve(world, 0, "a").await?;
    waits.answers(world, "a, b").await
}
