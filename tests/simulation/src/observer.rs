//! Folds the durable log as it grows, and tells what each record changed.
//!
//! It never crashes and never lags, so its rows are what every honest replica will hold. The log
//! of a run of real processes is folded the same way afterwards.

use std::collections::BTreeMap;

use everlog_log_schema::{Record, Row, RowKey};
use everlog_partition::{
    Acceptance, Action, ApplyError, Logged, MemoryTables, Tables, TablesError, apply,
};

use crate::history::Change;

/// A fold of the log that remembers what the last record changed.
#[derive(Debug, Default)]
pub struct Observer {
    tables: MemoryTables,
    changes: Vec<Change>,
    actions: Vec<Action>,
    record_count: u64,
}

impl Observer {
    /// Applies the next record of the log.
    pub fn fold(&mut self, logged: Logged<'_>) -> Result<Acceptance, ApplyError> {
        self.actions.clear();
        let mut recorder =
            Recorder { tables: &mut self.tables, touched: BTreeMap::new(), written: 0 };
        let acceptance = apply(&mut recorder, logged, &mut self.actions)?;
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
}

impl Recorder<'_> {
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

fn describe_command(command: &everlog_log_schema::Command) -> String {
    use everlog_log_schema::{Command, Entry, Intake, Message};
    match command {
        Command::AnnounceOwner(_) => "announce".into(),
        Command::Ingest(ingest) => match &ingest.intake {
            Intake::Message(envelope) => {
                let Message::Invoke(invoke) = &envelope.message;
                format!("ingest {} invoke {:x}", ingest.offset, invoke.id.uuid)
            }
            Intake::Rejected { .. } => format!("ingest {} rejected", ingest.offset),
        },
        Command::Append(append) => {
            let entries: Vec<String> = append
                .entries
                .iter()
                .map(|entry| match entry {
                    Entry::Input { .. } => "input".into(),
                    Entry::Command { effect, .. } => format!("{effect:?}"),
                    Entry::Output { .. } => "output".into(),
                    Entry::Notification { id, .. } => format!("{id:?}"),
                })
                .collect();
            let (epoch, counter) = (append.attempt.epoch, append.attempt.counter);
            let uuid = append.invocation.uuid;
            format!("append {uuid:x} by {epoch}.{counter} [{}]", entries.join(", "))
        }
        Command::Suspend(suspend) => {
            format!("suspend {:x} on {:?}", suspend.invocation.uuid, suspend.waiting.completions)
        }
        Command::AttemptFailed(failed) => {
            format!("fail {:x} then {:?}", failed.invocation.uuid, failed.then)
        }
        Command::End(end) => format!("end {:x}", end.invocation.uuid),
        Command::TimerFired(fired) => {
            format!("fire {:?} of {:x}", fired.timer.kind, fired.timer.invocation.uuid)
        }
        Command::Resign | Command::CheckpointOpened | Command::Checkpointed(_) => {
            format!("{command:?}")
        }
    }
}
