//! A model of the event log: what Kafka promises about one partition, and not more.
//!
//! Appenders are pipelined; each keeps its own order, and they interleave at will. A landed record
//! becomes durable later, and only then can it be read or is it acknowledged; until then the log's
//! crash may take it. What a dead or broken appender still held may land at any time, or never. A
//! record may even stand there twice, as if the broker did not know repeats.
//!
//! **Invariant:** what is durable never changes.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use everlog_log_schema::{LogOffset, Record};

use crate::coverage::{Case, Coverage};
use crate::fault::Faults;
use crate::rng::Rng;

/// An appender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AppenderId(u64);

/// One append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket(u64);

/// How an append ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is durable at this offset.
    At(LogOffset),
    /// It is not in the log and never will be.
    Refused,
    /// It may be in the log, now or later, or not.
    Unknown,
}

/// A record with its place.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Where it stands.
    pub offset: LogOffset,
    /// Stands for the hash of its bytes: no two records share one.
    pub hash: u64,
    /// What it says.
    pub record: Rc<Record>,
    appender: AppenderId,
    ticket: Ticket,
}

/// The wanted offset was trimmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfRange;

#[derive(Debug, Default)]
struct Appender {
    queue: VecDeque<(Ticket, Rc<Record>)>,
    unresolved: VecDeque<Ticket>,
    outcomes: VecDeque<(Ticket, Outcome)>,
    /// Nobody listens any more: whatever is queued may land or not.
    adrift: bool,
    refused_one: bool,
}

/// One partition's event log.
#[derive(Debug, Default)]
pub struct Log {
    stored: Vec<Stored>,
    durable: usize,
    start: LogOffset,
    next_offset: u64,
    appenders: BTreeMap<AppenderId, Appender>,
    next_name: u64,
    echoes: Vec<Rc<Record>>,
}

impl Log {
    fn name(&mut self) -> u64 {
        self.next_name += 1;
        self.next_name
    }

    /// Opens an appender.
    pub fn open(&mut self) -> AppenderId {
        let id = AppenderId(self.name());
        self.appenders.insert(id, Appender::default());
        id
    }

    /// Queues a record.
    pub fn append(&mut self, appender: AppenderId, record: Rc<Record>) -> Ticket {
        let ticket = Ticket(self.name());
        if let Some(open) = self.appenders.get_mut(&appender) {
            open.queue.push_back((ticket, record));
            open.unresolved.push_back(ticket);
        }
        ticket
    }

    /// Takes the next outcome that has arrived.
    pub fn outcome(&mut self, appender: AppenderId) -> Option<(Ticket, Outcome)> {
        self.appenders.get_mut(&appender)?.outcomes.pop_front()
    }

    /// Stops listening to an appender. What it holds may still land.
    pub fn abandon(&mut self, appender: AppenderId) {
        if let Some(open) = self.appenders.get_mut(&appender) {
            open.adrift = true;
        }
    }

    /// Breaks a random live appender that holds something. Says whether there was one.
    pub fn break_one(&mut self, rng: &mut Rng) -> bool {
        let held = |open: &Appender| !open.adrift && !open.unresolved.is_empty();
        let count = self.appenders.values().filter(|open| held(open)).count();
        let chosen = rng.index(count);
        let Some(open) = self.appenders.values_mut().filter(|open| held(open)).nth(chosen) else {
            return false;
        };
        open.adrift = true;
        let unknown = open.unresolved.drain(..).map(|ticket| (ticket, Outcome::Unknown));
        open.outcomes.extend(unknown);
        true
    }

    /// Lets the oldest record of a random appender arrive, or be refused, or get lost.
    pub fn land(&mut self, rng: &mut Rng, faults: &Faults, coverage: &mut Coverage) {
        if !self.echoes.is_empty() && rng.chance(200) {
            let record = self.echoes.swap_remove(rng.index(self.echoes.len()));
            self.store(AppenderId(0), Ticket(0), record, rng.draw());
            return;
        }
        let count = self.appenders.values().filter(|open| !open.queue.is_empty()).count();
        if count == 0 {
            return;
        }
        let chosen = rng.index(count);
        let mut busy = self.appenders.iter().filter(|(_, open)| !open.queue.is_empty());
        let Some(id) = busy.nth(chosen).map(|(&id, _)| id) else { return };
        let adrift = self.appenders.get(&id).is_some_and(|open| open.adrift);
        if adrift && rng.chance(250) {
            coverage.hit(Case::UnknownLost);
            if let Some(open) = self.appenders.get_mut(&id) {
                open.queue.clear();
            }
            return;
        }
        if rng.chance(faults.refused) {
            self.refuse(id);
            return;
        }
        if adrift {
            coverage.hit(Case::UnknownLanded);
        }
        if self.land_from(id, rng.draw()) {
            coverage.hit(Case::RefusedInTheMiddle);
        }
        if rng.chance(faults.marker) {
            self.next_offset += 1;
        }
        if rng.chance(faults.echo) {
            let last = self.stored.last().map(|stored| Rc::clone(&stored.record));
            self.echoes.extend(last);
        }
    }

