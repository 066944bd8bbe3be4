//! Renders the outcome of an invocation as an HTTP response.

use everlog_log_schema::metadata::Metadata;
use everlog_log_schema::owner_api::Answer;
use everlog_log_schema::{Failure, InvocationId, Outcome};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde_json::{Map, Value};

use super::error::{ERROR_SOURCE, ErrorBody};
use super::target::handler_of;
use crate::reply::{Reply, json_reply};
use crate::time::rfc3339;

/// Names the invocation.
pub(crate) const INVOCATION_ID: &str = "x-restate-id";

/// Says when the outcome of a call with an idempotency key will be forgotten.
const IDEMPOTENCY_EXPIRES: &str = "idempotency-expires";

/// Renders an answer: its bytes as the function gave them, or its failure.
pub(crate) fn render(id: InvocationId, answer: Answer, metadata: &Metadata) -> Reply {
    let mut reply = match answer.outcome {
        Outcome::Success(body) => {
            let empty = body.is_empty();
            let mut reply = Reply::new(body.into());
            if let Some(content_type) = content_type(metadata, &answer.target, empty) {
                reply.headers_mut().insert(CONTENT_TYPE, content_type);
            }
            reply
        }
        Outcome::Failure(failure) => render_failure(failure),
    };
    name_invocation(&mut reply, id);
    if let Some(expires) = answer.expires_at.and_then(rfc3339) {
        let expires = HeaderValue::try_from(expires).expect("a time is ASCII");
        reply.headers_mut().insert(IDEMPOTENCY_EXPIRES, expires);
    }
    reply
}

/// Refuses another call of a workflow's run, as an invocation that failed.
pub(crate) fn already_invoked(id: InvocationId) -> Reply {
    let mut reply = render_failure(Failure::already_invoked());
    name_invocation(&mut reply, id);
    reply
}

/// Adds the header that names the invocation.
pub(crate) fn name_invocation(reply: &mut Reply, id: InvocationId) {
    let id = HeaderValue::try_from(id.to_string()).expect("an id is ASCII");
    reply.headers_mut().insert(INVOCATION_ID, id);
}

fn render_failure(failure: Failure) -> Reply {
    let status = u16::try_from(failure.code).ok().and_then(|code| StatusCode::from_u16(code).ok());
    let status = status
        .filter(|status| status.as_u16() >= StatusCode::BAD_REQUEST.as_u16())
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let metadata: Map<String, Value> =
        failure.metadata.into_iter().map(|label| (label.key, label.value.into())).collect();
    let body = ErrorBody {
        code: status.as_u16(),
        message: &failure.message,
        source: "invocation",
        error: "invocation-failed",
        metadata: (!metadata.is_empty()).then_some(metadata),
    };
    let mut reply = json_reply(status, &body);
    reply.headers_mut().insert(ERROR_SOURCE, HeaderValue::from_static("invocation"));
    reply
}

/// The content type that the handler's manifest gives its answers. Of a handler that is no longer
/// registered nothing is known but that its bytes are bytes.
fn content_type(
    metadata: &Metadata,
    target: &everlog_log_schema::Target,
    empty: bool,
) -> Option<HeaderValue> {
    let Some(handler) = handler_of(metadata, target) else {
        return (!empty).then(|| HeaderValue::from_static("application/octet-stream"));
    };
    if empty && !handler.output.set_content_type_if_empty {
        return None;
    }
    HeaderValue::from_str(handler.output.content_type.as_deref()?).ok()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use everlog_log_schema::{Header, Millis, PartitionKey, Target};

    use super::*;
    use crate::fixtures;

    fn rendered(handler: &str, outcome: Outcome) -> Reply {
        let target = Target { service: "Greeter".into(), key: None, handler: handler.into() };
        let id = InvocationId { partition_key: PartitionKey(1), uuid: 2 };
        let expires_at = (handler == "greet").then_some(Millis(86_400_000));
        render(id, Answer { target, outcome, expires_at }, &fixtures::metadata())
    }

    fn header<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
        reply.headers().get(name).map(|value| value.to_str().unwrap())
    }

    #[test]
    fn an_answer_has_the_content_type_of_its_handler() {
        let success = |body| Outcome::Success(Bytes::from_static(body));
        let reply = rendered("greet", success(b"\"hi\""));
        assert_eq!(header(&reply, "content-type"), Some("application/json"));
        assert!(header(&reply, INVOCATION_ID).unwrap().starts_with("inv_1"));
        assert_eq!(header(&rendered("greet", success(b"")), "content-type"), None);
        let reply = rendered("unregistered", success(b"x"));
        assert_eq!(header(&reply, "content-type"), Some("application/octet-stream"));
    }

    #[test]
    fn an_answer_says_when_it_is_forgotten_if_that_was_asked_for() {
        let failure = Failure { code: 500, message: "no".into(), metadata: vec![] };
        for outcome in [Outcome::Success(Bytes::new()), Outcome::Failure(failure)] {
            let reply = rendered("greet", outcome.clone());
            assert_eq!(header(&reply, IDEMPOTENCY_EXPIRES), Some("1970-01-02T00:00:00.000Z"));
            assert_eq!(header(&rendered("fail", outcome), IDEMPOTENCY_EXPIRES), None);
        }
    }

    #[test]
    fn a_failure_has_its_own_code_where_http_knows_it() {
        for (code, status) in [
            (404, 404),
            (418, 418),
            (599, 599),
            (500, 500),
            (70_000, 500),
            (0, 500),
            (200, 500),
            (101, 500),
        ] {
            let failure = Failure { code, message: "no".into(), metadata: vec![] };
            let reply = rendered("greet", Outcome::Failure(failure));
            assert_eq!(reply.status().as_u16(), status, "{code}");
            assert_eq!(header(&reply, ERROR_SOURCE), Some("invocation"));
        }
    }

    #[tokio::test]
    async fn a_failure_shows_what_the_function_attached() {
        use http_body_util::BodyExt;
        let label = Header { key: "order".into(), value: "7".into() };
        let failure = Failure { code: 409, message: "sold out".into(), metadata: vec![label] };
        let reply = rendered("greet", Outcome::Failure(failure));
        let body = reply.into_body().collect().await.unwrap().to_bytes();
        let json: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(json["message"], "sold out");
        assert_eq!(json["code"], 409);
        assert_eq!(json["source"], "invocation");
        assert_eq!(json["metadata"]["order"], "7");
    }
}
