//! A small language for attempts: what the function, the shell and the clock do, one step a line.
//!
//! ```text
//! known run 1            the journal holds this entry when the attempt starts
//! start                  shows what the function is told first; left out otherwise
//! run 1 + propose 1 ok   messages of the function that arrive together
//! durable 1              the shell says that the result of run 1 is stored
//! got 2 state milk       the shell says that some other completion is stored
//! signaled #17 yes       the shell says that a signal is stored
//! state 7 milk           the shell says what the state has, of which question 7 was
//! again durable 1        the shell says once more what it said last
//! silence                nobody has spoken for the time-out that counts now
//! eof                    the function closes its side
//! ```
//!
//! The trace repeats each step and says what came of it: `<` what the function is told, `=` events.

mod said;
mod stored;

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use everlog_log_schema::metadata::{Deployment, ProtocolMode};
use everlog_log_schema::{
    AttemptId, Call, Combinator, DeploymentId, Effect, Entry, Epoch, FutureTree, HandlerKind,
    Header, Incarnation, InvocationId, Millis, NotificationId, PartitionKey, Target,
};
use expect_test::Expect;
use prost::Message;
pub(super) use said::{frame, message};
use stored::command;
pub(crate) use stored::metadata;
pub(super) use stored::{answers, notification};

use super::super::Machine;
use crate::invoker::frame::{FrameDecoder, kind};
use crate::invoker::messages::{decode, pb};
use crate::invoker::{AttemptEventKind, AttemptStart, CallNames, Notice, Reaction, StateRead};

/// Somebody else's invocation: `other` in a script.
pub(super) const OTHER: InvocationId = InvocationId { partition_key: PartitionKey(9), uuid: 12 };

/// Runs a script and compares its trace.
pub(super) fn check(script: &str, expected: &Expect) {
    check_version(6, script, expected);
}

/// Runs a script in some version of the protocol and compares its trace.
pub(super) fn check_version(version: u32, script: &str, expected: &Expect) {
    check_start(start(version, vec![input("in")]), script, expected);
}

/// Runs a script of a handler of another kind and compares its trace.
pub(super) fn check_kind(kind: HandlerKind, script: &str, expected: &Expect) {
    check_start(AttemptStart { kind, ..start(6, vec![input("in")]) }, script, expected);
}

/// Runs a script from some start and compares its trace.
pub(super) fn check_start(start: AttemptStart, script: &str, expected: &Expect) {
    expected.assert_eq(&trace(start, script));
}

/// Runs a script from some start.
pub(super) fn trace(mut start: AttemptStart, script: &str) -> String {
    let lines = || script.lines().map(str::trim).filter(|line| !line.is_empty());
    for known in lines().filter_map(|line| line.strip_prefix("known ")) {
        let entry = entry(&start, known);
        start.journal.push(entry);
    }
    let mut notices = Notices { next: u32::try_from(start.journal.len()).unwrap() };
    let mut machine = Machine::new(start.clone());
    let mut trace = String::from("start\n");
    if !lines().any(|line| line == "start") {
        while machine.take_bytes().is_some() {}
    }
    write_outcome(&mut machine, &mut trace);
    for step in lines().filter(|line| !line.starts_with("known ") && *line != "start") {
        writeln!(trace, "{step}").unwrap();
        notices.take_step(&mut machine, &start, step);
        write_outcome(&mut machine, &mut trace);
    }
    trace
}

/// Makes the start of an attempt of an exclusive handler.
pub(in crate::invoker) fn start(protocol_version: u32, journal: Vec<Entry>) -> AttemptStart {
    let deployment = Deployment {
        id: DeploymentId("dp_1".to_owned()),
        uri: "http://127.0.0.1:9080".to_owned(),
        headers: Vec::new(),
        mode: ProtocolMode::BidiStream,
        use_http_11: false,
        min_protocol_version: 5,
        max_protocol_version: 7,
        sdk: None,
        metadata: Vec::new(),
        created_at: Millis(0),
        services: Vec::new(),
    };
    AttemptStart {
        invocation: InvocationId { partition_key: PartitionKey(7), uuid: 11 },
        attempt: AttemptId { incarnation: Incarnation(3), epoch: Epoch(1), counter: 0 },
        target: Target {
            service: "Orders".to_owned(),
            key: Some("ada".to_owned()),
            handler: "place".to_owned(),
        },
        named: CallNames {
            idempotency_key: Some("k1".to_owned()),
            scope: Some("tenant-3".to_owned()),
            limit_key: Some("gold/eu".to_owned()),
        },
        kind: HandlerKind::Exclusive,
        state: None,
        metadata: metadata(),
        unkeyed_retention: Millis(600_000),
        deployment: Arc::new(deployment),
        protocol_version,
        journal,
        failures_since_progress: 2,
        since_progress: Millis(1_500),
        traceparent: None,
        inactivity_timeout: Duration::from_mins(1),
        abort_timeout: Duration::from_mins(10),
        lender: None,
        is_large: false,
    }
}

