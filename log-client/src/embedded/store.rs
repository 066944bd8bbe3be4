//! The database under the embedded log: its layout, how it is tuned, and what may go wrong when it
//! is opened.
//!
//! | column family | key | value |
//! |---|---|---|
//! | `default` | `format` | version of this layout, u32 |
//! | | `partitions` | N, u32 |
//! | | `start` topic u8, partition u32 | first offset not trimmed, u64 |
//! | `records` | topic u8, partition u32, offset u64 | time of the append in ms u64, payload |
//! | `rows` | partition u32, row key | row |
//!
//! All numbers are big-endian, so that keys order as offsets do.
//!
//! **Invariant:** the offsets of a stream have no gap between its start and its end.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use everlog_log_schema::PartitionId;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType,
    DBRecoveryMode, ErrorKind, IteratorMode, Options, ReadOptions, WriteBatch, WriteOptions,
};

use crate::{Bounds, LogError, Logged, RowChange, Stream, Topic};

/// The version of the layout above.
const FORMAT: u32 = 1;
const FORMAT_KEY: &[u8] = b"format";
const PARTITIONS_KEY: &[u8] = b"partitions";
const START_PREFIX: &[u8] = b"start";
const RECORDS: &str = "records";
const ROWS: &str = "rows";
const MIB: usize = 1 << 20;

/// One batch of reads ends at this many records…
pub(super) const READ_RECORDS_MAX: usize = 1_024;
/// …or payload bytes, whichever comes first; it has at least one record.
pub(super) const READ_BYTES_MAX: usize = MIB;

/// An open database.
pub(super) struct Store {
    db: DB,
    directory: PathBuf,
    write_options: WriteOptions,
}

impl Store {
    /// Opens the database, or makes it where there is none.
    pub(super) fn open(directory: &Path, partitions: u32, fsync: bool) -> Result<Self, LogError> {
        fs::create_dir_all(directory).map_err(|error| {
            LogError::Setup(format!("failed to create {}: {error}", directory.display()))
        })?;
        refuse_headless(directory)?;
        let cache = Cache::new_lru_cache(32 * MIB);
        let families = [
            ColumnFamilyDescriptor::new("default", Options::default()),
            ColumnFamilyDescriptor::new(RECORDS, records_options(&cache)),
            ColumnFamilyDescriptor::new(ROWS, rows_options(&cache)),
        ];
        let db = DB::open_cf_descriptors(&database_options(), directory, families)
            .map_err(|error| opening_failed(directory, &error))?;
        let mut write_options = WriteOptions::default();
        write_options.set_sync(fsync);
        let store = Self { db, directory: directory.to_owned(), write_options };
        store.check_settings(partitions)?;
        Ok(store)
    }

    fn check_settings(&self, partitions: u32) -> Result<(), LogError> {
        let Some(format) = self.number(FORMAT_KEY)? else {
            let mut batch = WriteBatch::default();
            batch.put(FORMAT_KEY, FORMAT.to_be_bytes());
            batch.put(PARTITIONS_KEY, partitions.to_be_bytes());
            return self.write(batch).map_err(|error| self.unavailable(&error));
        };
        if format != FORMAT {
            return Err(LogError::Setup(format!(
                "{} is written in format {format} and this version of Everlog reads format \
                 {FORMAT}: use the version that wrote it, or another directory",
                self.directory.display()
            )));
        }
        let stored = self.number(PARTITIONS_KEY)?.unwrap_or_default();
        if stored == partitions {
            return Ok(());
        }
        Err(LogError::Setup(format!(
            "{} has {stored} partitions and {partitions} are asked for: their number is fixed when \
             the directory is made; ask for {stored}, or use another directory",
            self.directory.display()
        )))
    }

    fn number(&self, key: &[u8]) -> Result<Option<u32>, LogError> {
        let value = self.db.get(key).map_err(|error| self.unreadable(&error))?;
        value
            .map(|value| {
                let bytes = value.as_slice().try_into();
                bytes.map(u32::from_be_bytes).map_err(|_| self.corrupt("a setting is no number"))
            })
            .transpose()
    }

    /// Writes a batch: all of it or nothing, durable on return unless fsync is off. An error means
    /// that the outcome is unknown, and that this database must not be written to again.
    pub(super) fn write(&self, batch: WriteBatch) -> Result<(), rocksdb::Error> {
        self.db.write_opt(batch, &self.write_options)
    }

    pub(super) fn put_record(&self, batch: &mut WriteBatch, stream: Stream, record: &Logged) {
        let mut value = Vec::with_capacity(8 + record.payload.len());
        value.extend_from_slice(&record.appended_at_ms.to_be_bytes());
        value.extend_from_slice(&record.payload);
        batch.put_cf(self.family(RECORDS), record_key(stream, record.offset), value);
    }

    pub(super) fn put_trim(&self, batch: &mut WriteBatch, stream: Stream, from: u64, below: u64) {
        batch.put(start_key(stream), below.to_be_bytes());
        let records = self.family(RECORDS);
        batch.delete_range_cf(records, record_key(stream, from), record_key(stream, below));
    }

