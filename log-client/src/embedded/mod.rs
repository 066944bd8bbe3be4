//! The event log in a local RocksDB: for `everlog dev`, tests, and small single-node use.
//!
//! One writer thread takes everything that is queued, writes it as one batch with one fsync, and
//! resolves the appends in order ([`writer`]). Readers are woken by it and mostly served from
//! memory ([`stream`]), else from the database ([`store`]).
//!
//! Who may write is simple here: a directory belongs to one process, so that all fencing is
//! between tasks of it and needs no disk.
//!
//! **Invariant:** an append resolves to its offset only after the fsync that covers it (where
//! fsync is on), and readers see a record only then.

mod checkpoint;
mod queue;
mod reader;
mod store;
mod stream;
mod writer;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Instant;

use bytes::Bytes;
use everlog_log_schema::owner_api::BoxFuture;
use everlog_log_schema::{PartitionId, limits};
use tokio::sync::oneshot;

use self::checkpoint::{EmbeddedCheckpointer, RowsReader};
use self::queue::{Append, Queue, Request};
use self::reader::StreamReader;
use self::store::Store;
use self::stream::StreamState;
use self::writer::Writer;
use crate::{
    AppendError, Appender, Appending, Bounds, CheckpointReader, Checkpointer, EventLog, LogError,
    Reader, Stream, Topic,
};

/// How an embedded log is opened.
#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    /// The number N of partitions. Fixed when the directory is made: any other is refused later.
    pub partitions: u32,
    /// Whether an append waits for the disk. Off, a crash of the process loses nothing, but a
    /// crash of the machine loses what was acknowledged shortly before.
    pub fsync: bool,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self { partitions: 24, fsync: true }
    }
}

/// An event log in a directory of its own.
///
/// Dropping it writes what is queued and frees the directory; appenders and readers that are still
/// there then fail.
#[derive(Debug)]
pub struct EmbeddedLog {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// What the log, its writer, its appenders and its readers share.
struct Shared {
    partitions: u32,
    queue: Queue,
    /// In the order of [`Shared::stream_names`].
    streams: Vec<StreamState>,
    /// None while the database is being reopened, and once the log is closed. The writer takes the
    /// lock alone only to replace it and to commit rows.
    store: RwLock<Option<Store>>,
    /// Per partition, the commits of rows so far. Changes only under the store's exclusive lock.
    commits: Vec<AtomicU64>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("partitions", &self.partitions).finish_non_exhaustive()
    }
}

impl EmbeddedLog {
    /// Opens the log in `directory`, or makes it where there is none.
    ///
    /// Fails with [`LogError::Setup`] where another process has it open, where it was made with
    /// another number of partitions or by a newer version, and where it cannot be read or written;
    /// with [`LogError::Corrupt`] where it is damaged. Each says what to do.
    pub fn open(
        directory: impl AsRef<Path>,
        options: EmbeddedOptions,
    ) -> Result<Arc<Self>, LogError> {
        let directory = directory.as_ref().to_owned();
        if options.partitions == 0 {
            return Err(LogError::Setup("the number of partitions must be at least 1".into()));
        }
        let store = Store::open(&directory, options.partitions, options.fsync)?;
        let streams = stream_names(options.partitions)
            .map(|stream| store.bounds(stream).map(StreamState::new))
            .collect::<Result<_, _>>()?;
        let shared = Arc::new(Shared {
            partitions: options.partitions,
            queue: Queue::default(),
            streams,
            store: RwLock::new(Some(store)),
            commits: (0..options.partitions).map(|_| AtomicU64::new(0)).collect(),
        });
        let writer = Writer {
            shared: Arc::clone(&shared),
            directory,
            options,
            generations: BTreeMap::new(),
        };
        let writer = std::thread::Builder::new()
            .name("everlog-log".into())
            .spawn(move || writer.run())
            .map_err(|error| LogError::Setup(format!("failed to start the writer: {error}")))?;
        Ok(Arc::new(Self { shared, writer: Mutex::new(Some(writer)) }))
    }
}

impl Drop for EmbeddedLog {
    fn drop(&mut self) {
        self.shared.queue.close();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer
            && writer.join().is_err()
        {
            tracing::error!("the embedded log's writer panicked");
        }
    }
}

impl EventLog for EmbeddedLog {
    fn partitions(&self) -> u32 {
        self.shared.partitions
    }

    fn appender(&self, stream: Stream) -> Result<Box<dyn Appender>, LogError> {
        self.shared.stream(stream)?;
        Ok(Box::new(EmbeddedAppender { shared: Arc::clone(&self.shared), stream }))
    }

    fn reader(&self, stream: Stream, from: u64) -> Result<Box<dyn Reader>, LogError> {
        Ok(Box::new(StreamReader::open(&self.shared, stream, from)?))
    }

