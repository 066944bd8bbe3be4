//! What an attempt asks of an endpoint: the head of the request and its streamed body.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use everlog_connect::{Origin, Wanted};
use everlog_log_schema::Target;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Uri};
use http_body::{Body, Frame};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::sync::mpsc;

use super::pool::Destination;
use crate::invoker::error::Failure;
use crate::invoker::{AttemptStart, Lender};

const INVOCATION_ID: HeaderName = HeaderName::from_static("x-restate-invocation-id");
const SERVICE_KEY: HeaderName = HeaderName::from_static("x-restate-service-key");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Names the content type of both directions of a stream.
pub(super) fn content_type(protocol_version: u32) -> String {
    format!("application/vnd.restate.invocation.v{protocol_version}")
}

/// The path of a handler within its deployment, for which its requests are signed.
pub(super) fn signed_path(target: &Target) -> String {
    format!("/invoke/{}/{}", target.service, target.handler)
}

/// Makes the request that starts an attempt, and says where it goes.
pub(super) fn request(
    start: &AttemptStart,
    body: RequestBody,
) -> Result<(Request<RequestBody>, Destination), Failure> {
    let deployment = &*start.deployment;
    let unusable = |reason: String| Failure::UnusableDeployment {
        deployment: deployment.id.to_string(),
        reason,
    };
    let target = &start.target;
    let uri = format!("{}{}", deployment.uri, signed_path(target));
    let uri =
        uri.parse::<Uri>().map_err(|cause| unusable(format!("{uri:?} is not a URI: {cause}")))?;
    let origin =
        Origin::of(&uri).map_err(|cause| unusable(format!("{uri} is no address: {cause}")))?;
    let destination = Destination {
        deployment: deployment.id.clone(),
        origin,
        wanted: if deployment.use_http_11 { Wanted::HttpOne } else { Wanted::Best },
    };
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    put_headers(request.headers_mut(), start).map_err(unusable)?;
    Ok((request, destination))
}

fn put_headers(headers: &mut HeaderMap, start: &AttemptStart) -> Result<(), String> {
    for header in &start.deployment.headers {
        let name = header.key.parse::<HeaderName>();
        let name = name.map_err(|_| format!("{:?} is not a header name", header.key))?;
        headers.append(name, value(&header.key, &header.value)?);
    }
    // Ours come last: nobody may change what the protocol stands on.
    let content_type = value("content-type", &content_type(start.protocol_version))?;
    headers.insert(ACCEPT, content_type.clone());
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(INVOCATION_ID, value("invocation id", &start.invocation.to_string())?);
    if let Some(key) = &start.target.key {
        let key = utf8_percent_encode(key, NON_ALPHANUMERIC).to_string();
        headers.insert(SERVICE_KEY, value("object key", &key)?);
    }
    if let Some(traceparent) = &start.traceparent {
        headers.insert(TRACEPARENT, value("traceparent", traceparent)?);
    }
    Ok(())
}

fn value(name: &str, text: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(text).map_err(|_| format!("the value of {name:?} cannot be sent"))
}

/// Messages on their way.
#[derive(Debug)]
pub(super) struct Part {
    bytes: Bytes,
    /// Dropped when they are written.
    _untold: Option<Arc<Untold>>,
}

/// What a large attempt begins with. When all its parts are dropped the lender is told.
#[derive(Debug)]
pub(super) struct Untold(pub(super) Arc<dyn Lender>);

impl Part {
    pub(super) fn new(bytes: Bytes, untold: Option<Arc<Untold>>) -> Self {
        Self { bytes, _untold: untold }
    }
}

impl Drop for Untold {
    fn drop(&mut self) {
        self.0.told();
    }
}

impl Buf for Part {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }
}

/// What the function is told next.
#[derive(Debug)]
pub(super) enum Chunk {
    /// More messages.
    Data(Part),
    /// There will be no more.
    End,
}

/// The body of a request, fed chunk by chunk.
///
/// It ends only on [`Chunk::End`]. When the sender is gone without it, the stream is reset: a
/// function must not take a cancelled attempt for one that asks it to suspend.
#[derive(Debug)]
pub(super) struct RequestBody {
    chunks: mpsc::Receiver<Chunk>,
    has_ended: bool,
}

impl RequestBody {
    /// Makes a body and what feeds it: one chunk at a time.
    pub(super) fn new() -> (mpsc::Sender<Chunk>, Self) {
        let (sender, chunks) = mpsc::channel(1);
        (sender, Self { chunks, has_ended: false })
    }
}

/// The attempt was given up.
#[derive(Debug, thiserror::Error)]
#[error("the attempt was given up")]
pub(super) struct GivenUp;

impl Body for RequestBody {
    type Data = Part;
    type Error = GivenUp;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Part>, GivenUp>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        Poll::Ready(match ready!(self.chunks.poll_recv(cx)) {
            Some(Chunk::Data(part)) => Some(Ok(Frame::data(part))),
            Some(Chunk::End) => {
                self.has_ended = true;
                None
            }
            None => Some(Err(GivenUp)),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn a_body_ends_when_it_is_told_to() {
        let (sender, mut body) = RequestBody::new();
        sender.send(Chunk::Data(Part::new("more".into(), None))).await.unwrap();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap().chunk(), b"more");
        sender.send(Chunk::End).await.unwrap();
        assert!(body.frame().await.is_none());
        drop(sender);
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn a_body_whose_attempt_is_given_up_does_not_end() {
        let (sender, mut body) = RequestBody::new();
        drop(sender);
        assert!(body.frame().await.unwrap().is_err());
    }
}
