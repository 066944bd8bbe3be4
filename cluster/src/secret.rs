//! What the processes of a cluster prove by that they belong to it.
//!
//! It travels as a bearer token: on the loopback address, or a network that nobody else reads.
//! **Invariant:** it is never shown, and how long a comparison takes tells nothing of it.

use std::fmt;

use http::HeaderValue;
use http::header::{AUTHORIZATION, HeaderMap};
use sha2::{Digest, Sha256};

/// The scheme of the header that carries it.
const SCHEME: &str = "Bearer ";

/// A secret that all members of a cluster share.
#[derive(Clone)]
pub struct Secret {
    header: HeaderValue,
    digest: [u8; 32],
}

/// The secret cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the secret of the cluster must have 1 to 1024 visible ASCII letters")]
pub struct BadSecret;

/// The longest secret, in bytes.
const SECRET_BYTES_MAX: usize = 1_024;

impl Secret {
    /// Makes a secret of a text.
    pub fn new(text: &str) -> Result<Self, BadSecret> {
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if text.is_empty() || text.len() > SECRET_BYTES_MAX || !visible {
            return Err(BadSecret);
        }
        let mut header = HeaderValue::try_from(format!("{SCHEME}{text}")).map_err(|_| BadSecret)?;
        header.set_sensitive(true);
        let digest = Sha256::digest(header.as_bytes()).into();
        Ok(Self { header, digest })
    }

    /// The header that proves it.
    pub(crate) fn header(&self) -> HeaderValue {
        self.header.clone()
    }

    /// Whether a request proves it.
    pub(crate) fn is_proved_by(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(AUTHORIZATION).map_or(&[][..], HeaderValue::as_bytes);
        // Of two digests nobody can say how far a guess is right.
        let given: [u8; 32] = Sha256::digest(given).into();
        given == self.digest
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn only_the_same_secret_is_proved() {
        let secret = Secret::new("open-sesame").unwrap();
        let proved = |value: &str| {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())]);
            secret.is_proved_by(&headers)
        };
        assert!(proved("Bearer open-sesame"));
        for wrong in ["Bearer open-sesam", "Bearer open-sesame2", "open-sesame", "", "Bearer "] {
            assert!(!proved(wrong), "{wrong}");
        }
        assert!(!secret.is_proved_by(&HeaderMap::new()));
        assert!(!format!("{secret:?}").contains("sesame"));
    }

    #[test]
    fn a_secret_takes_its_limit_and_not_one_more() {
        assert!(Secret::new(&"a".repeat(SECRET_BYTES_MAX)).is_ok());
        for wrong in ["", "with space", "ümlaut", "line\n", &"a".repeat(SECRET_BYTES_MAX + 1)] {
            assert!(Secret::new(wrong).is_err(), "{wrong}");
        }
    }
}
