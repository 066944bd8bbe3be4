//! The way from attempts to their partition, bounded in events and in bytes.
//!
//! **Invariant:** events wait in no more memory than the channel was made with, unless a single one
//! is larger. Whoever has more to say waits, in turn, and with it the function that it listens to.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::AttemptEvent;

/// Makes a channel that holds at most so many events, of at most so many bytes in all.
pub fn event_channel(events_max: usize, bytes_max: u32) -> (EventSender, EventReceiver) {
    let (events, waiting) = mpsc::channel(events_max);
    let room = Arc::new(Semaphore::new(bytes_max as usize));
    (EventSender { events, room, bytes_max }, EventReceiver { waiting })
}

/// Where attempts tell what they did.
#[derive(Debug, Clone)]
pub struct EventSender {
    events: mpsc::Sender<(AttemptEvent, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
    bytes_max: u32,
}

/// Where a partition hears what its attempts did.
#[derive(Debug)]
pub struct EventReceiver {
    waiting: mpsc::Receiver<(AttemptEvent, OwnedSemaphorePermit)>,
}

/// Nobody hears what attempts did any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nobody hears the attempt any more")]
pub struct NobodyHears;

impl EventSender {
    /// Tells an event that takes so many bytes in memory, once there is room for it.
    pub async fn send(&self, event: AttemptEvent, bytes: usize) -> Result<(), NobodyHears> {
        // One that is larger than all the room there is goes alone.
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.bytes_max);
        let room = Arc::clone(&self.room).acquire_many_owned(bytes).await;
        let room = room.expect("the semaphore is never closed");
        self.events.send((event, room)).await.map_err(|_| NobodyHears)
    }
}

impl EventReceiver {
    /// Waits for the next event; none once all senders are gone.
    pub async fn recv(&mut self) -> Option<AttemptEvent> {
        self.waiting.recv().await.map(|(event, _room)| event)
    }

    /// Takes the next event, if one is there.
    pub fn try_recv(&mut self) -> Option<AttemptEvent> {
        self.waiting.try_recv().ok().map(|(event, _room)| event)
    }
}

#[cfg(test)]
mod tests {
    use everlog_log_schema::{AttemptId, Epoch, Incarnation, InvocationId, PartitionKey};
    use futures_util::FutureExt as _;

    use super::*;
    use crate::invoker::AttemptEventKind;

    fn ended(uuid: u128) -> AttemptEvent {
        AttemptEvent {
            invocation: InvocationId { partition_key: PartitionKey(1), uuid },
            attempt: AttemptId { incarnation: Incarnation(1), epoch: Epoch(1), counter: 0 },
            kind: AttemptEventKind::Ended,
        }
    }

    #[tokio::test]
    async fn what_does_not_fit_waits_its_turn() {
        let (sender, mut receiver) = event_channel(8, 100);
        sender.send(ended(1), 60).await.unwrap();
        sender.send(ended(2), 40).await.unwrap();
        let mut third = Box::pin(sender.send(ended(3), 1));
        assert!(third.as_mut().now_or_never().is_none(), "there is no room");
        assert_eq!(receiver.try_recv(), Some(ended(1)));
        third.await.unwrap();
        assert_eq!(receiver.recv().await, Some(ended(2)));
        assert_eq!(receiver.recv().await, Some(ended(3)));
    }

    #[tokio::test]
    async fn an_event_above_all_limits_goes_alone() {
        let (sender, mut receiver) = event_channel(8, 100);
        sender.send(ended(1), usize::MAX).await.unwrap();
        assert!(sender.send(ended(2), 1).now_or_never().is_none());
        assert_eq!(receiver.recv().await, Some(ended(1)));
        sender.send(ended(2), 1).await.unwrap();
    }

    #[tokio::test]
    async fn nobody_waits_for_a_partition_that_is_gone() {
        let (sender, receiver) = event_channel(8, 100);
        sender.send(ended(1), 100).await.unwrap();
        let mut second = Box::pin(sender.send(ended(2), 1));
        assert!(second.as_mut().now_or_never().is_none());
        drop(receiver);
        assert_eq!(second.await, Err(NobodyHears));
    }
}
