//! Journal entries: the recorded steps of an invocation, in order.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::codec::list;
use crate::invoke::{check_call, check_names};
use crate::limits::{self, LimitExceeded};
use crate::{
    CompletionId, HandlerKind, Incarnation, InvocationId, MetadataOffset, Millis, PromiseResult,
    RequestId, RetryPolicy, Target,
};

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
            Self::Notification { result, .. } => result.payload_bytes(),
        };
        bytes as u64
    }
}

impl NotificationResult {
    /// Counts the bytes of what came from outside, as [`Entry::payload_bytes`] does.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        match self {
            Self::Void | Self::InvocationId(_) => 0,
            Self::Value(value) => value.len(),
            Self::Failure(failure) => failure.payload_bytes(),
            Self::StateKeys(keys) => keys.iter().map(Bytes::len).sum(),
        }
    }
}

impl Failure {
    /// What the second call of a workflow's run is told.
    #[must_use]
    pub fn already_invoked() -> Self {
        let message = "the workflow method was already invoked".to_owned();
        Self { code: 409, message, metadata: Vec::new() }
    }

    /// Counts the bytes of what came from outside, as [`Entry::payload_bytes`] does.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
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
    /// The value of a key of the object's state.
    GetState {
        /// Names the value.
        completion: CompletionId,
        /// The key.
        key: Bytes,
    },
    /// All keys of the object's state.
    GetStateKeys {
        /// Names the list.
        completion: CompletionId,
    },
    /// A key of the object's state gets a value.
    SetState {
        /// The key.
        key: Bytes,
        /// Where the value stands in the command.
        value: Span,
    },
    /// A key of the object's state goes.
    ClearState {
        /// The key.
        key: Bytes,
    },
    /// All keys of the object's state go.
    ClearAllState,
    /// A call of another function, or a one-way call.
    Call(Box<Call>),
    /// A signal for an invocation; also how an awakeable is completed.
    SendSignal {
        /// Whom it is for.
        target: InvocationId,
        /// The life it is for, where the sender knows: an awakeable id names it.
        incarnation: Option<Incarnation>,
        /// Which signal.
        signal: SignalId,
        /// What it carries.
        result: SignalResult,
    },
    /// The outcome of an invocation, once it has one.
    Attach {
        /// Names the outcome.
        completion: CompletionId,
        /// Whose outcome.
        target: InvocationId,
    },
    /// The outcome of an invocation, if it has one.
    GetOutput {
        /// Names what came of the question.
        completion: CompletionId,
        /// Whose outcome.
        target: InvocationId,
    },
    /// What a promise of the workflow was completed with, once it is.
    GetPromise {
        /// Names what it was completed with.
        completion: CompletionId,
        /// Which promise.
        name: String,
    },
    /// What a promise of the workflow was completed with, if it is.
    PeekPromise {
        /// Names what came of the question.
        completion: CompletionId,
        /// Which promise.
        name: String,
    },
    /// A promise of the workflow is completed, unless it was before.
    CompletePromise {
        /// Names what came of it.
        completion: CompletionId,
        /// Which promise.
        name: String,
        /// With what.
        settled: PromiseResult,
    },
}

/// Where a value stands within the bytes of the command that carries it, so that it is written
/// once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The first byte.
    pub start: u32,
    /// How many bytes.
    pub bytes: u32,
}

impl Span {
    /// Tells where `part` stands within `whole`, of which it must be a slice. None if it is not.
    #[must_use]
    pub fn of(part: &[u8], whole: &[u8]) -> Option<Self> {
        let bytes = u32::try_from(part.len()).ok()?;
        if part.is_empty() {
            return Some(Self { start: 0, bytes });
        }
        let start = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
        let fits = start.checked_add(part.len()).is_some_and(|end| end <= whole.len());
        fits.then_some(Self { start: u32::try_from(start).ok()?, bytes })
    }

