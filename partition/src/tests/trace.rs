//! How traces show actions and rows.

use std::fmt::Write as _;

use bytes::Bytes;
use everlog_log_schema::*;

use super::trees::text_of;
use super::words::number;
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
        Action::Send { to, seq, row } => format!("send to {to} #{seq}: {}", outbox(row)),
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
            format!("{} [{index}] {}", number(*id), entry(&stored.entry))
        }
        (RowKey::Open(id, completion), Row::Open(OpenRow { kind })) => {
            format!("{} waits for {completion}: {}", number(*id), open(kind))
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
        (RowKey::Packed(id, part), Row::Packed(stored)) => {
            let entries: Vec<_> = stored.iter().map(|row| entry(&row.entry)).collect();
            format!("{} part {part}: {}", number(*id), entries.join(", "))
        }
        (RowKey::Object { service, key }, Row::Object(row)) => {
            let mut text = format!("object {service}/{key} of {} keys", row.keys);
            if row.promises != 0 {
                write!(text, ", {} promises", row.promises).unwrap();
            }
            write!(text, ", {} bytes", row.bytes).unwrap();
            if let Some(Expiry { ttl, written_at, timer }) = row.expiry {
                write!(text, ", {ttl} after {written_at} at {timer}").unwrap();
            }
            text
        }
        (RowKey::State { service, key, name }, Row::State(value)) => {
            format!("state {service}/{key} {}: {value:?}", text(name))
        }
        (RowKey::Outbox(to, seq), Row::Outbox(row)) => {
            format!("outbox to {to} #{seq}: {}", outbox(row))
        }
        (RowKey::Sent(to), Row::Sent(row)) => {
            format!("sent to {to} up to {}, delivered up to {}", row.last, row.delivered)
        }
        (RowKey::Waiting(id, by, completion), Row::Waiting) => {
            format!("{} awaited by {} for {completion}", number(*id), life(*by))
        }
        (RowKey::Owing(id), Row::Owing(_)) => format!("{} owes answers", number(*id)),
        (RowKey::Expiring(id), Row::Expiring(ExpiringRow { service, key })) => {
            format!("{} is {service}/{key}", number(*id))
        }
        (RowKey::Promise { service, key, name }, Row::Promise(outcome)) => match outcome {
            Outcome::Success(value) => {
                format!("promise {service}/{key} {name}: {}", payload(value))
            }
            Outcome::Failure(failure) => {
                format!("promise {service}/{key} {name}: failure {}", failure.code)
            }
        },
        (key, row) => panic!("{key:?} holds {row:?}"),
    }
}

fn partition(row: &PartitionRow) -> String {
    let mut text = format!(
        "partition epoch {} term {} next seq {}{} inbox {} now {} log {}",
        row.epoch,
        row.term,
        row.next_seq,
        if row.closed { " closed" } else { "" },
        row.next_inbox,
        row.now,
        row.next_log,
    );
    if row.partitions > 1 {
        write!(text, " of {}", row.partitions).unwrap();
    }
    if let Some(OutboxPlace { to, seq }) = row.room_behind {
        write!(text, " room behind {to} #{seq}").unwrap();
    }
    text
}

