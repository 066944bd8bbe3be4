//! Limits on what is written. Checked before anything is appended, so that what is in the log can
//! always be read back, checkpointed and moved.

/// A request or response body, and the value of any one entry, in bytes.
pub const BODY_BYTES_MAX: usize = 32 << 20;
/// An inbox message with its envelope, in bytes: a body and as much again of headers as fits.
pub const MESSAGE_BYTES_MAX: usize = BODY_BYTES_MAX + (1 << 20);
/// A record of the event log, in bytes: at least one message or entry of full size.
pub const RECORD_BYTES_MAX: usize = MESSAGE_BYTES_MAX + (1 << 20);
/// A row, in bytes.
pub const ROW_BYTES_MAX: usize = RECORD_BYTES_MAX;
/// The commands of one record.
pub const RECORD_COMMANDS_MAX: usize = 4_096;
/// The entries of one journal.
pub const JOURNAL_ENTRIES_MAX: u32 = 100_000;
/// How many of them are commands, the input included. Each brings two notifications at most, and
/// one more command has a place: the output that a kill writes.
pub const JOURNAL_COMMANDS_MAX: u32 = JOURNAL_ENTRIES_MAX / 4 - 1;
/// How many of them are signals.
pub const JOURNAL_SIGNALS_MAX: u32 = JOURNAL_ENTRIES_MAX / 4;
/// What the entries of one journal hold, in bytes as [`Entry::payload_bytes`](crate::Entry::payload_bytes)
/// counts
/// them: an argument, the result of a step and a return value of full size, and as much as one of
/// them for all other steps. An attempt begins with its whole journal in memory, hence no more.
pub const JOURNAL_BYTES_MAX: u64 = 4 * BODY_BYTES_MAX as u64;
/// All headers of a call, names and values, in bytes.
pub const HEADERS_BYTES_MAX: usize = 64 << 10;
/// The headers of a call, the metadata of a failure, the labels of a service: how many.
pub const HEADERS_MAX: usize = 4_096;
/// A change of metadata, in bytes: a deployment with the schemas of all its handlers.
pub const METADATA_CHANGE_BYTES_MAX: usize = 8 << 20;
/// The services of one deployment.
pub const SERVICES_MAX: usize = 1_000;
/// The handlers of one service.
pub const HANDLERS_MAX: usize = 1_000;
/// A service or handler name, in bytes.
pub const NAME_BYTES_MAX: usize = 256;
/// An object key or idempotency key, in bytes.
pub const KEY_BYTES_MAX: usize = 4 << 10;
/// A scope, or one level of a limit key, in bytes.
pub const SCOPE_BYTES_MAX: usize = 36;
/// How many levels a limit key has.
pub const LIMIT_KEY_LEVELS_MAX: usize = 2;
/// A limit key, in bytes: its levels, and what parts them.
pub const LIMIT_KEY_BYTES_MAX: usize = LIMIT_KEY_LEVELS_MAX * (SCOPE_BYTES_MAX + 1) - 1;
/// The keys of one object's state: few enough for their list to be one entry of a journal.
pub const STATE_KEYS_MAX: u32 = 16_384;
/// The state of one object with the promises of one workflow key: names and values, in bytes.
pub const STATE_BYTES_MAX: u64 = 256 << 20;
/// A key of an object's state, in bytes.
pub const STATE_KEY_BYTES_MAX: usize = 1 << 10;
/// The completed promises of one workflow key.
pub const PROMISES_MAX: u32 = 4_096;
/// The name of a promise, in bytes.
pub const PROMISE_NAME_BYTES_MAX: usize = 1 << 10;
/// The keys that a handler may name to have them at the begin of an attempt.
pub const EAGER_STATE_KEYS_MAX: usize = 4_096;
/// The name of a signal, in bytes.
pub const SIGNAL_NAME_BYTES_MAX: usize = 256;
/// A part of a packed journal holds no further entry beyond this size, in bytes.
pub const PACKED_BYTES_AIM: u64 = 1 << 20;
/// What the answers of one record hold, in bytes, before the functions that attached to an outcome
/// find no room for theirs; the last may exceed it. Theirs follow once these have arrived.
pub const ANSWERS_BYTES_MAX: u64 = 16 << 20;
/// What an answer counts at least, in bytes: of small ones a record sends 1,024.
pub const ANSWER_BYTES_MIN: u64 = 16 << 10;
/// A question to the owner of a partition, in bytes: names and keys, and as much again.
pub const QUESTION_BYTES_MAX: usize = 64 << 10;
/// Its answer, in bytes: an outcome of full size, or a page.
pub const REPLY_BYTES_MAX: usize = RECORD_BYTES_MAX;
/// The rows of one page of an answer.
pub const PAGE_ROWS_MAX: usize = 10_000;
/// The ranges of rows that one question names.
pub const ROW_RANGES_MAX: usize = 1_000;
/// What a process says of itself, in bytes: less than any Kafka takes by itself.
pub const MEMBER_BYTES_MAX: usize = 512 << 10;
/// The partitions that a process may say it holds.
pub const HOLDINGS_MAX: usize = 16_384;
/// How long a completed invocation is remembered whatever its retention, in milliseconds: longer
/// than any gateway resends, or asks again for the answer to a call of its own.
pub const REMEMBERED_MS_MIN: u64 = 10 * 60 * 1_000;

/// What a limit refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} of {bytes} bytes exceeds the limit of {max} bytes")]
pub struct LimitExceeded {
    /// What is too large.
    pub what: &'static str,
    /// Its size, in bytes.
    pub bytes: usize,
    /// The limit, in bytes.
    pub max: usize,
}

/// Refuses `bytes` above `max`.
pub(crate) fn check(what: &'static str, bytes: usize, max: usize) -> Result<(), LimitExceeded> {
    if bytes > max { Err(LimitExceeded { what, bytes, max }) } else { Ok(()) }
}
