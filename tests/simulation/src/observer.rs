//! Folds the durable log as it grows, and tells what each record changed.
//!
//! It never crashes and never lags, so its rows are what every honest replica will hold. The log
//! of a run of real processes is folded the same way afterwards.

use std::collections::BTreeMap;

use everlog_log_schema::{
    Command, Effect, Entry, Incarnation, Intake, InvocationId, JournalRow, Message, Record, Row,
    RowKey,
};
pub use everlog_partition::{Acceptance, Logged};
use everlog_partition::{Action, ApplyError, MemoryTables, Tables, TablesError, apply};

use crate::history::{Added, Change, Life};

/// A fold of the log that remembers what the last record changed.
#[derive(Debug, Default)]
pub struct Observer {
    tables: MemoryTables,
    changes: Vec<Change>,
    added: Vec<Added>,
    actions: Vec<Action>,
    record_count: u64,
}

impl Observer {
    /// Applies the next record of the log.
    pub fn fold(&mut self, logged: Logged<'_>) -> Result<Acceptance, ApplyError> {
        self.actions.clear();
        let mut recorder = Recorder {
            tables: &mut self.tables,
            touched: BTreeMap::new(),
            written: 0,
            added: Vec::new(),
        };
        let acceptance = apply(&mut recorder, logged, &mut self.actions)?;
        self.added = recorder.added;
        let mut touched: Vec<_> = recorder.touched.into_iter().collect();
        touched.sort_unstable_by_key(|(_, (order, _))| *order);
        self.changes.clear();
        for (key, (_, old)) in touched {
            let new = self.tables.get(&key)?;
            if old != new {
                self.changes.push(Change { key, old, new });
            }
        }
        self.record_count += 1;
        Ok(acceptance)
    }

    /// What the last record changed.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// The journal entries that the last record stored, in order, packed or not.
    pub fn added(&self) -> &[Added] {
        &self.added
    }

    /// What the last record asked for.
    pub fn actions(&self) -> &[Action] {
        &self.actions
    }

    /// The rows as of the log's end.
    pub fn tables(&self) -> &MemoryTables {
        &self.tables
    }

    /// How many records there were.
    pub fn record_count(&self) -> u64 {
        self.record_count
    }
}

/// Remembers each written row as it was before.
struct Recorder<'a> {
    tables: &'a mut MemoryTables,
    touched: BTreeMap<RowKey, (usize, Option<Row>)>,
    written: usize,
    added: Vec<Added>,
}

impl Recorder<'_> {
    /// Notes an entry of the life that holds the id. An input comes before the row of its life.
    fn add(&mut self, id: InvocationId, index: u32, row: &JournalRow) {
        let incarnation = match self.tables.get(&RowKey::Invocation(id)) {
            Ok(Some(Row::Invocation(row))) if index > 0 => row.incarnation,
            _ => Incarnation(u64::MAX),
        };
        self.added.push(Added { life: Life { id, incarnation }, index, entry: row.entry.clone() });
    }

    /// Names the life whose input came before its row.
    fn name_life(&mut self, life: Life) {
        let nameless = |added: &&mut Added| {
            added.life.id == life.id && added.life.incarnation == Incarnation(u64::MAX)
        };
        for added in self.added.iter_mut().filter(nameless) {
            added.life = life;
        }
    }

    /// A row that is deleted and written anew counts as written where it was written anew.
    fn reborn(&mut self, key: &RowKey) {
        let gone = matches!(self.tables.get(key), Ok(None));
        if let Some((order, Some(_))) = self.touched.get_mut(key).filter(|_| gone) {
            *order = self.written;
            self.written += 1;
        }
    }

    fn touch(&mut self, key: &RowKey) {
        if !self.touched.contains_key(key) {
            let order = self.written;
            self.written += 1;
            let old = self.tables.get(key).unwrap_or_default();
            self.touched.insert(key.clone(), (order, old));
        }
    }
}

