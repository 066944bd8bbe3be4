//! Journal entries in scripts.
//!
//! - `step`: a command that asks for nothing, of as many bytes as `bytes` says
//! - `run 1`, `sleep 1 until 900`, `get 1 <key>`, `keys 1`, `attach 1 <id>`, `peek 1 <id>`: the
//!   number is the completion
//! - `set <key> <text>` or `set <key> bytes 9`, `clear <key>`, `clearall`
//! - `call 1 2 <id> <handler>`: the completions are of the id and of the outcome; `send 1 <id>
//!   <handler>`; both with `keyed` and `start` as wanted
//! - `signal <id> <signal> <result>`, with `in` a life as wanted
//! - `await 1 <promise>`, `look 1 <promise>`, `fulfil 1 <promise> <result>`
//! - `result 1 <text>` of a run, `heard <signal>`, `input`, `output <text>` or `output bytes 9`,
//!   `broken <code> <text>`

use bytes::Bytes;
use everlog_log_schema::*;

use super::words::{Words, retry_policy};

/// What stands in a command before the value that it carries.
const BEFORE: &[u8] = b"value:";

/// Reads an entry.
pub(super) fn entry(text: &str) -> Entry {
    let mut words = Words::of(text);
    let entry = any_entry(&mut words);
    assert_eq!(words.rest(), "", "left over in {text:?}");
    entry
}

fn any_entry(words: &mut Words<'_>) -> Entry {
    match words.next() {
        "input" => Entry::Input { headers: Vec::new(), body: Bytes::new() },
        "result" => Entry::Notification {
            id: NotificationId::Completion { id: words.completion(), kind: 0x8011 },
            result: NotificationResult::Value(Bytes::from(words.rest())),
        },
        "heard" => Entry::Notification {
            id: NotificationId::Signal(words.signal()),
            result: NotificationResult::Void,
        },
        "output" => {
            let size = words.option("bytes");
            let value = size.map_or_else(|| words.rest().into_bytes(), |size| vec![0; size]);
            output(Outcome::Success(value.into()))
        }
        "broken" => output(Outcome::Failure(words.failure())),
        name => command(name, words),
    }
}

fn output(outcome: Outcome) -> Entry {
    Entry::Output { name: String::new(), outcome }
}

fn command(name: &str, words: &mut Words<'_>) -> Entry {
    let mut bytes = Bytes::new();
    let (kind, effect) = match name {
        "step" => {
            bytes = vec![0; words.option("bytes").unwrap_or(0)].into();
            (0x0407, Effect::None)
        }
        "run" => (0x0411, Effect::Run { completion: words.completion() }),
        "sleep" => {
            let completion = words.completion();
            let wake_at = Millis(words.option("until").expect("a sleep has an end"));
            (0x040C, Effect::Sleep { completion, wake_at })
        }
        "get" => (0x0402, Effect::GetState { completion: words.completion(), key: key(words) }),
        "keys" => (0x0406, Effect::GetStateKeys { completion: words.completion() }),
        "set" => {
            let key = key(words);
            let size = words.option("bytes");
            let value = size.map_or_else(|| words.rest().into_bytes(), |size| vec![0; size]);
            let (all, value) = carrying(&value);
            bytes = all;
            (0x0403, Effect::SetState { key, value })
        }
        "clear" => (0x0404, Effect::ClearState { key: key(words) }),
        "clearall" => (0x0405, Effect::ClearAllState),
        "call" | "send" => {
            let (all, parameter) = carrying(b"arg");
            bytes = all;
            let call = call(name == "call", parameter, words);
            (if name == "call" { 0x040D } else { 0x040E }, Effect::Call(Box::new(call)))
        }
        "signal" => {
            let (target, incarnation) = (words.id(), words.option("in").map(Incarnation));
            let signal = words.signal();
            let (all, result) = signal_result(words.result());
            bytes = all;
            (0x0410, Effect::SendSignal { target, incarnation, signal, result })
        }
        "attach" => (0x0412, Effect::Attach { completion: words.completion(), target: words.id() }),
        "peek" => {
            (0x0413, Effect::GetOutput { completion: words.completion(), target: words.id() })
        }
        "await" => {
            let completion = words.completion();
            (0x0409, Effect::GetPromise { completion, name: words.next().to_owned() })
        }
        "look" => {
            let completion = words.completion();
            (0x040A, Effect::PeekPromise { completion, name: words.next().to_owned() })
        }
        "fulfil" => {
            let (completion, name) = (words.completion(), words.next().to_owned());
            let (all, settled) = match signal_result(words.result()) {
                (all, SignalResult::Value(value)) => (all, PromiseResult::Value(value)),
                (all, SignalResult::Failure(failure)) => (all, PromiseResult::Failure(failure)),
                (_, SignalResult::Void) => panic!("a promise is completed with something"),
            };
            bytes = all;
            (0x040B, Effect::CompletePromise { completion, name, settled })
        }
        other => panic!("unknown entry {other:?}"),
    };
    Entry::Command { kind, bytes, effect }
}

fn key(words: &mut Words<'_>) -> Bytes {
    Bytes::from(words.next().to_owned())
}

/// The bytes of a command that carries `value`, and where it stands in them.
fn carrying(value: &[u8]) -> (Bytes, Span) {
    let start = u32::try_from(BEFORE.len()).unwrap();
    let bytes = u32::try_from(value.len()).unwrap();
    ([BEFORE, value, b";"].concat().into(), Span { start, bytes })
}

fn signal_result(result: NotificationResult) -> (Bytes, SignalResult) {
    match result {
        NotificationResult::Value(value) => {
            let (all, value) = carrying(&value);
            (all, SignalResult::Value(value))
        }
        NotificationResult::Failure(failure) => (Bytes::new(), SignalResult::Failure(failure)),
        NotificationResult::Void => (Bytes::new(), SignalResult::Void),
        other @ (NotificationResult::InvocationId(_) | NotificationResult::StateKeys(_)) => {
            panic!("no signal carries {other:?}")
        }
    }
}

fn call(waits: bool, parameter: Span, words: &mut Words<'_>) -> Call {
    let id_completion = words.completion();
    let completion = waits.then(|| words.completion());
    let callee = words.id();
    let (kind, target) = words.handler();
    Call {
        id_completion,
        completion,
        callee,
        request_id: RequestId(u128::from(id_completion.0)),
        target,
        kind,
        headers: Vec::new(),
        parameter,
        idempotency_key: words.option("keyed"),
        scope: words.option("scope"),
        limit_key: words.option("limit"),
        start_at: words.option("start").map(Millis),
        retention: Millis(0),
        journal_retention: None,
        state_ttl: None,
        retry: retry_policy(),
        traceparent: None,
        metadata: MetadataOffset(5),
    }
}
