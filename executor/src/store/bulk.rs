//! Loads all rows of a partition from the journal topic.
//!
//! Rows are sorted in pieces into files beside the database, which takes them in only when all are
//! there and fit together, so that a failed load has changed nothing. With RocksDB's own log off, an
//! ingested file is durable before earlier writes are; so the order is: drop the old rows with their
//! partition row, flush, ingest, flush, then write the new partition row.
//!
//! **Invariant:** where there is a partition row, the rows that belong to it are there.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use everlog_log_client::RowChange;
use everlog_log_schema::codec::{
    CHECKPOINT_KEY, DecodeError, decode_checkpoint, decode_row, row_changed_at,
};
use everlog_log_schema::{CheckpointRow, LogOffset, PartitionId, Row, RowKey};
use rocksdb::{IngestExternalFileOptions, Options, SstFileWriter, WriteBatch};

use super::{Position, Store, StoreError, database_options, dirty, key_bytes, without_wal};

/// Rows that are sorted in memory at once, in bytes.
const PIECE_BYTES_MAX: usize = 32 << 20;
/// What a row takes in memory beside its bytes.
const ROW_OVERHEAD_BYTES: usize = 64;

/// Why the rows of a journal topic are no tables.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BulkError {
    #[error("failed to decode a row of the journal topic: {0}")]
    Row(#[from] DecodeError),
    #[error(
        "the journal topic holds a row that was changed at offset {row}, but its last checkpoint ends \
         before {checkpoint}: somebody else has written to it"
    )]
    Ahead { row: LogOffset, checkpoint: LogOffset },
    #[error(
        "the journal topic's last checkpoint ends before {checkpoint}, but its partition row before \
         {row}: rows of it are lost"
    )]
    Torn { checkpoint: LogOffset, row: LogOffset },
    #[error("the journal topic holds rows but no checkpoint: its checkpoint row is lost")]
    NoCheckpoint,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The rows of a partition on their way from the journal topic into the tables.
pub(crate) struct BulkLoad {
    store: Arc<Store>,
    partition: PartitionId,
    directory: PathBuf,
    options: Options,
    files: Vec<PathBuf>,
    piece: Vec<(Bytes, Option<Bytes>)>,
    piece_bytes: usize,
    rows: u64,
    newest: Option<LogOffset>,
    partition_row: Option<Bytes>,
    checkpoint: Option<CheckpointRow>,
}

impl BulkLoad {
    /// Begins anew: what an earlier load has left behind is removed.
    pub(crate) fn begin(store: Arc<Store>, partition: PartitionId) -> Result<Self, StoreError> {
        let directory = store.path.join(format!("restore-{partition}"));
        clear(&directory)?;
        std::fs::create_dir_all(&directory).map_err(|error| unwritable(&directory, &error))?;
        Ok(Self {
            store,
            partition,
            directory,
            options: database_options(),
            files: Vec::new(),
            piece: Vec::new(),
            piece_bytes: 0,
            rows: 0,
            newest: None,
            partition_row: None,
            checkpoint: None,
        })
    }

    /// Takes rows in the order in which the journal topic has them: of each key the last one counts.
    pub(crate) fn add(&mut self, changes: Vec<RowChange>) -> Result<(), BulkError> {
        for RowChange { key, value } in changes {
            if key == CHECKPOINT_KEY {
                self.checkpoint = value.map(|value| decode_checkpoint(&value)).transpose()?;
                continue;
            }
            if let Some(value) = &value {
                self.newest = self.newest.max(Some(row_changed_at(&key, value)?));
            }
            self.rows += 1;
            if key == RowKey::Partition.to_bytes().as_slice() {
                // It is written last, and by itself.
                self.partition_row = value;
                continue;
            }
            self.piece_bytes +=
                key.len() + value.as_ref().map_or(0, Bytes::len) + ROW_OVERHEAD_BYTES;
            self.piece.push((key, value));
            if self.piece_bytes >= PIECE_BYTES_MAX {
                self.write_piece()?;
            }
        }
        Ok(())
    }

