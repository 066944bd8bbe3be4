//! The messages of a function, from words.

use prost::Message;

use super::OTHER;
use crate::invoker::frame::kind;
use crate::invoker::messages::pb;

/// Encodes a message of the function.
pub(in crate::invoker::machine::tests) fn message(words: &str) -> Vec<u8> {
    let words: Vec<&str> = words.split_whitespace().collect();
    version_7(&words)
        .or_else(|| control(&words))
        .or_else(|| state(&words))
        .or_else(|| promise(&words))
        .or_else(|| call(&words))
        .or_else(|| signal(&words))
        .unwrap_or_else(|| panic!("no such message: {words:?}"))
}

/// What bounds an attempt, runs and sleeps.
fn control(words: &[&str]) -> Option<Vec<u8>> {
    Some(match *words {
        ["bytes", hex] => (0..hex.len()).step_by(2).map(|at| number(&hex[at..at + 2])).collect(),
        ["message", kind, flags] => frame(number(kind), number(flags), &[]),
        ["run", id] => {
            let (result_completion_id, name) = (id.parse().unwrap(), format!("step {id}"));
            encode(kind::RUN, &pb::RunCommandMessage { result_completion_id, name })
        }
        ["sleep", id, wake_up_time] => {
            let message = pb::SleepCommandMessage {
                wake_up_time: wake_up_time.parse().unwrap(),
                result_completion_id: id.parse().unwrap(),
                name: String::new(),
            };
            encode(kind::SLEEP, &message)
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
                [content] => Some(Result::Value(value(content))),
                _ => panic!("one result"),
            };
            let message = pb::OutputCommandMessage { name: "out".to_owned(), result };
            encode(kind::OUTPUT, &message)
        }
        ["suspend", ref on @ ..] => {
            let mut message = pb::FlatSuspensionMessage::default();
            for word in on {
                if let Some(signal) = word.strip_prefix('#') {
                    message.waiting_signals.push(signal.parse().unwrap());
                } else if let Ok(id) = word.parse() {
                    message.waiting_completions.push(id);
                } else {
                    message.waiting_named_signals.push((*word).to_owned());
                }
            }
            encode(kind::SUSPENSION, &message)
        }
        ["error", code, ref delay @ ..] => {
            let message = pb::ErrorMessage {
                code: code.parse().unwrap(),
                message: "no luck".to_owned(),
                related_command_index: Some(1),
                related_command_name: Some("step 1".to_owned()),
                related_command_type: Some(kind::RUN.into()),
                next_retry_delay: delay.first().map(|delay| delay.parse().unwrap()),
                ..pb::ErrorMessage::default()
            };
            encode(kind::ERROR, &message)
        }
        ["end"] => frame(kind::END, 0, &[]),
        _ => return None,
    })
}

/// What version 7 brought.
fn version_7(words: &[&str]) -> Option<Vec<u8>> {
    Some(match *words {
        // `await all 3 #1 go [ race 4 5 ]`, or `hint ...`.
        [verb @ ("await" | "hint"), ref tree @ ..] => {
            let awaiting_on = (!tree.is_empty()).then(|| future(&mut tree.iter()).into());
            match verb {
                "await" => encode(kind::SUSPENSION, &pb::SuspensionMessage { awaiting_on }),
                _ => encode(kind::AWAITING_ON, &pb::AwaitingOnMessage { awaiting_on }),
            }
        }
        ["error", code, "pause" | "fail"] => {
            let behavior = if words.ends_with(&["pause"]) { 1 } else { 2 };
            let (code, message) = (code.parse().unwrap(), "no luck".to_owned());
            let next_retry_delay = Some(250);
            let message = pb::ErrorMessage {
                code,
                message,
                behavior,
                next_retry_delay,
                ..pb::ErrorMessage::default()
            };
            encode(kind::ERROR, &message)
        }
        ["propose-unasked", id, value] => {
            use pb::propose_run_completion_message::Result;
            let message = pb::ProposeRunCompletionMessage {
                result_completion_id: id.parse().unwrap(),
                result: Some(Result::Value(value.to_owned().into())),
            };
            encode(kind::PROPOSE_RUN_COMPLETION, &message)
        }
        _ => return None,
    })
}

/// Encodes a tree of futures, up to the bracket that closes it.
fn future<'w>(words: &mut impl Iterator<Item = &'w &'w str>) -> Vec<u8> {
    let mut message = pb::FutureMessage {
        combinator_type: match *words.next().unwrap() {
            "some" => 0,
            "race" => 1,
            "settled" => 2,
            "any" => 3,
            "all" => 4,
            other => other.parse().unwrap(),
        },
        ..pb::FutureMessage::default()
    };
    while let Some(word) = words.next() {
        match (word.strip_prefix('#'), word.parse()) {
            _ if *word == "]" => break,
            _ if *word == "[" => message.nested_futures.push(future(&mut *words).into()),
            (Some(signal), _) => message.waiting_signals.push(signal.parse().unwrap()),
            (None, Ok(id)) => message.waiting_completions.push(id),
            (None, Err(_)) => message.waiting_named_signals.push((*word).to_owned()),
        }
    }
    message.encode_to_vec()
}

