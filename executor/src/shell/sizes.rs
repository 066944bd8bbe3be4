//! How large commands are, before they are encoded, and what is refused.
//!
//! **Invariant:** no command is put before the log that a record cannot hold.

use everlog_log_schema::limits::{BODY_BYTES_MAX, HEADERS_MAX, JOURNAL_ENTRIES_MAX};
use everlog_log_schema::{
    Append, AttemptError, Command, Effect, Entry, Failure, FutureTree, Header, Message,
    NotificationId, NotificationResult, Outcome, PromiseResult, SignalId, SignalResult, Span,
    Target, WaitSet,
};

use super::attempts::Sized;
use super::proposals::RECORD_BYTES_AIM;

/// A journal entry with all that surrounds its value, in bytes.
const ENTRY_BYTES_MAX: usize = BODY_BYTES_MAX + (512 << 10);
/// What a node of a tree of futures takes beside its leaves, in bytes; an upper bound.
const FUTURE_NODE_BYTES: usize = 32;
/// What an entry takes beside its variable parts, in bytes; an upper bound.
const FIXED_BYTES: usize = 64;
/// What a call takes beside its variable parts, in bytes; an upper bound.
const CALL_BYTES: usize = 256;

/// Why an entry cannot be recorded, if it cannot: neither it nor a message that follows from it may
/// be beyond what a log holds.
pub(super) fn refusal_of_entry(entry: &Entry) -> Option<String> {
    let (bytes, max) = (entry_bytes(entry), ENTRY_BYTES_MAX);
    if bytes > max {
        return Some(format!("[RT0003] a step of {bytes} bytes exceeds the limit of {max} bytes"));
    }
    let count = failure_of(entry).map_or(0, |failure| failure.metadata.len());
    if count > HEADERS_MAX {
        return Some(format!(
            "[RT0003] a failure with {count} metadata values exceeds the limit of {HEADERS_MAX}"
        ));
    }
    let (bytes, max) = (sent_bytes(entry), BODY_BYTES_MAX);
    if bytes > max {
        return Some(format!("[RT0003] a value of {bytes} bytes exceeds the limit of {max} bytes"));
    }
    refusal_of_effect(entry)
}

fn refusal_of_effect(entry: &Entry) -> Option<String> {
    let Entry::Command { effect, .. } = entry else { return None };
    let checked = match effect {
        Effect::Call(call) if call.headers.len() > HEADERS_MAX => {
            let count = call.headers.len();
            let text = format!("[RT0003] {count} headers exceed the limit of {HEADERS_MAX}");
            return Some(text);
        }
        Effect::Call(call) => call.check_limits(),
        Effect::SendSignal { signal, .. } => signal.check_limits(),
        Effect::None
        | Effect::Run { .. }
        | Effect::Sleep { .. }
        | Effect::GetState { .. }
        | Effect::GetStateKeys { .. }
        | Effect::SetState { .. }
        | Effect::ClearState { .. }
        | Effect::ClearAllState
        | Effect::Attach { .. }
        | Effect::GetOutput { .. }
        | Effect::GetPromise { .. }
        | Effect::PeekPromise { .. }
        | Effect::CompletePromise { .. } => Ok(()),
    };
    checked.err().map(|exceeded| format!("[RT0003] {exceeded}"))
}

/// The failure that an entry tells of, if it does.
fn failure_of(entry: &Entry) -> Option<&Failure> {
    match entry {
        Entry::Output { outcome: Outcome::Failure(failure), .. }
        | Entry::Notification { result: NotificationResult::Failure(failure), .. }
        | Entry::Command {
            effect:
                Effect::SendSignal { result: SignalResult::Failure(failure), .. }
                | Effect::CompletePromise { settled: PromiseResult::Failure(failure), .. },
            ..
        } => Some(failure),
        Entry::Input { .. }
        | Entry::Command { .. }
        | Entry::Output { .. }
        | Entry::Notification { .. } => None,
    }
}

