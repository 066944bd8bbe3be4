//! Where a request comes from, as far as a browser says.
//!
//! A browser sends what a page asks for before it decides whether the page may see the answer, so an
//! order has its effect all the same. The invariant: what names an origin is from a page of this
//! port, or refused.

use http::header::{HOST, ORIGIN};
use http::{HeaderValue, Request};

/// Tells whether a request names no origin, or that of the port it is sent to.
pub(super) fn is_own<B>(request: &Request<B>) -> bool {
    let host = request.headers().get(HOST).map(HeaderValue::as_bytes);
    // HTTP/2 names the host in place of the header.
    let host = host.or_else(|| request.uri().authority().map(|host| host.as_str().as_bytes()));
    request.headers().get_all(ORIGIN).iter().all(|origin| {
        let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        authority.zip(host).is_some_and(|((_scheme, authority), host)| {
            authority.as_bytes().eq_ignore_ascii_case(host)
        })
    })
}
