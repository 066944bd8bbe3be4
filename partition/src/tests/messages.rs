//! Inbox messages in scripts.
//!
//! - `invoke <id> <handler>`, then as wanted `request`, `caller <life> <completion>`, `sender
//!   <life>` (a one-way call), `resent`, `keyed`, `start`, `keep`, `journal`, `ttl`, each with its value
//! - `attach <id> <life> <completion>`, or `peek`, which does not wait
//! - `complete <life> <completion> <result>`
//! - `signal <id> <signal> <result>`, or `cancel <id>`, with `in` a life or `sender` one before the
//!   signal
//! - `restart <id> <new id>`, with `request`, `from` and `pin` as wanted; `resumeon <id> <pin>`
//! - `kill`, `pause`, `resume`, `purge` or `purgejournal <id>`, with `sender` as wanted

use bytes::Bytes;
use everlog_log_schema::*;

use super::words::{Words, pin, retry_policy};

pub(super) fn message(words: &mut Words<'_>) -> Message {
    match words.next() {
        "invoke" => Message::Invoke(Box::new(invoke(words))),
        "attach" => attach(words, true),
        "peek" => attach(words, false),
        "complete" => Message::Complete(Box::new(Complete {
            to: words.life(),
            completion: words.completion(),
            result: words.result(),
        })),
        "signal" => {
            let (target, incarnation, sender) = addressed(words);
            let (signal, result) = (words.signal(), words.result());
            Message::Signal(Box::new(Signal { target, incarnation, sender, signal, result }))
        }
        "cancel" => {
            let (target, incarnation, sender) = addressed(words);
            let (signal, result) = (SignalId::CANCEL, NotificationResult::Void);
            Message::Signal(Box::new(Signal { target, incarnation, sender, signal, result }))
        }
        "kill" => order(words, OrderAction::Kill),
        "pause" => order(words, OrderAction::Pause),
        "resume" => order(words, OrderAction::Resume),
        "purge" => order(words, OrderAction::Purge),
        "purgejournal" => order(words, OrderAction::PurgeJournal),
        "restart" => Message::Restart(Box::new(Restart {
            target: words.id(),
            id: words.id(),
            request_id: RequestId(words.option("request").unwrap_or(9)),
            from: words.option("from").unwrap_or(0),
            pin: words.option("pin").map(pin),
        })),
        "resumeon" => {
            let (target, version) = (words.id(), words.number());
            Message::ResumeOn(Box::new(ResumeOn { target, pin: pin(version) }))
        }
        other => panic!("unknown message {other:?}"),
    }
}

fn invoke(words: &mut Words<'_>) -> Invoke {
    let id = words.id();
    let (kind, target) = words.handler();
    let request_id = RequestId(words.option("request").unwrap_or(0));
    let caller = if words.flag("caller") {
        Some(Caller { life: words.life(), completion: Some(words.completion()) })
    } else {
        sender(words).map(|life| Caller { life, completion: None })
    };
    Invoke {
        id,
        request_id,
        resent: words.flag("resent"),
        target,
        kind,
        headers: Vec::new(),
        body: Bytes::from_static(b"in"),
        idempotency_key: words.option("keyed"),
        scope: words.option("scope"),
        limit_key: words.option("limit"),
        reply_to: None,
        caller,
        start_at: words.option("start").map(Millis),
        retention: Millis(words.option("keep").unwrap_or(limits::REMEMBERED_MS_MIN)),
        journal_retention: words.option("journal").map(Millis),
        state_ttl: words.option("ttl").map(Millis),
        retry: retry_policy(),
        traceparent: None,
    }
}

fn attach(words: &mut Words<'_>, waits: bool) -> Message {
    let (target, caller) = (words.id(), words.life());
    Message::Attach(Attach { target, caller, completion: words.completion(), waits })
}

fn addressed(words: &mut Words<'_>) -> (InvocationId, Option<Incarnation>, Option<Life>) {
    (words.id(), words.option("in").map(Incarnation), sender(words))
}

fn sender(words: &mut Words<'_>) -> Option<Life> {
    words.flag("sender").then(|| words.life())
}

fn order(words: &mut Words<'_>, action: OrderAction) -> Message {
    Message::Order(Order { target: words.id(), sender: sender(words), action })
}