    /// What the rows taken so far stand for; none where there is no checkpoint.
    pub(crate) fn checkpoint(&self) -> Result<Option<CheckpointRow>, BulkError> {
        match self.checkpoint {
            None if self.rows > 0 => Err(BulkError::NoCheckpoint),
            found => Ok(found),
        }
    }

    /// Replaces the partition's tables by the rows. Tells how many there were, older ones of the same key
    /// included.
    pub(crate) fn finish(mut self) -> Result<u64, BulkError> {
        let checkpoint = self.checkpoint.ok_or(BulkError::NoCheckpoint)?;
        if let Some(row) = self.newest.filter(|row| *row >= checkpoint.log) {
            return Err(BulkError::Ahead { row, checkpoint: checkpoint.log });
        }
        let bytes = self.partition_row.take().unwrap_or_default();
        let position = position_of(&bytes)?;
        if position.log != checkpoint.log {
            return Err(BulkError::Torn { checkpoint: checkpoint.log, row: position.log });
        }
        self.write_piece()?;
        let store = Arc::clone(&self.store);
        store.drop_partition(self.partition)?;
        store.flush()?;
        self.ingest()?;
        store.flush()?;
        let mut batch = WriteBatch::default();
        batch.put(key_bytes(self.partition.0, &RowKey::Partition), bytes);
        // The journal topic holds all of it.
        batch.put(dirty::complete_key(self.partition), []);
        let written = store.db.write_opt(batch, &without_wal());
        written.map_err(|error| store.failed("write", &error))?;
        store.positions().insert(self.partition, position);
        store.flush()?;
        Ok(self.rows)
    }

    fn ingest(&self) -> Result<(), StoreError> {
        let mut options = IngestExternalFileOptions::default();
        options.set_move_files(true);
        // Of a key that is in several files the last one counts, so each is taken in by itself.
        for file in &self.files {
            let ingested = self.store.db.ingest_external_file_opts(&options, vec![file]);
            ingested.map_err(|error| self.store.failed("ingest", &error))?;
        }
        Ok(())
    }

    fn write_piece(&mut self) -> Result<(), StoreError> {
        self.piece_bytes = 0;
        let mut piece = std::mem::take(&mut self.piece);
        if piece.is_empty() {
            return Ok(());
        }
        // Stable: of the same key the last one stays last.
        piece.sort_by(|(a, _), (b, _)| a.cmp(b));
        let file = self.directory.join(format!("{}.sst", self.files.len()));
        let mut writer = SstFileWriter::create(&self.options);
        let failed = |error: &rocksdb::Error| self.store.failed("write", error);
        writer.open(&file).map_err(|error| failed(&error))?;
        let mut key = self.partition.0.to_be_bytes().to_vec();
        let mut rows = piece.iter().peekable();
        while let Some((row_key, value)) = rows.next() {
            if rows.peek().is_some_and(|(next, _)| next == row_key) {
                continue;
            }
            key.truncate(4);
            key.extend_from_slice(row_key);
            let written = match value {
                Some(value) => writer.put(&key, value),
                None => writer.delete(&key),
            };
            written.map_err(|error| failed(&error))?;
        }
        writer.finish().map_err(|error| failed(&error))?;
        self.files.push(file);
        Ok(())
    }
}

impl Drop for BulkLoad {
    fn drop(&mut self) {
        if let Err(error) = clear(&self.directory) {
            tracing::warn!(%error, "files of a restore are left behind");
        }
    }
}

/// How far the tables have come whose partition row has these bytes.
fn position_of(partition_row: &[u8]) -> Result<Position, BulkError> {
    let Row::Partition(row) = decode_row(&RowKey::Partition, partition_row)? else {
        unreachable!("the key tells the kind of row");
    };
    Ok(Position { log: row.next_log, inbox: row.next_inbox })
}

/// Removes a directory and what is in it, if it is there.
fn clear(directory: &Path) -> Result<(), StoreError> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(unwritable(directory, &error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn unwritable(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Write { path: path.to_owned(), reason: error.to_string() }
}
