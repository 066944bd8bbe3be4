//! Any question, answer and member.

use proptest::collection::btree_map;

use super::row::{invocation_row, journal_row, status};
use super::*;
use crate::owner_api::{
    Answer, InvocationPage, InvocationQuery, OwnerError, Question, Reply, RowPage, RowRange,
    StatePage, Verdict,
};

fn inbox_offset() -> impl Strategy<Value = InboxOffset> {
    long().prop_map(InboxOffset)
}

fn log_offset() -> impl Strategy<Value = LogOffset> {
    long().prop_map(LogOffset)
}

fn epoch() -> impl Strategy<Value = Epoch> {
    long().prop_map(Epoch)
}

prop_compose! {
    fn query()(
        (service, handler, key) in (option::of(text()), option::of(text()), option::of(text())),
        statuses in vec(proptest::sample::select(&StatusKind::ALL[..]), 0..4),
        (deployment, after) in
            (option::of(text().prop_map(DeploymentId)), option::of(invocation_id())),
        limit in 0_usize..2_000,
    ) -> InvocationQuery {
        InvocationQuery { service, handler, key, statuses, deployment, after, limit }
    }
}

fn row_range() -> impl Strategy<Value = RowRange> {
    (bytes(), bytes()).prop_map(|(from, below)| RowRange { from, below })
}

/// Any question to an owner.
pub fn question() -> impl Strategy<Value = Question> {
    let after = || option::of(inbox_offset());
    let standing = prop_oneof![
        Just(StandingQuestion::Ping),
        log_offset().prop_map(|caught_up| StandingQuestion::HandOver { caught_up }),
    ];
    prop_oneof![
        (invocation_id(), after()).prop_map(|(id, after)| Question::Attach { id, after }),
        invocation_id().prop_map(|id| Question::Output { id }),
        (invocation_id(), request_id(), inbox_offset())
            .prop_map(|(id, request, after)| Question::Verdict { id, request, after }),
        (invocation_id(), after()).prop_map(|(id, after)| Question::Invocation { id, after }),
        invocation_id().prop_map(|id| Question::AwaitingOn { id }),
        (partition_id(), query())
            .prop_map(|(partition, query)| Question::Invocations { partition, query }),
        (invocation_id(), any::<u32>()).prop_map(|(id, from)| Question::Journal { id, from }),
        (text(), text(), option::of(state_key()))
            .prop_map(|(service, key, after)| Question::State { service, key, after }),
        (partition_id(), vec(row_range(), 0..3))
            .prop_map(|(partition, ranges)| Question::Rows { partition, ranges }),
        (partition_id(), standing)
            .prop_map(|(partition, question)| Question::Standing { partition, question }),
    ]
}

fn answer() -> impl Strategy<Value = Answer> {
    let outcome = prop_oneof![
        bytes().prop_map(Outcome::Success),
        (any::<u32>(), text(), headers()).prop_map(|(code, message, metadata)| {
            Outcome::Failure(Failure { code, message, metadata })
        }),
    ];
    (target(), outcome, option::of(millis())).prop_map(|(target, outcome, expires_at)| Answer {
        target,
        outcome,
        expires_at,
    })
}

/// Any answer of an owner.
pub fn reply() -> impl Strategy<Value = Reply> {
    prop_oneof![
        answer().prop_map(Reply::Completed),
        (status(), option::of(attempt_error()))
            .prop_map(|(status, last_error)| Reply::Unfinished { status, last_error }),
        prop_oneof![Just(Verdict::Accepted), Just(Verdict::PreviouslyAccepted)]
            .prop_map(Reply::Verdict),
        invocation_row().prop_map(|row| Reply::Invocation(Box::new(row))),
        option::of(future_tree()).prop_map(Reply::AwaitingOn),
        (vec((invocation_id(), invocation_row()), 0..3), option::of(invocation_id()))
            .prop_map(|(found, next)| Reply::Invocations(InvocationPage { found, next })),
        vec(journal_row(), 0..4).prop_map(Reply::Journal),
        (vec((state_key(), bytes()), 0..4), option::of(state_key()))
            .prop_map(|(entries, next)| Reply::State(StatePage { entries, next })),
        (vec((state_key(), bytes()), 0..4), option::of(state_key()))
            .prop_map(|(rows, next)| Reply::Rows(RowPage { rows, next })),
        (option::of(epoch()), log_offset())
            .prop_map(|(owner, next_log)| Reply::Standing(StandingAnswer { owner, next_log })),
        prop_oneof![
            Just(OwnerError::NotFound),
            text().prop_map(OwnerError::Unavailable),
            text().prop_map(OwnerError::Stopped),
        ]
        .prop_map(Reply::Refused),
    ]
}

prop_compose! {
    /// Any member.
    pub fn member()(
        role in proptest::sample::select(&[Role::Gateway, Role::Executor, Role::Both][..]),
        (address, version, level) in (text(), text(), any::<u32>()),
        holdings in btree_map(
            partition_id(),
            prop_oneof![
                epoch().prop_map(Holding::Owner),
                log_offset().prop_map(|next_log| Holding::Standby { next_log }),
                Just(Holding::Stopped),
            ],
            0..4,
        ),
    ) -> Member {
        Member { role, address, version, level: Level(level), holdings }
    }
}
