//! Runs attempts: talks to the code of a deployment and tells the shell what it says.
//!
//! The parts, from the wire inwards: [`HttpInvoker`] moves bytes, `frame` cuts them into messages,
//! `messages` turns messages into journal entries and back, and `machine` decides what each means.
//!
//! **Architecture invariant:** an invoker decides nothing about an invocation. It reports what the
//! function said, in order; the shell makes it durable, and only then tells the function
//! ([`AttemptHandle::notify`]).

mod edit;
mod error;
mod events;
mod frame;
mod http;
mod lender;
mod machine;
mod messages;
mod trace;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use everlog_log_schema::metadata::{Deployment, Metadata};
use everlog_log_schema::{
    AttemptError, AttemptId, Entry, FutureTree, HandlerKind, InvocationId, Millis, Target,
};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

pub(crate) use edit::StateEdits;
pub use events::{EventReceiver, EventSender, NobodyHears, event_channel};
pub use frame::FRAME_BYTES_MAX;
pub use http::{HttpInvoker, HttpInvokerOptions};
pub use lender::Lender;
#[cfg(test)]
pub(crate) use machine::tests::script::metadata as registered;

/// Runs attempts. One implementation talks HTTP; another will run WASM components.
pub trait Invoker: Send + Sync + 'static {
    /// Starts an attempt. Events go to `events`; dropping the handle ends the attempt.
    ///
    /// Returns at once. The last event of an attempt is one of `Suspended`, `Ended` and `Failed`;
    /// an attempt whose handle is dropped has no last event.
    fn start(&self, attempt: AttemptStart, events: EventSender) -> AttemptHandle;
}

/// All that an attempt needs to know.
#[derive(Debug, Clone)]
pub struct AttemptStart {
    /// Whose attempt.
    pub invocation: InvocationId,
    /// Which attempt.
    pub attempt: AttemptId,
    /// The handler to run.
    pub target: Target,
    /// What else the caller has named it by.
    pub named: CallNames,
    /// How the handler is run: decides what it may do with state.
    pub kind: HandlerKind,
    /// The object's state as it is now, as far as the function is told it at once; none for
    /// functions that have no state.
    pub state: Option<EagerStateMap>,
    /// What is registered now, and from now on: calls are resolved against it as they come.
    pub metadata: watch::Receiver<Arc<Metadata>>,
    /// How long the outcome of a call without idempotency key is kept where the called handler does
    /// not say (a duration).
    pub unkeyed_retention: Millis,
    /// The code to run it with.
    pub deployment: Arc<Deployment>,
    /// The version of the service protocol to speak.
    pub protocol_version: u32,
    /// What is recorded so far. Index 0 is the input.
    pub journal: Vec<Entry>,
    /// How many attempts failed since a command was last recorded.
    pub failures_since_progress: u32,
    /// How long ago a command was last recorded (a duration).
    pub since_progress: Millis,
    /// The W3C trace context that the attempt belongs to: that of the call.
    pub traceparent: Option<String>,
    /// After this long without progress the function is asked to suspend. Progress is a whole
    /// message of the function, or more that it has taken in: bytes that trickle in count for
    /// nothing before they make a message. The wait for a place or a connection does not count.
    pub inactivity_timeout: Duration,
    /// After this long without progress from then on, the attempt fails. In request-response mode,
    /// where the input ends behind the journal, this is the one time-out from the beginning.
    pub abort_timeout: Duration,
    /// Who lent it its place; none where nobody else would want it.
    pub lender: Option<Arc<dyn Lender>>,
    /// Whether it begins with much: then the lender is told when the function has taken that in.
    pub is_large: bool,
}

/// What a call is named by beside its target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallNames {
    /// The key under which a repeated call is the same call.
    pub idempotency_key: Option<String>,
    /// The scope that it was made in.
    pub scope: Option<String>,
    /// The limit key that it was made with.
    pub limit_key: Option<String>,
}

/// The state of an object, as an attempt begins with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EagerStateMap {
    /// Keys and values.
    pub entries: Vec<(Bytes, Bytes)>,
    /// Whether the object may have more: the function asks for keys that are not here.
    pub partial: bool,
}

/// Something an attempt did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptEvent {
    /// Whose attempt.
    pub invocation: InvocationId,
    /// Which attempt.
    pub attempt: AttemptId,
    /// What it did.
    pub kind: AttemptEventKind,
}

/// What an attempt did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptEventKind {
    /// It took steps. Steps that arrived together come together.
    Entries {
        /// How many commands came before these entries, the input included.
        first_command: u32,
        /// The steps, in order.
        entries: Vec<Entry>,
    },
    /// It ended until something happens.
    Suspended {
        /// Until this is settled. No node of it is empty.
        waiting: FutureTree,
        /// How many signals the function was told before its input was closed, those of the journal
        /// included: a later one may be what it waits for.
        signals_told: u32,
    },
    /// It ended, and the invocation with it: the last command was the output.
    Ended,
    /// It failed.
    Failed {
        /// Why.
        error: AttemptError,
        /// The delay before the next attempt that the function or its endpoint asked for.
        retry_after: Option<Millis>,
        /// What is to follow.
        reaction: Reaction,
    },
    /// It asks for a value of its state, which no entry is to say. It asks for the next only once it
    /// was told ([`AttemptHandle::tell_state`]).
    ReadState(StateRead),
    /// Its code waits for this. It says so to be looked at: nothing depends on it, and it is out of
    /// date as soon as any of it has come.
    AwaitingOn(FutureTree),
}

/// A question about the state of the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateRead {
    /// By which the function knows the answer.
    pub id: u32,
    /// The key.
    pub key: Bytes,
    /// How many commands come before it, the input included: the answer is to have what they changed.
    pub commands: u32,
}

/// What is to follow a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// What the retry policy says.
    ByPolicy,
    /// The invocation waits for somebody to resume it.
    Pause,
    /// The invocation ends with the error.
    Fail,
}

/// A notification that has become durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Its place in the journal, by which a repeated one is known.
    pub index: u32,
    /// The notification.
    pub entry: Entry,
}

/// Something that a live attempt is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// A notification has become durable.
    Notice(Notice),
    /// What the state has under the key of a [`StateRead`].
    State {
        /// [`StateRead::id`].
        read: u32,
        /// None where there is no such key.
        value: Option<Bytes>,
    },
}

/// A live attempt. Dropping it ends the attempt.
#[derive(Debug)]
pub struct AttemptHandle {
    /// Without bound: no more entries can come than the journal may have, and one answer.
    told: mpsc::UnboundedSender<Told>,
    task: AbortHandle,
}

impl AttemptHandle {
    /// Makes a handle for an attempt that `task` runs and that hears what it is `told`.
    pub fn new(told: mpsc::UnboundedSender<Told>, task: AbortHandle) -> Self {
        Self { told, task }
    }

    /// Tells the function that a notification has become durable, in the order of the journal. One
    /// that the attempt began with, or was told before, is told no second time; one that comes too
    /// late for the attempt is dropped, as the journal holds it.
    pub fn notify(&self, notice: Notice) {
        // An error means that the attempt has ended.
        let _ = self.told.send(Told::Notice(notice));
    }

    /// Answers what the attempt has asked of its state.
    pub fn tell_state(&self, read: u32, value: Option<Bytes>) {
        let _ = self.told.send(Told::State { read, value });
    }
}

impl Drop for AttemptHandle {
    fn drop(&mut self) {
        self.task.abort();
    }
}
