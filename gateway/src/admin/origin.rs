//! Where a request comes from and whom it is addressed to, as far as a browser says.
//!
//! A browser sends what a page asks for before it decides whether the page may see the answer, so an
//! order has its effect all the same. The invariant: what names an origin is from a page of this
//! port, or refused. That alone is not enough: whoever owns a page's domain may have its name lead
//! to this machine, and then the page seems to be of this port. So what is addressed to a name that
//! nobody gave this port is refused too. An address in numbers is not looked up, and leads nowhere
//! else than it says.

use std::net::{IpAddr, SocketAddr};

use http::header::{HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Uri};

/// Stands for all names.
const ANY: &str = "*";
/// The name of this machine to itself, and of all names below it.
const LOCALHOST: &str = "localhost";
/// How much of a name is repeated in an error, in characters.
const SHOWN_CHARS_MAX: usize = 80;

/// Tells whether a request names no origin, or that of the port it is sent to.
pub(super) fn is_own(headers: &HeaderMap, uri: &Uri) -> bool {
    let host = headers.get(HOST).map(HeaderValue::as_bytes);
    // HTTP/2 names the host in place of the header.
    let host = host.or_else(|| uri.authority().map(|host| host.as_str().as_bytes()));
    headers.get_all(ORIGIN).iter().all(|origin| {
        let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        authority.zip(host).is_some_and(|((_scheme, authority), host)| {
            authority.as_bytes().eq_ignore_ascii_case(host)
        })
    })
}

/// The names by which a port may be addressed.
#[derive(Debug)]
pub(crate) struct Hosts {
    /// In lower case; none where any name will do.
    names: Option<Vec<String>>,
}

impl Hosts {
    /// Takes the names as people write them. A port that others than this machine reach is not
    /// restricted unless somebody says so: its names are theirs to choose.
    pub(crate) fn new(bound: SocketAddr, names: &[String]) -> Self {
        let names: Vec<String> = names.iter().map(|name| plain(name.trim())).collect();
        let any = names.iter().any(|name| name == ANY);
        let restricted = !any && (bound.ip().is_loopback() || !names.is_empty());
        Self { names: restricted.then_some(names) }
    }

    /// Finds the name that a request is addressed to, where it is none of the port's. What names no
    /// host at all is no browser.
    pub(super) fn stranger(&self, headers: &HeaderMap, uri: &Uri) -> Option<String> {
        let names = self.names.as_ref()?;
        let in_headers = headers.get_all(HOST).iter().map(HeaderValue::as_bytes);
        let in_uri = uri.authority().map(|authority| authority.as_str().as_bytes());
        let mut hosts = in_headers.chain(in_uri);
        let stranger = hosts.find(|host| !is_known(names, host))?;
        Some(String::from_utf8_lossy(stranger).chars().take(SHOWN_CHARS_MAX).collect())
    }
}

fn is_known(names: &[String], host: &[u8]) -> bool {
    let Ok(authority) = Authority::try_from(host) else {
        return false;
    };
    let host = authority.host();
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if address.parse::<IpAddr>().is_ok() {
        return true;
    }
    let host = plain(host);
    let is_local =
        host.strip_suffix(LOCALHOST).is_some_and(|of| of.is_empty() || of.ends_with('.'));
    is_local || names.contains(&host)
}

/// A name as it is compared: in lower case, and without the dot that may end it.
fn plain(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: &str = "127.0.0.1:9070";

    fn hosts(bound: &str, names: &[&str]) -> Hosts {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        Hosts::new(bound.parse().unwrap(), &names)
    }

    fn is_welcome(hosts: &Hosts, host: &str) -> bool {
        let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_str(host).unwrap())]);
        let in_header = hosts.stranger(&headers, &Uri::from_static("/health")).is_none();
        if let Ok(uri) = format!("http://{host}/health").parse::<Uri>() {
            assert_eq!(hosts.stranger(&HeaderMap::new(), &uri).is_none(), in_header, "{host}");
        }
        in_header
    }

    #[test]
    fn this_machine_is_known_by_its_addresses_and_as_localhost() {
        for bound in [LOOPBACK, "[::1]:9070"] {
            let hosts = hosts(bound, &[]);
            for host in [
                LOOPBACK,
                "127.0.0.1",
                "[::1]:9070",
                "10.0.0.7:9070",
                "localhost",
                "LocalHost:1",
                "localhost.",
                "a.localhost:9070",
            ] {
                assert!(is_welcome(&hosts, host), "{host}");
            }
            for host in [
                "evil.example",
                "evil.example:9070",
                "127.0.0.1.evil.example",
                "notlocalhost",
                "localhost.evil.example",
                "evil@evil.example",
                "",
                "a b",
            ] {
                assert!(!is_welcome(&hosts, host), "{host}");
            }
        }
    }

    #[test]
    fn other_names_are_those_that_somebody_gave() {
        let named = hosts(LOOPBACK, &["Admin.Example.", " proxy"]);
        for (host, welcome) in [
            ("admin.example:443", true),
            ("ADMIN.example.", true),
            ("proxy", true),
            ("localhost:9070", true),
            ("x.admin.example", false),
        ] {
            assert_eq!(is_welcome(&named, host), welcome, "{host}");
        }
        assert!(is_welcome(&hosts(LOOPBACK, &["a", "*"]), "evil.example"));
        assert!(is_welcome(&hosts("0.0.0.0:9070", &[]), "everlog:9070"));
        assert!(!is_welcome(&hosts("0.0.0.0:9070", &["everlog"]), "evil.example"));
    }

    #[test]
    fn each_host_that_is_named_counts() {
        let known = hosts(LOOPBACK, &[]);
        let mut headers = HeaderMap::new();
        let uri = Uri::from_static("/health");
        assert_eq!(known.stranger(&headers, &uri), None);
        headers.append(HOST, HeaderValue::from_static(LOOPBACK));
        let elsewhere = Uri::from_static("http://evil.example/health");
        assert_eq!(known.stranger(&headers, &elsewhere), Some("evil.example".into()));
        headers.append(HOST, HeaderValue::from_static("evil.example"));
        assert_eq!(known.stranger(&headers, &uri), Some("evil.example".into()));
    }
}
