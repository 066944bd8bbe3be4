//! The bodies of requests: read within limits, and taken as JSON.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use tokio::time::timeout;

use super::AdminError;

/// The largest body of a request to this port, in bytes.
const BYTES_MAX: usize = 1 << 20;
/// How long such a body may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// Reads a body to its end.
pub(super) async fn read_body(body: Incoming) -> Result<Bytes, AdminError> {
    match timeout(DEADLINE, Limited::new(body, BYTES_MAX).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(AdminError::BodyTooLarge { max: BYTES_MAX })
        }
        Ok(Err(error)) => Err(AdminError::MalformedRequest(format!("its body broke off: {error}"))),
        Err(_elapsed) => {
            Err(AdminError::MalformedRequest("its body did not arrive in time".into()))
        }
    }
}

/// Reads what a body asks for.
pub(super) fn read_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, AdminError> {
    serde_json::from_slice(body).map_err(|error| AdminError::MalformedRequest(error.to_string()))
}

/// Takes `null` for a field that is left out: tools write it of what their user did not say.
pub(super) fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}