    /// Takes the value out of the command's bytes without a copy. None where it leads beyond them.
    #[must_use]
    pub fn slice(self, command: &Bytes) -> Option<Bytes> {
        let start = usize::try_from(self.start).ok()?;
        let end = start.checked_add(usize::try_from(self.bytes).ok()?)?;
        (end <= command.len()).then(|| command.slice(start..end))
    }
}

/// A call, resolved against metadata by whoever proposed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Names the notification of the callee's id.
    pub id_completion: CompletionId,
    /// Names the outcome; none for a one-way call.
    pub completion: Option<CompletionId>,
    /// The callee.
    pub callee: InvocationId,
    /// Names this request: derived from the caller and the place of the command.
    pub request_id: RequestId,
    /// Whom to call.
    pub target: Target,
    /// How the handler is run.
    pub kind: HandlerKind,
    /// The caller's headers, in order.
    #[serde(with = "list::headers")]
    pub headers: Vec<Header>,
    /// Where the argument stands in the command.
    pub parameter: Span,
    /// The key under which a repeated call is the same call.
    pub idempotency_key: Option<String>,
    /// The scope that the call was made in: part of what an idempotency key names.
    pub scope: Option<String>,
    /// The limit key that the call was made with.
    pub limit_key: Option<String>,
    /// Not before this time, if given.
    pub start_at: Option<Millis>,
    /// How long the outcome is kept after completion (a duration).
    pub retention: Millis,
    /// How long the journal is kept after completion, where that is less (a duration).
    pub journal_retention: Option<Millis>,
    /// After how long without a write the state of the object is reset (a duration); never if none.
    pub state_ttl: Option<Millis>,
    /// What to do when an attempt fails.
    pub retry: RetryPolicy,
    /// The W3C trace context that the callee continues.
    pub traceparent: Option<String>,
    /// How far metadata was folded when the target was resolved.
    pub metadata: MetadataOffset,
}

impl Call {
    /// Checks the parts that have limits of their own: a call within them can be sent.
    pub fn check_limits(&self) -> Result<(), LimitExceeded> {
        let (scope, limit_key) = (self.scope.as_deref(), self.limit_key.as_deref());
        check_names(self.idempotency_key.as_deref(), scope, limit_key)?;
        check_call(&self.target, &self.headers)
    }
}

/// Names a signal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SignalId {
    /// By a number: 1 cancels, 17 and above are awakeables.
    Index(u32),
    /// By a name.
    Name(String),
}

impl SignalId {
    /// Asks the function to end: see [`Effect::SendSignal`].
    pub const CANCEL: Self = Self::Index(1);

    /// Refuses a name that is too long.
    pub fn check_limits(&self) -> Result<(), LimitExceeded> {
        match self {
            Self::Index(_) => Ok(()),
            Self::Name(name) => {
                limits::check("signal name", name.len(), limits::SIGNAL_NAME_BYTES_MAX)
            }
        }
    }
}

/// What the command that sends a signal carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SignalResult {
    /// Nothing but that it was sent.
    Void,
    /// A value: where it stands in the command.
    Value(Span),
    /// A terminal failure.
    Failure(Failure),
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
    /// Somebody: it is a signal.
    Signal(SignalId),
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
    /// The id of an invocation that was called.
    InvocationId(InvocationId),
    /// The keys of an object's state, in order.
    StateKeys(#[serde(with = "list::state_keys")] Vec<Bytes>),
}

/// How an invocation, or a side effect, ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It returned these bytes.
    Success(Bytes),
    /// It failed for good.
    Failure(Failure),
}

