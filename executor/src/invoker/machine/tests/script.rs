//! A small language for attempts: what the function, the shell and the clock do, one step a line.
//!
//! ```text
//! known run 1            the journal holds this entry when the attempt starts
//! start                  shows what the function is told first; left out otherwise
//! run 1 + propose 1 ok   messages of the function that arrive together
//! durable 1              the shell says that the result of run 1 is stored
//! silence                nobody has spoken for the time-out that counts now
//! eof                    the function closes its side
//! ```
//!
//! The trace repeats each step and says what came of it: `<` what the function is told, `=` events.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use everlog_log_schema::metadata::{Deployment, ProtocolMode};
use everlog_log_schema::{
    AttemptId, CompletionId, DeploymentId, Effect, Entry, Epoch, Header, Incarnation, InvocationId,
    Millis, NotificationId, NotificationResult, Outcome, PartitionKey, Target,
};
use expect_test::Expect;
use prost::Message;

use super::super::Machine;
use crate::invoker::frame::{FrameDecoder, kind};
use crate::invoker::messages::{decode, pb};
use crate::invoker::{AttemptEventKind, AttemptStart};

const SLEEP_COMPLETION: u16 = 0x800C;

/// Runs a script and compares its trace.
pub(super) fn check(script: &str, expected: &Expect) {
    check_version(6, script, expected);
}

/// Runs a script in some version of the protocol and compares its trace.
pub(super) fn check_version(version: u32, script: &str, expected: &Expect) {
    let lines = || script.lines().map(str::trim).filter(|line| !line.is_empty());
    let known = lines().filter_map(|line| line.strip_prefix("known ")).map(entry);
    let mut journal = vec![input("in")];
    journal.extend(known);
    let mut machine = Machine::new(start(version, journal));
    let mut trace = String::from("start\n");
    if !lines().any(|line| line == "start") {
        while machine.take_bytes().is_some() {}
    }
    write_outcome(&mut machine, &mut trace);
    for step in lines().filter(|line| !line.starts_with("known ") && *line != "start") {
        writeln!(trace, "{step}").unwrap();
        take_step(&mut machine, step);
        write_outcome(&mut machine, &mut trace);
    }
    expected.assert_eq(&trace);
}

/// Makes the start of an attempt.
pub(super) fn start(protocol_version: u32, journal: Vec<Entry>) -> AttemptStart {
    let deployment = Deployment {
        id: DeploymentId("dp_1".to_owned()),
        uri: "http://127.0.0.1:9080".to_owned(),
        headers: Vec::new(),
        mode: ProtocolMode::BidiStream,
        use_http_11: false,
        min_protocol_version: 5,
        max_protocol_version: 7,
        sdk: None,
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
        deployment: Arc::new(deployment),
        protocol_version,
        journal,
        failures_since_progress: 2,
        since_progress: Millis(1_500),
        traceparent: None,
        inactivity_timeout: Duration::from_mins(1),
        abort_timeout: Duration::from_mins(10),
    }
}

/// Makes the input of an invocation.
pub(super) fn input(body: &'static str) -> Entry {
    let headers = vec![Header { key: "a".to_owned(), value: "b".to_owned() }];
    Entry::Input { headers, body: body.into() }
}

fn take_step(machine: &mut Machine, step: &str) {
    let (verb, rest) = step.split_once(' ').unwrap_or((step, ""));
    match verb {
        "eof" => machine.receive_end(),
        "silence" => machine.on_silence(),
        "durable" | "fired" => machine.notify(entry(step)),
        "notify" => machine.notify(entry(rest)),
        _ => machine.receive(&step.split(" + ").flat_map(message).collect::<Vec<u8>>()),
    }
}

/// Encodes a message of the function.
pub(super) fn message(words: &str) -> Vec<u8> {
    let words: Vec<&str> = words.split_whitespace().collect();
    match words[..] {
        ["bytes", hex] => (0..hex.len()).step_by(2).map(|at| number(&hex[at..at + 2])).collect(),
        ["message", kind, flags] => frame(number(kind), number(flags), &[]),
        ["run", id] => {
            let name = format!("step {id}");
            let message = pb::RunCommandMessage { result_completion_id: id.parse().unwrap(), name };
            frame(kind::RUN, 0, &message.encode_to_vec())
        }
        ["sleep", id, wake_up_time] => {
            let message = pb::SleepCommandMessage {
                wake_up_time: wake_up_time.parse().unwrap(),
                result_completion_id: id.parse().unwrap(),
                name: String::new(),
            };
            frame(kind::SLEEP, 0, &message.encode_to_vec())
        }
        ["propose", id, ref result @ ..] => {
            use pb::propose_run_completion_message::Result;
            let result = match result {
                [] => None,
                ["failure"] => Some(Result::Failure(failure())),
                [value] => Some(Result::Value((*value).to_owned().into())),
                _ => panic!("one result"),
            };
            let result_completion_id = id.parse().unwrap();
            let message = pb::ProposeRunCompletionMessage { result_completion_id, result };
            frame(kind::PROPOSE_RUN_COMPLETION, 0x8000, &message.encode_to_vec())
        }
        ["output", ref result @ ..] => {
            use pb::output_command_message::Result;
            let result = match result {
                [] => None,
                ["failure"] => Some(Result::Failure(failure())),
                [value] => Some(Result::Value(pb::Value { content: (*value).to_owned().into() })),
                _ => panic!("one result"),
            };
            let message = pb::OutputCommandMessage { name: "out".to_owned(), result };
            frame(kind::OUTPUT, 0, &message.encode_to_vec())
        }
        ["suspend", ref on @ ..] => {
            let mut message = pb::SuspensionMessage::default();
            for word in on {
                if let Some(signal) = word.strip_prefix('#') {
                    message.waiting_signals.push(signal.parse().unwrap());
                } else if let Ok(id) = word.parse() {
                    message.waiting_completions.push(id);
                } else {
                    message.waiting_named_signals.push((*word).to_owned());
                }
            }
            frame(kind::SUSPENSION, 0, &message.encode_to_vec())
        }
        ["error", code, ref delay @ ..] => {
            let message = pb::ErrorMessage {
                code: code.parse().unwrap(),
                message: "no luck".to_owned(),
                related_command_index: Some(1),
                related_command_name: Some("step 1".to_owned()),
                next_retry_delay: delay.first().map(|delay| delay.parse().unwrap()),
                ..pb::ErrorMessage::default()
            };
            frame(kind::ERROR, 0, &message.encode_to_vec())
        }
        ["end"] => frame(kind::END, 0, &[]),
        _ => panic!("no such message: {words:?}"),
    }
}