/// Promises: `promise 1 paid`, `look 1 paid`, `fulfil 1 paid yes`.
fn promise(words: &[&str]) -> Option<Vec<u8>> {
    let name = || "promise".to_owned();
    Some(match *words {
        [verb @ ("promise" | "look"), id, key] => {
            let (key, result_completion_id) = (key.to_owned(), id.parse().unwrap());
            let message = pb::GetPromiseCommandMessage { key, result_completion_id, name: name() };
            let kind = if verb == "promise" { kind::GET_PROMISE } else { kind::PEEK_PROMISE };
            encode(kind, &message)
        }
        ["fulfil", id, key, ref result @ ..] => {
            use pb::complete_promise_command_message::Completion;
            let completion = match result {
                [] => None,
                ["failure"] => Some(Completion::CompletionFailure(failure())),
                [content] => Some(Completion::CompletionValue(value(content))),
                _ => panic!("one result"),
            };
            let (key, result_completion_id) = (key.to_owned(), id.parse().unwrap());
            let message = pb::CompletePromiseCommandMessage {
                key,
                completion,
                result_completion_id,
                name: name(),
            };
            encode(kind::COMPLETE_PROMISE, &message)
        }
        _ => return None,
    })
}

/// State: `set cart milk`, `get-lazy 1 cart`, `read 1 cart`.
fn state(words: &[&str]) -> Option<Vec<u8>> {
    let name = || "note".to_owned();
    let bytes = |text: &str| text.to_owned().into();
    Some(match *words {
        ["get-lazy", id, key] => {
            let (key, result_completion_id) = (bytes(key), id.parse().unwrap());
            let message =
                pb::GetLazyStateCommandMessage { key, result_completion_id, name: name() };
            encode(kind::GET_LAZY_STATE, &message)
        }
        ["set", key, ref content @ ..] => {
            let value = content.first().map(|content| value(content));
            let message = pb::SetStateCommandMessage { key: bytes(key), value, name: name() };
            encode(kind::SET_STATE, &message)
        }
        ["clear", key] => {
            let message = pb::ClearStateCommandMessage { key: bytes(key), name: name() };
            encode(kind::CLEAR_STATE, &message)
        }
        ["clear-all"] => {
            encode(kind::CLEAR_ALL_STATE, &pb::ClearAllStateCommandMessage { name: name() })
        }
        ["get-lazy-keys", id] => {
            let result_completion_id = id.parse().unwrap();
            let message = pb::GetLazyStateKeysCommandMessage { result_completion_id, name: name() };
            encode(kind::GET_LAZY_STATE_KEYS, &message)
        }
        ["get-eager", key] => {
            let message = pb::GetEagerStateCommandMessage { key: bytes(key), name: name() };
            let mut payload = message.encode_to_vec();
            // Field 14, which nobody here reads: a value whose content is "milk".
            payload.extend([0x72, 6, 0x0A, 4]);
            payload.extend(b"milk");
            frame(kind::GET_EAGER_STATE, 0, &payload)
        }
        ["read", id, key] => {
            let (key, ephemeral_completion_id) = (bytes(key), id.parse().unwrap());
            let message = pb::GetStateEphemeralCommandMessage { ephemeral_completion_id, key };
            encode(kind::GET_STATE_EPHEMERAL, &message)
        }
        ["get-eager-keys"] => {
            let message = pb::GetEagerStateKeysCommandMessage { name: name() };
            encode(kind::GET_EAGER_STATE_KEYS, &message)
        }
        _ => return None,
    })
}

/// Calls: `call 1 2 Cart/ann/add milk`, `one-way 1 Greeter/greet ada at=5000 key=k1 a:b`. The key may
/// be empty, as in `Cart//add`.
fn call(words: &[&str]) -> Option<Vec<u8>> {
    let name = "order".to_owned();
    let (ids, target, options) = match *words {
        ["call", id, outcome, target, ref options @ ..] => ((id, Some(outcome)), target, options),
        ["one-way", id, target, ref options @ ..] => ((id, None), target, options),
        _ => return None,
    };
    let (service_name, rest) = target.split_once('/').unwrap();
    let (key, handler_name) = rest.rsplit_once('/').unwrap_or(("", rest));
    let [service_name, key, handler_name] = [service_name, key, handler_name].map(str::to_owned);
    let (mut parameter, mut headers) = (bytes::Bytes::new(), Vec::new());
    let (mut idempotency_key, mut invoke_time) = (None, 0);
    let (mut scope, mut limit_key) = (None, None);
    for option in options {
        if let Some(key) = option.strip_prefix("key=") {
            idempotency_key = Some(key.to_owned());
        } else if let Some(name) = option.strip_prefix("scope=") {
            scope = Some(name.to_owned());
        } else if let Some(name) = option.strip_prefix("limit=") {
            limit_key = Some(name.to_owned());
        } else if let Some(at) = option.strip_prefix("at=") {
            invoke_time = at.parse().unwrap();
        } else if let Some((key, value)) = option.split_once(':') {
            headers.push(pb::Header { key: key.to_owned(), value: value.to_owned() });
        } else {
            parameter = (*option).to_owned().into();
        }
    }
    let invocation_id_notification_idx = ids.0.parse().unwrap();
    let Some(outcome) = ids.1 else {
        let message = pb::OneWayCallCommandMessage {
            service_name,
            handler_name,
            parameter,
            invoke_time,
            headers,
            key,
            idempotency_key,
            scope,
            limit_key,
            invocation_id_notification_idx,
            name,
        };
        return Some(encode(kind::ONE_WAY_CALL, &message));
    };
    let message = pb::CallCommandMessage {
        service_name,
        handler_name,
        parameter,
        headers,
        key,
        idempotency_key,
        scope,
        limit_key,
        invocation_id_notification_idx,
        result_completion_id: outcome.parse().unwrap(),
        name,
    };
    Some(encode(kind::CALL, &message))
}

