//! Sends the messages of a partition to the inboxes of others, and to its own.
//!
//! The tables hold each message until it has arrived. In memory are few of those that are to be
//! sent next; where there are more, they are read from the tables when their turn comes.
//!
//! **Invariants:** the messages to one inbox are sent in the order of their numbers, and what is
//! not acknowledged is sent again with all that stands behind it. One has arrived when it and all
//! before it were acknowledged at rising offsets. No inbox waits for another.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use everlog_log_client::{AppendError, Appender, Appending, EventLog, LogError, Stream, Topic};
use everlog_log_schema::codec::encode_message;
use everlog_log_schema::limits::MESSAGE_BYTES_MAX;
use everlog_log_schema::{Envelope, Level, OutboxDelivered, OutboxRow, PartitionId, Seq, Source};
use everlog_partition::{Tables, TablesError, reads};
use tokio::time::Instant;

use super::error::Interruption;
use super::sizes::message_bytes;
use crate::failpoints::crash_point;
use crate::metrics;

/// Messages to one inbox that are not acknowledged yet.
const IN_FLIGHT_MAX: usize = 256;
/// Their bytes, before no further one is sent. One message alone may be larger.
const IN_FLIGHT_BYTES_MAX: usize = 1 << 20;
/// Messages to one inbox that wait in memory.
const READY_MAX: usize = 256;
/// Their bytes, before the further ones are left to the tables. One message alone may be larger.
const READY_BYTES_MAX: usize = 1 << 20;
/// How soon a full queue of the log is tried again. The log cannot tell when there is room.
const QUEUE_FULL_RETRY: Duration = Duration::from_millis(5);
/// The first pause after messages were not acknowledged, which doubles each time.
const BACK_OFF_MIN: Duration = Duration::from_millis(50);
/// The longest such pause.
const BACK_OFF_MAX: Duration = Duration::from_secs(5);
/// How long the log may go without being told of arrivals. Most are told along with something else.
const TELL_AFTER: Duration = Duration::from_millis(100);

/// Who sends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sender {
    pub(super) partition: PartitionId,
    /// The level that it writes at.
    pub(super) level: Level,
}

/// The messages that a partition sends, for one term.
pub(super) struct Outbox {
    log: Arc<dyn EventLog>,
    sender: Sender,
    targets: BTreeMap<PartitionId, Target>,
    /// When arrivals must be told to the log, if there are any that it does not know.
    tell_at: Option<Instant>,
}

impl Outbox {
    /// Begins with what the tables say has not arrived at one of `partitions` inboxes.
    pub(super) fn open(
        log: Arc<dyn EventLog>,
        sender: Sender,
        partitions: u32,
        tables: &impl Tables,
    ) -> Result<Self, TablesError> {
        let mut targets = BTreeMap::new();
        for to in (0..partitions).map(PartitionId) {
            let sent = reads::sent(tables, to)?;
            metrics::OUTBOX_LENGTH.add(count(sent.last.0 - sent.delivered.0));
            targets.insert(to, Target::behind(to, sent.delivered, sent.last));
        }
        Ok(Self { log, sender, targets, tell_at: None })
    }

    /// Takes note of a message that the tables hold since now.
    pub(super) fn push(&mut self, to: PartitionId, seq: Seq, row: Box<OutboxRow>) {
        metrics::OUTBOX_LENGTH.inc();
        let target = self.targets.get_mut(&to).expect("partitions have messages for partitions");
        target.push(seq, row);
    }

    /// Sends what may be sent now.
    pub(super) fn send(&mut self, tables: &impl Tables) -> Result<(), Interruption> {
        let now = Instant::now();
        for target in self.targets.values_mut() {
            while target.may_send(now) && target.send_next(&*self.log, self.sender, tables)? {}
        }
        Ok(())
    }

