//! What a partition begins with: its tables on this disk, or those of the journal topic.
//!
//! The tables on disk will do where the log goes on where they end. Else the rows of the journal topic
//! replace them, if that has a checkpoint from which the log goes on.
//!
//! **Invariant:** tables are replaced only by a checkpoint that is whole, and only where the log holds all
//! behind it. Where neither will do the partition stops, and what it has stays as it is.

use std::sync::Arc;
use std::time::Duration;

use everlog_log_client::{RowChange, Topic};
use everlog_log_schema::codec::CHECKPOINT_KEY;
use everlog_log_schema::{LogOffset, PartitionRow};
use everlog_partition::reads;
use tokio::sync::{Semaphore, mpsc};

use super::Shell;
use super::error::{Interruption, StopReason};
use crate::clock::system_now;
use crate::metrics;
use crate::store::{BulkError, BulkLoad, StoreError};

/// How many partitions of a process are restored at once: each takes a processor, and memory to sort in.
const RESTORES_MAX: usize = 2;
/// Batches of rows that are read ahead of those that are sorted.
const BATCHES_AHEAD: usize = 4;

static RESTORES: Semaphore = Semaphore::const_new(RESTORES_MAX);

/// Makes sure that the tables are ones from which the log can be folded on, as far as it can.
///
/// Must be called before the tables of the partition are read for the first time, and again whenever it
/// is about to be taken over.
pub(super) async fn prepare(shell: &Shell) -> Result<(), Interruption> {
    let partition = shell.partition;
    let unfinished = shell.store.run(move |store| {
        if store.is_unfinished(partition)? {
            store.drop_partition(partition)?;
            store.flush()?;
            return Ok(true);
        }
        Ok::<_, StoreError>(false)
    });
    if unfinished.await? {
        tracing::warn!(%partition, "tables whose restore did not end were removed");
    }
    if !shell.limits.journal {
        return Ok(());
    }
    let row = reads::partition(&shell.store.tables(partition)).map_err(StopReason::from)?;
    let bounds = shell.log.bounds(shell.stream(Topic::Log)).await?;
    if let Some(why) = why_restore(&row, bounds.start, bounds.end, shell.limits.stale_tables_age) {
        return restore(shell, &row, LogOffset(bounds.start), why).await;
    }
    complete_marks(shell).await
}

/// Why the tables on disk will not do, if so.
fn why_restore(row: &PartitionRow, start: u64, end: u64, stale: Duration) -> Option<&'static str> {
    let next = row.next_log.0;
    if next == 0 {
        return Some("there are no tables on disk");
    }
    if next < start {
        return Some("the log begins behind the tables on disk");
    }
    // Nothing is missed where the log has nothing more.
    let age = Duration::from_millis(system_now().0.saturating_sub(row.now.0));
    (next < end && age > stale).then_some("the tables on disk are too old")
}

/// Replaces the tables by the rows of the journal topic, if it has a checkpoint.
async fn restore(
    shell: &Shell,
    row: &PartitionRow,
    start: LogOffset,
    why: &'static str,
) -> Result<(), Interruption> {
    let partition = shell.partition;
    let _place = RESTORES.acquire().await.expect("the semaphore is never closed");
    let timer = metrics::RESTORE_SECONDS.start_timer();
    let load = BulkLoad::begin(Arc::clone(&shell.store), partition)?;
    let (batches, mut ready) = mpsc::channel::<Vec<RowChange>>(BATCHES_AHEAD);
    let loading = shell.store.spawn(move |_| {
        let mut load = load;
        while let Some(batch) = ready.blocking_recv() {
            load.add(batch)?;
        }
        Ok::<_, BulkError>(load)
    });
    let mut reader = shell.log.checkpoint(partition).await?;
    loop {
        let batch = reader.next().await?;
        // The other end is gone only where it has failed, which is told below.
        if batch.is_empty() || batches.send(batch).await.is_err() {
            break;
        }
    }
    drop(batches);
    let load = loading.await.expect("loading rows does not panic").value?;
    let Some(checkpoint) = load.checkpoint()? else {
        timer.stop_and_discard();
        return without_checkpoint(shell, row, start).await;
    };
    if checkpoint.log < start {
        let (next, checkpoint) = (row.next_log, Some(checkpoint.log));
        return Err(StopReason::LogTrimmed { start, next, checkpoint }.into());
    }
    let rows = shell.store.run(move |_| load.finish()).await?;
    let seconds = timer.stop_and_record();
    metrics::RESTORES.inc();
    metrics::ROWS_RESTORED.inc_by(rows);
    let log = checkpoint.log;
    tracing::info!(%partition, why, rows, seconds, %log, "tables restored from the journal topic");
    Ok(())
}

/// Goes on with what is on disk, where the journal topic has nothing.
async fn without_checkpoint(
    shell: &Shell,
    row: &PartitionRow,
    start: LogOffset,
) -> Result<(), Interruption> {
    if row.next_log < start {
        let next = row.next_log;
        return Err(StopReason::LogTrimmed { start, next, checkpoint: None }.into());
    }
    complete_marks(shell).await
}

/// Marks what the journal topic may not hold, where tables were written without marks: all of it, and what
/// it holds that is gone.
async fn complete_marks(shell: &Shell) -> Result<(), Interruption> {
    let partition = shell.partition;
    if shell.store.run(move |store| store.marks_are_complete(partition)).await? {
        return Ok(());
    }
    let mut reader = shell.log.checkpoint(partition).await?;
    loop {
        let batch = reader.next().await?;
        if batch.is_empty() {
            break;
        }
        shell
            .store
            .run(move |store| {
                let keys = batch.iter().map(|row| row.key.as_ref());
                store.mark_keys(partition, keys.filter(|key| *key != CHECKPOINT_KEY))
            })
            .await?;
    }
    Ok(shell.store.run(move |store| store.mark_all(partition)).await?)
}

#[cfg(test)]
mod tests {
    use everlog_log_schema::Millis;

    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn tables(next: u64, age: Duration) -> PartitionRow {
        let age = u64::try_from(age.as_millis()).expect("it is short");
        PartitionRow {
            next_log: LogOffset(next),
            now: Millis(system_now().0 - age),
            ..PartitionRow::default()
        }
    }

    #[test]
    fn tables_from_which_the_log_goes_on_will_do() {
        let young = tables(5, Duration::ZERO);
        for (start, end) in [(0, 5), (0, 9), (5, 5), (5, 9)] {
            assert_eq!(why_restore(&young, start, end, DAY), None, "{start} to {end}");
        }
        // A log that has lost its end is not healed by older tables.
        assert_eq!(why_restore(&young, 0, 4, DAY), None);
    }

    #[test]
    fn missing_or_overtaken_tables_are_replaced() {
        let none = PartitionRow::default();
        assert_eq!(why_restore(&none, 0, 9, DAY), Some("there are no tables on disk"));
        let behind = why_restore(&tables(5, Duration::ZERO), 6, 9, DAY);
        assert_eq!(behind, Some("the log begins behind the tables on disk"));
    }

    #[test]
    fn old_tables_are_replaced_unless_they_have_missed_nothing() {
        let minute = Duration::from_mins(1);
        let old = Some("the tables on disk are too old");
        assert_eq!(why_restore(&tables(5, DAY + minute), 0, 9, DAY), old);
        assert_eq!(why_restore(&tables(5, minute), 0, 9, DAY), None);
        assert_eq!(why_restore(&tables(5, DAY + minute), 0, 5, DAY), None);
    }
}
