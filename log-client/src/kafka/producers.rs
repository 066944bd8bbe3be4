//! Appending to Kafka: a few idempotent producers, each with its share of the streams.
//!
//! A client sends one request per broker connection at a time, so that one producer would make all
//! partitions wait for each other. A stream always goes through the same producer: that is what
//! keeps its order. A producer that has failed for good is replaced when the next appender is
//! opened; the appenders of the old one fail for ever, and their owners announce themselves anew.
//!
//! **Invariant:** a delivery report without an offset, and any error that does not say for certain
//! that nothing was written, is *unknown*.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use everlog_log_schema::limits;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use tokio::sync::oneshot;

use super::client::{self, Cluster};
use crate::{AppendError, Appender, Appending, LogError, Stream};

type Outcome = Result<u64, AppendError>;

/// Resolves appends as the brokers report on them.
pub(super) struct Deliveries;

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka producer");
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<oneshot::Sender<Outcome>>;

    fn delivery(&self, report: &DeliveryResult<'_>, resolve: Self::DeliveryOpaque) {
        let outcome = match report {
            Ok(message) => u64::try_from(message.offset()).map_err(|_| {
                // A duplicate that the broker had already: it is there, but nobody knows where.
                AppendError::Unknown("the broker acknowledged the record without an offset".into())
            }),
            Err((error, message)) => Err(failed(error, message.payload_len())),
        };
        // Whoever appended may be gone.
        let _ = resolve.send(outcome);
    }
}

fn failed(error: &KafkaError, bytes: usize) -> AppendError {
    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge) {
        // It says so of a whole batch: small records refused with a large one are not in the log
        // either.
        let batch = format!("Kafka refused the batch with this record of {bytes} bytes: {error}");
        return AppendError::Refused(batch);
    }
    AppendError::Unknown(error.to_string())
}

/// The producers of a process.
pub(super) struct Producers {
    slots: Vec<Mutex<Arc<ThreadedProducer<Deliveries>>>>,
}

impl Producers {
    pub(super) fn new(cluster: &Cluster) -> Result<Self, LogError> {
        let slots = (0..cluster.options().producers.max(1))
            .map(|_| Ok(Mutex::new(Arc::new(producer(cluster)?))))
            .collect::<Result<_, _>>()?;
        Ok(Self { slots })
    }

    pub(super) fn appender(
        &self,
        cluster: &Cluster,
        stream: Stream,
    ) -> Result<KafkaAppender, LogError> {
        let mut hasher = DefaultHasher::new();
        stream.hash(&mut hasher);
        let slots = self.slots.len() as u64;
        let index = usize::try_from(hasher.finish() % slots).expect("less than a length");
        let slot = self.slots.get(index).expect("less than the length");
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((code, reason)) = slot.client().fatal_error() {
            tracing::warn!(%code, reason, "a Kafka producer failed for good and is replaced");
            *slot = Arc::new(producer(cluster)?);
        }
        let topic = cluster.topic(stream.topic);
        let partition = client::partition_number(stream.partition);
        Ok(KafkaAppender { producer: Arc::clone(&slot), topic, partition })
    }
}

fn producer(cluster: &Cluster) -> Result<ThreadedProducer<Deliveries>, LogError> {
    cluster.producer_config().create_with_context(Deliveries).map_err(|error| client::setup(&error))
}

/// Appends to one stream.
pub(super) struct KafkaAppender {
    producer: Arc<ThreadedProducer<Deliveries>>,
    topic: String,
    partition: i32,
}

impl Appender for KafkaAppender {
    fn append(&mut self, payload: Bytes) -> Result<Appending, AppendError> {
        let (bytes, max) = (payload.len(), limits::RECORD_BYTES_MAX);
        if bytes > max {
            return Err(AppendError::TooLarge { bytes, max });
        }
        let (resolve, appending) = Appending::new();
        let record = BaseRecord::<(), [u8], _>::with_opaque_to(&self.topic, Box::new(resolve))
            .partition(self.partition)
            .payload(&payload);
        match self.producer.send(record) {
            Ok(()) => Ok(appending),
            Err((error, _)) => match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::QueueFull) => Err(AppendError::QueueFull),
                _ => Err(AppendError::Refused(error.to_string())),
            },
        }
    }
}
