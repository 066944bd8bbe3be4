//! Journal entries: the recorded steps of an invocation, in order.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::codec::list;
use crate::{CompletionId, Millis};

/// One entry of an invocation's journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// What the function was called with. Always index 0.
    Input {
        /// The caller's headers, in order.
        #[serde(with = "list::headers")]
        headers: Vec<Header>,
        /// The argument, as the caller sent it.
        body: Bytes,
    },
    /// A command as the function sent it.
    Command {
        /// The message type of the service protocol (0x0400–0x7FFF).
        kind: u16,
        /// The message's bytes, never touched: the SDK compares them on replay.
        bytes: Bytes,
        /// What the command asks of the partition, as the invoker understood it.
        effect: Effect,
    },
    /// The function's result. Rebuilt exactly on replay: the message has no other fields.
    Output {
        /// The name of the entry; mostly empty.
        name: String,
        /// What the function returned.
        outcome: Outcome,
    },
    /// Something the function may wait for has happened.
    Notification {
        /// What has happened.
        id: NotificationId,
        /// What came of it.
        result: NotificationResult,
    },
}

impl Entry {
    /// Counts the bytes of what came from outside: bodies, values, messages, names and headers.
    ///
    /// What surrounds them is bounded by the number of entries.
    #[must_use]
    pub fn payload_bytes(&self) -> u64 {
        let bytes = match self {
            Self::Input { headers, body } => header_bytes(headers) + body.len(),
            Self::Command { bytes, .. } => bytes.len(),
            Self::Output { name, outcome: Outcome::Success(value) } => name.len() + value.len(),
            Self::Output { name, outcome: Outcome::Failure(failure) } => {
                name.len() + failure.payload_bytes()
            }
            Self::Notification { result, .. } => match result {
                NotificationResult::Void => 0,
                NotificationResult::Value(value) => value.len(),
                NotificationResult::Failure(failure) => failure.payload_bytes(),
            },
        };
        bytes as u64
    }
}

impl Failure {
    fn payload_bytes(&self) -> usize {
        self.message.len() + header_bytes(&self.metadata)
    }
}

fn header_bytes(headers: &[Header]) -> usize {
    headers.iter().map(|header| header.key.len() + header.value.len()).sum()
}

/// What a stored command asks of the partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// Nothing: the entry only records what the function did.
    None,
    /// A side effect, whose result the function will propose.
    Run {
        /// Names the result.
        completion: CompletionId,
    },
    /// A timer.
    Sleep {
        /// Names the notification that the timer ends in.
        completion: CompletionId,
        /// When it is due.
        wake_at: Millis,
    },
}

/// What a notification answers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum NotificationId {
    /// A command of the same journal: the message type of the notification tells which kind.
    Completion {
        /// The id that the command named.
        id: CompletionId,
        /// The message type of the service protocol (0x8000–0xFBFE), such as 0x8011 for a run.
        kind: u16,
    },
}

/// What a notification carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum NotificationResult {
    /// Nothing but that it happened.
    Void,
    /// A value.
    Value(Bytes),
    /// A terminal failure.
    Failure(Failure),
}

/// How an invocation, or a side effect, ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It returned these bytes.
    Success(Bytes),
    /// It failed for good.
    Failure(Failure),
}

/// A terminal failure: it is not retried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// An HTTP-like status code.
    pub code: u32,
    /// A sentence.
    pub message: String,
    /// Names and values that the function attached, in order.
    #[serde(with = "list::headers")]
    pub metadata: Vec<Header>,
}

/// A name and its value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Header {
    /// The name.
    pub key: String,
    /// The value.
    pub value: String,
}

/// What a suspended invocation waits for: any one of these.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitSet {
    /// Completions of its own commands.
    #[serde(with = "list::entries")]
    pub completions: Vec<CompletionId>,
    /// Numbered signals.
    #[serde(with = "list::entries")]
    pub signals: Vec<u32>,
    /// Named signals.
    #[serde(with = "list::entries")]
    pub named_signals: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::{
        Bytes, CompletionId, Effect, Entry, Failure, Header, NotificationId, NotificationResult,
        Outcome,
    };

    #[test]
    fn the_payload_of_an_entry_is_all_that_came_from_outside() {
        let header = || Header { key: "k".into(), value: "val".into() };
        let failure = || Failure { code: 500, message: "broke".into(), metadata: vec![header()] };
        let notification = |result| Entry::Notification {
            id: NotificationId::Completion { id: CompletionId(1), kind: 0x8011 },
            result,
        };
        let output = |outcome| Entry::Output { name: "out".into(), outcome };
        let body = || Bytes::from_static(b"body");
        let entries = [
            Entry::Input { headers: vec![header(), header()], body: body() },
            Entry::Command { kind: 0x0403, bytes: body(), effect: Effect::None },
            output(Outcome::Success(body())),
            output(Outcome::Failure(failure())),
            notification(NotificationResult::Void),
            notification(NotificationResult::Value(body())),
            notification(NotificationResult::Failure(failure())),
        ];
        assert_eq!(entries.map(|entry| entry.payload_bytes()), [12, 4, 7, 12, 0, 4, 9]);
    }
}
