//! The tables on disk: one RocksDB for all partitions of an executor, a prefix for each.
//!
//! The log is the write-ahead log: RocksDB's own is off. All rows that a batch of records changes
//! go in as one write, together with the partition row that names the next log offset, so that a
//! crash leaves the tables as they stood at some record boundary, and the log brings the rest.
//! There is one column family, because one memtable then holds every write in order.
//!
//! **Invariant:** the tables never lead the log. Only acknowledged records are committed.

mod bulk;
mod dirty;
mod error;
mod jobs;
mod overlay;
mod pages;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use everlog_log_schema::{
    InboxOffset, LogOffset, PartitionId, Row, RowKey,
    codec::{decode_row, encode_row},
};
use everlog_partition::TablesError;
use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, FlushOptions, Options, ReadOptions, Snapshot,
    WriteBatch, WriteOptions,
};
use tokio::sync::watch;

pub(crate) use bulk::{BulkError, BulkLoad};
pub use error::StoreError;
pub(crate) use jobs::{Job, Running};
use overlay::Change;
pub use overlay::Overlay;
pub(crate) use pages::PageLimits;

/// The version of the way that rows are laid out in the database.
const FORMAT: u32 = 2;
/// Above every row: partitions are far fewer than 2³¹.
const FORMAT_KEY: &[u8] = b"\xff\xff\xff\xffformat";
/// Set in the prefix of a partition's dirty marks.
const DIRTY: u32 = 1 << 31;

const WRITE_BUFFER_BYTES: usize = 64 << 20;
const WRITE_BUFFERS_MAX: i32 = 4;
const BLOCK_CACHE_BYTES: usize = 128 << 20;
/// Open files of the database, so that connections have theirs.
const OPEN_FILES_MAX: i32 = 128;
/// Of RocksDB's own log of what it did.
const INFO_LOG_BYTES: usize = 4 << 20;

/// How the tables are kept.
#[derive(Debug, Clone, Copy, Default)]
pub struct StoreOptions {
    /// Whether the rows changed since the last checkpoint are marked. Needed only where
    /// checkpoints go to a journal topic.
    pub dirty_marks: bool,
}

/// Up to where a partition's tables have come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    /// All records below are applied.
    pub log: LogOffset,
    /// All messages below are taken in.
    pub inbox: InboxOffset,
}

/// The positions of all partitions that have been written since the tables were opened.
pub type Positions = BTreeMap<PartitionId, Position>;

/// The tables of all partitions of an executor.
pub struct Store {
    db: DB,
    path: PathBuf,
    options: StoreOptions,
    positions: Mutex<Positions>,
    /// How many changes of rows each partition has seen since the tables were opened.
    changes: Mutex<BTreeMap<PartitionId, u64>>,
    /// Counts the commits that are worth a flush.
    worth_flushing: AtomicU64,
    /// Heard by all work that runs beside the tasks.
    jobs: watch::Sender<()>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the tables in `directory`, or makes it where there is none.
    ///
    /// Fails where another process has them open, where they are damaged, and where a newer
    /// version wrote them.
    pub fn open(directory: impl AsRef<Path>, options: StoreOptions) -> Result<Self, StoreError> {
        let path = directory.as_ref().to_owned();
        std::fs::create_dir_all(&path).map_err(|error| StoreError::Directory {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        let db = DB::open(&database_options(), &path)
            .map_err(|error| StoreError::from_open(&path, &error))?;
        let store = Self {
            db,
            path,
            options,
            positions: Mutex::default(),
            changes: Mutex::default(),
            worth_flushing: AtomicU64::new(0),
            jobs: watch::Sender::new(()),
        };
        store.check_format()?;
        if !options.dirty_marks {
            store.give_up_marks()?;
        }
        Ok(store)
    }

    fn check_format(&self) -> Result<(), StoreError> {
        match self.db.get(FORMAT_KEY).map_err(|error| self.failed("read", &error))? {
            None => self
                .db
                .put_opt(FORMAT_KEY, FORMAT.to_be_bytes(), &without_wal())
                .and_then(|()| self.db.flush())
                .map_err(|error| self.failed("write", &error)),
            Some(found) if found == FORMAT.to_be_bytes() => Ok(()),
            Some(found) => Err(StoreError::Format {
                path: self.path.clone(),
                found: found.iter().fold(0, |number, byte| (number << 8) | u64::from(*byte)),
                supported: FORMAT,
            }),
        }
    }

    /// The tables of one partition, to read, or to write and then [commit](Self::commit).
    pub fn tables(&self, partition: PartitionId) -> Overlay<'_> {
        Overlay::new(self, partition, None)
    }

    /// The tables of one partition as they are now, to read, whatever is committed meanwhile.
    pub(crate) fn snapshot(&self, partition: PartitionId) -> Overlay<'_> {
        Overlay::new(self, partition, Some(self.db.snapshot()))
    }

