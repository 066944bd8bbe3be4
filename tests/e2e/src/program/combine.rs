//! Handlers that wait for several things at once, each in its own way.

use std::time::Duration;

use restate_sdk::prelude::*;

use super::calls::TimerClient;
use super::state::{Step, StoreClient};

const HOUR: Duration = Duration::from_hours(1);

pub(super) struct Combiner;

/// Notes the ids of two awakeables in `Store`, as `first` and `second`.
fn note(ctx: &ObjectContext<'_>, ids: [String; 2]) {
    let names = ["first", "second"].map(str::to_owned);
    let sets = names.into_iter().zip(ids).map(|(name, value)| Step::Set { name, value });
    ctx.object_client::<StoreClient>(ctx.key()).apply(Json(sets.collect())).send();
}

fn text_of(result: Result<String, TerminalError>) -> String {
    result.unwrap_or_else(|error| format!("failed: {}", error.message()))
}

#[object]
impl Combiner {
    #[handler]
    async fn all(&self, ctx: ObjectContext<'_>) -> HandlerResult<String> {
        let ((first_id, first), (second_id, second)) = (ctx.awakeable(), ctx.awakeable());
        note(&ctx, [first_id, second_id]);
        let naps = ctx.service_client::<TimerClient>().nap(1).call();
        let mut both = DurableFuturesUnordered::new();
        both.push(first);
        both.push(second);
        let mut told = [String::new(), String::new()];
        while let Some((index, result)) = both.next().await? {
            match result {
                Ok(value) => told.get_mut(index).map(|slot| *slot = value).unwrap_or_default(),
                Err(error) => return Ok(format!("failed: {}", error.message())),
            }
        }
        naps.await?;
        ctx.sleep(Duration::from_millis(1)).await?;
        let ran = ctx.run(async || Ok("ran".to_owned())).name("ran").await?;
        let [first, second] = told;
        Ok(format!("{first}, {second}, {ran}"))
    }

    #[handler]
    async fn any(&self, ctx: ObjectContext<'_>) -> HandlerResult<String> {
        let ((first_id, first), (second_id, second)) = (ctx.awakeable(), ctx.awakeable());
        note(&ctx, [first_id, second_id]);
        let mut either = DurableFuturesUnordered::new();
        either.push(first);
        either.push(second);
        while let Some((_, result)) = either.next().await? {
            if let Ok(value) = result {
                return Ok(value);
            }
        }
        Ok("all failed".to_owned())
    }

    #[handler]
    async fn race(&self, ctx: ObjectContext<'_>) -> HandlerResult<String> {
        let ((first_id, first), (second_id, second)) = (ctx.awakeable(), ctx.awakeable());
        note(&ctx, [first_id, second_id]);
        let won = restate_sdk::select! {
            value = first => { text_of(value) },
            value = second => { text_of(value) },
            _ = ctx.sleep(HOUR) => { "late".to_owned() },
        };
        Ok(won)
    }

    #[handler]
    async fn settled(&self, ctx: ObjectContext<'_>) -> HandlerResult<String> {
        let ((first_id, first), (second_id, second)) = (ctx.awakeable(), ctx.awakeable());
        note(&ctx, [first_id, second_id]);
        let naps = ctx.service_client::<TimerClient>().nap(1).call();
        let (first, second) = (text_of(first.await), text_of(second.await));
        naps.await?;
        Ok(format!("{first}, {second}"))
    }

    /// Waits for both, or for the second and a late sleep.
    #[handler]
    async fn nested(&self, ctx: ObjectContext<'_>) -> HandlerResult<String> {
        let ((first_id, first), (second_id, second)) =
            (ctx.awakeable::<String>(), ctx.awakeable::<String>());
        note(&ctx, [first_id, second_id]);
        let second = second.await?;
        let first = restate_sdk::select! {
            value = first => { value? },
            _ = ctx.sleep(HOUR) => { "late".to_owned() },
        };
        Ok(format!("{first}, {second}"))
    }
}
