//! Following the metadata topic.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use everlog_log_client::embedded::{EmbeddedLog, EmbeddedOptions};
use everlog_log_client::{
    EventLog, LogError, Stream, Topic, append_metadata_change, follow_metadata,
};
use everlog_log_schema::metadata::{Change, Deployment, Metadata, MetadataChange, ProtocolMode};
use everlog_log_schema::{DeploymentId, MetadataOffset, Millis, PartitionId};
use tokio::sync::watch;

const METADATA: Stream = Stream { topic: Topic::Metadata, partition: PartitionId(0) };

fn open(directory: &Path) -> Arc<EmbeddedLog> {
    let options = EmbeddedOptions { partitions: 1, fsync: false };
    EmbeddedLog::open(directory, options).unwrap()
}

fn registers(name: &str, replaces: u64) -> MetadataChange {
    let deployment = Deployment {
        id: DeploymentId(name.to_owned()),
        uri: "http://127.0.0.1:9080".to_owned(),
        headers: Vec::new(),
        mode: ProtocolMode::BidiStream,
        use_http_11: false,
        min_protocol_version: 5,
        max_protocol_version: 6,
        sdk: None,
        metadata: Vec::new(),
        created_at: Millis(1),
        services: Vec::new(),
    };
    let change = Change::RegisterDeployment(deployment);
    MetadataChange { replaces: MetadataOffset(replaces), change }
}

async fn append(log: &EmbeddedLog, name: &str, replaces: u64) {
    append_metadata_change(log, &registers(name, replaces)).await.unwrap();
}

fn names(metadata: &Metadata) -> Vec<String> {
    metadata.deployments.keys().map(ToString::to_string).collect()
}

async fn reaches(receiver: &mut watch::Receiver<Arc<Metadata>>, next: u64) -> Vec<String> {
    let reached = receiver.wait_for(|metadata| metadata.next >= MetadataOffset(next));
    names(&tokio::time::timeout(Duration::from_mins(1), reached).await.unwrap().unwrap())
}

#[tokio::test]
async fn what_is_there_is_folded_before_anybody_sees_it() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path());
    assert_eq!(*follow_metadata(log.clone()).await.unwrap().borrow().as_ref(), Metadata::default());
    append(&log, "first", 0).await;
    append(&log, "second", 1).await;
    let receiver = follow_metadata(log).await.unwrap();
    assert_eq!(names(&receiver.borrow()), ["first", "second"]);
}

#[tokio::test]
async fn what_is_appended_later_is_followed_and_the_first_change_of_a_version_wins() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path());
    let mut receiver = follow_metadata(log.clone()).await.unwrap();
    append(&log, "first", 0).await;
    append(&log, "too late", 0).await;
    assert_eq!(reaches(&mut receiver, 2).await, ["first"]);
    append(&log, "second", 1).await;
    assert_eq!(reaches(&mut receiver, 3).await, ["first", "second"]);
}

#[tokio::test]
async fn a_record_that_cannot_be_read_ends_the_fold_and_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path());
    let mut receiver = follow_metadata(log.clone()).await.unwrap();
    append(&log, "first", 0).await;
    let mut appender = log.appender(METADATA).unwrap();
    appender.append(Bytes::from_static(b"of a later version")).unwrap().await.unwrap();
    append(&log, "second", 1).await;
    let ended = async { while receiver.changed().await.is_ok() {} };
    tokio::time::timeout(Duration::from_mins(1), ended).await.unwrap();
    assert_eq!(names(&receiver.borrow()), ["first"]);
    let error = follow_metadata(log).await.unwrap_err();
    assert!(matches!(&error, LogError::Setup(text) if text.contains("offset 1")), "{error}");
}

#[tokio::test]
async fn a_topic_without_its_beginning_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path());
    append(&log, "first", 0).await;
    append(&log, "second", 1).await;
    log.trim(METADATA, 1).await.unwrap();
    let error = follow_metadata(log).await.unwrap_err();
    assert_eq!(error, LogError::OutOfRange { wanted: 0, start: 1, end: 2 });
}

#[tokio::test]
async fn the_fold_ends_with_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path());
    let receiver = follow_metadata(log.clone()).await.unwrap();
    drop(receiver);
    let alone = async {
        while Arc::strong_count(&log) > 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), alone).await.expect("the follower lets go");
}