    pub(super) fn put_row(&self, batch: &mut WriteBatch, partition: PartitionId, row: &RowChange) {
        let key = row_key(partition, &row.key);
        match &row.value {
            Some(value) => batch.put_cf(self.family(ROWS), key, value),
            None => batch.delete_cf(self.family(ROWS), key),
        }
    }

    /// Gives back the space of whole files below a trimmed offset; the rest goes as the database
    /// compacts itself. Failing costs space only.
    pub(super) fn reclaim(&self, stream: Stream, below: u64) {
        let (from, to) = (record_key(stream, 0), record_key(stream, below));
        if let Err(error) = self.db.delete_file_in_range_cf(self.family(RECORDS), from, to) {
            tracing::warn!(%error, "failed to delete trimmed files of the embedded log");
        }
    }

    /// Finds a stream's extent as it is stored.
    pub(super) fn bounds(&self, stream: Stream) -> Result<Bounds, LogError> {
        let start = self.db.get(start_key(stream)).map_err(|error| self.unreadable(&error))?;
        let start = start.map_or(Ok(0), |value| {
            let bytes = value.as_slice().try_into();
            bytes.map(u64::from_be_bytes).map_err(|_| self.corrupt("a start offset is no number"))
        })?;
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(record_key(stream, start));
        options.set_iterate_upper_bound(record_key(stream, u64::MAX));
        let last = self
            .db
            .iterator_cf_opt(self.family(RECORDS), options, IteratorMode::End)
            .next()
            .transpose()
            .map_err(|error| self.unreadable(&error))?;
        let end = match last {
            Some((key, _)) => self.offset_of(&key)? + 1,
            None => start,
        };
        Ok(Bounds { start, end })
    }

    /// Reads a batch of records from `from` on, below `end`, which must be stored.
    pub(super) fn read(
        &self,
        stream: Stream,
        from: u64,
        end: u64,
    ) -> Result<Vec<Logged>, LogError> {
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(record_key(stream, from));
        options.set_iterate_upper_bound(record_key(stream, end));
        options.fill_cache(false);
        let stored = self.db.iterator_cf_opt(self.family(RECORDS), options, IteratorMode::Start);
        let mut batch = Vec::new();
        let mut bytes = 0;
        for (pair, expected) in stored.zip(from..) {
            let (key, value) = pair.map_err(|error| self.unreadable(&error))?;
            let record = self.record(&key, value)?;
            if record.offset != expected {
                break;
            }
            bytes += record.payload.len();
            batch.push(record);
            if batch.len() >= READ_RECORDS_MAX || bytes >= READ_BYTES_MAX {
                break;
            }
        }
        Ok(batch)
    }

    fn record(&self, key: &[u8], value: Box<[u8]>) -> Result<Logged, LogError> {
        let offset = self.offset_of(key)?;
        let mut payload = Bytes::from(value);
        if payload.len() < 8 {
            return Err(self.corrupt("a record is too short"));
        }
        let appended_at_ms = bytes::Buf::get_u64(&mut payload);
        Ok(Logged { offset, appended_at_ms, payload })
    }

    fn offset_of(&self, key: &[u8]) -> Result<u64, LogError> {
        key.last_chunk()
            .map(|bytes| u64::from_be_bytes(*bytes))
            .ok_or_else(|| self.corrupt("a record's key is too short"))
    }

    /// Reads a batch of a partition's rows whose keys are above `after`.
    pub(super) fn rows(
        &self,
        partition: PartitionId,
        after: Option<&[u8]>,
    ) -> Result<Vec<RowChange>, LogError> {
        let prefix = partition.0.to_be_bytes();
        let mut options = ReadOptions::default();
        let mut first = row_key(partition, after.unwrap_or_default());
        if after.is_some() {
            first.push(0);
        }
        options.set_iterate_lower_bound(first);
        if let Some(next) = partition.0.checked_add(1) {
            options.set_iterate_upper_bound(next.to_be_bytes());
        }
        let stored = self.db.iterator_cf_opt(self.family(ROWS), options, IteratorMode::Start);
        let mut batch = Vec::new();
        let mut bytes = 0;
        for pair in stored {
            let (key, value) = pair.map_err(|error| self.unreadable(&error))?;
            bytes += key.len() + value.len();
            let key = Bytes::from(key).slice(prefix.len()..);
            batch.push(RowChange { key, value: Some(value.into()) });
            if batch.len() >= READ_RECORDS_MAX || bytes >= READ_BYTES_MAX {
                break;
            }
        }
        Ok(batch)
    }

    fn family(&self, name: &str) -> &ColumnFamily {
        self.db.cf_handle(name).expect("all column families are opened with the database")
    }

    pub(super) fn corrupt(&self, what: &str) -> LogError {
        LogError::Corrupt(corrupt_sentence(&self.directory, what))
    }