/// Makes the input of an invocation.
pub(in crate::invoker) fn input(body: &'static str) -> Entry {
    let headers = vec![Header { key: "a".to_owned(), value: "b".to_owned() }];
    Entry::Input { headers, body: body.into() }
}

/// Makes an entry of the journal that an attempt starts with.
fn entry(start: &AttemptStart, words: &str) -> Entry {
    if words == "input" {
        input("again")
    } else {
        notification(words).unwrap_or_else(|| command(start, words))
    }
}

/// The places of the notifications in the journal.
struct Notices {
    next: u32,
}

impl Notices {
    fn take_step(&mut self, machine: &mut Machine, start: &AttemptStart, step: &str) {
        let (verb, rest) = step.split_once(' ').unwrap_or((step, ""));
        match verb {
            "eof" => machine.receive_end(),
            "silence" => machine.on_silence(),
            "notify" => machine.notify(Notice { index: self.next, entry: entry(start, rest) }),
            "state" => {
                let (read, value) = rest.split_once(' ').unwrap_or((rest, ""));
                let value = (!value.is_empty()).then(|| value.to_owned().into());
                machine.tell_state(read.parse().unwrap(), value);
            }
            "again" => {
                let entry = notification(rest).unwrap();
                machine.notify(Notice { index: self.next - 1, entry });
            }
            _ => match notification(step) {
                Some(entry) => {
                    machine.notify(Notice { index: self.next, entry });
                    self.next += 1;
                }
                None => machine.receive(&step.split(" + ").flat_map(message).collect::<Vec<u8>>()),
            },
        }
    }
}

fn write_outcome(machine: &mut Machine, trace: &mut String) {
    let mut told = BytesMut::new();
    while let Some(bytes) = machine.take_bytes() {
        told.extend_from_slice(&bytes);
    }
    let mut decoder = FrameDecoder::default();
    decoder.push(&told);
    while let Some(frame) = decoder.next().unwrap() {
        let text = match frame.kind {
            kind::START => text::<pb::StartMessage>("Start", frame.payload),
            kind::INPUT => text::<pb::InputCommandMessage>("Input", frame.payload),
            kind::OUTPUT => text::<pb::OutputCommandMessage>("Output", frame.payload),
            kind::RUN => text::<pb::RunCommandMessage>("Run", frame.payload),
            kind::SLEEP => text::<pb::SleepCommandMessage>("Sleep", frame.payload),
            kind::PROPOSE_RUN_COMPLETION_ACK => {
                text::<pb::ProposeRunCompletionAckMessage>("Ack", frame.payload)
            }
            kind::GET_STATE_EPHEMERAL_NOTIFICATION => {
                text::<pb::GetStateEphemeralNotificationMessage>("State", frame.payload)
            }
            kind @ 0x8000..=kind::SIGNAL => {
                let pb::NotificationMessage { id, result } =
                    decode("Notification", frame.payload).unwrap();
                format!("{kind:#06x} {:?} {:?}", id.unwrap(), result.unwrap())
            }
            kind => format!("command {kind:#06x} of {} bytes", frame.payload.len()),
        };
        writeln!(trace, "  < {text}").unwrap();
    }
    assert!(!decoder.is_cut());
    if let Some(tree) = machine.take_awaiting_on() {
        write_event(AttemptEventKind::AwaitingOn(tree), trace);
    }
    for event in machine.take_events() {
        write_event(event, trace);
    }
    if let Some(read) = machine.take_read() {
        write_event(AttemptEventKind::ReadState(read), trace);
    }
    if machine.is_input_closed() && !machine.is_over() {
        writeln!(trace, "  < end of input").unwrap();
    }
}