    /// Waits until messages have arrived, or have not, or it is time to send or to tell. May be
    /// dropped at any time: nothing is lost.
    pub(super) async fn changed(&mut self) {
        let pauses = self.targets.values().filter_map(|target| target.pause_until);
        let wake_at = pauses.chain(self.tell_at).min();
        let targets = &mut self.targets;
        let acknowledged = poll_fn(|cx| {
            let mut changed = false;
            for target in targets.values_mut() {
                changed |= target.poll_acknowledged(cx);
            }
            if changed { Poll::Ready(()) } else { Poll::Pending }
        });
        let time = async {
            match wake_at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = acknowledged => self.tell_soon(),
            () = time => {}
        }
    }

    /// What the log is to be told of arrivals: nothing while that may wait, unless it is written to
    /// anyway.
    pub(super) fn arrived(&mut self, writes_anyway: bool) -> Vec<OutboxDelivered> {
        if !self.tell_at.is_some_and(|at| writes_anyway || at <= Instant::now()) {
            return Vec::new();
        }
        self.tell_at = None;
        let mut told = Vec::new();
        for (to, target) in &mut self.targets {
            if target.told < target.arrived {
                target.told = target.arrived;
                told.push(OutboxDelivered { to: *to, up_to: target.arrived });
            }
        }
        told
    }

    fn tell_soon(&mut self) {
        if self.tell_at.is_none() && self.targets.values().any(|of| of.told < of.arrived) {
            self.tell_at = Some(Instant::now() + TELL_AFTER);
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        let left: u64 = self.targets.values().map(|of| of.last.0 - of.arrived.0).sum();
        metrics::OUTBOX_LENGTH.sub(count(left));
    }
}

fn count(messages: u64) -> i64 {
    i64::try_from(messages).unwrap_or(i64::MAX)
}

struct InFlight {
    appending: Appending,
    bytes: usize,
}

/// The messages to one inbox. They are numbered: `arrived` < `next` ≤ `last` + 1.
struct Target {
    stream: Stream,
    appender: Option<Box<dyn Appender>>,
    /// The last one there is.
    last: Seq,
    /// The next one to send.
    next: Seq,
    /// All up to this one have arrived.
    arrived: Seq,
    /// All up to this one are put before the log as arrived.
    told: Seq,
    /// Where in the inbox the last one arrived.
    arrived_at: Option<u64>,
    /// Those from `next` on, as far as they are in memory.
    ready: VecDeque<Box<OutboxRow>>,
    ready_bytes: usize,
    /// Those below `next` that have not arrived.
    in_flight: VecDeque<InFlight>,
    in_flight_bytes: usize,
    /// Nothing is sent before.
    pause_until: Option<Instant>,
    back_off: Duration,
}

impl Target {
    fn behind(to: PartitionId, delivered: Seq, last: Seq) -> Self {
        Self {
            stream: Stream { topic: Topic::Invocations, partition: to },
            appender: None,
            last,
            next: Seq(delivered.0 + 1),
            arrived: delivered,
            told: delivered,
            arrived_at: None,
            ready: VecDeque::new(),
            ready_bytes: 0,
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
            pause_until: None,
            back_off: BACK_OFF_MIN,
        }
    }

    fn push(&mut self, seq: Seq, row: Box<OutboxRow>) {
        assert_eq!(seq.0, self.last.0 + 1, "messages to {:?} left a hole", self.stream);
        self.last = seq;
        let follows = self.next.0 + self.ready.len() as u64 == seq.0;
        if follows && self.ready.len() < READY_MAX && self.ready_bytes < READY_BYTES_MAX {
            self.ready_bytes += message_bytes(&row.message);
            self.ready.push_back(row);
        }
    }

    fn may_send(&mut self, now: Instant) -> bool {
        if self.pause_until.is_some_and(|until| until <= now) {
            self.pause_until = None;
        }
        // Nothing has arrived since some did not: one is tried alone, so that an inbox in trouble
        // is not flooded with the same messages.
        let tries = self.back_off > BACK_OFF_MIN;
        self.next <= self.last
            && self.pause_until.is_none()
            && self.in_flight.len() < if tries { 1 } else { IN_FLIGHT_MAX }
            && self.in_flight_bytes < IN_FLIGHT_BYTES_MAX
    }