    fn bounds(&self, stream: Stream) -> BoxFuture<'_, Result<Bounds, LogError>> {
        Box::pin(async move { Ok(self.shared.stream(stream)?.bounds()) })
    }

    fn bounds_are_current(&self) -> bool {
        true
    }

    fn trim(&self, stream: Stream, below: u64) -> BoxFuture<'_, Result<(), LogError>> {
        Box::pin(async move {
            self.shared.stream(stream)?;
            self.shared.ask(|resolve| Request::Trim { stream, below, resolve }).await
        })
    }

    fn checkpointer(
        &self,
        partition: PartitionId,
    ) -> BoxFuture<'_, Result<Box<dyn Checkpointer>, LogError>> {
        Box::pin(async move {
            self.shared.stream(Stream { topic: Topic::Log, partition })?;
            let generation =
                self.shared.ask(|resolve| Request::OpenCheckpointer { partition, resolve }).await?;
            let rows = self.shared.read(move |_, store| store.rows(partition, None)).await?;
            let checkpointer = EmbeddedCheckpointer {
                shared: Arc::clone(&self.shared),
                partition,
                generation,
                began_empty: rows.is_empty(),
                added: Vec::new(),
            };
            Ok(Box::new(checkpointer) as Box<dyn Checkpointer>)
        })
    }

    fn checkpoint(
        &self,
        partition: PartitionId,
    ) -> BoxFuture<'_, Result<Box<dyn CheckpointReader>, LogError>> {
        Box::pin(async move {
            self.shared.stream(Stream { topic: Topic::Log, partition })?;
            let reader = RowsReader::open(&self.shared, partition);
            Ok(Box::new(reader) as Box<dyn CheckpointReader>)
        })
    }
}

impl Shared {
    /// Finds a stream; fails for one that the log does not have.
    fn stream(&self, stream: Stream) -> Result<&StreamState, LogError> {
        self.index(stream).and_then(|index| self.streams.get(index)).ok_or_else(|| {
            LogError::Setup(format!(
                "{stream:?} is none of the log's {} partitions",
                self.partitions
            ))
        })
    }

    /// Finds a stream that was checked when the request was made.
    fn stream_of_writer(&self, stream: Stream) -> &StreamState {
        self.stream(stream).expect("appenders and trims check their stream")
    }

    fn index(&self, stream: Stream) -> Option<usize> {
        let partitions = match stream.topic {
            Topic::Invocations | Topic::Log => self.partitions,
            Topic::Metadata => 1,
        };
        let base = match stream.topic {
            Topic::Invocations => 0,
            Topic::Log => self.partitions,
            Topic::Metadata => 2 * self.partitions,
        };
        let known = stream.partition.0 < partitions;
        known.then(|| usize::try_from(base + stream.partition.0).expect("counted in memory"))
    }

    fn stream_names(&self) -> impl Iterator<Item = Stream> + use<> {
        stream_names(self.partitions)
    }

    /// Asks the writer and waits for its answer.
    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, LogError>>) -> Request,
    ) -> Result<T, LogError> {
        let (resolve, answer) = oneshot::channel();
        self.queue.request(request(resolve));
        answer
            .await
            .unwrap_or_else(|_| Err(LogError::Unavailable("the log's writer stopped".into())))
    }

    /// Reads from the database, away from the tasks that must not block.
    async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Shared, &Store) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, LogError> {
        let shared = Arc::clone(self);
        let reading = tokio::task::spawn_blocking(move || {
            let store = shared.store.read().unwrap_or_else(PoisonError::into_inner);
            match store.as_ref() {
                Some(store) => read(&shared, store),
                None => Err(shared
                    .queue
                    .refusal()
                    .unwrap_or_else(|| LogError::Unavailable("the log is being reopened".into()))),
            }
        });
        reading.await.unwrap_or_else(|error| {
            Err(LogError::Unavailable(format!("failed to read the log: {error}")))
        })
    }

    fn commits(&self, partition: PartitionId) -> u64 {
        self.commit_counter(partition).load(Ordering::SeqCst)
    }

    fn count_commit(&self, partition: PartitionId) {
        self.commit_counter(partition).fetch_add(1, Ordering::SeqCst);
    }

    fn commit_counter(&self, partition: PartitionId) -> &AtomicU64 {
        let index = usize::try_from(partition.0).expect("counted in memory");
        self.commits.get(index).expect("checkpointers check their partition")
    }
}

/// All streams of a log, in the order that it keeps them in.
fn stream_names(partitions: u32) -> impl Iterator<Item = Stream> {
    let all = move |topic| {
        (0..partitions).map(move |partition| Stream { topic, partition: PartitionId(partition) })
    };
    let metadata = Stream { topic: Topic::Metadata, partition: PartitionId(0) };
    all(Topic::Invocations).chain(all(Topic::Log)).chain([metadata])
}

/// Appends to one stream.
struct EmbeddedAppender {
    shared: Arc<Shared>,
    stream: Stream,
}

impl Appender for EmbeddedAppender {
    fn append(&mut self, payload: Bytes) -> Result<Appending, AppendError> {
        let (bytes, max) = (payload.len(), limits::RECORD_BYTES_MAX);
        if bytes > max {
            return Err(AppendError::TooLarge { bytes, max });
        }
        let (resolve, appending) = Appending::new();
        let (stream, queued_at) = (self.stream, Instant::now());
        self.shared.queue.append(Append { stream, payload, queued_at, resolve })?;
        Ok(appending)
    }
}
