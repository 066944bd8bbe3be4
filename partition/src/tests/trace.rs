//! How traces show actions and rows.

use std::fmt::Write as _;

use everlog_log_schema::*;

use crate::{Acceptance, Action, Ignored};

/// Says why a record was ignored, if it was.
pub(super) fn ignored(acceptance: Acceptance) -> Option<String> {
    let why = match acceptance {
        Acceptance::Accepted => return None,
        Acceptance::Ignored(Ignored::NotReigning) => "does not reign",
        Acceptance::Ignored(Ignored::Duplicate) => "duplicate",
        Acceptance::Ignored(Ignored::Gap) => "gap",
        Acceptance::Ignored(Ignored::Closed) => "closed",
    };
    Some(format!("ignored: {why}"))
}

/// Shows an action.
pub(super) fn action(action: &Action) -> String {
    match action {
        Action::Start(id, attempt) => format!("start {} {}", number(*id), by(attempt)),
        Action::Notify { invocation, attempt, index, entry: told } => {
            format!("notify {} {} [{index}] {}", number(*invocation), by(attempt), entry(told))
        }
        Action::Stop(id) => format!("stop {}", number(*id)),
        Action::ArmTimer(armed) => format!("arm {}", timer(armed)),
        Action::Answer(id) => format!("answer {}", number(*id)),
        Action::Trim { log, inbox } => format!("trim log {log} inbox {inbox}"),
    }
}

/// Shows a row.
pub(super) fn row(key: &RowKey, row: &Row) -> String {
    match (key, row) {
        (RowKey::Partition, Row::Partition(row)) => partition(row),
        (RowKey::Invocation(id), Row::Invocation(row)) => {
            format!("{} {}", number(*id), invocation(row))
        }
        (RowKey::Journal(id, index), Row::Journal(stored)) => {
            format!("{} [{index}] {}", number(*id), entry(stored))
        }
        (RowKey::Open(id, completion), Row::Open(OpenRow { kind })) => {
            format!("{} waits for {completion}: {kind:?}", number(*id))
        }
        (RowKey::Running(id), Row::Running) => format!("running {}", number(*id)),
        (RowKey::Timer(set), Row::Timer) => format!("timer {}", timer(set)),
        (RowKey::Lock { service, key }, Row::Lock(lock)) => {
            let (first, next) = (lock.first_place, lock.next_place);
            format!("lock {service}/{key} held by {}, places {first}..{next}", number(lock.holder))
        }
        (RowKey::Queue { service, key, place }, Row::Queue(id)) => {
            format!("queue {service}/{key} place {place}: {}", number(*id))
        }
        (RowKey::Sender(partition), Row::Sender(seq)) => format!("sender {partition} up to {seq}"),
        (key, row) => panic!("{key:?} holds {row:?}"),
    }
}

fn partition(row: &PartitionRow) -> String {
    format!(
        "partition epoch {} term {} next seq {}{} inbox {} now {} log {}",
        row.epoch,
        row.term,
        row.next_seq,
        if row.closed { " closed" } else { "" },
        row.next_inbox,
        row.now,
        row.next_log,
    )
}

fn invocation(row: &InvocationRow) -> String {
    let status = match &row.status {
        Status::Scheduled => "scheduled".to_owned(),
        Status::Pending => "pending".to_owned(),
        Status::Running => "running".to_owned(),
        Status::Suspended(waiting) => {
            let completions: Vec<_> = waiting.completions.iter().map(|id| id.0).collect();
            format!("suspended on {completions:?}")
        }
        Status::BackingOff { until } => format!("backing off until {until}"),
        Status::Paused => "paused".to_owned(),
        Status::Completed { at } => format!("completed at {at}"),
    };
    let mut text = format!(
        "{status}: life {} attempt {}.{} entries {} commands {} progress {}",
        row.incarnation,
        row.attempt_epoch,
        row.attempt_counter,
        row.entries,
        row.commands,
        row.progress_at,
    );
    if (row.policy_attempts, row.failures_since_progress) != (0, 0) {
        let (policy, failures) = (row.policy_attempts, row.failures_since_progress);
        write!(text, " counted {policy} failures {failures}").unwrap();
    }
    if let Some(pin) = &row.pin {
        write!(text, " on {}", pin.deployment).unwrap();
    }
    if let Some(error) = &row.last_error {
        write!(text, " after {:?}", error.message).unwrap();
    }
    text
}

fn entry(entry: &Entry) -> String {
    match entry {
        Entry::Input { .. } => "input".to_owned(),
        Entry::Command { effect: Effect::None, .. } => "set".to_owned(),
        Entry::Command { effect: Effect::Run { completion }, .. } => format!("run {completion}"),
        Entry::Command { effect: Effect::Sleep { completion, wake_at }, .. } => {
            format!("sleep {completion} until {wake_at}")
        }
        Entry::Output { outcome: Outcome::Success(value), .. } => format!("output {value:?}"),
        Entry::Output { outcome: Outcome::Failure(failure), .. } => {
            format!("failure {} {:?}", failure.code, failure.message)
        }
        Entry::Notification { id: NotificationId::Completion { id, kind }, result } => {
            format!("{kind:#x} of {id}: {result:?}")
        }
    }
}

fn timer(timer: &Timer) -> String {
    let kind = match timer.kind {
        TimerKind::Start => "start".to_owned(),
        TimerKind::Retry => "retry".to_owned(),
        TimerKind::Sleep(completion) => format!("sleep {completion}"),
        TimerKind::Purge => "purge".to_owned(),
    };
    format!("{} life {} {kind} at {}", number(timer.invocation), timer.incarnation, timer.due)
}

fn by(attempt: &AttemptId) -> String {
    format!("life {} by {}.{}", attempt.incarnation, attempt.epoch, attempt.counter)
}

fn number(id: InvocationId) -> u128 {
    id.uuid
}