impl Tables for Recorder<'_> {
    fn get(&self, key: &RowKey) -> Result<Option<Row>, TablesError> {
        self.tables.get(key)
    }

    fn first(&self, from: &RowKey, below: &RowKey) -> Result<Option<(RowKey, Row)>, TablesError> {
        self.tables.first(from, below)
    }

    fn put(&mut self, key: RowKey, row: Row) {
        match (&key, &row) {
            (RowKey::Journal(id, index), Row::Journal(row)) => self.add(*id, *index, row),
            (RowKey::Invocation(id), Row::Invocation(row)) => {
                self.name_life(Life { id: *id, incarnation: row.incarnation });
            }
            _ => {}
        }
        self.touch(&key);
        self.reborn(&key);
        self.tables.put(key, row);
    }

    fn delete(&mut self, key: &RowKey) {
        self.touch(key);
        self.tables.delete(key);
    }
}

/// Tells what counts among the commands of a record, in a few words.
pub fn describe(record: &Record) -> String {
    let commands: Vec<String> = record.commands.iter().map(describe_command).collect();
    let (epoch, term, seq) = (record.epoch, record.term, record.seq);
    format!("e{epoch}/t{:04x}/{seq} at {}: {}", term.0 & 0xffff, record.now, commands.join(", "))
}

fn describe_command(command: &Command) -> String {
    match command {
        Command::AnnounceOwner(_) => "announce".into(),
        Command::Ingest(ingest) => match &ingest.intake {
            Intake::Message(envelope) => {
                format!("ingest {} {}", ingest.offset, describe_message(&envelope.message))
            }
            Intake::Rejected { .. } => format!("ingest {} rejected", ingest.offset),
        },
        Command::Append(append) => {
            let entries: Vec<String> = append.entries.iter().map(describe_entry).collect();
            let (epoch, counter) = (append.attempt.epoch, append.attempt.counter);
            let uuid = append.invocation.uuid;
            format!("append {uuid:x} by {epoch}.{counter} [{}]", entries.join(", "))
        }
        Command::Suspend(suspend) => {
            format!("suspend {:x} on {:?}", suspend.invocation.uuid, suspend.waiting)
        }
        Command::AttemptFailed(failed) => {
            format!("fail {:x} then {:?}", failed.invocation.uuid, failed.then)
        }
        Command::End(end) => format!("end {:x}", end.invocation.uuid),
        Command::TimerFired(fired) => {
            format!("fire {:?} of {:x}", fired.timer.kind, fired.timer.invocation.uuid)
        }
        Command::Resign
        | Command::OutboxDelivered(_)
        | Command::CheckpointOpened
        | Command::Checkpointed(_) => {
            format!("{command:?}")
        }
    }
}

fn describe_entry(entry: &Entry) -> String {
    match entry {
        Entry::Input { .. } => "input".into(),
        Entry::Command { effect: Effect::Call(call), .. } => format!("call {:x}", call.callee.uuid),
        Entry::Command { effect, .. } => format!("{effect:?}"),
        Entry::Output { .. } => "output".into(),
        Entry::Notification { id, .. } => format!("{id:?}"),
    }
}

/// Tells what a message says, in a few words.
pub fn describe_message(message: &Message) -> String {
    match message {
        Message::Invoke(invoke) => format!("invoke {:x}", invoke.id.uuid),
        Message::Attach(attach) => {
            format!("attach {:x} to {:x}", attach.caller.invocation.uuid, attach.target.uuid)
        }
        Message::Complete(complete) => {
            let (uuid, completion) = (complete.to.invocation.uuid, complete.completion);
            format!("complete {completion} of {uuid:x}")
        }
        Message::Signal(signal) => {
            format!("signal {:?} to {:x}", signal.signal, signal.target.uuid)
        }
        Message::Restart(restart) => {
            let (old, new, from) = (restart.target.uuid, restart.id.uuid, restart.from);
            format!("restart {old:x} as {new:x} from {from}")
        }
        Message::ResumeOn(resume) => format!("resume {:x} on other code", resume.target.uuid),
        Message::Order(order) => format!("{:?} {:x}", order.action, order.target.uuid),
    }
}
