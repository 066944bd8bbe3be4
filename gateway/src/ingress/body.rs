//! Reads a request's body: bounded in size, in time, and in what all requests hold together.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use everlog_log_schema::limits::BODY_BYTES_MAX;
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use super::error::IngressError;
use crate::GatewayLimits;

/// How much of a body that is too large is read and thrown away, in bytes, so that its sender,
/// still busy sending, gets to see the answer and not a broken connection.
const DRAINED_BYTES_MAX: usize = 64 << 20;
/// How long that may take.
const DRAINED_TIME_MAX: Duration = Duration::from_secs(10);

/// A body in memory, with its share of the room for bodies in flight.
#[derive(Debug)]
pub(crate) struct ReadBody {
    /// What the caller sent.
    pub(crate) bytes: Bytes,
    /// Given back when dropped.
    pub(crate) room: Room,
}

/// A share of the room for bodies in flight.
#[derive(Debug, Default)]
pub(crate) struct Room(Option<OwnedSemaphorePermit>);

impl Room {
    /// Takes more room, if there is any.
    fn grow(&mut self, room: &Arc<Semaphore>, bytes: usize) -> Result<(), IngressError> {
        let more = u32::try_from(bytes).map_err(|_| IngressError::BodyTooLarge)?;
        let taken = Arc::clone(room).try_acquire_many_owned(more);
        let taken = taken.map_err(|_| IngressError::TooManyBytes)?;
        match &mut self.0 {
            Some(held) => held.merge(taken),
            None => self.0 = Some(taken),
        }
        Ok(())
    }
}

/// Reads a whole body. `announced` is its content length, where the sender gave one.
pub(crate) async fn read<B>(
    mut body: B,
    announced: Option<u64>,
    room: &Arc<Semaphore>,
    limits: &GatewayLimits,
) -> Result<ReadBody, IngressError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    if announced.is_some_and(|announced| announced > BODY_BYTES_MAX as u64) {
        drain(body).await;
        return Err(IngressError::BodyTooLarge);
    }
    let deadline = Instant::now() + limits.body_total_max;
    let mut held = Room::default();
    let (mut chunks, mut length) = (Vec::new(), 0);
    loop {
        let next_by = deadline.min(Instant::now() + limits.body_idle_max);
        let frame =
            timeout_at(next_by, body.frame()).await.map_err(|_| IngressError::BodyTimeout)?;
        let Some(frame) = frame else {
            return Ok(ReadBody { bytes: joined(chunks, length), room: held });
        };
        let frame = frame.map_err(|error| IngressError::BodyUnreadable(error.to_string()))?;
        let Ok(chunk) = frame.into_data() else {
            continue;
        };
        length += chunk.len();
        if length > BODY_BYTES_MAX {
            drain(body).await;
            return Err(IngressError::BodyTooLarge);
        }
        held.grow(room, chunk.len())?;
        chunks.push(chunk);
    }
}

/// Joins chunks into one. A body that arrives in one piece is not copied.
fn joined(mut chunks: Vec<Bytes>, length: usize) -> Bytes {
    match chunks.pop() {
        None => Bytes::new(),
        Some(only) if chunks.is_empty() => only,
        Some(last) => {
            let mut whole = BytesMut::with_capacity(length);
            for chunk in &chunks {
                whole.extend_from_slice(chunk);
            }
            whole.extend_from_slice(&last);
            whole.freeze()
        }
    }
}

async fn drain<B>(mut body: B)
where
    B: Body<Data = Bytes> + Unpin,
{
    let reading = async {
        let mut drained = 0;
        while let Some(Ok(frame)) = body.frame().await {
            drained += frame.data_ref().map_or(0, Bytes::len);
            if drained > DRAINED_BYTES_MAX {
                return;
            }
        }
    };
    let _ = timeout(DRAINED_TIME_MAX, reading).await;
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;
    use hyper::body::Frame;
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use super::*;

    fn room(bytes: usize) -> Arc<Semaphore> {
        Arc::new(Semaphore::new(bytes))
    }

    fn limits() -> GatewayLimits {
        GatewayLimits { body_idle_max: Duration::from_millis(20), ..GatewayLimits::default() }
    }

    /// A body of these chunks, which then ends or stalls.
    struct Chunks(Vec<Bytes>, bool);

    impl Body for Chunks {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            match (self.0.is_empty(), self.1) {
                (false, _) => Poll::Ready(Some(Ok(Frame::data(self.0.remove(0))))),
                (true, true) => Poll::Pending,
                (true, false) => Poll::Ready(None),
            }
        }
    }

    #[tokio::test]
    async fn a_body_is_whole_however_it_arrives() {
        let room = room(100);
        let chunks = [&b"ab"[..], b"", b"cd", b"e"].map(Bytes::from_static).to_vec();
        let read = read(Chunks(chunks, false), None, &room, &limits()).await.unwrap();
        assert_eq!(read.bytes, "abcde");
        assert_eq!(room.available_permits(), 95);
        drop(read.room);
        assert_eq!(room.available_permits(), 100);
    }

    #[tokio::test]
    async fn a_body_of_the_limit_is_taken_and_one_byte_more_is_not() {
        let room = room(2 * BODY_BYTES_MAX);
        let fits = Bytes::from(vec![0; BODY_BYTES_MAX]);
        let outcome = read(Full::new(fits.clone()), None, &room, &limits()).await;
        assert_eq!(outcome.unwrap().bytes.len(), BODY_BYTES_MAX);
        let chunks = vec![fits, Bytes::from_static(b"x")];
        let outcome = read(Chunks(chunks, false), None, &room, &limits()).await;
        assert_eq!(outcome.unwrap_err(), IngressError::BodyTooLarge);
        let announced = Some(BODY_BYTES_MAX as u64 + 1);
        let outcome = read(Full::new(Bytes::new()), announced, &room, &limits()).await;
        assert_eq!(outcome.unwrap_err(), IngressError::BodyTooLarge);
        assert_eq!(room.available_permits(), 2 * BODY_BYTES_MAX);
    }

    #[tokio::test]
    async fn a_body_that_stalls_is_given_up() {
        let chunks = vec![Bytes::from_static(b"x")];
        let outcome = read(Chunks(chunks, true), None, &room(100), &limits()).await;
        assert_eq!(outcome.unwrap_err(), IngressError::BodyTimeout);
    }

    #[tokio::test]
    async fn bodies_in_flight_share_a_room() {
        let room = room(3);
        let first =
            read(Full::new(Bytes::from_static(b"abc")), None, &room, &limits()).await.unwrap();
        let second = read(Full::new(Bytes::from_static(b"d")), None, &room, &limits()).await;
        assert_eq!(second.unwrap_err(), IngressError::TooManyBytes);
        drop(first);
        assert!(read(Full::new(Bytes::from_static(b"d")), None, &room, &limits()).await.is_ok());
    }
}
