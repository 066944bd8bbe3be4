//! One value of every kind that is written, with every variant and every optional part at least
//! once present and once absent. The golden files hold their bytes.

mod entry;
mod message;
mod metadata;
mod record;
mod row;
mod wire;

use bytes::Bytes;
use everlog_log_schema::metadata::MetadataChange;
use everlog_log_schema::owner_api::{Question, Reply};
use everlog_log_schema::*;

/// A value of one of the kinds.
#[derive(Debug, PartialEq)]
pub(crate) enum Sample {
    Message(Envelope),
    Record(Record),
    MetadataChange(MetadataChange),
    Row(RowKey, Row),
    Question(Question),
    Reply(Reply),
    Member(Member),
    Checkpoint(CheckpointRow),
}

/// What level 1 wrote, each with the name of its golden file.
pub(crate) fn level_1() -> Vec<(String, Sample)> {
    let mut all = Vec::new();
    for (name, change) in metadata::changes() {
        all.push((format!("metadata-{name}"), Sample::MetadataChange(change)));
    }
    for (name, envelope) in message::envelopes() {
        all.push((format!("message-{name}"), Sample::Message(envelope)));
    }
    for (name, commands) in record::records() {
        all.push((format!("record-{name}"), record::record(commands)));
    }
    for (name, key, row) in row::rows() {
        all.push((format!("row-{name}"), Sample::Row(key, row)));
    }
    for (name, question) in wire::questions() {
        all.push((format!("question-{name}"), Sample::Question(question)));
    }
    for (name, reply) in wire::replies() {
        all.push((format!("reply-{name}"), Sample::Reply(reply)));
    }
    for (name, member) in wire::members() {
        all.push((format!("member-{name}"), Sample::Member(member)));
    }
    all.push((String::from("row-checkpoint"), Sample::Checkpoint(row::checkpoint())));
    all
}

fn id() -> InvocationId {
    InvocationId {
        partition_key: PartitionKey(0x0102_0304_0506_0708),
        uuid: 0x1112_1314_1516_1718_191A_1B1C_1D1E_1F20,
    }
}

fn life() -> Life {
    Life {
        invocation: InvocationId { partition_key: PartitionKey(5), uuid: 6 },
        incarnation: Incarnation(78),
    }
}

fn target() -> Target {
    Target { service: "Cart".into(), key: Some("ünïcode-key".into()), handler: "checkout".into() }
}

fn request_id() -> RequestId {
    RequestId(0x2122_2324_2526_2728_292A_2B2C_2D2E_2F30)
}

/// A result of every kind, each with the name of its kind.
fn results() -> [(&'static str, NotificationResult); 5] {
    let keys = ["items", "", "total"].map(Bytes::from).into();
    [
        ("void", NotificationResult::Void),
        ("value", NotificationResult::Value(Bytes::from_static(b"42"))),
        ("failure", NotificationResult::Failure(failure())),
        ("invocation-id", NotificationResult::InvocationId(life().invocation)),
        ("state-keys", NotificationResult::StateKeys(keys)),
    ]
}

fn header(key: &str, value: &str) -> Header {
    Header { key: key.into(), value: value.into() }
}

fn retry(max_attempts: Option<u32>, on_max_attempts: OnMaxAttempts) -> RetryPolicy {
    RetryPolicy {
        initial_interval: Millis(500),
        factor_permille: 2_000,
        max_interval: Millis(60_000),
        max_attempts,
        on_max_attempts,
    }
}

fn attempt() -> AttemptId {
    AttemptId { incarnation: Incarnation(77), epoch: Epoch(5), counter: 2 }
}

fn failure() -> Failure {
    Failure {
        code: 409,
        message: "card refused".into(),
        metadata: vec![header("bank", "insufficient funds")],
    }
}

/// All of: a race, and a set whose futures end as the function alone knows.
fn future_tree() -> FutureTree {
    let node = |combinator, leaves, nested| FutureNode { combinator, leaves, nested };
    let named = WaitSet { named_signals: vec!["approved".into()], ..WaitSet::default() };
    FutureTree {
        nodes: vec![
            node(Combinator::AllSucceededOrFirstFailed, WaitSet::default(), 2),
            node(Combinator::FirstCompleted, wait_set(), 1),
            node(Combinator::AllCompleted, named.clone(), 0),
            node(Combinator::FirstSucceededOrAllFailed, named, 1),
            node(Combinator::Unknown, wait_set(), 0),
        ],
    }
}

fn wait_set() -> WaitSet {
    WaitSet {
        completions: vec![CompletionId(1), CompletionId(300)],
        signals: vec![1, 17],
        named_signals: vec!["approved".into()],
    }
}

fn timers() -> [Timer; 6] {
    let kinds = [
        TimerKind::Start,
        TimerKind::Retry,
        TimerKind::Sleep(CompletionId(3)),
        TimerKind::Purge,
        TimerKind::PurgeJournal,
        TimerKind::Expire,
    ];
    kinds.map(|kind| Timer {
        due: Millis(1_767_225_600_123),
        invocation: id(),
        incarnation: Incarnation(77),
        kind,
    })
}

fn pin() -> Pin {
    Pin { deployment: DeploymentId("dp_1a2B3c".into()), protocol_version: 6 }
}

fn full_error() -> AttemptError {
    AttemptError {
        code: 570,
        message: "journal mismatch".into(),
        command_index: Some(4),
        command_name: Some("charge".into()),
        command_kind: Some(0x0411),
        delay_by_function: true,
    }
}