    /// Lets the oldest record of an appender arrive. Says whether one before it was refused.
    pub fn land_from(&mut self, id: AppenderId, hash: u64) -> bool {
        let Some(open) = self.appenders.get_mut(&id) else { return false };
        let Some((ticket, record)) = open.queue.pop_front() else { return false };
        let refused_one = open.refused_one;
        self.store(id, ticket, record, hash);
        refused_one
    }

    fn store(&mut self, appender: AppenderId, ticket: Ticket, record: Rc<Record>, hash: u64) {
        let offset = LogOffset(self.next_offset);
        self.stored.push(Stored { offset, hash, record, appender, ticket });
        self.next_offset += 1;
    }

    /// Refuses the oldest record of an appender.
    pub fn refuse(&mut self, id: AppenderId) {
        let Some(open) = self.appenders.get_mut(&id) else { return };
        let Some((ticket, _)) = open.queue.pop_front() else { return };
        open.refused_one = true;
        open.unresolved.retain(|&other| other != ticket);
        open.outcomes.push_back((ticket, Outcome::Refused));
    }

    /// Makes the oldest landed record durable, acknowledges it, and returns it.
    pub fn make_durable(&mut self) -> Option<Stored> {
        let stored = self.stored.get(self.durable)?.clone();
        self.durable += 1;
        let appender = self.appenders.get_mut(&stored.appender);
        if let Some(open) = appender.filter(|open| !open.adrift) {
            open.unresolved.retain(|&other| other != stored.ticket);
            open.outcomes.push_back((stored.ticket, Outcome::At(stored.offset)));
        }
        Some(stored)
    }

    /// Crashes the log: a random part of the tail that is not durable is lost. Live appenders send
    /// theirs again, in order. Says whether anything was lost.
    pub fn tear(&mut self, rng: &mut Rng) -> bool {
        let volatile = self.stored.len() - self.durable;
        let keep = self.durable + rng.index(volatile + 1);
        let torn = self.stored.split_off(keep);
        let lost = !torn.is_empty();
        for stored in torn.into_iter().rev() {
            self.next_offset = stored.offset.0;
            let Some(open) = self.appenders.get_mut(&stored.appender) else { continue };
            if !open.adrift || rng.chance(500) {
                open.queue.push_front((stored.ticket, stored.record));
            } else {
                // An appender keeps its order: with one record all behind it are lost.
                open.queue.clear();
            }
        }
        lost
    }

    /// Reads the first durable record at or above `from`.
    pub fn read(&self, from: LogOffset) -> Result<Option<&Stored>, OutOfRange> {
        if from < self.start {
            return Err(OutOfRange);
        }
        Ok(self.first_at(from))
    }

    /// Reads where a trimmed log begins, as no honest reader would.
    pub fn read_from_start(&self) -> Option<&Stored> {
        self.first_at(self.start)
    }

    fn first_at(&self, from: LogOffset) -> Option<&Stored> {
        let durable = self.stored.get(..self.durable)?;
        let at = durable.partition_point(|stored| stored.offset < from);
        durable.get(at)
    }

    /// One past the last durable record.
    pub fn end(&self) -> LogOffset {
        let last = self.durable.checked_sub(1).and_then(|last| self.stored.get(last));
        last.map_or(LogOffset(0), |stored| LogOffset(stored.offset.0 + 1))
    }

    /// Gives up all records below an offset. Going back is harmless.
    pub fn trim(&mut self, below: LogOffset) -> bool {
        let trims = below > self.start;
        self.start = self.start.max(below);
        trims
    }

    /// The first offset that can be read.
    pub fn start(&self) -> LogOffset {
        self.start
    }

    /// All that was ever durable, trimmed or not: for the replay at the end.
    pub fn archive(&self) -> &[Stored] {
        self.stored.get(..self.durable).unwrap_or_default()
    }

    /// Whether nothing is on its way.
    pub fn is_still(&self) -> bool {
        self.durable == self.stored.len()
            && self.echoes.is_empty()
            && self.appenders.values().all(|open| open.queue.is_empty())
    }

    /// Breaks one appender: the outcome of all that it holds is unknown.
    #[cfg(test)]
    pub(crate) fn break_down(&mut self, id: AppenderId) {
        if let Some(open) = self.appenders.get_mut(&id) {
            open.adrift = true;
            let unknown = open.unresolved.drain(..).map(|ticket| (ticket, Outcome::Unknown));
            open.outcomes.extend(unknown);
        }
    }

    /// Forgets appenders that nobody listens to and that hold nothing.
    pub fn sweep(&mut self) {
        let tail = self.stored.get(self.durable..).unwrap_or_default();
        let in_tail = |id| tail.iter().any(|stored| stored.appender == id);
        self.appenders.retain(|&id, open| {
            !(open.adrift && open.queue.is_empty() && open.outcomes.is_empty()) || in_tail(id)
        });
    }
}
