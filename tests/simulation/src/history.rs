//! What happened, in words that say nothing of who watched: the properties read this and no more.
//!
//! The simulator reports events as they happen. A run of real processes can report the same: the
//! callers, the functions and the timers write theirs down, and folding the event log gives the
//! rest (see [`Observer`](crate::observer::Observer)).

use everlog_log_schema::{
    AttemptId, Command, CompletionId, Entry, Epoch, InboxOffset, Incarnation, Ingest, Intake,
    InvocationId, LogOffset, Message, Millis, NotificationId, NotificationResult, Outcome, Record,
    RequestId, Row, RowKey, SignalId, Term, Timer,
};
use everlog_partition::Action;

use crate::rng::mix;

/// One request of one caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallId(pub u32);

/// One life of an invocation id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Life {
    /// The id.
    pub id: InvocationId,
    /// Which life of it.
    pub incarnation: Incarnation,
}

/// How much of its journal's results a function has been shown: how many notifications, and a
/// chained hash of them in journal order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// How many.
    pub count: u32,
    /// Their chained hash.
    pub hash: u64,
}

impl Seen {
    /// Chains one more result.
    pub fn add(&mut self, id: &NotificationId, result: &NotificationResult) {
        let value = match result {
            NotificationResult::Void => 1,
            NotificationResult::Value(bytes) => hash_of(bytes),
            NotificationResult::Failure(failure) => hash_of(failure.message.as_bytes()),
            NotificationResult::InvocationId(id) => hash_of(&id.to_bytes()),
            NotificationResult::StateKeys(keys) => {
                keys.iter().fold(2, |hash, key| mix(hash ^ hash_of(key)))
            }
        };
        let id = match id {
            NotificationId::Completion { id, .. } => u64::from(id.0),
            NotificationId::Signal(SignalId::Index(index)) => 1 << 32 | u64::from(*index),
            NotificationId::Signal(SignalId::Name(name)) => hash_of(name.as_bytes()),
        };
        self.count += 1;
        self.hash = mix(self.hash ^ mix(id ^ mix(value)));
    }

    /// The output of a function that has been shown this much.
    pub fn to_bytes(self) -> Vec<u8> {
        [&self.count.to_be_bytes()[..], &self.hash.to_be_bytes()[..]].concat()
    }
}

/// A cheap hash of bytes, for comparing histories only.
pub fn hash_of(bytes: &[u8]) -> u64 {
    bytes.iter().fold(bytes.len() as u64, |hash, &byte| mix(hash ^ u64::from(byte)))
}

/// A side effect that a function caused in the outside world.
#[derive(Debug, Clone, Copy)]
pub struct Effect {
    /// Whose effect.
    pub life: Life,
    /// Which step of it.
    pub step: CompletionId,
    /// The attempt that caused it.
    pub attempt: AttemptId,
    /// The ownership under which the attempt ran.
    pub term: (Epoch, Term),
    /// What the world answered: a number that no two effects share.
    pub value: u64,
    /// What the function had been shown when it decided on the effect.
    pub seen: Seen,
}

/// A journal entry as it was stored.
#[derive(Debug, Clone)]
pub struct Added {
    /// Whose journal.
    pub life: Life,
    /// Its place.
    pub index: u32,
    /// What it says.
    pub entry: Entry,
}

/// A row before and after a record.
#[derive(Debug, Clone)]
pub struct Change {
    /// Which row.
    pub key: RowKey,
    /// Before.
    pub old: Option<Row>,
    /// After.
    pub new: Option<Row>,
}

/// A durable record of the event log, and what it changed.
#[derive(Debug)]
pub struct Recorded<'a> {
    /// Where it stands.
    pub offset: LogOffset,
    /// What it says.
    pub record: &'a Record,
    /// Whether the partition took it.
    pub accepted: bool,
    /// The rows that differ, in the order in which they were first written.
    pub changes: &'a [Change],
    /// The journal entries that it stored, in order.
    pub added: &'a [Added],
    /// What the partition wants done.
    pub actions: &'a [Action],
    /// When it became durable, by the world's true clock.
    pub at: Millis,
}

impl<'a> Recorded<'a> {
    /// Whether the record creates a life that begins like another: its entries are copies, which ask
    /// for nothing any more.
    pub fn is_copy(&self, life: Life) -> bool {
        self.changes.iter().any(|change| {
            change.key == RowKey::Invocation(life.id)
                && !is_of(change.old.as_ref(), life)
                && matches!(&change.new, Some(Row::Invocation(row))
                    if row.incarnation == life.incarnation && row.restarted_from.is_some())
        })
    }

    /// The entries that it stores, without copies.
    pub fn own_entries(&self) -> impl Iterator<Item = &'a Added> + use<'a, '_> {
        self.added.iter().filter(|added| !self.is_copy(added.life))
    }

    /// The messages that it takes in, whether they count or not.
    pub fn messages(&self) -> impl Iterator<Item = &'a Message> + use<'a> {
        self.record.commands.iter().filter_map(|command| {
            if let Command::Ingest(Ingest { intake: Intake::Message(envelope), .. }) = command {
                Some(&envelope.message)
            } else {
                None
            }
        })
    }
}

fn is_of(row: Option<&Row>, life: Life) -> bool {
    matches!(row, Some(Row::Invocation(row)) if row.incarnation == life.incarnation)
}

/// Something that happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// A caller sends a request for the first time.
    Called {
        /// The request.
        call: CallId,
        /// The invocation it asks for.
        id: InvocationId,
        /// Its number, the same in every copy.
        request: RequestId,
    },
    /// The inbox has acknowledged a request, so it must not be lost.
    Acknowledged {
        /// The request.
        call: CallId,
        /// Where a copy stands, for a caller that will ask for its answer.
        offset: Option<InboxOffset>,
    },
    /// A caller has its answer.
    Answered {
        /// The request.
        call: CallId,
        /// The answer.
        outcome: &'a Outcome,
    },
    /// A caller was told that its invocation is not known.
    NotFound {
        /// The request.
        call: CallId,
    },
    /// A function acted on the outside world.
    Effect(Effect),
    /// An owner found a timer due and proposes to fire it.
    TimerProposed {
        /// The timer.
        timer: Timer,
        /// The owner's clock.
        clock: Millis,
    },
    /// A process has applied a record.
    Applied {
        /// Which process.
        executor: usize,
        /// Which record.
        offset: LogOffset,
        /// Whether it counted.
        accepted: bool,
    },
    /// A record is durable.
    Recorded(&'a Recorded<'a>),
}
