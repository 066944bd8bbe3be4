//! What the owner has put before the log: commands that wait for the next record, and records that
//! wait to be acknowledged.
//!
//! All that is ready goes into one record, so that the log sets the pace: the longer it takes, the
//! larger the records.
//!
//! **Invariants:** `seq` is taken only once the log has queued a record. The first append that is
//! not acknowledged ends the term: what stands behind it in the log will not count.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use everlog_log_client::{AppendError, Appender, Appending};
use everlog_log_schema::codec::encode_record;
use everlog_log_schema::limits::{RECORD_BYTES_MAX, RECORD_COMMANDS_MAX};
use everlog_log_schema::{Command, Epoch, Millis, Record, Seq, Term};
use futures_util::FutureExt;

use super::error::Interruption;
use super::fold::Step;
use crate::failpoints::crash_point;
use crate::metrics;

/// A record takes no further command beyond this size, in bytes, so that one slow append does not
/// hold up everything. One command alone may be larger.
pub(crate) const RECORD_BYTES_AIM: usize = 4 << 20;
/// Records that are not acknowledged yet.
const IN_FLIGHT_MAX: usize = 16;
/// Commands that wait for the next record: sources are not asked for more beyond this.
const WAITING_MAX: usize = RECORD_COMMANDS_MAX;
/// The bytes of commands that wait, and of records in flight, each, before sources must wait.
const WAITING_BYTES_MAX: usize = 16 << 20;
/// What a command takes in a record beside its payload, in bytes; an upper bound.
const COMMAND_BYTES: usize = 256;
/// How soon a full queue of the log is tried again. The log cannot tell when there is room.
const QUEUE_FULL_RETRY: Duration = Duration::from_millis(5);

struct InFlight {
    appending: Appending,
    payload: Bytes,
    record: Record,
}

/// The proposals of one term.
pub(crate) struct Proposals {
    appender: Box<dyn Appender>,
    epoch: Epoch,
    term: Term,
    next_seq: Seq,
    waiting: VecDeque<(Command, usize)>,
    waiting_bytes: usize,
    /// Whether the next record is appended even without commands.
    even_empty: bool,
    /// Encoded, but refused by a full queue.
    held: Option<(Record, Bytes)>,
    in_flight: VecDeque<InFlight>,
    in_flight_bytes: usize,
}

impl Proposals {
    /// Goes on behind an announcement that reigns.
    pub(crate) fn behind_announcement(
        appender: Box<dyn Appender>,
        epoch: Epoch,
        term: Term,
    ) -> Self {
        Self {
            appender,
            epoch,
            term,
            next_seq: Seq(1),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            even_empty: false,
            held: None,
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
        }
    }

    /// Whether the term that reigns is the one that these proposals are for.
    pub(crate) fn is_of(&self, epoch: Epoch, term: Term) -> bool {
        (self.epoch, self.term) == (epoch, term)
    }

    /// Puts a command before the log, with the next record. `payload_bytes` are those of its
    /// variable parts.
    pub(crate) fn push(&mut self, command: Command, payload_bytes: usize) {
        let bytes = payload_bytes + COMMAND_BYTES;
        self.waiting.push_back((command, bytes));
        self.waiting_bytes += bytes;
    }

    /// Has a record appended from now on, if only an empty one, and tells which it is.
    pub(crate) fn append_something(&mut self) -> Seq {
        self.even_empty = self.held.is_none();
        self.next_seq
    }

    /// Whether sources may be asked for more.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting.len() < WAITING_MAX
            && self.waiting_bytes < WAITING_BYTES_MAX
            && self.in_flight_bytes < WAITING_BYTES_MAX
    }

    /// Whether commands wait for the next record.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether everything put before the log has been acknowledged.
    pub(crate) fn is_empty(&self) -> bool {
        let waits = !self.waiting.is_empty() || self.even_empty;
        !waits && self.held.is_none() && self.in_flight.is_empty()
    }

    /// Appends as many records as there is room for.
    pub(crate) fn propose(&mut self, now: Millis) -> Result<(), Interruption> {
        while self.in_flight.len() < IN_FLIGHT_MAX {
            let Some((record, payload)) = self.held.take().or_else(|| self.next_record(now)) else {
                break;
            };
            crash_point("executor::before-append");
            match self.appender.append(payload.clone()) {
                Ok(appending) => {
                    self.next_seq = Seq(self.next_seq.0 + 1);
                    self.in_flight_bytes += payload.len();
                    self.in_flight.push_back(InFlight { appending, payload, record });
                }
                Err(AppendError::QueueFull) => {
                    self.held = Some((record, payload));
                    break;
                }
                Err(error) => return Err(Interruption::Retry(error.to_string())),
            }
        }
        Ok(())
    }

    fn next_record(&mut self, now: Millis) -> Option<(Record, Bytes)> {
        let mut commands = Vec::new();
        let mut bytes = 0;
        while let Some((_, size)) = self.waiting.front()
            && commands.len() < RECORD_COMMANDS_MAX
            && (commands.is_empty() || bytes + size <= RECORD_BYTES_AIM)
        {
            bytes += size;
            commands.extend(self.waiting.pop_front().map(|(command, _)| command));
        }
        let even_empty = std::mem::take(&mut self.even_empty);
        if commands.is_empty() && !even_empty {
            return None;
        }
        self.waiting_bytes -= bytes;
        let Self { epoch, term, next_seq: seq, .. } = *self;
        let record = Record { epoch, term, seq, now, commands };
        let payload = encode_record(&record).expect("messages and entries are within their limits");
        assert!(payload.len() <= RECORD_BYTES_MAX, "a record of {} bytes", payload.len());
        Some((record, payload))
    }

    /// Waits until records are acknowledged and returns them in order. For ever if none is in
    /// flight. May be dropped at any time: nothing is lost.
    pub(crate) async fn acknowledged(&mut self) -> Result<Vec<Step>, Interruption> {
        let Some(first) = self.in_flight.front_mut() else { return std::future::pending().await };
        let mut acknowledged = Vec::new();
        let mut next = Some((&mut first.appending).await);
        while let Some(result) = next {
            crash_point("executor::appended");
            let InFlight { payload, record, .. } =
                self.in_flight.pop_front().expect("its append has just ended");
            self.in_flight_bytes -= payload.len();
            let offset = result.map_err(|error| Interruption::Retry(error.to_string()))?;
            metrics::RECORDS_APPENDED.inc();
            metrics::COMMANDS_APPENDED.inc_by(record.commands.len() as u64);
            acknowledged.push(Step::acknowledged(offset, &payload, record));
            next = self.in_flight.front_mut().and_then(|next| (&mut next.appending).now_or_never());
        }
        Ok(acknowledged)
    }

    /// Waits until a full queue of the log is worth another try; for ever if none was full.
    pub(crate) fn queue_may_have_room(&self) -> impl Future<Output = ()> + use<> {
        let held = self.held.is_some();
        async move {
            if held {
                tokio::time::sleep(QUEUE_FULL_RETRY).await;
            } else {
                std::future::pending::<()>().await;
            }
        }
    }
}
