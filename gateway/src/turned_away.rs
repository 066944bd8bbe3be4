//! Turns away connections beyond those that a port may have.
//!
//! Its invariant: it costs little and ends soon. What is asked is not done: it is refused, with a
//! time to come back, and the connection closed.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, EXPECT};
use http::{HeaderValue, Request, Version};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::Builder;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::server::Handler;
use crate::stream::CallerStream;
use crate::streams::StreamExecutor;

/// How long it may take to turn one away, its request's arrival included.
const TURN_AWAY_MAX: Duration = Duration::from_secs(2);
/// How much is read of the body of its request, in bytes, so that its sender, still busy sending,
/// gets to see the answer and not a broken connection.
const BODY_BYTES_MAX: usize = 1 << 20;
/// How long that may take.
const BODY_MAX: Duration = Duration::from_secs(1);

/// Answers the first request of a connection with its refusal, and closes the connection.
pub(crate) async fn turn_away<H: Handler>(
    builder: Builder<StreamExecutor>,
    stream: CallerStream,
    handler: Arc<H>,
) {
    let refused = Arc::new(Notify::new());
    let service = {
        let refused = Arc::clone(&refused);
        service_fn(move |request: Request<Incoming>| {
            let (handler, refused) = (Arc::clone(&handler), Arc::clone(&refused));
            async move {
                let (head, body) = request.into_parts();
                if !head.headers.contains_key(EXPECT) {
                    throw_away(body).await;
                }
                let mut reply = handler.turn_away(&head);
                // HTTP/2 has another way to say so.
                if head.version < Version::HTTP_2 {
                    reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                refused.notify_one();
                Ok::<_, Infallible>(reply)
            }
        })
    };
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let turning_away = async {
        tokio::select! {
            _ = &mut connection => return,
            () = refused.notified() => {}
        }
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    };
    let _ = timeout(TURN_AWAY_MAX, turning_away).await;
}

/// Reads what there is of a body, within bounds.
async fn throw_away(mut body: Incoming) {
    let reading = async {
        let mut read = 0;
        while let Some(Ok(frame)) = body.frame().await {
            read += frame.data_ref().map_or(0, bytes::Bytes::len);
            if read > BODY_BYTES_MAX {
                return;
            }
        }
    };
    let _ = timeout(BODY_MAX, reading).await;
}
