//! What the ports answer with: heads and bodies.
//!
//! Its invariant: a caller that does not read, or reads slowly, holds little memory and not for
//! long. A large body leaves piece by piece, so that the connection never buffers more than one,
//! and what has not left in time is dropped where it lies, though nobody polls it any more. A small
//! one keeps its request's place until it has left, so that there are as many as there are places.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use hyper::body::{Body, Frame, SizeHint};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::places::Place;

/// What a port answers.
pub(crate) type Reply = Response<ReplyBody>;

/// The largest piece of a body, in bytes. A body of one piece needs no watching.
pub(crate) const PIECE_BYTES_MAX: usize = 64 << 10;

/// A body that leaves piece by piece.
#[derive(Debug, Default)]
pub(crate) struct ReplyBody {
    rest: Arc<Mutex<Option<Rest>>>,
    length: u64,
    /// There where it is held: tells the watch over it, by being dropped, that it is gone.
    watch: Option<oneshot::Sender<()>>,
}

/// What has not left yet.
#[derive(Debug)]
struct Rest {
    bytes: Bytes,
    room: Option<OwnedSemaphorePermit>,
    place: Option<Place>,
}

/// A body has not left in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer was not read in time")]
pub(crate) struct NotRead;

impl ReplyBody {
    /// Gives the request's place back once the body has left.
    pub(crate) fn keep(self, place: Place) -> Self {
        if let Some(rest) = &mut *lock(&self.rest) {
            rest.place.get_or_insert(place);
        }
        self
    }

    /// Gives `room` back once the body has left, after `within` at the latest: what is left of it
    /// then is dropped, and the answer breaks off.
    pub(crate) fn hold(self, room: OwnedSemaphorePermit, within: Duration) -> Self {
        let (watch, gone) = oneshot::channel();
        if let Some(rest) = &mut *lock(&self.rest) {
            rest.room.get_or_insert(room);
        }
        let watched = Arc::clone(&self.rest);
        tokio::spawn(async move {
            if tokio::time::timeout(within, gone).await.is_err() {
                lock(&watched).take();
            }
        });
        Self { watch: Some(watch), ..self }
    }
}

impl From<Bytes> for ReplyBody {
    fn from(bytes: Bytes) -> Self {
        let length = bytes.len() as u64;
        let rest = Arc::new(Mutex::new(Some(Rest { bytes, room: None, place: None })));
        Self { rest, length, watch: None }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = NotRead;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, NotRead>>> {
        if self.length == 0 {
            return Poll::Ready(None);
        }
        let held = self.watch.is_some();
        let piece = lock(&self.rest).as_mut().map(|rest| {
            // The last byte leaves apart. Over HTTP/2 a piece is handed over once its first byte may
            // leave, and of the last one nobody hears any more, however long the rest is held back.
            let bytes = rest.bytes.len().saturating_sub(1).clamp(1, PIECE_BYTES_MAX);
            let piece = rest.bytes.split_to(bytes);
            // A piece that is stuck in a connection must not keep the whole alive.
            if held { Bytes::copy_from_slice(&piece) } else { piece }
        });
        let Some(piece) = piece else {
            return Poll::Ready(Some(Err(NotRead)));
        };
        self.length -= piece.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.length == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length)
    }
}

fn lock(rest: &Mutex<Option<Rest>>) -> std::sync::MutexGuard<'_, Option<Rest>> {
    rest.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Renders a JSON body.
pub(crate) fn json_reply(status: StatusCode, body: &impl Serialize) -> Reply {
    let json = serde_json::to_vec(body).expect("views have string keys and no failing serializers");
    let mut reply = Reply::new(Bytes::from(json).into());
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tokio::sync::Semaphore;
    use tokio::time::timeout;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(30);
    const HOUR: Duration = Duration::from_hours(1);

    fn held(bytes: usize, within: Duration) -> (ReplyBody, Arc<Semaphore>) {
        let room = Arc::new(Semaphore::new(1));
        let permit = Arc::clone(&room).try_acquire_owned().unwrap();
        let body = ReplyBody::from(Bytes::from(vec![b'x'; bytes]));
        (body.hold(permit, within), room)
    }

    #[tokio::test]
    async fn a_body_leaves_in_pieces_and_whole() {
        for bytes in [0, 1, PIECE_BYTES_MAX, PIECE_BYTES_MAX + 1, 3 * PIECE_BYTES_MAX] {
            let mut body = ReplyBody::from(Bytes::from(vec![b'x'; bytes]));
            assert_eq!(body.size_hint().exact(), Some(bytes as u64));
            assert_eq!(body.is_end_stream(), bytes == 0);
            let mut left = 0;
            while let Some(frame) = body.frame().await {
                let piece = frame.unwrap().into_data().unwrap();
                assert!((1..=PIECE_BYTES_MAX).contains(&piece.len()), "{}", piece.len());
                left += piece.len();
                assert!(left < bytes || piece.len() == 1);
                assert_eq!(body.is_end_stream(), left == bytes);
            }
            assert_eq!(left, bytes);
            assert!(body.is_end_stream());
        }
    }

    #[tokio::test]
    async fn a_body_gives_its_room_back_once_it_is_gone() {
        let (body, room) = held(2 * PIECE_BYTES_MAX, HOUR);
        assert_eq!(room.available_permits(), 0);
        drop(body);
        drop(timeout(DEADLINE, room.acquire()).await.unwrap());
    }

    #[tokio::test]
    async fn a_body_that_nobody_reads_gives_its_room_back_in_time_and_breaks_off() {
        let (mut body, room) = held(2 * PIECE_BYTES_MAX, Duration::from_millis(1));
        drop(timeout(DEADLINE, room.acquire()).await.unwrap());
        assert_eq!(body.frame().await.unwrap().unwrap_err(), NotRead);
    }
}
