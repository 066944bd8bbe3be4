//! What anybody sends to a partition's inbox.

use serde::{Deserialize, Serialize};

use crate::limits::{self, LimitExceeded};
use crate::{
    CompletionId, Incarnation, InvocationId, Invoke, Level, MetadataOffset, NotificationResult,
    PartitionId, Pin, RequestId, Seq, SignalId,
};

/// A message with what must be readable whatever its own format: the envelope's format is frozen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The level that the message is written at.
    pub level: Level,
    /// How far its sender had read the metadata that it was resolved against (exclusive).
    pub metadata: MetadataOffset,
    /// Who sent it.
    pub source: Source,
    /// What it says.
    pub message: Message,
}

/// Who sent a message, which decides how its repeats are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// A gateway: repeats have the same invocation id and request id.
    Gateway,
    /// Another partition: messages are numbered from 1 per pair of partitions.
    Partition {
        /// The sender.
        partition: PartitionId,
        /// The number.
        seq: Seq,
    },
}

/// What a message asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// A call.
    Invoke(Box<Invoke>),
    /// A question for the outcome of an invocation, from a function.
    Attach(Attach),
    /// What came of a call, or of such a question.
    Complete(Box<Complete>),
    /// A signal for an invocation.
    Signal(Box<Signal>),
    /// An order from whoever runs the functions.
    Order(Order),
    /// An order for a new invocation that begins like a completed one.
    Restart(Box<Restart>),
    /// An order to go on now, with other code.
    ResumeOn(Box<ResumeOn>),
}

impl Message {
    /// Checks the parts that have limits of their own. Nothing beyond them is ever written to an
    /// inbox, or taken in from one.
    pub fn check_limits(&self) -> Result<(), LimitExceeded> {
        match self {
            Self::Invoke(invoke) => invoke.check_limits(),
            Self::Complete(complete) => check_result(&complete.result),
            Self::Signal(signal) => {
                signal.signal.check_limits()?;
                check_result(&signal.result)
            }
            Self::Attach(_) | Self::Order(_) | Self::Restart(_) | Self::ResumeOn(_) => Ok(()),
        }
    }
}

/// A result may be as large as the body that an invocation returns.
fn check_result(result: &NotificationResult) -> Result<(), LimitExceeded> {
    limits::check("result", result.payload_bytes(), limits::BODY_BYTES_MAX)
}

/// One life of an invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Life {
    /// The invocation.
    pub invocation: InvocationId,
    /// Which life of it.
    pub incarnation: Incarnation,
}

/// A function that called, or asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Caller {
    /// Who.
    pub life: Life,
    /// Names the answer; none where none is wanted.
    pub completion: Option<CompletionId>,
}

/// A question for the outcome of an invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attach {
    /// Whose outcome.
    pub target: InvocationId,
    /// Who wants it.
    pub caller: Life,
    /// Names the answer.
    pub completion: CompletionId,
    /// Whether the answer may wait until there is an outcome.
    pub waits: bool,
}

/// What came of something that a function waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Complete {
    /// Who waits.
    pub to: Life,
    /// For what.
    pub completion: CompletionId,
    /// What came of it.
    pub result: NotificationResult,
}

/// A signal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signal {
    /// Whom it is for.
    pub target: InvocationId,
    /// The life it is for; none for the one that holds the id when the signal is taken in.
    pub incarnation: Option<Incarnation>,
    /// The function that sends it, if one does.
    pub sender: Option<Life>,
    /// Which signal. [`SignalId::CANCEL`] also ends what has not begun.
    pub signal: SignalId,
    /// What it carries.
    pub result: NotificationResult,
}

/// An order about an invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Which invocation.
    pub target: InvocationId,
    /// The invocation whose end brings the order, if one does: its own child alone takes it.
    pub sender: Option<Life>,
    /// What to do.
    pub action: OrderAction,
}

/// What an order says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrderAction {
    /// End at once, and with it the calls that it waits for.
    Kill,
    /// Start no attempt until somebody resumes it.
    Pause,
    /// Go on now.
    Resume,
    /// Forget it, if it has completed.
    Purge,
    /// Forget its journal, if it has completed: its outcome stays.
    PurgeJournal,
}

/// An order for a new invocation that begins like a completed one, whose target, settings and
/// argument it has.
///
/// Whoever sends it makes up `id`, with the partition key of `target`, and then asks for the
/// invocation of that id, once the message is taken in. It is there if the order took effect. If
/// not, one of these stood in the way, which the invocation of `target` and its journal tell:
///
/// - `target` is not known, or has not completed;
/// - it is the run of a workflow, which each key has once;
/// - its journal is gone, is no longer than `from`, or has its output there;
/// - a command up to `from` has no result: the new invocation could wait for it in vain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// The completed one.
    pub target: InvocationId,
    /// The new one: its partition key is that of `target`.
    pub id: InvocationId,
    /// Names this request: the same one again is a resend.
    pub request_id: RequestId,
    /// The index of the last entry of the old journal that the new one begins with, to which the
    /// results of the commands so far are added. 0 for the input alone.
    pub from: u32,
    /// The code that it stays with. None for what is newest when it takes its first step.
    pub pin: Option<Pin>,
}

/// An order to go on now, with other code.
///
/// It takes effect on an invocation that has recorded a step, and is suspended, backing off or
/// paused: its row tells the deployment afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumeOn {
    /// Which invocation.
    pub target: InvocationId,
    /// The code that it stays with from now on.
    pub pin: Pin,
}
