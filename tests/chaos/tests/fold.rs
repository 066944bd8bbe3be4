//! The fold of a log sees what is without effect, and what is left open.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use everlog_chaos::fold::{Folded, fold};
use everlog_chaos::history::{Event, History};
use everlog_log_client::embedded::{EmbeddedLog, EmbeddedOptions};
use everlog_log_client::{EventLog as _, Stream, Topic};
use everlog_log_schema::codec::encode_record;
use everlog_log_schema::{
    AnnounceOwner, Command, Envelope, Epoch, HandlerKind, InboxOffset, Ingest, Intake,
    InvocationId, Invoke, Level, Message, MetadataOffset, Millis, OnMaxAttempts, PartitionId,
    PartitionKey, Record, RequestId, RetryPolicy, Seq, Source, Target, Term,
};

/// A record of the owner in an epoch.
fn record(epoch: u64, seq: u64, command: Command) -> Record {
    let (epoch, term) = (Epoch(epoch), Term(epoch));
    Record { epoch, term, seq: Seq(seq), now: Millis(1_000), commands: vec![command] }
}

fn announce() -> Command {
    Command::AnnounceOwner(AnnounceOwner { address: "x".into(), level: Level(1), partitions: 1 })
}

fn ingest(offset: u64) -> Command {
    let retry = RetryPolicy {
        initial_interval: Millis(50),
        factor_permille: 2_000,
        max_interval: Millis(5_000),
        max_attempts: None,
        on_max_attempts: OnMaxAttempts::Kill,
    };
    let invoke = Invoke {
        id: InvocationId { partition_key: PartitionKey(0), uuid: offset.into() },
        request_id: RequestId(offset.into()),
        resent: false,
        target: Target { service: "s".into(), key: None, handler: "h".into() },
        kind: HandlerKind::Plain,
        headers: Vec::new(),
        body: "a".into(),
        idempotency_key: None,
        scope: None,
        limit_key: None,
        reply_to: None,
        caller: None,
        start_at: None,
        retention: Millis(0),
        journal_retention: None,
        state_ttl: None,
        retry,
        traceparent: None,
    };
    let message = Message::Invoke(Box::new(invoke));
    let (level, metadata, source) = (Level(1), MetadataOffset(0), Source::Gateway);
    let intake = Intake::Message(Envelope { level, metadata, source, message });
    Command::Ingest(Ingest { offset: InboxOffset(offset), intake })
}

/// Folds a log of these records. Returns the events of its history, too.
async fn folded(records: Vec<Record>) -> (Folded, Vec<Event>) {
    let directory = tempfile::tempdir().unwrap();
    let options = EmbeddedOptions { partitions: 1, fsync: false };
    let log = EmbeddedLog::open(directory.path().join("log"), options).unwrap();
    let stream = Stream { topic: Topic::Log, partition: PartitionId(0) };
    let mut appender = log.appender(stream).unwrap();
    for record in records {
        appender.append(encode_record(&record).unwrap()).unwrap().await.unwrap();
    }
    let history = History::create(&directory.path().join("history.jsonl")).unwrap();
    let folded = fold(log.as_ref(), &history).await.unwrap();
    (folded, history.lines().into_iter().map(|line| line.event).collect())
}

#[tokio::test]
async fn a_late_record_of_a_deposed_owner_has_no_effect() {
    let records = vec![record(1, 0, announce()), record(2, 0, announce()), record(1, 1, ingest(0))];
    let (folded, events) = folded(records).await;
    assert_eq!((folded.records, folded.ignored), (3, 1));
    assert_eq!(folded.violations, Vec::new());
    let announced = |epoch| Event::Announced { partition: 0, epoch };
    assert_eq!(events, [announced(1), announced(2)]);
}

#[tokio::test]
async fn an_invocation_that_is_left_open_is_found() {
    let (folded, _) = folded(vec![record(1, 0, announce()), record(1, 1, ingest(0))]).await;
    assert_eq!(folded.ignored, 0);
    let found: Vec<_> = folded.violations.iter().map(|found| found.property).collect();
    assert_eq!(found, ["no lost invocation"]);
}