/// The bytes of the value that a message may carry because of an entry.
fn sent_bytes(entry: &Entry) -> usize {
    let of_span = |span: &Span| usize::try_from(span.bytes).unwrap_or(usize::MAX);
    match entry {
        Entry::Output { outcome, .. } => outcome_bytes(outcome),
        Entry::Command { effect: Effect::Call(call), .. } => of_span(&call.parameter),
        Entry::Command { effect: Effect::SendSignal { result, .. }, .. } => match result {
            SignalResult::Void => 0,
            SignalResult::Value(value) => of_span(value),
            SignalResult::Failure(failure) => failure_bytes(failure),
        },
        Entry::Command { effect: Effect::CompletePromise { settled, .. }, .. } => match settled {
            PromiseResult::Value(value) => of_span(value),
            PromiseResult::Failure(failure) => failure_bytes(failure),
        },
        Entry::Input { .. } | Entry::Command { .. } | Entry::Notification { .. } => 0,
    }
}

/// The bytes that a message takes in memory, at most.
pub(super) fn message_bytes(message: &Message) -> usize {
    CALL_BYTES
        + match message {
            Message::Invoke(invoke) => {
                target_bytes(&invoke.target)
                    + header_bytes(&invoke.headers)
                    + invoke.body.len()
                    + text_bytes(invoke.idempotency_key.as_ref())
                    + text_bytes(invoke.scope.as_ref())
                    + text_bytes(invoke.limit_key.as_ref())
                    + text_bytes(invoke.traceparent.as_ref())
            }
            Message::Complete(complete) => complete.result.payload_bytes(),
            Message::Signal(signal) => signal.result.payload_bytes() + signal_bytes(&signal.signal),
            Message::Attach(_) | Message::Order(_) | Message::Restart(_) | Message::ResumeOn(_) => {
                0
            }
        }
}

/// Why what an attempt waits for cannot be recorded, if it cannot.
pub(super) fn refusal_of_future(waiting: &FutureTree) -> Option<String> {
    let leaves = waiting.nodes.iter().map(|node| node.leaves.len()).sum::<usize>();
    let count = leaves.max(waiting.nodes.len());
    let (bytes, bytes_max) = (future_bytes(waiting), ENTRY_BYTES_MAX);
    (count > JOURNAL_ENTRIES_MAX as usize || bytes > bytes_max).then(|| {
        format!(
            "[RT0003] waiting for {count} things at once, in {bytes} bytes, exceeds the limits of \
             {JOURNAL_ENTRIES_MAX}, and {bytes_max} bytes"
        )
    })
}

/// The bytes that an entry takes in a record, at most.
fn entry_bytes(entry: &Entry) -> usize {
    FIXED_BYTES
        + match entry {
            Entry::Input { headers, body } => header_bytes(headers) + body.len(),
            Entry::Command { bytes, effect, .. } => bytes.len() + effect_bytes(effect),
            Entry::Output { name, outcome } => name.len() + outcome_bytes(outcome),
            Entry::Notification { id, result } => id_bytes(id) + result_bytes(result),
        }
}

/// The bytes that what was understood of a command takes beside the command, at most.
fn effect_bytes(effect: &Effect) -> usize {
    match effect {
        Effect::None
        | Effect::Run { .. }
        | Effect::Sleep { .. }
        | Effect::GetStateKeys { .. }
        | Effect::ClearAllState
        | Effect::Attach { .. }
        | Effect::GetOutput { .. } => 0,
        Effect::GetState { key, .. }
        | Effect::SetState { key, .. }
        | Effect::ClearState { key } => key.len(),
        Effect::GetPromise { name, .. } | Effect::PeekPromise { name, .. } => name.len(),
        Effect::CompletePromise { name, settled, .. } => {
            name.len()
                + match settled {
                    PromiseResult::Value(_) => 0,
                    PromiseResult::Failure(failure) => failure_bytes(failure),
                }
        }
        Effect::Call(call) => {
            CALL_BYTES
                + target_bytes(&call.target)
                + header_bytes(&call.headers)
                + text_bytes(call.idempotency_key.as_ref())
                + text_bytes(call.scope.as_ref())
                + text_bytes(call.limit_key.as_ref())
                + text_bytes(call.traceparent.as_ref())
        }
        Effect::SendSignal { signal, result, .. } => {
            signal_bytes(signal)
                + match result {
                    SignalResult::Void | SignalResult::Value(_) => 0,
                    SignalResult::Failure(failure) => failure_bytes(failure),
                }
        }
    }
}

fn result_bytes(result: &NotificationResult) -> usize {
    match result {
        NotificationResult::Void | NotificationResult::InvocationId(_) => 0,
        NotificationResult::Value(value) => value.len(),
        NotificationResult::Failure(failure) => failure_bytes(failure),
        NotificationResult::StateKeys(keys) => keys.iter().map(|key| key.len() + 4).sum(),
    }
}

