//! Awakeables: somebody outside ends what a function waits for, by the id that the function gave
//! away.
//!
//! Its invariant: what is acknowledged is in the inbox of the partition where the function lives.
//! Whether anybody still waits there is not said: a signal for what has ended, or never was, is
//! dropped, as the service protocol has it.

use everlog_log_schema::{
    AwakeableId, Failure, IdError, Message, MetadataOffset, NotificationResult, Signal, SignalId,
};
use http::StatusCode;
use http::request::Parts;
use hyper::body::Incoming;

use super::error::IngressError;
use super::paths::Settling;
use super::{Ingress, body, call, target};
use crate::inbox;
use crate::reply::Reply;

/// The code of the failure that a rejected awakeable ends with.
const REJECTED: u32 = 500;

impl Ingress {
    /// Ends an awakeable with the body of a request: its bytes, or its text as a reason.
    pub(super) async fn settle(
        &self,
        how: Settling,
        id: &str,
        parts: &Parts,
        incoming: Incoming,
    ) -> Result<Reply, IngressError> {
        let AwakeableId { life, signal } =
            id.parse().map_err(|error: IdError| IngressError::MalformedAwakeableId {
                id: target::shortened(id),
                reason: error.to_string(),
            })?;
        let announced = call::content_length(&parts.headers);
        let body = body::read(incoming, announced, &self.body_room, &self.limits).await?;
        let result = match how {
            Settling::Resolve => NotificationResult::Value(body.bytes),
            Settling::Reject => {
                let reason = str::from_utf8(&body.bytes).map_err(|_| IngressError::BodyNotText)?;
                let message = reason.to_owned();
                NotificationResult::Failure(Failure { code: REJECTED, message, metadata: vec![] })
            }
        };
        self.refuse_if_stopped(life.invocation).await?;
        let signal = Signal {
            target: life.invocation,
            incarnation: Some(life.incarnation),
            sender: None,
            signal: SignalId::Index(signal),
            result,
        };
        // Nothing was looked up to make it, so that its reader need not have read on anything.
        let message = inbox::encode(MetadataOffset(0), Message::Signal(Box::new(signal)))?;
        self.inbox.append(self.inbox.partition(life.invocation), message).await?;
        let mut reply = Reply::default();
        *reply.status_mut() = StatusCode::ACCEPTED;
        Ok(reply)
    }
}