    /// Sends the next message; tells whether it could.
    fn send_next(
        &mut self,
        log: &dyn EventLog,
        sender: Sender,
        tables: &impl Tables,
    ) -> Result<bool, Interruption> {
        let appender = match &mut self.appender {
            Some(appender) => appender,
            None => match log.appender(self.stream) {
                Ok(appender) => self.appender.insert(appender),
                Err(LogError::Unavailable(reason)) => {
                    self.begin_anew(&reason);
                    return Ok(false);
                }
                Err(error) => return Err(error.into()),
            },
        };
        let row = match self.ready.pop_front() {
            Some(row) => {
                self.ready_bytes -= message_bytes(&row.message);
                row
            }
            None => Box::new(row_of(tables, self.stream.partition, self.next)?),
        };
        let OutboxRow { metadata, message } = *row;
        let source = Source::Partition { partition: sender.partition, seq: self.next };
        let envelope = Envelope { level: sender.level, metadata, source, message };
        let payload = encode_message(&envelope).expect("messages are within their limits");
        let bytes = payload.len();
        assert!(bytes <= MESSAGE_BYTES_MAX, "a message of {bytes} bytes");
        crash_point("executor::before-send");
        match appender.append(payload) {
            Ok(appending) => {
                self.next = Seq(self.next.0 + 1);
                self.in_flight_bytes += bytes;
                self.in_flight.push_back(InFlight { appending, bytes });
                Ok(true)
            }
            Err(AppendError::QueueFull) => {
                let row = OutboxRow { metadata, message: envelope.message };
                self.ready_bytes += message_bytes(&row.message);
                self.ready.push_front(Box::new(row));
                self.pause_until = Some(Instant::now() + QUEUE_FULL_RETRY);
                Ok(false)
            }
            Err(error) => {
                self.begin_anew(&error.to_string());
                Ok(false)
            }
        }
    }

    /// Takes what has been acknowledged, or has failed; tells whether there was any.
    fn poll_acknowledged(&mut self, cx: &mut Context<'_>) -> bool {
        let mut changed = false;
        while let Some(first) = self.in_flight.front_mut()
            && let Poll::Ready(result) = Pin::new(&mut first.appending).poll(cx)
        {
            changed = true;
            match result {
                Ok(offset) if self.arrived_at.is_none_or(|last| last < offset) => {
                    crash_point("executor::sent");
                    let bytes = self.in_flight.pop_front().map_or(0, |of| of.bytes);
                    self.in_flight_bytes -= bytes;
                    self.arrived = Seq(self.arrived.0 + 1);
                    self.arrived_at = Some(offset);
                    self.back_off = BACK_OFF_MIN;
                    metrics::MESSAGES_SENT.inc();
                    metrics::OUTBOX_LENGTH.dec();
                }
                Ok(offset) => {
                    self.begin_anew(&format!("offset {offset} does not rise"));
                }
                Err(error) => self.begin_anew(&error.to_string()),
            }
        }
        changed
    }

    /// Sends all again that has not arrived, after a pause.
    fn begin_anew(&mut self, reason: &str) {
        let (stream, first) = (self.stream, self.arrived.0 + 1);
        tracing::warn!(?stream, first, reason, "messages did not arrive; they are sent again");
        self.appender = None;
        self.next = Seq(first);
        self.ready.clear();
        self.ready_bytes = 0;
        self.in_flight.clear();
        self.in_flight_bytes = 0;
        self.pause_until = Some(Instant::now() + self.back_off);
        self.back_off = (self.back_off * 2).min(BACK_OFF_MAX);
    }
}

/// A message that has not arrived is in the tables.
fn row_of(tables: &impl Tables, to: PartitionId, seq: Seq) -> Result<OutboxRow, TablesError> {
    reads::outbox(tables, to, seq)?
        .ok_or_else(|| TablesError(format!("message {seq} to partition {to} is missing")))
}

#[cfg(test)]
mod tests {
    use everlog_log_client::Reader;
    use everlog_log_client::embedded::{EmbeddedLog, EmbeddedOptions};
    use everlog_log_schema::codec::decode_message;
    use everlog_log_schema::{
        Incarnation, InvocationId, Life, Message, MetadataOffset, Order, OrderAction, PartitionKey,
        Row, RowKey, SentRow,
    };
    use everlog_partition::MemoryTables;

