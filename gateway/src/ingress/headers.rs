//! The headers of a call: which the gateway reads, and which the function gets.

use everlog_log_schema::{Header, limits};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::error::IngressError;
use crate::url;

/// Names the path and query that a call came by.
const INGRESS_PATH: &str = "x-restate-ingress-path";
/// Under which key calls are to be limited, within a scope.
const LIMIT_KEY: &str = "x-restate-limit-key";
/// Under which key a repeated call is the same call.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// What the function does not get: the connection's own headers, and what is known otherwise.
const NOT_PASSED_ON: [&str; 5] =
    ["connection", "host", IDEMPOTENCY_KEY, "idempotency-expires", INGRESS_PATH];

/// The headers that the function gets, in order.
pub(crate) fn passed_on(
    headers: &HeaderMap,
    path_and_query: &str,
) -> Result<Vec<Header>, IngressError> {
    let mut passed = Vec::with_capacity(headers.len() + 1);
    let mut bytes = 0;
    for (name, value) in headers {
        if NOT_PASSED_ON.contains(&name.as_str()) {
            continue;
        }
        let header = Header { key: name.as_str().to_owned(), value: text(name, value)?.to_owned() };
        bytes += header.key.len() + header.value.len();
        passed.push(header);
    }
    bytes += INGRESS_PATH.len() + path_and_query.len();
    passed.push(Header { key: INGRESS_PATH.into(), value: path_and_query.into() });
    if bytes > limits::HEADERS_BYTES_MAX {
        return Err(IngressError::HeadersTooLarge);
    }
    Ok(passed)
}

/// The idempotency key, if the caller gives one.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, IngressError> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let malformed = |reason| IngressError::MalformedHeader { name: IDEMPOTENCY_KEY.into(), reason };
    if values.next().is_some() {
        return Err(malformed("it is given twice"));
    }
    let key = text(&HeaderName::from_static(IDEMPOTENCY_KEY), value)?;
    if key.is_empty() {
        return Err(malformed("it is empty"));
    }
    if key.len() > limits::KEY_BYTES_MAX {
        return Err(IngressError::KeyTooLong { what: "idempotency key" });
    }
    Ok(Some(key.to_owned()))
}

/// The limit key, by header or query, if the caller gives one.
pub(crate) fn limit_key(
    headers: &HeaderMap,
    query: Option<&str>,
) -> Result<Option<String>, IngressError> {
    let malformed = IngressError::MalformedLimitKey;
    let mut given =
        url::parameter(query, "limit-key").map_err(|(_, error)| malformed(error.to_string()))?;
    for value in headers.get_all(LIMIT_KEY) {
        given.push(text(&HeaderName::from_static(LIMIT_KEY), value)?.to_owned());
    }
    if given.len() > 1 {
        return Err(malformed("it is given twice".to_owned()));
    }
    Ok(given.pop())
}

/// The caller's W3C trace context, if it sent one.
pub(crate) fn traceparent(headers: &HeaderMap) -> Option<String> {
    headers.get("traceparent").and_then(|value| value.to_str().ok()).map(str::to_owned)
}

fn text<'a>(name: &HeaderName, value: &'a HeaderValue) -> Result<&'a str, IngressError> {
    value.to_str().map_err(|_| IngressError::MalformedHeader {
        name: name.as_str().to_owned(),
        reason: "its value is not ASCII text",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |&(name, value): &(&str, &str)| {
            (
                name.parse::<HeaderName>().unwrap(),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            )
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn all_headers_are_passed_on_but_those_of_the_connection() {
        let given = headers(&[
            ("host", "localhost"),
            ("connection", "close"),
            ("idempotency-key", "k1"),
            ("idempotency-expires", "never"),
            ("x-restate-ingress-path", "/forged"),
            ("traceparent", "00-1-2-01"),
            ("x-team", "blue"),
        ]);
        let passed = passed_on(&given, "/Greeter/greet?x=1").unwrap();
        let shown: Vec<_> = passed.iter().map(|h| format!("{}: {}", h.key, h.value)).collect();
        assert_eq!(
            shown,
            [
                "traceparent: 00-1-2-01",
                "x-team: blue",
                "x-restate-ingress-path: /Greeter/greet?x=1"
            ]
        );
    }

    #[test]
    fn a_header_that_is_not_ascii_is_refused() {
        let error = passed_on(&headers(&[("x-name", "Zoë")]), "/").unwrap_err();
        assert!(matches!(error, IngressError::MalformedHeader { .. }), "{error}");
    }

    #[test]
    fn headers_have_a_limit_in_all() {
        let room = limits::HEADERS_BYTES_MAX - INGRESS_PATH.len() - "/".len() - "x".len();
        let value = "v".repeat(room);
        assert!(passed_on(&headers(&[("x", &value)]), "/").is_ok());
        let error = passed_on(&headers(&[("x", &format!("{value}v"))]), "/").unwrap_err();
        assert_eq!(error, IngressError::HeadersTooLarge);
    }

    #[test]
    fn a_limit_key_is_given_once_by_header_or_query() {
        let by_header = headers(&[("x-restate-limit-key", "gold/eu")]);
        let none = headers(&[]);
        assert_eq!(limit_key(&none, Some("delay=1s&other=%zz")), Ok(None));
        assert_eq!(limit_key(&by_header, None), Ok(Some("gold/eu".into())));
        assert_eq!(limit_key(&none, Some("limit-key=gold%2Feu")), Ok(Some("gold/eu".into())));
        for (headers, query) in [
            (&by_header, "limit-key=gold"),
            (&none, "limit-key=a&limit-key=b"),
            (&none, "limit-key=%zz"),
        ] {
            let refused = limit_key(headers, Some(query));
            assert!(matches!(refused, Err(IngressError::MalformedLimitKey(_))), "{query}");
        }
    }

    #[test]
    fn an_idempotency_key_is_one_short_text() {
        let key = |pairs: &[(&str, &str)]| idempotency_key(&headers(pairs));
        assert_eq!(key(&[]), Ok(None));
        assert_eq!(key(&[("idempotency-key", "k1")]), Ok(Some("k1".into())));
        assert!(key(&[("idempotency-key", "")]).is_err());
        assert!(key(&[("idempotency-key", "a"), ("idempotency-key", "b")]).is_err());
        assert!(key(&[("idempotency-key", "ключ")]).is_err());
        let longest = "k".repeat(limits::KEY_BYTES_MAX);
        assert_eq!(key(&[("idempotency-key", &longest)]), Ok(Some(longest.clone())));
        let longer = format!("{longest}k");
        let error = key(&[("idempotency-key", &longer)]).unwrap_err();
        assert_eq!(error, IngressError::KeyTooLong { what: "idempotency key" });
    }
}
