//! The address of a deployment, as its registrar wrote it and as it is kept.

use everlog_connect::{Origin, Wanted};
use everlog_log_schema::Header;
use http::uri::Authority;
use http::{HeaderName, HeaderValue, Uri};

use super::error::AdminError;

/// The longest address, in bytes.
const URI_BYTES_MAX: usize = 2_048;
/// Headers that say how a request is carried: another value would break its connection.
const OF_CONNECTIONS: [&str; 7] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// A deployment's address, and what is sent with every request to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// The address without a trailing slash: two ways to write it are one deployment.
    pub(super) uri: String,
    /// Scheme, host and port.
    pub(super) origin: Origin,
    /// Host and port, as requests name them.
    pub(super) authority: Authority,
    /// What stands before `/discover` and `/invoke`, such as `/functions`; mostly empty.
    pub(super) prefix: String,
    /// Additional headers, in order of their names.
    pub(super) headers: Vec<Header>,
    /// The versions of HTTP that its registrar allows.
    pub(super) wanted: Wanted,
}

impl Endpoint {
    /// Reads an address.
    pub(super) fn parse<'a>(
        text: &str,
        headers: impl IntoIterator<Item = (&'a String, &'a String)>,
        wanted: Wanted,
    ) -> Result<Self, AdminError> {
        let malformed = |reason: &str| {
            let shown: String = text.chars().take(URI_BYTES_MAX).collect();
            AdminError::MalformedRequest(format!("uri `{shown}` {reason}"))
        };
        let example = "is no address such as http://127.0.0.1:9080";
        if text.len() > URI_BYTES_MAX {
            return Err(malformed("is too long"));
        }
        let uri: Uri = text.parse().map_err(|_| malformed(example))?;
        let origin = Origin::of(&uri).map_err(|_| malformed(example))?;
        let authority = uri.authority().ok_or_else(|| malformed(example))?;
        if authority.as_str().contains('@') {
            return Err(malformed("holds a user name: send credentials as additional_headers"));
        }
        if uri.query().is_some() {
            return Err(malformed("holds a query, which cannot be kept"));
        }
        let prefix = uri.path().trim_end_matches('/').to_owned();
        let host = authority.as_str().to_ascii_lowercase();
        let authority: Authority = host.parse().map_err(|_| malformed(example))?;
        let headers = headers.into_iter().map(|(name, value)| header(name, value));
        Ok(Self {
            uri: format!(
                "{}://{authority}{prefix}",
                if origin.is_tls() { "https" } else { "http" }
            ),
            origin,
            authority,
            prefix,
            headers: headers.collect::<Result<_, _>>()?,
            wanted,
        })
    }
}

fn header(name: &str, value: &str) -> Result<Header, AdminError> {
    let legal = HeaderName::try_from(name).is_ok() && HeaderValue::from_str(value).is_ok();
    if !legal {
        let reason = format!("additional header {name:?} is no legal header");
        return Err(AdminError::MalformedRequest(reason));
    }
    if OF_CONNECTIONS.iter().any(|other| other.eq_ignore_ascii_case(name)) {
        let reason = format!("additional header {name:?} is set by the connection itself");
        return Err(AdminError::MalformedRequest(reason));
    }
    Ok(Header { key: name.to_ascii_lowercase(), value: value.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn parsed(text: &str) -> Result<Endpoint, AdminError> {
        Endpoint::parse(text, &BTreeMap::new(), Wanted::Best)
    }

    #[test]
    fn one_deployment_has_one_address() {
        for (text, uri, prefix, port) in [
            ("http://127.0.0.1:9080", "http://127.0.0.1:9080", "", 9080),
            ("http://127.0.0.1:9080/", "http://127.0.0.1:9080", "", 9080),
            ("http://LocalHost:9080/Fn/", "http://localhost:9080/Fn", "/Fn", 9080),
            ("http://[::1]/a/b", "http://[::1]/a/b", "/a/b", 80),
            ("https://Host/a", "https://host/a", "/a", 443),
        ] {
            let endpoint = parsed(text).unwrap();
            assert_eq!((endpoint.uri.as_str(), endpoint.prefix.as_str()), (uri, prefix));
            assert_eq!(endpoint.origin.port(), port);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "127.0.0.1:9080",
            "localhost",
            "ftp://x",
            "http://",
            "/x",
            "http://u:p@x",
            "http://x?y=1",
            "http://a b",
        ] {
            assert!(parsed(text).is_err(), "{text}");
        }
        assert!(parsed(&format!("http://x/{}", "y".repeat(URI_BYTES_MAX))).is_err());
    }

    #[test]
    fn additional_headers_must_be_legal() {
        let headers =
            |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
        let parse =
            |headers: &BTreeMap<String, String>| Endpoint::parse("http://x", headers, Wanted::Best);
        let endpoint = parse(&headers("X-Team", "blue")).unwrap();
        assert_eq!(endpoint.headers, [Header { key: "x-team".into(), value: "blue".into() }]);
        assert!(parse(&headers("a b", "c")).is_err());
        assert!(parse(&headers("a", "b\nc")).is_err());
        for name in OF_CONNECTIONS {
            let error = parse(&headers(&name.to_ascii_uppercase(), "x")).unwrap_err().to_string();
            assert!(error.contains("set by the connection itself"), "{error}");
        }
    }
}