fn write_event(event: AttemptEventKind, trace: &mut String) {
    match event {
        AttemptEventKind::Entries { first_command, entries } => {
            writeln!(trace, "  = from command {first_command}").unwrap();
            for entry in entries {
                writeln!(trace, "    {}", entry_text(&entry)).unwrap();
            }
        }
        AttemptEventKind::Suspended { waiting, signals_told } => {
            let on = nodes_text(&waiting);
            let told = match signals_told {
                0 => String::new(),
                count => format!(" after {count} signals"),
            };
            writeln!(trace, "  = suspended {on}{told}").unwrap();
        }
        AttemptEventKind::Ended => writeln!(trace, "  = ended").unwrap(),
        AttemptEventKind::Failed { error, retry_after, reaction } => {
            let name = error.command_name.unwrap_or_default();
            let at = error.command_index.map(|at| format!(" at command {at} {name:?}"));
            let at = at.unwrap_or_default();
            let delay = retry_after.map(|delay| format!(" after {delay} ms"));
            let delay = delay.unwrap_or_default();
            assert_eq!(error.delay_by_function, !delay.is_empty());
            let reaction = match reaction {
                Reaction::ByPolicy => "",
                Reaction::Pause => ", to be paused",
                Reaction::Fail => ", to be ended",
            };
            let code = error.code;
            writeln!(trace, "  = failed {code}{at}{delay}{reaction}: {}", error.message).unwrap();
        }
        AttemptEventKind::ReadState(StateRead { id, key, commands }) => {
            writeln!(trace, "  = question {id} about {key:?}, behind {commands} commands").unwrap();
        }
        AttemptEventKind::AwaitingOn(tree) => {
            writeln!(trace, "  = awaiting {}", nodes_text(&tree)).unwrap();
        }
    }
}

/// What a tree waits for, node by node: of one node that is a race, only what is in it.
fn nodes_text(tree: &FutureTree) -> String {
    let nodes = tree.nodes.iter().map(|node| {
        let ids: Vec<u32> = node.leaves.completions.iter().map(|id| id.0).collect();
        let (signals, named) = (&node.leaves.signals, &node.leaves.named_signals);
        let leaves = format!("{ids:?} {signals:?} {named:?}");
        match (node.combinator, node.nested) {
            (Combinator::FirstCompleted, 0) => leaves,
            (combinator, nested) => format!("{combinator:?} of {leaves} and {nested}"),
        }
    });
    nodes.collect::<Vec<_>>().join("; ")
}

/// The fields of a message that are set.
fn text<M: Message + Default + std::fmt::Debug>(name: &str, payload: bytes::Bytes) -> String {
    format!("{name} {:?}", decode::<M>(name, payload).unwrap())
}

fn entry_text(entry: &Entry) -> String {
    match entry {
        Entry::Input { .. } => "input".to_owned(),
        Entry::Command { kind, bytes, effect: Effect::Call(call) } => {
            let body = call.parameter.slice(bytes).unwrap();
            format!("command {kind:#06x} of {} bytes, {} of {body:?}", bytes.len(), call_text(call))
        }
        Entry::Command { kind, bytes, effect } => {
            format!("command {kind:#06x} of {} bytes, {effect:?}", bytes.len())
        }
        Entry::Output { name, outcome } => format!("output {name:?} {outcome:?}"),
        Entry::Notification { id: NotificationId::Completion { id, kind }, result } => {
            format!("completion {id} {kind:#06x} {result:?}")
        }
        Entry::Notification { id: NotificationId::Signal(signal), result } => {
            format!("signal {signal:?} {result:?}")
        }
    }
}

fn call_text(call: &Call) -> String {
    let Target { service, key, handler } = &call.target;
    let key = key.as_ref().map_or_else(String::new, |key| format!("{key}/"));
    let mut text = format!("call of {:?} {service}/{key}{handler} as {}", call.kind, call.callee);
    write!(text, ", id {}", call.id_completion).unwrap();
    if let Some(completion) = call.completion {
        write!(text, ", outcome {completion}").unwrap();
    }
    if let Some(key) = &call.idempotency_key {
        write!(text, ", idempotency key {key:?}").unwrap();
    }
    if let Some(scope) = &call.scope {
        write!(text, ", scope {scope:?} {:?}", call.limit_key).unwrap();
    }
    if let Some(start_at) = call.start_at {
        write!(text, ", at {start_at}").unwrap();
    }
    if let Some(traceparent) = &call.traceparent {
        write!(text, ", trace {traceparent}").unwrap();
    }
    for Header { key, value } in &call.headers {
        write!(text, ", {key}: {value}").unwrap();
    }
    let (retention, tries, metadata) = (call.retention, call.retry.max_attempts, call.metadata);
    write!(text, ", kept {retention} ms, tries {tries:?}, metadata {metadata},").unwrap();
    text
}