fn outcome_bytes(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Success(body) => body.len(),
        Outcome::Failure(failure) => failure_bytes(failure),
    }
}

fn id_bytes(id: &NotificationId) -> usize {
    match id {
        NotificationId::Completion { .. } => 0,
        NotificationId::Signal(signal) => signal_bytes(signal),
    }
}

fn signal_bytes(signal: &SignalId) -> usize {
    match signal {
        SignalId::Index(_) => 0,
        SignalId::Name(name) => name.len(),
    }
}

fn target_bytes(target: &Target) -> usize {
    target.service.len() + target.handler.len() + text_bytes(target.key.as_ref())
}

fn text_bytes(text: Option<&String>) -> usize {
    text.map_or(0, String::len)
}

/// The bytes that the variable parts of an error take in a record, at most.
pub(super) fn error_bytes(error: &AttemptError) -> usize {
    error.message.len() + error.command_name.as_ref().map_or(0, String::len)
}

/// The bytes that what an attempt waits for takes in a record, at most.
pub(super) fn future_bytes(waiting: &FutureTree) -> usize {
    waiting.nodes.iter().map(|node| FUTURE_NODE_BYTES + wait_set_bytes(&node.leaves)).sum()
}

fn wait_set_bytes(waiting: &WaitSet) -> usize {
    let named: usize = waiting.named_signals.iter().map(|name| name.len() + 4).sum();
    named + 5 * (waiting.completions.len() + waiting.signals.len())
}

/// Splits entries that came together so that none of the commands outgrows a record.
pub(super) fn split_entries(mut append: Append) -> Vec<Sized> {
    let mut commands = Vec::new();
    let mut bytes = 0;
    let mut part = Vec::new();
    for entry in std::mem::take(&mut append.entries) {
        let size = entry_bytes(&entry);
        if !part.is_empty() && bytes + size > RECORD_BYTES_AIM {
            commands.push(take_part(&mut append, &mut part, &mut bytes));
        }
        bytes += size;
        part.push(entry);
    }
    commands.push(take_part(&mut append, &mut part, &mut bytes));
    commands
}

/// Makes a command of the entries so far; the next one goes on behind its commands, without pin.
fn take_part(append: &mut Append, part: &mut Vec<Entry>, bytes: &mut usize) -> Sized {
    let entries = std::mem::take(part);
    let is_command = |entry: &&Entry| matches!(entry, Entry::Command { .. } | Entry::Output { .. });
    let count = u32::try_from(entries.iter().filter(is_command).count());
    let first_command = append.first_command;
    append.first_command += count.expect("an event holds fewer than 2^32 entries");
    let pin = append.pin.take();
    let command = Append { entries, first_command, pin, ..append.clone() };
    (Command::Append(command), std::mem::take(bytes))
}

fn failure_bytes(failure: &Failure) -> usize {
    failure.message.len() + header_bytes(&failure.metadata)
}

