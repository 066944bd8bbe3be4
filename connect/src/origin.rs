//! Where to connect to: scheme, host and port of an address.

use std::fmt;

use http::Uri;
use http::uri::Scheme;

use crate::error::AddressError;

/// The scheme, host and port of an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    is_tls: bool,
    host: String,
    port: u16,
}

impl Origin {
    /// Takes the origin from an `http://` or `https://` address.
    pub fn of(uri: &Uri) -> Result<Self, AddressError> {
        let (is_tls, default_port) = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => (false, 80),
            Some(scheme) if *scheme == Scheme::HTTPS => (true, 443),
            Some(_) | None => return Err(AddressError::Scheme),
        };
        let authority = uri.authority().ok_or(AddressError::Host)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(AddressError::Host);
        }
        let port = authority.port_u16().unwrap_or(default_port);
        Ok(Self { is_tls, host: host.to_ascii_lowercase(), port })
    }

    /// Whether TLS is spoken there.
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// The host's name or address, without the brackets of IPv6.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        if self.host.contains(':') {
            return write!(f, "{scheme}://[{}]:{}", self.host, self.port);
        }
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(uri: &str) -> Result<String, AddressError> {
        Origin::of(&uri.parse().unwrap()).map(|origin| origin.to_string())
    }

    #[test]
    fn one_place_is_one_origin() {
        for (uri, origin) in [
            ("http://Host:9080/invoke/a/b", "http://host:9080"),
            ("http://host", "http://host:80"),
            ("https://host/x", "https://host:443"),
            ("https://[::1]:1/x", "https://[::1]:1"),
        ] {
            assert_eq!(of(uri).unwrap(), origin);
        }
    }

    #[test]
    fn other_addresses_have_none() {
        assert_eq!(of("ftp://host"), Err(AddressError::Scheme));
        assert_eq!(of("/path"), Err(AddressError::Scheme));
        assert_eq!(of("http://:80"), Err(AddressError::Host));
    }
}
