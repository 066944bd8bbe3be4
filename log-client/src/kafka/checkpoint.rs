//! The compacted topic of rows, written in transactions. It is read in [`super::rows`].
//!
//! The transactional id is per partition, so that opening a checkpointer fences the one before:
//! the broker refuses whatever that still tries. The broker's fence follows the order in which
//! they were opened, not the log: who opens one must own the partition by the log first.
//!
//! **Invariant:** a commit is *refused* only where its transaction was aborted for certain.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use everlog_log_schema::owner_api::BoxFuture;
use everlog_log_schema::{PartitionId, limits};
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};

use super::client::{self, Cluster, Purpose};
use super::rows::RowsReader;
use crate::{AppendError, Checkpointer, LogError, RowChange};

/// How long a step of a transaction may take.
const TRANSACTION_WAIT: Duration = Duration::from_secs(30);
/// How long to wait for reports before looking again.
const POLL_WAIT: Duration = Duration::from_millis(5);

/// Counts the rows that brokers did not take.
#[derive(Default)]
struct Reports {
    failed: AtomicU64,
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka checkpointer");
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, report: &DeliveryResult<'_>, (): ()) {
        if report.is_err() {
            self.failed.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Commits rows until a later one is opened.
pub(super) struct KafkaCheckpointer {
    began_empty: bool,
    /// Behind a lock because a commit whose future is dropped goes on to its end.
    transactions: Arc<Mutex<Transactions>>,
}

struct Transactions {
    producer: BaseProducer<Reports>,
    topic: String,
    partition: i32,
    /// Whether a transaction has begun and not ended.
    open: bool,
    /// The error that ended this checkpointer.
    ended: Option<AppendError>,
}

impl KafkaCheckpointer {
    pub(super) async fn open(cluster: &Cluster, partition: PartitionId) -> Result<Self, LogError> {
        let of = cluster.clone();
        let transactions = client::blocking(move || {
            let producer: BaseProducer<Reports> = of
                .transactional_config(partition)
                .create_with_context(Reports::default())
                .map_err(|error| client::setup(&error))?;
            producer
                .init_transactions(TRANSACTION_WAIT)
                .map_err(|error| client::unavailable(&error))?;
            let (topic, partition) = (of.journal_topic(), client::partition_number(partition));
            Ok(Transactions { producer, topic, partition, open: false, ended: None })
        });
        let transactions = Arc::new(Mutex::new(transactions.await?));
        // By its rows, not by its offsets: an aborted transaction leaves offsets and no row.
        let mut rows = RowsReader::open(cluster, partition, Purpose::Look)?;
        Ok(Self { transactions, began_empty: rows.next_batch().await?.is_empty() })
    }
}

impl KafkaCheckpointer {
    /// Works on the transactions away from the tasks that must not block.
    async fn work(
        &self,
        work: impl FnOnce(&mut Transactions) -> Result<(), AppendError> + Send + 'static,
    ) -> Result<(), AppendError> {
        let transactions = Arc::clone(&self.transactions);
        let done = tokio::task::spawn_blocking(move || {
            work(&mut transactions.lock().unwrap_or_else(PoisonError::into_inner))
        });
        done.await.unwrap_or_else(|error| Err(AppendError::Unknown(error.to_string())))
    }
}

impl Checkpointer for KafkaCheckpointer {
    fn began_empty(&self) -> bool {
        self.began_empty
    }

    fn add(&mut self, rows: Vec<RowChange>) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(self.work(move |transactions| transactions.step(|open| open.add(&rows))))
    }

    fn commit(&mut self, rows: Vec<RowChange>) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(self.work(move |transactions| {
            transactions.step(|open| {
                open.add(&rows)?;
                open.commit()
            })
        }))
    }
}

impl Transactions {
    /// Does a step of a transaction, unless an earlier one has ended this checkpointer.
    fn step(
        &mut self,
        step: impl FnOnce(&mut Self) -> Result<(), AppendError>,
    ) -> Result<(), AppendError> {
        if let Some(error) = &self.ended {
            return Err(error.clone());
        }
        let done = step(self);
        match &done {
            Err(AppendError::Fenced) => self.ended = Some(AppendError::Fenced),
            Err(AppendError::Unknown(_)) => {
                let reason = "an earlier commit has an unknown outcome: open another checkpointer";
                self.ended = Some(AppendError::Refused(reason.into()));
            }
            Ok(())
            | Err(
                AppendError::Refused(_) | AppendError::TooLarge { .. } | AppendError::QueueFull,
            ) => {}
        }
        done
    }