    use super::*;

    const HERE: PartitionId = PartitionId(0);

    /// The `seq`th message: it carries its number.
    fn row(seq: u64) -> OutboxRow {
        let id = InvocationId { partition_key: PartitionKey(0), uuid: u128::from(seq) };
        let sender = Some(Life { invocation: id, incarnation: Incarnation(0) });
        let order = Order { target: id, sender, action: OrderAction::Kill };
        OutboxRow { metadata: MetadataOffset(0), message: Message::Order(order) }
    }

    fn store(tables: &mut MemoryTables, seq: u64) {
        tables.put(RowKey::Outbox(HERE, Seq(seq)), Row::Outbox(Box::new(row(seq))));
        let sent = SentRow { last: Seq(seq), delivered: Seq(0) };
        tables.put(RowKey::Sent(HERE), Row::Sent(sent));
    }

    /// The numbers of the messages in the inbox, in order, each checked against its content.
    async fn arrived(reader: &mut dyn Reader, count: usize) -> Vec<u64> {
        let mut seqs = Vec::new();
        while seqs.len() < count {
            for logged in reader.next().await.unwrap() {
                let envelope = decode_message(&logged.payload).unwrap();
                let Source::Partition { seq, .. } = envelope.source else { panic!("{envelope:?}") };
                assert_eq!(envelope.message, row(seq.0).message);
                seqs.push(seq.0);
            }
        }
        seqs
    }

    #[tokio::test]
    async fn messages_beyond_what_memory_holds_arrive_in_their_order() {
        const FIRST: u64 = 300;
        const LATER: u64 = (IN_FLIGHT_MAX + READY_MAX) as u64 * 2;
        let directory = tempfile::tempdir().unwrap();
        let options = EmbeddedOptions { partitions: 1, fsync: false };
        let log = EmbeddedLog::open(directory.path(), options).unwrap();
        let mut tables = MemoryTables::default();
        (1..=FIRST).for_each(|seq| store(&mut tables, seq));
        let sender = Sender { partition: HERE, level: Level(1) };
        let mut outbox = Outbox::open(log.clone(), sender, 1, &tables).unwrap();
        // As many come as are sent, and more: the memory is full, has room, and is full again.
        let mut last = FIRST;
        while outbox.targets[&HERE].arrived.0 < LATER {
            for _ in 0..READY_MAX + 10 {
                if last < LATER {
                    last += 1;
                    store(&mut tables, last);
                    outbox.push(HERE, Seq(last), Box::new(row(last)));
                    assert!(outbox.targets[&HERE].ready.len() <= READY_MAX);
                }
            }
            outbox.send(&tables).unwrap();
            assert!(outbox.targets[&HERE].in_flight.len() <= IN_FLIGHT_MAX);
            outbox.changed().await;
        }
        let mut reader = log.reader(outbox.targets[&HERE].stream, 0).unwrap();
        let all = usize::try_from(LATER).unwrap();
        assert!(arrived(&mut *reader, all).await.into_iter().eq(1..=LATER));
        let told = OutboxDelivered { to: HERE, up_to: Seq(LATER) };
        assert_eq!(outbox.arrived(true), [told]);
        assert_eq!(outbox.arrived(true), []);
    }

    #[tokio::test]
    async fn arrivals_are_told_though_nothing_else_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let options = EmbeddedOptions { partitions: 1, fsync: false };
        let log = EmbeddedLog::open(directory.path(), options).unwrap();
        let mut tables = MemoryTables::default();
        store(&mut tables, 1);
        let sender = Sender { partition: HERE, level: Level(1) };
        let mut outbox = Outbox::open(log, sender, 1, &tables).unwrap();
        outbox.send(&tables).unwrap();
        let mut told = Vec::new();
        while told.is_empty() {
            outbox.changed().await;
            told = outbox.arrived(false);
        }
        assert_eq!(told, [OutboxDelivered { to: HERE, up_to: Seq(1) }]);
    }
}