    fn unreadable(&self, error: &rocksdb::Error) -> LogError {
        if error.kind() == ErrorKind::Corruption {
            return self.corrupt(error.as_ref());
        }
        self.unavailable(error)
    }

    fn unavailable(&self, error: &rocksdb::Error) -> LogError {
        LogError::Unavailable(format!("{}: {error}", self.directory.display()))
    }
}

fn database_options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    // A record that was being written when the process or machine died may end the newest file
    // early: it was never acknowledged and is dropped. Damage anywhere else refuses to open. The
    // default (point in time) would silently drop all that follows the damage, acknowledged or not.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_track_and_verify_wals_in_manifest(true);
    // Families that are seldom written to must not hold back the files of those that are: twice
    // what the records' write buffer holds is enough for both.
    options.set_max_total_wal_size(128 * MIB as u64);
    options.set_db_write_buffer_size(160 * MIB);
    options.set_max_background_jobs(2);
    options.set_max_open_files(256);
    options.set_keep_log_file_num(4);
    options.set_max_log_file_size(4 * MIB);
    options
}

/// Records are written once, read soon or never, and trimmed from the front. Most die in the
/// write buffer or in level 0; large ones are moved to files of their own that compaction leaves
/// alone. All that is not trimmed normally fits level 1, so that it is rewritten about twice.
fn records_options(cache: &Cache) -> Options {
    let mut options = family_options(cache, 64 * MIB);
    options.set_level_zero_file_num_compaction_trigger(4);
    options.set_max_bytes_for_level_base(512 * MIB as u64);
    options.set_target_file_size_base(64 * MIB as u64);
    options.set_level_compaction_dynamic_level_bytes(false);
    options.set_enable_blob_files(true);
    options.set_min_blob_size(8 << 10);
    options.set_blob_file_size(64 * MIB as u64);
    options.set_enable_blob_gc(true);
    options
}

fn rows_options(cache: &Cache) -> Options {
    family_options(cache, 16 * MIB)
}

fn family_options(cache: &Cache, write_buffer_bytes: usize) -> Options {
    let mut options = Options::default();
    options.set_write_buffer_size(write_buffer_bytes);
    options.set_max_write_buffer_number(3);
    let (none, lz4) = (DBCompressionType::None, DBCompressionType::Lz4);
    options.set_compression_per_level(&[none, none, lz4, lz4, lz4, lz4, lz4]);
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_block_size(16 << 10);
    options.set_block_based_table_factory(&blocks);
    options
}

/// A directory with data but without the file that names its parts would be taken for a new one.
fn refuse_headless(directory: &Path) -> Result<(), LogError> {
    if directory.join("CURRENT").exists() {
        return Ok(());
    }
    let unreadable = |error: std::io::Error| {
        LogError::Setup(format!("failed to list {}: {error}", directory.display()))
    };
    for file in fs::read_dir(directory).map_err(unreadable)? {
        let path = file.map_err(unreadable)?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if matches!(extension, Some("sst" | "log" | "blob")) {
            let what = format!("{} is there but the file CURRENT is not", path.display());
            return Err(LogError::Corrupt(corrupt_sentence(directory, &what)));
        }
    }
    Ok(())
}

fn opening_failed(directory: &Path, error: &rocksdb::Error) -> LogError {
    let shown = directory.display();
    let text = error.as_ref();
    if text.contains("/LOCK") || text.contains("lock hold by current process") {
        return LogError::Setup(format!(
            "{shown} is in use by another process: stop that one, or use another directory"
        ));
    }
    if text.contains("olumn famil") {
        return LogError::Setup(format!(
            "{shown} holds a database that is no log of Everlog: use another directory ({text})"
        ));
    }
    if error.kind() == ErrorKind::Corruption {
        return LogError::Corrupt(corrupt_sentence(directory, text));
    }
    LogError::Setup(format!(
        "failed to open {shown}: {text}; check that the disk has room and that the directory and \
         its files may be read and written"
    ))
}

fn corrupt_sentence(directory: &Path, what: &str) -> String {
    format!(
        "{} is damaged ({what}): put back a copy of the whole data directory, or move it away to \
         begin with an empty one",
        directory.display()
    )
}

fn record_key(stream: Stream, offset: u64) -> Vec<u8> {
    let mut key = stream_key(stream);
    key.extend_from_slice(&offset.to_be_bytes());
    key
}

fn start_key(stream: Stream) -> Vec<u8> {
    [START_PREFIX, &stream_key(stream)].concat()
}

fn stream_key(stream: Stream) -> Vec<u8> {
    let topic = match stream.topic {
        Topic::Invocations => 1,
        Topic::Log => 2,
        Topic::Metadata => 3,
    };
    let mut key = Vec::with_capacity(13);
    key.push(topic);
    key.extend_from_slice(&stream.partition.0.to_be_bytes());
    key
}

fn row_key(partition: PartitionId, key: &[u8]) -> Vec<u8> {
    [&partition.0.to_be_bytes(), key].concat()
}
