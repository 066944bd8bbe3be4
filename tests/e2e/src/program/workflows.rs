//! A workflow whose run waits for a promise, and a service that starts it.

#![expect(clippy::unused_async, reason = "the SDK wants async handlers")]

use restate_sdk::prelude::*;
use serde::{Deserialize, Serialize};

/// What a run came to.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Receipt {
    item: String,
    paid: String,
}

/// How far an order has come.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Progress {
    item: Option<String>,
    paid: Option<String>,
}

pub(super) struct Order;

#[workflow]
impl Order {
    #[handler]
    async fn run(&self, ctx: WorkflowContext<'_>, item: String) -> HandlerResult<Json<Receipt>> {
        ctx.set("item", item.clone());
        let paid = ctx.promise::<String>("paid").await?;
        Ok(Json(Receipt { item, paid }))
    }

    /// This SDK does not wait for what becomes of the completion.
    #[handler]
    async fn pay(&self, ctx: SharedWorkflowContext<'_>, paid: String) -> HandlerResult<String> {
        ctx.resolve_promise::<String>("paid", paid);
        Ok("sent".to_owned())
    }

    #[handler]
    async fn refuse(&self, ctx: SharedWorkflowContext<'_>, reason: String) -> HandlerResult<()> {
        ctx.reject_promise("paid", TerminalError::new(reason));
        Ok(())
    }

    #[handler]
    async fn look(&self, ctx: SharedWorkflowContext<'_>) -> HandlerResult<Json<Progress>> {
        let item = ctx.get::<String>("item").await?;
        let paid = ctx.peek_promise::<String>("paid").await?;
        Ok(Json(Progress { item, paid }))
    }

    #[handler]
    async fn wait(&self, ctx: SharedWorkflowContext<'_>) -> HandlerResult<String> {
        Ok(ctx.promise::<String>("paid").await?)
    }
}

/// An order to make.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ordered {
    key: String,
    item: String,
}

/// How it ended.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Ended {
    receipt: Option<Receipt>,
    code: Option<u16>,
    message: Option<String>,
}

pub(super) struct Desk;

#[service]
impl Desk {
    #[handler]
    async fn order(&self, ctx: Context<'_>, Json(it): Json<Ordered>) -> HandlerResult<Json<Ended>> {
        let run = ctx.workflow_client::<OrderClient>(it.key).run(it.item).call();
        Ok(Json(match run.await {
            Ok(Json(receipt)) => Ended { receipt: Some(receipt), ..Ended::default() },
            Err(failure) => Ended {
                code: Some(failure.code()),
                message: Some(failure.message().to_owned()),
                ..Ended::default()
            },
        }))
    }

    #[handler]
    async fn send(&self, ctx: Context<'_>, Json(it): Json<Ordered>) -> HandlerResult<String> {
        let sent = ctx.workflow_client::<OrderClient>(it.key).run(it.item).send();
        Ok(sent.await?.invocation_id().to_owned())
    }
}
