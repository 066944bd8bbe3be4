//! The address of a deployment, as its registrar wrote it and as it is kept.

use everlog_log_schema::Header;
use http::uri::{Authority, Scheme};
use http::{HeaderName, HeaderValue, Uri};

use super::error::AdminError;

/// The longest address, in bytes.
const URI_BYTES_MAX: usize = 2_048;

/// A deployment's address, and what is sent with every request to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// The address without a trailing slash: two ways to write it are one deployment.
    pub(super) uri: String,
    /// Host and port.
    pub(super) authority: Authority,
    /// What stands before `/discover` and `/invoke`, such as `/functions`; mostly empty.
    pub(super) prefix: String,
    /// Additional headers, in order of their names.
    pub(super) headers: Vec<Header>,
}

impl Endpoint {
    /// Reads an address.
    pub(super) fn parse<'a>(
        text: &str,
        headers: impl IntoIterator<Item = (&'a String, &'a String)>,
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
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
            return Err(malformed(example));
        };
        if *scheme == Scheme::HTTPS {
            return Err(AdminError::NotSupported(
                "deployments behind TLS (https://) are not supported yet: use http://".into(),
            ));
        }
        if *scheme != Scheme::HTTP {
            return Err(malformed(example));
        }
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
            uri: format!("http://{authority}{prefix}"),
            authority,
            prefix,
            headers: headers.collect::<Result<_, _>>()?,
        })
    }

    /// The port, which is 80 unless given.
    pub(super) fn port(&self) -> u16 {
        const HTTP: u16 = 80;
        self.authority.port_u16().unwrap_or(HTTP)
    }
}

fn header(name: &str, value: &str) -> Result<Header, AdminError> {
    let legal = HeaderName::try_from(name).is_ok() && HeaderValue::from_str(value).is_ok();
    if !legal {
        let reason = format!("additional header {name:?} is no legal header");
        return Err(AdminError::MalformedRequest(reason));
    }
    Ok(Header { key: name.to_ascii_lowercase(), value: value.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn parsed(text: &str) -> Result<Endpoint, AdminError> {
        Endpoint::parse(text, &BTreeMap::new())
    }

    #[test]
    fn one_deployment_has_one_address() {
        for (text, uri, prefix, port) in [
            ("http://127.0.0.1:9080", "http://127.0.0.1:9080", "", 9080),
            ("http://127.0.0.1:9080/", "http://127.0.0.1:9080", "", 9080),
            ("http://LocalHost:9080/Fn/", "http://localhost:9080/Fn", "/Fn", 9080),
            ("http://[::1]/a/b", "http://[::1]/a/b", "/a/b", 80),
        ] {
            let endpoint = parsed(text).unwrap();
            assert_eq!((endpoint.uri.as_str(), endpoint.prefix.as_str()), (uri, prefix));
            assert_eq!(endpoint.port(), port);
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
            "https://x",
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
        let endpoint = Endpoint::parse("http://x", &headers("X-Team", "blue")).unwrap();
        assert_eq!(endpoint.headers, [Header { key: "x-team".into(), value: "blue".into() }]);
        assert!(Endpoint::parse("http://x", &headers("a b", "c")).is_err());
        assert!(Endpoint::parse("http://x", &headers("a", "b\nc")).is_err());
    }
}
