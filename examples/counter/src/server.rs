//! The HTTP interface.
//!
//! | request | does |
//! |---|---|
//! | `POST /effects` | records a run of a step, answers `{"token"}` |
//! | `GET /effects` | lists all runs in order |
//! | `GET /effects/summary` | counts them and names what ran again |
//! | `POST /rules` | adds a [`Rule`] |
//! | `DELETE /rules` | removes all rules |

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use crate::rules::judge;
use crate::{
    DELAY_MS_MAX, Effect, EffectLog, EffectLogError, EffectRequest, RULES_MAX, Rule, Summary,
};

/// What a recorded effect is answered with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Names this run of the step and no other.
    pub token: String,
}

#[derive(Debug, Default)]
struct World {
    log: EffectLog,
    rules: Vec<Rule>,
}

/// The service's shared memory. A clone is the same memory.
#[derive(Debug, Clone, Default)]
pub struct Counter {
    world: Arc<Mutex<World>>,
}

type Refusal = (StatusCode, String);

impl Counter {
    /// Makes a service that records into `log`.
    pub fn new(log: EffectLog) -> Self {
        Self { world: Arc::new(Mutex::new(World { log, rules: Vec::new() })) }
    }

    fn with_world<T>(&self, body: impl FnOnce(&mut World) -> T) -> T {
        body(&mut self.world.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Builds the routes of the service.
pub fn router(counter: Counter) -> Router {
    Router::new()
        .route("/effects", post(record).get(list))
        .route("/effects/summary", get(summarize))
        .route("/rules", post(add_rule).delete(remove_rules))
        .with_state(counter)
}

async fn record(
    State(counter): State<Counter>,
    Json(request): Json<EffectRequest>,
) -> Result<Json<Asked>, Refusal> {
    let (verdict, token) = counter.with_world(|world| {
        let verdict = judge(&mut world.rules, &request);
        if verdict.unrecorded {
            return Ok((verdict, None));
        }
        let effect = world.log.record(request, unix_time_ms()).map_err(|error| refusal(&error))?;
        Ok((verdict, Some(effect.token)))
    })?;
    if !verdict.delay.is_zero() {
        tokio::time::sleep(verdict.delay).await;
    }
    if let Some(status) = verdict.status {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        return Err((status, "refused by a rule".to_owned()));
    }
    let token = token.ok_or((StatusCode::INTERNAL_SERVER_ERROR, "no token".to_owned()))?;
    Ok(Json(Asked { token }))
}

async fn list(State(counter): State<Counter>) -> Json<Vec<Effect>> {
    Json(counter.with_world(|world| world.log.effects().to_vec()))
}

async fn summarize(State(counter): State<Counter>) -> Json<Summary> {
    Json(counter.with_world(|world| world.log.summary()))
}

async fn add_rule(
    State(counter): State<Counter>,
    Json(rule): Json<Rule>,
) -> Result<StatusCode, Refusal> {
    let bad = |sentence: String| Err((StatusCode::BAD_REQUEST, sentence));
    if rule.delay_ms > DELAY_MS_MAX {
        return bad(format!("delay_ms may be at most {DELAY_MS_MAX}"));
    }
    if rule.status.is_some_and(|status| !(400..=599).contains(&status)) {
        return bad("status must be from 400 to 599".to_owned());
    }
    if rule.times == Some(0) {
        return bad("times must be at least 1".to_owned());
    }
    counter.with_world(|world| {
        if world.rules.len() >= RULES_MAX {
            return bad(format!("there are {RULES_MAX} rules already"));
        }
        world.rules.push(rule);
        Ok(StatusCode::NO_CONTENT)
    })
}

async fn remove_rules(State(counter): State<Counter>) -> StatusCode {
    counter.with_world(|world| world.rules.clear());
    StatusCode::NO_CONTENT
}

fn refusal(error: &EffectLogError) -> Refusal {
    let status = match error {
        EffectLogError::Name { .. } => StatusCode::BAD_REQUEST,
        EffectLogError::Full | EffectLogError::File(_) => StatusCode::INSUFFICIENT_STORAGE,
    };
    (status, error.to_string())
}

fn unix_time_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_rule_that_makes_no_sense_is_refused() {
        let good = Rule { step: "charge".into(), delay_ms: DELAY_MS_MAX, ..Rule::default() };
        let counter = Counter::default();
        for bad in [
            Rule { delay_ms: DELAY_MS_MAX + 1, ..good.clone() },
            Rule { status: Some(399), ..good.clone() },
            Rule { status: Some(600), ..good.clone() },
            Rule { times: Some(0), ..good.clone() },
        ] {
            let (status, _) = add_rule(State(counter.clone()), Json(bad)).await.unwrap_err();
            assert_eq!(status, StatusCode::BAD_REQUEST);
        }
        for _ in 0..RULES_MAX {
            add_rule(State(counter.clone()), Json(good.clone())).await.unwrap();
        }
        add_rule(State(counter.clone()), Json(good.clone())).await.unwrap_err();
        remove_rules(State(counter.clone())).await;
        add_rule(State(counter), Json(good)).await.unwrap();
    }

    #[tokio::test]
    async fn a_lost_answer_leaves_its_effect() {
        let counter = Counter::default();
        let rule =
            Rule { step: "charge".into(), status: Some(503), record: true, ..Rule::default() };
        add_rule(State(counter.clone()), Json(rule)).await.unwrap();
        let request = EffectRequest {
            invocation: "inv_1".to_owned(),
            step: "charge".to_owned(),
            subject: String::new(),
        };
        let (status, _) = record(State(counter.clone()), Json(request)).await.unwrap_err();
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(list(State(counter)).await.0.len(), 1);
    }
}