fn header_bytes(headers: &[Header]) -> usize {
    headers.iter().map(|header| header.key.len() + header.value.len() + 8).sum()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use everlog_log_schema::codec::encode_record;
    use everlog_log_schema::limits::SIGNAL_NAME_BYTES_MAX;
    use everlog_log_schema::{
        AttemptId, Call, Combinator, CompletionId, DeploymentId, Epoch, FutureNode, HandlerKind,
        Incarnation, InvocationId, MetadataOffset, Millis, OnMaxAttempts, PartitionKey, Pin,
        Record, RequestId, RetryPolicy, Seq, Suspend, Term,
    };

    use super::*;

    fn output(bytes: usize) -> Entry {
        let outcome = Outcome::Success(Bytes::from(vec![0; bytes]));
        Entry::Output { name: String::new(), outcome }
    }

    fn run_result(bytes: usize) -> Entry {
        let id = NotificationId::Completion { id: CompletionId(1), kind: 0x8011 };
        Entry::Notification { id, result: NotificationResult::Value(vec![0; bytes].into()) }
    }

    fn command(effect: Effect, bytes: usize) -> Entry {
        Entry::Command { kind: u16::MAX, bytes: vec![0; bytes].into(), effect }
    }

    fn signal(signal: SignalId, result: SignalResult) -> Effect {
        let target = InvocationId { partition_key: PartitionKey(u64::MAX), uuid: u128::MAX };
        Effect::SendSignal { target, incarnation: Some(Incarnation(1 << 62)), signal, result }
    }

    /// A call with fixed parts as large as they may be.
    fn call(parameter: u32, headers: usize) -> Effect {
        let header = Header { key: "k".into(), value: "v".into() };
        Effect::Call(Box::new(Call {
            id_completion: CompletionId(u32::MAX >> 1),
            completion: Some(CompletionId(u32::MAX >> 1)),
            callee: InvocationId { partition_key: PartitionKey(u64::MAX), uuid: u128::MAX },
            request_id: RequestId(u128::MAX),
            target: Target { service: "S".into(), key: Some("k".into()), handler: "h".into() },
            kind: HandlerKind::Exclusive,
            headers: vec![header; headers],
            parameter: Span { start: u32::MAX >> 1, bytes: parameter },
            idempotency_key: Some("i".into()),
            scope: None,
            limit_key: None,
            start_at: Some(Millis(1 << 62)),
            retention: Millis(1 << 62),
            journal_retention: Some(Millis(1 << 62)),
            state_ttl: Some(Millis(1 << 62)),
            retry: RetryPolicy {
                initial_interval: Millis(1 << 62),
                factor_permille: u32::MAX >> 1,
                max_interval: Millis(1 << 62),
                max_attempts: Some(u32::MAX >> 1),
                on_max_attempts: OnMaxAttempts::Pause,
            },
            traceparent: Some("t".into()),
            metadata: MetadataOffset(1 << 62),
        }))
    }

    fn append(entries: Vec<Entry>) -> Append {
        Append {
            invocation: InvocationId { partition_key: PartitionKey(u64::MAX), uuid: u128::MAX },
            attempt: AttemptId {
                incarnation: Incarnation(1 << 62),
                epoch: Epoch(1 << 62),
                counter: u32::MAX,
            },
            first_command: 7,
            entries,
            pin: Some(Pin { deployment: DeploymentId("dp_1".into()), protocol_version: 6 }),
        }
    }

    fn encoded(command: Command) -> usize {
        let (epoch, term, seq) = (Epoch(1 << 62), Term(1 << 62), Seq(1 << 62));
        let record = Record { epoch, term, seq, now: Millis(1 << 62), commands: vec![command] };
        encode_record(&record).unwrap().len()
    }

    #[test]
    fn the_largest_step_can_be_recorded_and_one_above_is_refused() {
        let largest = ENTRY_BYTES_MAX - FIXED_BYTES;
        assert_eq!(refusal_of_entry(&run_result(largest)), None);
        encoded(Command::Append(append(vec![run_result(largest)])));
        let refusal = refusal_of_entry(&run_result(largest + 1)).unwrap();
        assert!(refusal.contains("exceeds the limit"), "{refusal}");
    }

    #[test]
    fn what_a_function_gives_to_others_fits_into_a_message() {
        let max = u32::try_from(BODY_BYTES_MAX).unwrap();
        let result = |bytes| SignalResult::Value(Span { start: 0, bytes });
        let signal = |bytes| command(signal(SignalId::CANCEL, result(bytes)), 0);
        let called = |bytes| command(call(bytes, 0), 0);
        for entry in [output(BODY_BYTES_MAX), signal(max), called(max)] {
            assert_eq!(refusal_of_entry(&entry), None);
        }
        for entry in [output(BODY_BYTES_MAX + 1), signal(max + 1), called(max + 1)] {
            let refusal = refusal_of_entry(&entry).unwrap();
            assert!(refusal.contains("exceeds the limit"), "{refusal}");
        }
    }

    #[test]
    fn what_names_a_call_or_signal_is_limited() {
        let named =
            |bytes| command(signal(SignalId::Name("n".repeat(bytes)), SignalResult::Void), 0);
        assert_eq!(refusal_of_entry(&named(SIGNAL_NAME_BYTES_MAX)), None);
        assert!(refusal_of_entry(&named(SIGNAL_NAME_BYTES_MAX + 1)).is_some());
        assert_eq!(refusal_of_entry(&command(call(0, HEADERS_MAX), 0)), None);
        assert!(refusal_of_entry(&command(call(0, HEADERS_MAX + 1), 0)).is_some());
    }

    #[test]
    fn a_failure_has_a_limited_number_of_metadata_values() {
        let failing = |count| {
            let header = Header { key: "k".into(), value: "v".into() };
            let metadata = vec![header; count];
            let failure = Failure { code: 500, message: "no".into(), metadata };
            Entry::Output { name: String::new(), outcome: Outcome::Failure(failure) }
        };
        assert_eq!(refusal_of_entry(&failing(HEADERS_MAX)), None);
        encoded(Command::Append(append(vec![failing(HEADERS_MAX)])));
        assert!(refusal_of_entry(&failing(HEADERS_MAX + 1)).is_some());
    }

    #[test]
    fn a_wait_set_has_a_limited_number_of_members() {
        let max = JOURNAL_ENTRIES_MAX;
        let set = |count| WaitSet { signals: (0..count).collect(), ..WaitSet::default() };
        let waiting = |count| FutureTree::from(set(count));
        assert_eq!(refusal_of_future(&waiting(max)), None);
        assert!(refusal_of_future(&waiting(max + 1)).is_some());
        let spread = |count| {
            let mut tree = waiting(count);
            tree.nodes.extend(waiting(1).nodes);
            tree
        };
        assert_eq!(refusal_of_future(&spread(max - 1)), None);
        assert!(refusal_of_future(&spread(max)).is_some());
    }

    #[test]
    fn the_size_of_a_tree_is_never_below_what_is_written() {
        let leaves = WaitSet {
            completions: vec![CompletionId(u32::MAX)],
            signals: vec![u32::MAX; 2],
            named_signals: vec!["n".repeat(200)],
        };
        let waiting = FutureTree {
            nodes: vec![
                FutureNode {
                    combinator: Combinator::AllSucceededOrFirstFailed,
                    leaves,
                    nested: u32::MAX,
                };
                100
            ],
        };
        let estimate = future_bytes(&waiting);
        let invocation = InvocationId { partition_key: PartitionKey(u64::MAX), uuid: u128::MAX };
        let attempt = append(Vec::new()).attempt;
        let suspend = Suspend { invocation, attempt, waiting, signals_told: 0 };
        assert!(encoded(Command::Suspend(suspend)) <= estimate + 256);
    }

    #[test]
    fn sizes_are_never_below_what_is_written() {
        let id = NotificationId::Completion { id: CompletionId(u32::MAX), kind: u16::MAX };
        let completion = CompletionId(u32::MAX);
        let command = Entry::Command {
            kind: u16::MAX,
            bytes: Bytes::from(vec![0; 1 << 21]),
            effect: Effect::Sleep { completion, wake_at: Millis(1 << 62) },
        };
        let void = Entry::Notification { id, result: NotificationResult::Void };
        let keys = NotificationResult::StateKeys(vec![vec![7; 9].into(); 100]);
        let id_of_keys = NotificationId::Signal(SignalId::Name("n".repeat(200)));
        let failure = Failure { code: 500, message: "m".repeat(99), metadata: Vec::new() };
        let others = vec![
            self::command(call(u32::MAX >> 1, 3), 10),
            self::command(signal(SignalId::Name("n".into()), SignalResult::Failure(failure)), 0),
            self::command(Effect::ClearState { key: vec![1; 50].into() }, 7),
            Entry::Notification { id: id_of_keys, result: keys },
        ];
        let all_of = others.clone();
        let each = others.into_iter().map(|entry| vec![entry; 20]);
        let steps = [vec![output(100)], vec![command], vec![void; 100], all_of];
        for entries in steps.into_iter().chain(each) {
            let estimate: usize = entries.iter().map(entry_bytes).sum();
            assert!(encoded(Command::Append(append(entries))) <= estimate + 256);
        }
    }

    #[test]
    fn entries_that_came_together_are_split_by_size_and_follow_each_other() {
        let half = RECORD_BYTES_AIM / 2 - FIXED_BYTES;
        let parts = split_entries(append(vec![output(half), output(half), output(1), output(1)]));
        let seen: Vec<(u32, usize, bool)> = parts
            .iter()
            .map(|(command, _)| {
                let Command::Append(part) = command else { panic!("split into {command:?}") };
                (part.first_command, part.entries.len(), part.pin.is_some())
            })
            .collect();
        assert_eq!(seen, [(7, 2, true), (9, 2, false)]);
    }
}
