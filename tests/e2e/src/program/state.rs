//! Objects with state: scripts of state commands, and a history that shows the order of its calls.

use std::fmt::Write as _;
use std::time::Duration;

use restate_sdk::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// One state command.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "camelCase")]
pub(super) enum Step {
    Set { name: String, value: String },
    Get { name: String },
    Clear { name: String },
    ClearAll,
    Keys,
    Sleep,
}

async fn run_script(ctx: ObjectContext<'_>, steps: Vec<Step>) -> HandlerResult<Json<Vec<Value>>> {
    let mut results = Vec::new();
    for step in steps {
        match step {
            Step::Set { name, value } => ctx.set(&name, value),
            Step::Get { name } => results.push(json!(ctx.get::<String>(&name).await?)),
            Step::Clear { name } => ctx.clear(&name),
            Step::ClearAll => ctx.clear_all(),
            Step::Keys => {
                let mut keys = ctx.get_keys().await?;
                keys.sort();
                results.push(json!(keys));
            }
            Step::Sleep => ctx.sleep(Duration::from_millis(1)).await?,
        }
    }
    Ok(Json(results))
}

async fn look(ctx: SharedObjectContext<'_>, name: String) -> HandlerResult<Json<Option<String>>> {
    Ok(Json(ctx.get::<String>(&name).await?))
}

pub(super) struct Store;

#[object]
impl Store {
    #[handler]
    async fn apply(
        &self,
        ctx: ObjectContext<'_>,
        steps: Json<Vec<Step>>,
    ) -> HandlerResult<Json<Vec<Value>>> {
        run_script(ctx, steps.0).await
    }

    #[handler]
    async fn peek(
        &self,
        ctx: SharedObjectContext<'_>,
        name: String,
    ) -> HandlerResult<Json<Option<String>>> {
        look(ctx, name).await
    }
}

pub(super) struct LazyStore;

#[object(lazy_state = true)]
impl LazyStore {
    #[handler]
    async fn apply(
        &self,
        ctx: ObjectContext<'_>,
        steps: Json<Vec<Step>>,
    ) -> HandlerResult<Json<Vec<Value>>> {
        run_script(ctx, steps.0).await
    }

    #[handler]
    async fn peek(
        &self,
        ctx: SharedObjectContext<'_>,
        name: String,
    ) -> HandlerResult<Json<Option<String>>> {
        look(ctx, name).await
    }
}

/// Where an item stands in a history.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Place {
    position: usize,
    hash: String,
}

/// A whole history.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Entries {
    entries: Vec<String>,
    hash: String,
}

/// The hash of a history that has grown by an item: SHA-256 over the last hash, as text, and it.
#[must_use]
pub fn next_hash(last: &str, item: &str) -> String {
    let digest = Sha256::digest(format!("{last}{item}"));
    digest.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub(super) struct History;

#[object]
impl History {
    #[handler]
    async fn append(&self, ctx: ObjectContext<'_>, item: String) -> HandlerResult<Json<Place>> {
        let Json(mut entries) =
            ctx.get::<Json<Vec<String>>>("entries").await?.unwrap_or(Json(Vec::new()));
        let last = ctx.get::<String>("hash").await?.unwrap_or_default();
        let hashed = next_hash(&last, &item);
        let hash = ctx.run(async move || Ok(hashed)).name("hash").await?;
        ctx.set("hash", hash.clone());
        let position = entries.len();
        entries.push(item);
        ctx.set("entries", Json(entries));
        Ok(Json(Place { position, hash }))
    }

    #[handler]
    async fn read(&self, ctx: SharedObjectContext<'_>) -> HandlerResult<Json<Entries>> {
        let Json(entries) =
            ctx.get::<Json<Vec<String>>>("entries").await?.unwrap_or(Json(Vec::new()));
        let hash = ctx.get::<String>("hash").await?.unwrap_or_default();
        Ok(Json(Entries { entries, hash }))
    }
}
