//! A service that calls others in every way there is.

use std::time::Duration;

use restate_sdk::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::failing::FailingClient;
use super::millis_now;
use super::state::{HistoryClient, Place, Step, StoreClient};
use super::waits::BlockerClient;

pub(super) struct Timer;

#[service]
impl Timer {
    #[handler]
    async fn nap(&self, ctx: Context<'_>, millis: u64) -> HandlerResult<Json<(u64, u64)>> {
        let asleep = ctx.run(async || Ok(millis_now())).name("asleep").await?;
        ctx.sleep(Duration::from_millis(millis)).await?;
        let awake = ctx.run(async || Ok(millis_now())).name("awake").await?;
        Ok(Json((asleep, awake)))
    }

    #[handler]
    async fn stamp(&self, ctx: Context<'_>, key: String) -> HandlerResult<()> {
        let now = ctx.run(async || Ok(millis_now())).name("now").await?;
        let set = Step::Set { name: "stamped".to_owned(), value: now.to_string() };
        ctx.object_client::<StoreClient>(key).apply(Json(vec![set])).call().await?;
        Ok(())
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Appended {
    key: String,
    item: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Twice {
    ids: Vec<String>,
    answers: Vec<Place>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Items {
    key: String,
    items: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Later {
    key: String,
    millis: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Blocked {
    called: String,
    sent: String,
}

pub(super) struct Caller;

#[service]
impl Caller {
    #[handler]
    async fn append(
        &self,
        ctx: Context<'_>,
        Json(to): Json<Appended>,
    ) -> HandlerResult<Json<Place>> {
        Ok(ctx.object_client::<HistoryClient>(to.key).append(to.item).call().await?)
    }

    #[handler]
    async fn twice(
        &self,
        ctx: Context<'_>,
        Json(to): Json<Appended>,
    ) -> HandlerResult<Json<Twice>> {
        let call = || {
            ctx.object_client::<HistoryClient>(&to.key)
                .append(to.item.clone())
                .idempotency_key(format!("twice-{}", to.item))
                .call()
        };
        let (first, second) = (call(), call());
        let ids = vec![
            first.invocation_handle().await?.invocation_id().to_owned(),
            second.invocation_handle().await?.invocation_id().to_owned(),
        ];
        let answers = vec![first.await?.0, second.await?.0];
        Ok(Json(Twice { ids, answers }))
    }

    #[handler(name = "sendAll")]
    async fn send_all(
        &self,
        ctx: Context<'_>,
        Json(to): Json<Items>,
    ) -> HandlerResult<Json<Vec<String>>> {
        let history = || ctx.object_client::<HistoryClient>(&to.key);
        let sent: Vec<_> = to.items.into_iter().map(|item| history().append(item).send()).collect();
        let mut ids = Vec::new();
        for handle in sent {
            ids.push(handle.await?.invocation_id().to_owned());
        }
        Ok(Json(ids))
    }

    #[handler(name = "stampLater")]
    async fn stamp_later(&self, ctx: Context<'_>, Json(to): Json<Later>) -> HandlerResult<u64> {
        let sent = ctx.run(async || Ok(millis_now())).name("now").await?;
        let delay = Duration::from_millis(to.millis);
        ctx.service_client::<TimerClient>().stamp(to.key).send_after(delay);
        Ok(sent)
    }

    #[handler]
    async fn attach(&self, ctx: Context<'_>, id: String) -> HandlerResult<Json<Value>> {
        Ok(ctx.invocation_handle(id).attach::<Json<Value>>().await?)
    }

    #[handler]
    async fn failure(&self, ctx: Context<'_>) -> HandlerResult<Json<Value>> {
        match ctx.service_client::<FailingClient>().terminally().call().await {
            Ok(()) => Err(TerminalError::new("the callee did not fail").into()),
            Err(error) => Ok(Json(json!({ "code": error.code(), "message": error.message() }))),
        }
    }

    #[handler]
    async fn block(&self, ctx: Context<'_>, Json(who): Json<Blocked>) -> HandlerResult<()> {
        ctx.object_client::<BlockerClient>(who.sent).block().send();
        ctx.object_client::<BlockerClient>(who.called).block().call().await?;
        Ok(())
    }
}
