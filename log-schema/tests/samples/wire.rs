//! Questions, answers and members: every kind of each.

use std::collections::BTreeMap;

use bytes::Bytes;
use everlog_log_schema::owner_api::*;
use everlog_log_schema::*;

use super::row::{invocation_rows, journal};
use super::{failure, full_error, future_tree, id, request_id, target};

/// Every question, with a name of its own.
pub(super) fn questions() -> Vec<(&'static str, Question)> {
    let after = Some(InboxOffset(300));
    let standing = |question| Question::Standing { partition: PartitionId(23), question };
    let full = InvocationQuery {
        service: Some("Cart".into()),
        handler: Some("checkout".into()),
        key: Some("ünïcode-key".into()),
        statuses: StatusKind::ALL.into(),
        deployment: Some(DeploymentId("dp_1a2B3c".into())),
        after: Some(id()),
        limit: 1_000,
    };
    let spare = InvocationQuery { limit: 1, ..InvocationQuery::default() };
    let invocations = |query| Question::Invocations { partition: PartitionId(23), query };
    let state = |after| {
        let (service, key) = ("Cart".into(), "zero\0within".into());
        Question::State { service, key, after }
    };
    let [first, second, third] =
        [0, 1, 7].map(|index| Bytes::from(RowKey::Journal(id(), index).to_bytes()));
    let ranges = vec![
        RowRange { from: first, below: second.clone() },
        RowRange { from: second, below: third },
    ];
    vec![
        ("attach", Question::Attach { id: id(), after }),
        ("attach-any", Question::Attach { id: id(), after: None }),
        ("output", Question::Output { id: id() }),
        ("verdict", Question::Verdict { id: id(), request: request_id(), after: InboxOffset(300) }),
        ("invocation", Question::Invocation { id: id(), after }),
        ("invocation-any", Question::Invocation { id: id(), after: None }),
        ("awaiting-on", Question::AwaitingOn { id: id() }),
        ("invocations", invocations(full)),
        ("invocations-any", invocations(spare)),
        ("journal", Question::Journal { id: id(), from: 300 }),
        ("state", state(Some(Bytes::from_static(b"a\0\xFF")))),
        ("state-first", state(None)),
        ("rows", Question::Rows { partition: PartitionId(23), ranges }),
        ("ping", standing(StandingQuestion::Ping)),
        ("hand-over", standing(StandingQuestion::HandOver { caught_up: LogOffset(1_000) })),
    ]
}

/// Every answer, with a name of its own.
pub(super) fn replies() -> Vec<(&'static str, Reply)> {
    let rows = || invocation_rows().into_iter().map(|(_, row)| row);
    let completed =
        |outcome, expires_at| Reply::Completed(Answer { target: target(), outcome, expires_at });
    let success = Outcome::Success(Bytes::from_static(b"{\"ok\":true}"));
    let failed = Outcome::Failure(failure());
    let entries = vec![
        (Bytes::from_static(b"a\0\xFF"), Bytes::from_static(b"1")),
        (Bytes::from_static(b"b"), Bytes::new()),
    ];
    let stored = entries.clone();
    let waiting = Status::Suspended(future_tree());
    let row = rows().next().expect("there are some");
    let found = rows().map(|row| (id(), row)).collect();
    let standing = |owner| Reply::Standing(StandingAnswer { owner, next_log: LogOffset(1_000) });
    let refused = Reply::Refused;
    vec![
        ("completed", completed(success, Some(Millis(1_767_225_600_000)))),
        ("completed-failure", completed(failed, None)),
        ("unfinished", Reply::Unfinished { status: waiting, last_error: Some(full_error()) }),
        ("unfinished-running", Reply::Unfinished { status: Status::Running, last_error: None }),
        ("accepted", Reply::Verdict(Verdict::Accepted)),
        ("previously-accepted", Reply::Verdict(Verdict::PreviouslyAccepted)),
        ("invocation", Reply::Invocation(Box::new(row))),
        ("awaiting-on", Reply::AwaitingOn(Some(future_tree()))),
        ("awaiting-on-nothing", Reply::AwaitingOn(None)),
        ("invocations", Reply::Invocations(InvocationPage { found, next: Some(id()) })),
        ("invocations-none", Reply::Invocations(InvocationPage::default())),
        ("journal", Reply::Journal(journal().into_iter().map(|(_, row)| row).collect())),
        ("state", Reply::State(StatePage { entries, next: Some(Bytes::from_static(b"b")) })),
        ("state-none", Reply::State(StatePage::default())),
        ("rows", Reply::Rows(RowPage { rows: stored, next: Some(Bytes::from_static(b"b")) })),
        ("rows-none", Reply::Rows(RowPage::default())),
        ("standing-owner", standing(Some(Epoch(5)))),
        ("standing-other", standing(None)),
        ("not-found", refused(OwnerError::NotFound)),
        ("unavailable", refused(OwnerError::Unavailable("it changes hands".into()))),
        ("stopped", refused(OwnerError::Stopped("its log went back".into()))),
    ]
}

/// Some members, each with a name of its own.
pub(super) fn members() -> Vec<(&'static str, Member)> {
    let member = |role, holdings| Member {
        role,
        address: "10.0.0.1:9071".into(),
        version: "0.1.0 (abc)".into(),
        level: Level(1),
        holdings,
    };
    let holdings = BTreeMap::from([
        (PartitionId(0), Holding::Owner(Epoch(5))),
        (PartitionId(7), Holding::Stopped),
        (PartitionId(23), Holding::Standby { next_log: LogOffset(1_000) }),
    ]);
    vec![
        ("gateway", member(Role::Gateway, Holdings::new())),
        ("executor", member(Role::Executor, holdings.clone())),
        ("both", member(Role::Both, holdings)),
    ]
}
