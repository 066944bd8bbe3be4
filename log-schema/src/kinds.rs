//! The message types of the notifications in the service protocol, as far as journals hold them.

/// The answer to a question for one key of an object's state.
pub const GET_STATE_COMPLETION: u16 = 0x8002;
/// The answer to a question for all keys of an object's state.
pub const GET_STATE_KEYS_COMPLETION: u16 = 0x8006;
/// What a promise was completed with.
pub const GET_PROMISE_COMPLETION: u16 = 0x8009;
/// What a promise was completed with, if it was.
pub const PEEK_PROMISE_COMPLETION: u16 = 0x800A;
/// Whether a promise was completed.
pub const COMPLETE_PROMISE_COMPLETION: u16 = 0x800B;
/// The end of a sleep.
pub const SLEEP_COMPLETION: u16 = 0x800C;
/// The outcome of a call.
pub const CALL_COMPLETION: u16 = 0x800D;
/// The id of an invocation that was called.
pub const CALL_ID_COMPLETION: u16 = 0x800E;
/// The result of a run.
pub const RUN_COMPLETION: u16 = 0x8011;
/// The outcome of an invocation that the function attached to.
pub const ATTACH_COMPLETION: u16 = 0x8012;
/// The outcome of an invocation, if it had one.
pub const OUTPUT_COMPLETION: u16 = 0x8013;
/// A signal.
pub const SIGNAL: u16 = 0xFBFF;