    /// Writes all that `changes` holds, or nothing. Visible at once, durable with the next flush.
    ///
    /// `position` must be what the partition row among the changes says.
    pub(crate) fn commit(
        &self,
        partition: PartitionId,
        changes: &BTreeMap<RowKey, Change>,
        position: Position,
        worth_flushing: bool,
    ) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        for (key, change) in changes {
            let key = key_bytes(partition.0, key);
            match &change.row {
                Some(row) => {
                    let bytes = encode_row(row, change.at).map_err(|error| StoreError::Write {
                        path: self.path.clone(),
                        reason: error.to_string(),
                    })?;
                    batch.put(&key, bytes);
                }
                None => batch.delete(&key),
            }
            if self.options.dirty_marks {
                batch.put(dirty::mark_of(&key, change.at), []);
            }
        }
        self.db.write_opt(batch, &without_wal()).map_err(|error| self.failed("write", &error))?;
        self.positions().insert(partition, position);
        self.count_changes(partition, changes.len());
        if worth_flushing {
            self.worth_flushing.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Counts the commits so far that were worth a flush.
    pub fn commits_worth_flushing(&self) -> u64 {
        self.worth_flushing.load(Ordering::Relaxed)
    }

    /// Makes all that is committed durable, and tells how far each partition had come when it
    /// began: at least that much survives. Blocks for as long as the disk takes.
    pub fn flush(&self) -> Result<Positions, StoreError> {
        let durable = self.positions().clone();
        let mut options = FlushOptions::default();
        options.set_wait(true);
        self.db.flush_opt(&options).map_err(|error| self.failed("flush", &error))?;
        Ok(durable)
    }

    /// Removes all rows and marks of a partition. Durable with the next flush.
    pub fn drop_partition(&self, partition: PartitionId) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        for prefix in [partition.0, partition.0 | DIRTY] {
            batch.delete_range(prefix.to_be_bytes(), (prefix + 1).to_be_bytes());
        }
        batch.delete(dirty::complete_key(partition));
        self.db.write_opt(batch, &without_wal()).map_err(|error| self.failed("write", &error))?;
        self.positions().remove(&partition);
        Ok(())
    }

    /// Removes one row, as no record does: for those who look at what then happens.
    #[doc(hidden)]
    pub fn remove(&self, partition: PartitionId, key: &RowKey) -> Result<(), StoreError> {
        let removed = self.db.delete_opt(key_bytes(partition.0, key), &without_wal());
        removed.map_err(|error| self.failed("write", &error))
    }

    /// Reads rows in order of their keys, at most `limit` of those above `after`.
    pub fn rows(
        &self,
        partition: PartitionId,
        after: Option<&RowKey>,
        limit: usize,
    ) -> Result<Vec<(RowKey, Row)>, StoreError> {
        let prefix = partition.0;
        let from =
            after.map_or_else(|| prefix.to_be_bytes().to_vec(), |key| key_bytes(prefix, key));
        let mut found = Vec::new();
        let mut rows = self.db.raw_iterator_opt(bounded_by((prefix + 1).to_be_bytes()));
        rows.seek(&from);
        while found.len() < limit {
            let Some((key, row)) = rows.item() else { break };
            if after.is_none() || key > from.as_slice() {
                let key = self.row_key(key)?;
                let row = decode_row(&key, row).map_err(|error| self.corrupt(error))?;
                found.push((key, row));
            }
            rows.next();
        }
        rows.status().map_err(|error| self.failed("read", &error))?;
        Ok(found)
    }