impl From<Outcome> for NotificationResult {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Success(value) => Self::Value(value),
            Outcome::Failure(failure) => Self::Failure(failure),
        }
    }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::{
        Bytes, Call, CompletionId, Effect, Entry, Failure, HandlerKind, Header, InvocationId,
        MetadataOffset, Millis, NotificationId, NotificationResult, Outcome, RequestId,
        RetryPolicy, SignalId, Span, Target,
    };
    use crate::limits::{self, LimitExceeded};
    use crate::{OnMaxAttempts, PartitionKey};

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
            notification(NotificationResult::StateKeys(vec![body(), body()])),
            notification(NotificationResult::InvocationId(call().callee)),
        ];
        assert_eq!(entries.map(|entry| entry.payload_bytes()), [12, 4, 7, 12, 0, 4, 9, 8, 0]);
    }

    #[test]
    fn a_span_names_a_part_of_a_command_and_nothing_beyond_it() {
        let command = Bytes::from_static(b"0123456789");
        let span = Span::of(&command[3..7], &command).unwrap();
        assert_eq!(span, Span { start: 3, bytes: 4 });
        assert_eq!(span.slice(&command).unwrap(), "3456");
        assert_eq!(Span::of(&command, &command), Some(Span { start: 0, bytes: 10 }));
        assert_eq!(Span::of(&[], &command), Some(Span { start: 0, bytes: 0 }));
        let within = command.slice(2..5);
        assert_eq!(Span::of(&command[1..3], &within), None, "it begins before");
        assert_eq!(Span::of(&command[4..6], &within), None, "it ends behind");
        assert_eq!(Span { start: 6, bytes: 4 }.slice(&command).unwrap(), "6789");
        assert_eq!(Span { start: 10, bytes: 0 }.slice(&command).unwrap(), "");
        assert_eq!(Span { start: 7, bytes: 4 }.slice(&command), None);
        assert_eq!(Span { start: 11, bytes: 0 }.slice(&command), None);
        assert_eq!(Span { start: u32::MAX, bytes: u32::MAX }.slice(&command), None);
    }

    fn call() -> Call {
        let callee = InvocationId { partition_key: PartitionKey(1), uuid: 2 };
        Call {
            id_completion: CompletionId(1),
            completion: None,
            callee,
            request_id: RequestId(3),
            target: Target { service: "s".into(), key: None, handler: "h".into() },
            kind: HandlerKind::Plain,
            headers: Vec::new(),
            parameter: Span { start: 0, bytes: 0 },
            idempotency_key: None,
            scope: None,
            limit_key: None,
            start_at: None,
            retention: Millis(0),
            journal_retention: None,
            state_ttl: None,
            retry: RetryPolicy {
                initial_interval: Millis(500),
                factor_permille: 2_000,
                max_interval: Millis(60_000),
                max_attempts: None,
                on_max_attempts: OnMaxAttempts::Pause,
            },
            traceparent: None,
            metadata: MetadataOffset(0),
        }
    }

    #[test]
    fn every_limit_of_a_functions_call_holds_at_the_limit_and_one_above() {
        type Case = (usize, fn(&mut Call, String));
        let cases: [Case; 7] = [
            (limits::NAME_BYTES_MAX, |call, text| call.target.service = text),
            (limits::NAME_BYTES_MAX, |call, text| call.target.handler = text),
            (limits::KEY_BYTES_MAX, |call, text| call.target.key = Some(text)),
            (limits::KEY_BYTES_MAX, |call, text| call.idempotency_key = Some(text)),
            (limits::SCOPE_BYTES_MAX, |call, text| call.scope = Some(text)),
            (limits::LIMIT_KEY_BYTES_MAX, |call, text| call.limit_key = Some(text)),
            (limits::HEADERS_BYTES_MAX, |call, value| {
                call.headers = vec![Header { key: String::new(), value }];
            }),
        ];
        for (max, set) in cases {
            let of = |bytes| {
                let mut call = call();
                set(&mut call, "k".repeat(bytes));
                call.check_limits()
            };
            assert_eq!(of(max), Ok(()));
            assert!(matches!(of(max + 1), Err(LimitExceeded { bytes, .. }) if bytes == max + 1));
        }
    }

    #[test]
    fn a_signal_has_a_name_of_its_limit_and_not_one_byte_more() {
        let of = |bytes| SignalId::Name("n".repeat(bytes)).check_limits();
        let max = limits::SIGNAL_NAME_BYTES_MAX;
        assert_eq!(of(max), Ok(()));
        assert_eq!(of(max + 1), Err(LimitExceeded { what: "signal name", bytes: max + 1, max }));
        assert_eq!(SignalId::CANCEL.check_limits(), Ok(()));
    }
}