fn number<T: TryFrom<u64, Error: std::fmt::Debug>>(hex: &str) -> T {
    T::try_from(u64::from_str_radix(hex, 16).unwrap()).unwrap()
}

/// Puts a header in front of a payload.
pub(super) fn frame(kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap();
    let mut bytes = kind.to_be_bytes().to_vec();
    bytes.extend(flags.to_be_bytes());
    bytes.extend(length.to_be_bytes());
    bytes.extend(payload);
    bytes
}

fn failure() -> pb::Failure {
    let metadata =
        vec![pb::FailureMetadata { key: "reason".to_owned(), value: "sold out".to_owned() }];
    pb::Failure { code: 409, message: "no".to_owned(), metadata }
}

/// Makes an entry of the journal.
fn entry(words: &str) -> Entry {
    let words: Vec<&str> = words.split_whitespace().collect();
    let done = |id: &str, kind, result| {
        let id = CompletionId(id.parse().unwrap());
        Entry::Notification { id: NotificationId::Completion { id, kind }, result }
    };
    let command = |kind, effect| {
        let bytes = message(&words.join(" "))[8..].to_vec().into();
        Entry::Command { kind, bytes, effect }
    };
    match words[..] {
        ["input"] => input("again"),
        ["run", id] => {
            command(kind::RUN, Effect::Run { completion: CompletionId(id.parse().unwrap()) })
        }
        ["sleep", id, at] => {
            let (completion, wake_at) =
                (CompletionId(id.parse().unwrap()), Millis(at.parse().unwrap()));
            command(kind::SLEEP, Effect::Sleep { completion, wake_at })
        }
        ["durable", id] => done(id, kind::RUN_COMPLETION, NotificationResult::Value("ok".into())),
        ["fired", id] => done(id, SLEEP_COMPLETION, NotificationResult::Void),
        ["output", value] => Entry::Output {
            name: "out".to_owned(),
            outcome: Outcome::Success(value.to_owned().into()),
        },
        _ => panic!("no such entry: {words:?}"),
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
            kind::RUN_COMPLETION => text::<pb::CompletionNotification>("RunDone", frame.payload),
            SLEEP_COMPLETION => text::<pb::CompletionNotification>("SleepDone", frame.payload),
            other => panic!("the function is told {other:#06x}"),
        };
        writeln!(trace, "  < {text}").unwrap();
    }
    assert!(!decoder.is_cut());
    for event in machine.take_events() {
        match event {
            AttemptEventKind::Entries { first_command, entries } => {
                writeln!(trace, "  = from command {first_command}").unwrap();
                for entry in entries {
                    writeln!(trace, "    {}", entry_text(&entry)).unwrap();
                }
            }
            AttemptEventKind::Suspended(on) => {
                let ids: Vec<u32> = on.completions.iter().map(|id| id.0).collect();
                let (signals, named) = (on.signals, on.named_signals);
                writeln!(trace, "  = suspended {ids:?} {signals:?} {named:?}").unwrap();
            }
            AttemptEventKind::Ended => writeln!(trace, "  = ended").unwrap(),
            AttemptEventKind::Failed { error, retry_after } => {
                let at = error.command_index.map(|at| {
                    format!(" at command {at} {:?}", error.command_name.unwrap_or_default())
                });
                let at = at.unwrap_or_default();
                let delay = retry_after.map(|delay| format!(" after {delay} ms"));
                let delay = delay.unwrap_or_default();
                assert_eq!(error.delay_by_function, !delay.is_empty());
                writeln!(trace, "  = failed {}{at}{delay}: {}", error.code, error.message).unwrap();
            }
        }
    }
    if machine.is_input_closed() && !machine.is_over() {
        writeln!(trace, "  < end of input").unwrap();
    }
}

/// The fields of a message that are set.
fn text<M: Message + Default + std::fmt::Debug>(name: &str, payload: bytes::Bytes) -> String {
    format!("{name} {:?}", decode::<M>(name, payload).unwrap())
}

fn entry_text(entry: &Entry) -> String {
    match entry {
        Entry::Input { .. } => "input".to_owned(),
        Entry::Command { kind, bytes, effect } => {
            format!("command {kind:#06x} of {} bytes, {effect:?}", bytes.len())
        }
        Entry::Output { name, outcome } => format!("output {name:?} {outcome:?}"),
        Entry::Notification { id: NotificationId::Completion { id, kind }, result } => {
            format!("completion {id} {kind:#06x} {result:?}")
        }
    }
}