    fn get(
        &self,
        partition: PartitionId,
        key: &RowKey,
        snapshot: Option<&Snapshot<'_>>,
    ) -> Result<Option<Row>, TablesError> {
        let bytes = key_bytes(partition.0, key);
        let found = match snapshot {
            None => self.db.get_pinned(bytes),
            Some(snapshot) => snapshot.get_pinned(bytes),
        };
        let found = found.map_err(|error| self.unread(error))?;
        found.map(|bytes| decode_row(key, &bytes).map_err(|error| self.unread(error))).transpose()
    }

    /// The first row from `from` to below `below` whose key `skip` does not hold.
    fn first(
        &self,
        partition: PartitionId,
        (from, below): (&RowKey, &RowKey),
        skip: &BTreeMap<RowKey, Change>,
        snapshot: Option<&Snapshot<'_>>,
    ) -> Result<Option<(RowKey, Row)>, TablesError> {
        let bounds = bounded_by(key_bytes(partition.0, below));
        let mut rows = match snapshot {
            None => self.db.raw_iterator_opt(bounds),
            Some(snapshot) => snapshot.raw_iterator_opt(bounds),
        };
        rows.seek(key_bytes(partition.0, from));
        while let Some((key, row)) = rows.item() {
            let key = self.row_key(key).map_err(|error| self.unread(error))?;
            if !skip.contains_key(&key) {
                let row = decode_row(&key, row).map_err(|error| self.unread(error))?;
                return Ok(Some((key, row)));
            }
            rows.next();
        }
        rows.status().map_err(|error| self.unread(error))?;
        Ok(None)
    }

    fn row_key(&self, bytes: &[u8]) -> Result<RowKey, StoreError> {
        let bytes = bytes.get(4..).ok_or_else(|| self.corrupt("a key is too short"))?;
        RowKey::from_bytes(bytes).map_err(|error| self.corrupt(error))
    }

    fn positions(&self) -> std::sync::MutexGuard<'_, Positions> {
        self.positions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn corrupt(&self, reason: impl std::fmt::Display) -> StoreError {
        StoreError::Corrupt { path: self.path.clone(), reason: reason.to_string() }
    }

    fn failed(&self, what: &'static str, error: &rocksdb::Error) -> StoreError {
        StoreError::from_use(&self.path, what, error)
    }

    fn unread(&self, error: impl std::fmt::Display) -> TablesError {
        TablesError(format!("{error} (in {})", self.path.display()))
    }
}

fn database_options() -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&Cache::new_lru_cache(BLOCK_CACHE_BYTES));
    // Most reads of an invocation id ask for one that is new.
    table.set_bloom_filter(10.0, false);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_atomic_flush(true);
    options.set_write_buffer_size(WRITE_BUFFER_BYTES);
    options.set_max_write_buffer_number(WRITE_BUFFERS_MAX);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_block_based_table_factory(&table);
    options.set_max_open_files(OPEN_FILES_MAX);
    options.set_max_log_file_size(INFO_LOG_BYTES);
    options.set_keep_log_file_num(2);
    options
}

fn without_wal() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.disable_wal(true);
    options
}

fn bounded_by(below: impl Into<Vec<u8>>) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_iterate_upper_bound(below);
    options
}

fn key_bytes(prefix: u32, key: &RowKey) -> Vec<u8> {
    prefixed(prefix, &key.to_bytes())
}

fn prefixed(prefix: u32, key: &[u8]) -> Vec<u8> {
    let mut bytes = prefix.to_be_bytes().to_vec();
    bytes.extend_from_slice(key);
    bytes
}