fn invocation(row: &InvocationRow) -> String {
    let mut text = format!(
        "{}: life {} attempt {}.{} entries {} commands {} progress {}",
        status(&row.status),
        row.incarnation,
        row.attempt_epoch,
        row.attempt_counter,
        row.entries,
        row.commands,
        row.progress_at,
    );
    if row.signals != 0 {
        write!(text, " signals {}", row.signals).unwrap();
    }
    if let Some(caller) = row.caller {
        write!(text, " of {}", life(caller.life)).unwrap();
    }
    if let Some(id) = row.restarted_from {
        write!(text, " like {}", number(id)).unwrap();
    }
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

fn status(status: &Status) -> String {
    match status {
        Status::Scheduled { at } => format!("scheduled at {at}"),
        Status::Pending { place } => format!("pending at place {place}"),
        Status::Running => "running".to_owned(),
        Status::Suspended(waiting) => {
            let [FutureNode { combinator: Combinator::FirstCompleted, leaves, nested: 0 }] =
                &waiting.nodes[..]
            else {
                return format!("suspended until {}", text_of(waiting));
            };
            let completions: Vec<_> = leaves.completions.iter().map(|id| id.0).collect();
            let mut text = format!("suspended on {completions:?}");
            if !leaves.signals.is_empty() {
                write!(text, " signals {:?}", leaves.signals).unwrap();
            }
            if !leaves.named_signals.is_empty() {
                write!(text, " named {:?}", leaves.named_signals).unwrap();
            }
            text
        }
        Status::BackingOff { until } => format!("backing off until {until}"),
        Status::Paused => "paused".to_owned(),
        Status::Completed { at, expired: true, .. } => format!("expired, completed at {at}"),
        Status::Completed { at, parts: 1, .. } => format!("completed at {at}"),
        Status::Completed { at, parts, .. } => format!("completed at {at} in {parts} parts"),
    }
}

fn open(kind: &OpenKind) -> String {
    match kind {
        OpenKind::Run | OpenKind::Sleep { .. } => format!("{kind:?}"),
        OpenKind::Call { callee } => format!("call of {}", number(*callee)),
        OpenKind::Attach { target } => format!("outcome of {}", number(*target)),
        OpenKind::Output { target } => format!("a look at {}", number(*target)),
        OpenKind::Promise { name } => format!("promise {name}"),
    }
}

fn entry(entry: &Entry) -> String {
    match entry {
        Entry::Input { .. } => "input".to_owned(),
        Entry::Command { effect, .. } => command(effect),
        Entry::Output { outcome: Outcome::Success(value), .. } => {
            format!("output {}", payload(value))
        }
        Entry::Output { outcome: Outcome::Failure(failure), .. } => {
            format!("failure {} {:?}", failure.code, failure.message)
        }
        Entry::Notification { id, result: came } => match id {
            NotificationId::Completion { id, kind } => {
                format!("{kind:#x} of {id}: {}", result(came))
            }
            NotificationId::Signal(id) => format!("signal {}: {}", signal(id), result(came)),
        },
    }
}

fn command(effect: &Effect) -> String {
    match effect {
        Effect::None => "step".to_owned(),
        Effect::Run { completion } => format!("run {completion}"),
        Effect::Sleep { completion, wake_at } => format!("sleep {completion} until {wake_at}"),
        Effect::GetState { completion, key } => format!("get {completion} {}", text(key)),
        Effect::GetStateKeys { completion } => format!("keys {completion}"),
        Effect::SetState { key, .. } => format!("set {}", text(key)),
        Effect::ClearState { key } => format!("clear {}", text(key)),
        Effect::ClearAllState => "clear all".to_owned(),
        Effect::Call(call) => match call.completion {
            Some(completion) => {
                format!("call {} {completion} {}", call.id_completion, number(call.callee))
            }
            None => format!("send {} {}", call.id_completion, number(call.callee)),
        },
        Effect::SendSignal { target, signal: id, .. } => {
            format!("signal {} to {}", signal(id), number(*target))
        }
        Effect::Attach { completion, target } => format!("attach {completion} {}", number(*target)),
        Effect::GetOutput { completion, target } => {
            format!("peek {completion} {}", number(*target))
        }
        Effect::GetPromise { completion, name } => format!("await {completion} {name}"),
        Effect::PeekPromise { completion, name } => format!("look {completion} {name}"),
        Effect::CompletePromise { completion, name, .. } => format!("fulfil {completion} {name}"),
    }
}

fn result(result: &NotificationResult) -> String {
    match result {
        NotificationResult::Void => "Void".to_owned(),
        NotificationResult::Value(value) => format!("Value({})", payload(value)),
        NotificationResult::Failure(failure) => {
            format!("failure {} {:?}", failure.code, failure.message)
        }
        NotificationResult::InvocationId(id) => format!("id {}", number(*id)),
        NotificationResult::StateKeys(keys) => format!("keys {keys:?}"),
    }
}

/// A value; of one that nobody would read, its size.
fn payload(value: &Bytes) -> String {
    if value.len() > 99 { format!("{} bytes", value.len()) } else { format!("{value:?}") }
}

fn outbox(row: &OutboxRow) -> String {
    let mut text = message(&row.message);
    if row.metadata != MetadataOffset(0) {
        write!(text, " at metadata {}", row.metadata).unwrap();
    }
    text
}

fn message(message: &Message) -> String {
    match message {
        Message::Invoke(invoke) => call(invoke),
        Message::Attach(Attach { target, caller, completion, waits }) => {
            let verb = if *waits { "attach" } else { "peek" };
            format!("{verb} {} for {} {completion}", number(*target), life(*caller))
        }
        Message::Complete(answer) => {
            let Complete { to, completion, result: came } = answer.as_ref();
            format!("complete {} {completion}: {}", life(*to), result(came))
        }
        Message::Signal(sent) => {
            let mut text = format!("signal {} to {}", signal(&sent.signal), number(sent.target));
            if let Some(incarnation) = sent.incarnation {
                write!(text, " in {incarnation}").unwrap();
            }
            if let Some(sender) = sent.sender {
                write!(text, " by {}", life(sender)).unwrap();
            }
            format!("{text}: {}", result(&sent.result))
        }
        other @ (Message::Restart(_) | Message::ResumeOn(_)) => {
            unreachable!("no partition sends {other:?}")
        }
        Message::Order(Order { target, sender, action }) => {
            let by = sender.map(|sender| format!(" by {}", life(sender))).unwrap_or_default();
            format!("{action:?} {}{by}", number(*target))
        }
    }
}

fn call(invoke: &Invoke) -> String {
    let kind = format!("{:?}", invoke.kind).to_lowercase();
    let key = invoke.target.key.as_ref().map(|key| format!("/{key}")).unwrap_or_default();
    let mut text = format!("invoke {} {kind}{key} {:?}", number(invoke.id), invoke.body);
    if let Some(key) = &invoke.idempotency_key {
        write!(text, " keyed {key}").unwrap();
    }
    if let Some(start_at) = invoke.start_at {
        write!(text, " start {start_at}").unwrap();
    }
    if let Some(caller) = invoke.caller {
        write!(text, " for {}", life(caller.life)).unwrap();
        if let Some(completion) = caller.completion {
            write!(text, " {completion}").unwrap();
        }
    }
    text
}

fn signal(id: &SignalId) -> String {
    match id {
        SignalId::Index(index) => index.to_string(),
        SignalId::Name(name) => format!("{name:?}"),
    }
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

fn timer(timer: &Timer) -> String {
    let kind = match timer.kind {
        TimerKind::Start => "start".to_owned(),
        TimerKind::Retry => "retry".to_owned(),
        TimerKind::Sleep(completion) => format!("sleep {completion}"),
        TimerKind::Purge => "purge".to_owned(),
        TimerKind::PurgeJournal => "journal".to_owned(),
        TimerKind::Expire => "expire".to_owned(),
    };
    format!("{} life {} {kind} at {}", number(timer.invocation), timer.incarnation, timer.due)
}

fn by(attempt: &AttemptId) -> String {
    format!("life {} by {}.{}", attempt.incarnation, attempt.epoch, attempt.counter)
}

fn life(life: Life) -> String {
    format!("{}.{}", number(life.invocation), life.incarnation)
}
