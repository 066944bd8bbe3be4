//! Asks the outside world for a side effect.
//!
//! In a shop these would be four companies with four interfaces; here the counter service stands
//! for all of them. Invariant: an answer that says "never" becomes a terminal error, which is
//! recorded and not tried again; everything else may be tried again.

use bytes::Bytes;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use restate_sdk::errors::{HandlerError, TerminalError};
use serde::Deserialize;
use serde_json::json;

/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

#[derive(Deserialize)]
struct Asked {
    token: String,
}

/// The way to the outside world.
#[derive(Debug, Clone)]
pub(crate) struct Outside {
    client: Client<HttpConnector, Full<Bytes>>,
    effects: Uri,
}

impl Outside {
    pub(crate) fn new(counter: &Uri) -> anyhow::Result<Self> {
        let effects = format!("{}/effects", counter.to_string().trim_end_matches('/')).parse()?;
        Ok(Self { client: Client::builder(TokioExecutor::new()).build_http(), effects })
    }

    /// Asks for `step` on behalf of `invocation`, about `order`. Gives the token of this run.
    pub(crate) async fn ask(
        &self,
        invocation: &str,
        step: &str,
        order: &str,
    ) -> Result<String, HandlerError> {
        let body = json!({ "invocation": invocation, "step": step, "subject": order }).to_string();
        let request = Request::post(&self.effects)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(Full::from(body))?;
        let response = self.client.request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await?.to_bytes();
        match status {
            StatusCode::OK => Ok(serde_json::from_slice::<Asked>(&body)?.token),
            StatusCode::PAYMENT_REQUIRED | StatusCode::CONFLICT | StatusCode::GONE => {
                let why = format!("{step} was refused ({status})");
                Err(TerminalError::new_with_code(status.as_u16(), why).into())
            }
            _ => Err(format!("{step} failed for now ({status})").into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use counter::{Counter, EffectLog, router};
    use tokio::net::TcpListener;

    use super::*;

    /// Starts a counter service with one rule, and the way to it.
    async fn outside_with_rule(rule: &serde_json::Value) -> Outside {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url: Uri = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let routes = router(Counter::new(EffectLog::default()));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let outside = Outside::new(&url).unwrap();
        let request = Request::post(format!("{url}rules"))
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(Full::from(rule.to_string()))
            .unwrap();
        let answer = outside.client.request(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        outside
    }

    fn text(error: &HandlerError) -> String {
        let error: &dyn std::error::Error = error.as_ref();
        error.to_string()
    }

    #[tokio::test]
    async fn each_run_of_a_step_gets_another_token() {
        let outside = outside_with_rule(&json!({ "step": "other", "status": 503 })).await;
        let first = outside.ask("inv_1", "charge", "order-1").await.unwrap();
        let second = outside.ask("inv_1", "charge", "order-1").await.unwrap();
        assert_ne!(first, second);
    }

    #[tokio::test]
    async fn a_refusal_is_terminal() {
        let outside = outside_with_rule(&json!({ "step": "charge", "status": 402 })).await;
        let error = outside.ask("inv_1", "charge", "order-1").await.unwrap_err();
        assert!(text(&error).starts_with("Terminal error [402]"), "{}", text(&error));
    }

    #[tokio::test]
    async fn a_passing_failure_may_be_tried_again() {
        let rule = json!({ "step": "charge", "status": 503, "times": 1 });
        let outside = outside_with_rule(&rule).await;
        let error = outside.ask("inv_1", "charge", "order-1").await.unwrap_err();
        assert!(text(&error).starts_with("Retryable error"), "{}", text(&error));
        outside.ask("inv_1", "charge", "order-1").await.unwrap();
    }
}
