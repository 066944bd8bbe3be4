//! The journals of a stopped server, folded from its event log alone by the partition's own
//! `apply`: what any later owner would see.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, ensure};
use everlog_log_client::embedded::{EmbeddedLog, EmbeddedOptions};
use everlog_log_client::{EventLog, Stream, Topic};
use everlog_log_schema::codec::{decode_record, hash_of};
use everlog_log_schema::{
    CompletionId, Entry, InvocationId, LogOffset, NotificationId, PartitionId, Row, RowKey, kinds,
};
use everlog_partition::{Logged, MemoryTables, apply, reads};

/// The journal of each invocation, by id, in order.
pub type Journals = BTreeMap<InvocationId, Vec<Entry>>;

/// Folds the log under the data folder of a stopped server.
pub async fn read_journals(data: &Path) -> Result<Journals> {
    let log: Arc<dyn EventLog> = EmbeddedLog::open(data.join("log"), EmbeddedOptions::default())?;
    let mut journals = Journals::new();
    for partition in 0..log.partitions() {
        let tables = fold(log.as_ref(), PartitionId(partition)).await?;
        for (key, row) in tables.rows() {
            if let (RowKey::Invocation(id), Row::Invocation(row)) = (key, row) {
                let rows = reads::journal_from(&tables, *id, row, 0, u64::MAX)?;
                ensure!(rows.len() == row.entries as usize, "journal of {id} lacks an entry");
                journals.insert(*id, rows.into_iter().map(|row| row.entry).collect());
            }
        }
    }
    Ok(journals)
}

async fn fold(log: &dyn EventLog, partition: PartitionId) -> Result<MemoryTables> {
    let stream = Stream { topic: Topic::Log, partition };
    let bounds = log.bounds(stream).await?;
    ensure!(bounds.start == 0, "the log of partition {partition} is trimmed");
    let mut tables = MemoryTables::default();
    let mut reader = log.reader(stream, 0)?;
    let mut next = 0;
    while next < bounds.end {
        for logged in reader.next().await? {
            let record = decode_record(&logged.payload)?;
            let offset = LogOffset(logged.offset);
            let hash = hash_of(&logged.payload);
            apply(&mut tables, Logged { offset, hash, record: &record }, &mut Vec::new())?;
            next = logged.offset + 1;
        }
    }
    Ok(tables)
}

/// The completions of the runs whose results a journal holds, in order.
#[must_use]
pub fn runs_recorded(journal: &[Entry]) -> Vec<CompletionId> {
    let run = |entry: &Entry| match entry {
        Entry::Notification { id: NotificationId::Completion { id, kind }, .. } => {
            (*kind == kinds::RUN_COMPLETION).then_some(*id)
        }
        Entry::Notification { .. }
        | Entry::Input { .. }
        | Entry::Command { .. }
        | Entry::Output { .. } => None,
    };
    journal.iter().filter_map(run).collect()
}