    fn add(&mut self, rows: &[RowChange]) -> Result<(), AppendError> {
        let bytes_of = |row: &RowChange| row.key.len() + row.value.as_ref().map_or(0, Bytes::len);
        if let Some(row) = rows.iter().find(|row| bytes_of(row) > limits::ROW_BYTES_MAX) {
            let too_large =
                AppendError::TooLarge { bytes: bytes_of(row), max: limits::ROW_BYTES_MAX };
            return Err(self.dropped(too_large));
        }
        if rows.is_empty() {
            return Ok(());
        }
        if !self.open {
            self.producer.begin_transaction().map_err(|error| self.not_begun(&error))?;
            self.producer.context().failed.store(0, Ordering::SeqCst);
            self.open = true;
        }
        for row in rows {
            if let Err(error) = self.send(row) {
                return Err(self.aborted(&error));
            }
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), AppendError> {
        if !self.open {
            return Ok(());
        }
        if let Err(error) = self.await_reports() {
            return Err(self.aborted(&error));
        }
        let deadline = Instant::now() + TRANSACTION_WAIT;
        loop {
            match self.producer.commit_transaction(TRANSACTION_WAIT) {
                Ok(()) => {
                    self.open = false;
                    return Ok(());
                }
                Err(KafkaError::Transaction(error)) if error.txn_requires_abort() => {
                    return Err(self.aborted(&KafkaError::Transaction(error)));
                }
                Err(KafkaError::Transaction(error))
                    if error.is_retriable() && Instant::now() < deadline => {}
                Err(error) if is_fenced(&error) => return Err(AppendError::Fenced),
                Err(error) => return Err(AppendError::Unknown(error.to_string())),
            }
        }
    }

    fn not_begun(&self, error: &KafkaError) -> AppendError {
        if is_fenced(error) || self.fenced() {
            return AppendError::Fenced;
        }
        AppendError::Refused(error.to_string())
    }

    fn send(&self, row: &RowChange) -> Result<(), KafkaError> {
        let deadline = Instant::now() + TRANSACTION_WAIT;
        loop {
            let mut record =
                BaseRecord::<[u8], [u8]>::to(&self.topic).partition(self.partition).key(&row.key);
            if let Some(value) = &row.value {
                record = record.payload(value);
            }
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((error, _)) => {
                    let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
                    if !full || Instant::now() >= deadline {
                        return Err(error);
                    }
                    self.producer.poll(POLL_WAIT);
                }
            }
        }
    }

    /// Waits until every row is acknowledged: committing with rows outstanding takes far longer.
    fn await_reports(&self) -> Result<(), KafkaError> {
        let deadline = Instant::now() + TRANSACTION_WAIT;
        while self.producer.in_flight_count() > 0 {
            if Instant::now() >= deadline {
                return Err(KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut));
            }
            self.producer.poll(POLL_WAIT);
        }
        self.producer.poll(Duration::ZERO);
        if self.producer.context().failed.load(Ordering::SeqCst) > 0 {
            return Err(KafkaError::Flush(RDKafkaErrorCode::Fail));
        }
        Ok(())
    }

    /// Aborts the transaction after an error.
    fn aborted(&mut self, cause: &KafkaError) -> AppendError {
        if is_fenced(cause) || self.fenced() {
            return AppendError::Fenced;
        }
        self.dropped(AppendError::Refused(cause.to_string()))
    }

    /// Aborts the transaction, if one is open, and tells what that makes of `why`.
    fn dropped(&mut self, why: AppendError) -> AppendError {
        if !self.open {
            return why;
        }
        match self.abort() {
            Ok(()) => {
                self.open = false;
                why
            }
            Err(error) if is_fenced(&error) || self.fenced() => AppendError::Fenced,
            Err(error) => AppendError::Unknown(format!("{why}; failed to abort: {error}")),
        }
    }

    /// Aborting waits for rows on their way, whose reports only come where they are asked for.
    fn abort(&self) -> Result<(), KafkaError> {
        if let Err(error) = self.await_reports() {
            tracing::debug!(%error, "rows of a transaction to be aborted were not taken");
        }
        self.producer.abort_transaction(TRANSACTION_WAIT)
    }

    fn fenced(&self) -> bool {
        self.producer.client().fatal_error().is_some_and(|(code, _)| is_fence(code))
    }
}

fn is_fenced(error: &KafkaError) -> bool {
    error.rdkafka_error_code().is_some_and(is_fence)
}

fn is_fence(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::Fenced
            | RDKafkaErrorCode::ProducerFenced
            | RDKafkaErrorCode::InvalidProducerEpoch
    )
}
