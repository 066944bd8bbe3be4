//! The event log after a run, folded from its first record by the partition's own code: what any later
//! owner would see, whoever wrote late.
//!
//! The properties of the simulation judge every record on the way, and what the log holds goes into the
//! history, beside what callers and the outside world saw.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use everlog_log_client::{EventLog, Stream, Topic};
use everlog_log_schema::codec::{decode_record, hash_of};
use everlog_log_schema::{
    Command, Entry, LogOffset, Millis, NotificationId, NotificationResult, Outcome, PartitionId,
    Record, Row, RowKey, Status, kinds,
};
use everlog_partition::{Logged, MemoryTables, apply};
use everlog_simulation::coverage::Coverage;
use everlog_simulation::history::{Added, Recorded};
use everlog_simulation::observer::{Acceptance, Logged as Twin, Observer};
use everlog_simulation::properties::{LogProperties, Violation};

use crate::history::{Event, History};
use crate::program::{Chain, Digest};

/// What folding the logs of all partitions came to.
#[derive(Debug, Default)]
pub struct Folded {
    /// The tables of each partition.
    pub tables: BTreeMap<PartitionId, MemoryTables>,
    /// How many records there are.
    pub records: u64,
    /// How many of them have no effect: their owner was deposed, or they follow a gap.
    pub ignored: u64,
    /// Which cases the log shows.
    pub coverage: Coverage,
    /// What must not have happened.
    pub violations: Vec<Violation>,
}

/// Folds all partitions.
pub async fn fold(log: &dyn EventLog, history: &History) -> Result<Folded> {
    let mut folded = Folded::default();
    for number in 0..log.partitions() {
        let partition = PartitionId(number);
        let mut fold = Partition { id: partition, ..Partition::default() };
        read(log, partition, &mut fold, history, &mut folded).await?;
        let open = fold.tables.rows().filter_map(|(key, row)| open(key, row));
        let open: Vec<_> = open.collect();
        if !open.is_empty() {
            let what = format!("partition {partition} ends with open invocations: {open:?}");
            folded.violations.push(Violation::new("no lost invocation", what));
        }
        folded.tables.insert(partition, fold.tables);
    }
    Ok(folded)
}

async fn read(
    log: &dyn EventLog,
    partition: PartitionId,
    fold: &mut Partition,
    history: &History,
    folded: &mut Folded,
) -> Result<()> {
    let stream = Stream { topic: Topic::Log, partition };
    let bounds = log.bounds(stream).await?;
    ensure!(bounds.start == 0, "the log of partition {partition} is trimmed: it proves nothing");
    if bounds.end == 0 {
        return Ok(());
    }
    let mut reader = log.reader(stream, 0)?;
    let mut next = 0;
    while next < bounds.end {
        for logged in reader.next().await? {
            let record = decode_record(&logged.payload)?;
            let (offset, hash) = (LogOffset(logged.offset), hash_of(&logged.payload));
            let at = Millis(logged.appended_at_ms);
            fold.take(Logged { offset, hash, record: &record }, at, history, folded)?;
            next = logged.offset + 1;
        }
    }
    Ok(())
}

/// One partition on the way.
#[derive(Default)]
struct Partition {
    id: PartitionId,
    tables: MemoryTables,
    observer: Observer,
    properties: LogProperties,
    /// After its first violation a partition is not judged further: the rest follows from it.
    violated: bool,
}

impl Partition {
    fn take(
        &mut self,
        logged: Logged<'_>,
        at: Millis,
        history: &History,
        folded: &mut Folded,
    ) -> Result<()> {
        let Logged { offset, hash, record } = logged;
        apply(&mut self.tables, logged, &mut Vec::new())?;
        let twin = Twin { offset, hash, record };
        let accepted = self.observer.fold(twin)? == Acceptance::Accepted;
        folded.records += 1;
        folded.ignored += u64::from(!accepted);
        let recorded = Recorded {
            offset,
            record,
            accepted,
            changes: self.observer.changes(),
            added: self.observer.added(),
            actions: self.observer.actions(),
            at,
        };
        if !self.violated
            && let Err(violation) = self.properties.observe(&recorded, &mut folded.coverage)
        {
            self.violated = true;
            let what = format!("partition {} at {offset}: {}", self.id, violation.what);
            folded.violations.push(Violation::new(violation.property, what));
        }
        let micros = at.0 * 1_000;
        for event in events(self.id, record, accepted, self.observer.added()) {
            history.note_at(micros, event);
        }
        Ok(())
    }
}

/// What a record tells of the workload.
fn events(partition: PartitionId, record: &Record, accepted: bool, added: &[Added]) -> Vec<Event> {
    let partition = partition.0;
    let mut events: Vec<Event> =
        added.iter().filter_map(|added| stored(partition, added)).collect();
    if accepted && matches!(record.commands[..], [Command::AnnounceOwner(_)]) {
        events.push(Event::Announced { partition, epoch: record.epoch.0 });
    }
    events
}

fn stored(partition: u32, added: &Added) -> Option<Event> {
    let invocation = added.life.id.to_string();
    match &added.entry {
        Entry::Output { outcome: Outcome::Success(bytes), .. } => {
            // The shared handlers answer something else.
            let digest: Digest = serde_json::from_slice(bytes).ok()?;
            Some(Event::Stored { partition, invocation, outcome: Ok(digest) })
        }
        Entry::Output { outcome: Outcome::Failure(failure), .. } => {
            let outcome = Err(format!("{} {}", failure.code, failure.message));
            Some(Event::Stored { partition, invocation, outcome })
        }
        Entry::Notification {
            id: NotificationId::Completion { kind, .. },
            result: NotificationResult::Value(bytes),
        } if *kind == kinds::RUN_COMPLETION => {
            let token: String = serde_json::from_slice(bytes).ok()?;
            token.starts_with("act-").then_some(Event::RunStored { token })
        }
        Entry::Notification { .. } | Entry::Command { .. } | Entry::Input { .. } => None,
    }
}

fn open(key: &RowKey, row: &Row) -> Option<String> {
    match (key, row) {
        (RowKey::Invocation(id), Row::Invocation(row)) => {
            let completed = matches!(row.status, Status::Completed { .. });
            (!completed).then(|| format!("{id} is {:?}", row.status))
        }
        _ => None,
    }
}

/// What the tables hold of an object, by state key.
pub fn object(folded: &Folded, service: &str, key: &str) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let rows = folded.tables.values().flat_map(MemoryTables::rows);
    let state = rows.filter_map(|(row_key, row)| match (row_key, row) {
        (RowKey::State { service: of, key: at, name }, Row::State(value))
            if of == service && at == key =>
        {
            Some((name.to_vec(), value.to_vec()))
        }
        _ => None,
    });
    state.collect()
}

/// The chain in an object's state.
pub fn chain_of(object: &BTreeMap<Vec<u8>, Vec<u8>>) -> Chain {
    let stored = object.get(b"chain".as_slice());
    stored.and_then(|bytes| serde_json::from_slice(bytes).ok()).unwrap_or_default()
}
