//! Which web pages may call: none, unless whoever runs the gateway says so.
//!
//! The ingress knows no users, so that a page that may call can do all that its visitor's machine
//! can reach. Its invariant: a page of another origin than those named learns nothing and, where its
//! browser asks first, sends nothing.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use crate::reply::Reply;

/// Stands for all origins.
const ANY: &str = "*";
/// How long a browser need not ask again, in seconds.
const MAX_AGE_SECONDS: u16 = 600;

/// The origins that may call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cors(Vec<String>);

/// The origin of a page that may call, as the answer names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AllowedOrigin(HeaderValue);

impl Cors {
    /// Takes the origins as people write them, such as `https://shop.example`, or `*` for any.
    pub(crate) fn new(origins: &[String]) -> Self {
        let written = origins.iter().map(|origin| origin.trim().trim_end_matches('/'));
        Self(written.map(str::to_ascii_lowercase).collect())
    }

    /// The origin that a request comes from, if pages of it may call.
    pub(crate) fn allowed(&self, headers: &HeaderMap) -> Option<AllowedOrigin> {
        let origin = headers.get(ORIGIN)?;
        if self.0.iter().any(|allowed| allowed == ANY) {
            return Some(AllowedOrigin(HeaderValue::from_static(ANY)));
        }
        let named = self.0.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes());
        named.then(|| AllowedOrigin(origin.clone()))
    }
}

impl AllowedOrigin {
    /// Lets the page read an answer.
    pub(crate) fn allow(self, reply: &mut Reply) {
        let headers = reply.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, self.0);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(ANY));
        headers.insert(VARY, HeaderValue::from_static("origin"));
    }
}

/// Whether a browser asks if a page may call.
pub(crate) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// Answers a browser that asks for a page that may.
pub(crate) fn preflight(request: &HeaderMap) -> Reply {
    let mut reply = Reply::default();
    *reply.status_mut() = StatusCode::NO_CONTENT;
    let headers = reply.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from(MAX_AGE_SECONDS));
    if let Some(wanted) = request.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        // Named one by one, as `*` leaves out `authorization`.
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(origins: &[&str], origin: &'static str) -> Option<String> {
        let origins: Vec<String> = origins.iter().map(|&origin| origin.to_owned()).collect();
        let headers = HeaderMap::from_iter([(ORIGIN, HeaderValue::from_static(origin))]);
        let allowed = Cors::new(&origins).allowed(&headers);
        allowed.map(|AllowedOrigin(value)| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn only_pages_of_the_named_origins_may_call() {
        let shop = "https://shop.example";
        assert_eq!(allowed(&[], shop), None);
        assert_eq!(allowed(&[shop], shop).as_deref(), Some(shop));
        assert_eq!(allowed(&["https://Shop.Example/"], shop).as_deref(), Some(shop));
        assert_eq!(allowed(&["*"], shop).as_deref(), Some("*"));
        for other in
            ["http://shop.example", "https://shop.example:444", "https://a.shop.example", "null"]
        {
            assert_eq!(allowed(&[shop], other), None, "{other}");
        }
        assert_eq!(Cors::new(&["*".into()]).allowed(&HeaderMap::new()), None);
    }
}