/// Signals, awakeables, and questions for an outcome.
fn signal(words: &[&str]) -> Option<Vec<u8>> {
    let name = || "ask".to_owned();
    Some(match *words {
        ["signal", target, signal, ref result @ ..] => {
            use pb::send_signal_command_message::{Result, SignalId};
            let signal_id = match signal.strip_prefix('#') {
                Some(index) => Some(SignalId::Idx(index.parse().unwrap())),
                None if signal == "-" => None,
                None => Some(SignalId::Name(signal.to_owned())),
            };
            let result = match result {
                [] => None,
                ["void"] => Some(Result::Void(pb::Void {})),
                ["failure"] => Some(Result::Failure(failure())),
                [content] => Some(Result::Value(value(content))),
                _ => panic!("one result"),
            };
            let target_invocation_id = invocation(target);
            let entry_name = name();
            let message = pb::SendSignalCommandMessage {
                target_invocation_id,
                signal_id,
                result,
                entry_name,
            };
            encode(kind::SEND_SIGNAL, &message)
        }
        ["awakeable", id, ref result @ ..] => {
            use pb::complete_awakeable_command_message::Result;
            let result = match result {
                [] => None,
                ["failure"] => Some(Result::Failure(failure())),
                [content] => Some(Result::Value(value(content))),
                _ => panic!("one result"),
            };
            let awakeable_id = id.to_owned();
            let message =
                pb::CompleteAwakeableCommandMessage { awakeable_id, result, name: name() };
            encode(kind::COMPLETE_AWAKEABLE, &message)
        }
        [verb @ ("attach" | "peek"), id, ref target @ ..] => {
            use pb::attach_invocation_command_message::Target;
            let target = match *target {
                [] => None,
                ["workflow", name, key] => Some(Target::WorkflowTarget(pb::WorkflowTarget {
                    workflow_name: name.to_owned(),
                    workflow_key: key.to_owned(),
                })),
                [id] => Some(Target::InvocationId(invocation(id))),
                [request, key] => {
                    let (service_name, rest) = request.split_once('/').unwrap();
                    let (service_key, handler_name) = match rest.rsplit_once('/') {
                        Some((key, handler)) => (Some(key.to_owned()), handler),
                        None => (None, rest),
                    };
                    Some(Target::IdempotentRequestTarget(pb::IdempotentRequestTarget {
                        service_name: service_name.to_owned(),
                        service_key,
                        handler_name: handler_name.to_owned(),
                        idempotency_key: key.strip_prefix("key=").unwrap().to_owned(),
                        scope: None,
                    }))
                }
                _ => panic!("one target"),
            };
            let result_completion_id = id.parse().unwrap();
            let message =
                pb::AttachInvocationCommandMessage { target, result_completion_id, name: name() };
            let kind = match verb {
                "attach" => kind::ATTACH_INVOCATION,
                _ => kind::GET_INVOCATION_OUTPUT,
            };
            encode(kind, &message)
        }
        _ => return None,
    })
}

/// The text form of an id: `other`, or the text itself.
fn invocation(word: &str) -> String {
    if word == "other" { OTHER.to_string() } else { word.to_owned() }
}

fn number<T: TryFrom<u64, Error: std::fmt::Debug>>(hex: &str) -> T {
    T::try_from(u64::from_str_radix(hex, 16).unwrap()).unwrap()
}

fn encode(kind: u16, message: &impl Message) -> Vec<u8> {
    frame(kind, 0, &message.encode_to_vec())
}

/// Puts a header in front of a payload.
pub(in crate::invoker::machine::tests) fn frame(kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap();
    let mut bytes = kind.to_be_bytes().to_vec();
    bytes.extend(flags.to_be_bytes());
    bytes.extend(length.to_be_bytes());
    bytes.extend(payload);
    bytes
}

fn value(content: &str) -> pb::Value {
    pb::Value { content: content.to_owned().into() }
}

fn failure() -> pb::Failure {
    let metadata =
        vec![pb::FailureMetadata { key: "reason".to_owned(), value: "sold out".to_owned() }];
    pb::Failure { code: 409, message: "no".to_owned(), metadata }
}
