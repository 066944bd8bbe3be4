//! What the processes of a cluster prove by that they belong to it.
//!
//! A hash of it travels as a bearer token: on the loopback address, or a network that nobody else
//! reads. **Invariant:** it is never shown, and how long a comparison takes tells nothing of it.

use std::fmt;

use http::HeaderValue;
use http::header::{AUTHORIZATION, HeaderMap};
use sha2::{Digest, Sha256};

/// What is hashed before the secret, so that the hash is of no use elsewhere.
const PURPOSE: &[u8] = b"everlog-cluster\0";

/// A secret that all members of a cluster share.
#[derive(Clone)]
pub struct Secret {
    header: HeaderValue,
    digest: [u8; 32],
}

impl Secret {
    /// Makes a secret of any text.
    pub fn new(text: &str) -> Self {
        let token = Sha256::new_with_prefix(PURPOSE).chain_update(text).finalize();
        let (high, low) = token.split_at(16);
        let [high, low] = [high, low].map(|half| {
            u128::from_be_bytes(half.try_into().expect("half of a digest has 16 bytes"))
        });
        let mut header = HeaderValue::try_from(format!("Bearer {high:032x}{low:032x}"))
            .expect("hexadecimal digits may stand in a header");
        header.set_sensitive(true);
        let digest = Sha256::digest(header.as_bytes()).into();
        Self { header, digest }
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
        let secret = Secret::new("open, sesame");
        let proved = |value: HeaderValue| {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
            secret.is_proved_by(&headers)
        };
        assert!(proved(secret.header()));
        for other in ["open, sesam", "open, sesame2", ""] {
            assert!(!proved(Secret::new(other).header()), "{other}");
        }
        for wrong in ["", "Bearer ", "Bearer open, sesame", "open, sesame"] {
            assert!(!proved(wrong.parse().unwrap()), "{wrong}");
        }
        assert!(!secret.is_proved_by(&HeaderMap::new()));
    }

    #[test]
    fn a_secret_is_not_shown_and_does_not_travel() {
        let secret = Secret::new("sesame");
        assert!(!format!("{secret:?} {:?}", secret.header()).contains("sesame"));
        assert!(!String::from_utf8_lossy(secret.header().as_bytes()).contains("sesame"));
    }
}
