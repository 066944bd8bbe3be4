//! Why an attempt fails, in words that a user can act on.
//!
//! Every sentence begins with a code of the error catalogue, such as `[RT0010]`, and names what
//! failed. All of these are failures of one attempt: the invocation's retry policy decides what
//! follows.

use std::time::Duration;

use everlog_log_schema::limits::JOURNAL_COMMANDS_MAX;
use everlog_log_schema::metadata::PROTOCOL_VERSIONS;
use everlog_log_schema::{AttemptError, Millis};

use super::frame::FRAME_BYTES_MAX;
use super::messages::pb::ErrorMessage;
use super::messages::{CommandPlace, FUTURE_BYTES_MAX, FUTURE_DEPTH_MAX};
use super::{AttemptEventKind, Reaction};

/// The longest sentence of an [`AttemptError`], in bytes. It is kept in the invocation's row.
const MESSAGE_BYTES_MAX: usize = 4 << 10;
/// The longest command name of an [`AttemptError`], in bytes.
const COMMAND_NAME_BYTES_MAX: usize = 256;
/// The longest delay that a function or its endpoint may ask for, in milliseconds: a year.
const RETRY_AFTER_MAX: u64 = 365 * 24 * 3_600_000;

/// The service protocol's code of a function that took other steps than recorded.
const JOURNAL_MISMATCH: u32 = 570;
/// The service protocol's code of a broken protocol.
const PROTOCOL_VIOLATION: u32 = 571;
/// The service protocol's code of a feature that the other side does not have.
const UNSUPPORTED_FEATURE: u32 = 573;

/// Why an attempt fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("[RT0001] the function neither suspended nor ended within {} ms of being asked to", .0.as_millis())]
    AbortTimeout(Duration),
    #[error(
        "[RT0003] the function sent a message of {0} bytes; the limit is {FRAME_BYTES_MAX} bytes"
    )]
    FrameTooLarge(u32),
    #[error("[RT0003] the journal would exceed {JOURNAL_COMMANDS_MAX} commands")]
    JournalTooLong,
    #[error("[RT0006] the invoker was told something it cannot pass on: {0}")]
    Internal(String),
    #[error("{} {}", function_code(.0.code), .0.message)]
    Function(ErrorMessage),
    #[error("[RT0012] the function broke the service protocol: {0}")]
    Violation(String),
    #[error("[RT0017] the function's {command} is refused: {reason}")]
    Precondition { command: CommandPlace, reason: String },
    #[error("[RT0018] the function's {command} reaches nobody: {reason}")]
    UnknownTarget { command: CommandPlace, reason: String },
    #[error(
        "[RT0003] what the function waits for takes {0} bytes; the limit is {FUTURE_BYTES_MAX} bytes"
    )]
    FutureTooLarge(usize),
    #[error(
        "[RT0025] the function waits for futures that nest deeper than {FUTURE_DEPTH_MAX}; the \
         invocation is paused, as the next attempt would do the same"
    )]
    FutureTooDeep,
    #[error(
        "[RT0013] protocol version {0} was asked for; Everlog speaks {first} to {last}",
        first = PROTOCOL_VERSIONS.start(),
        last = PROTOCOL_VERSIONS.end()
    )]
    UnsupportedVersion(u32),
    #[error("[RT0006] deployment {deployment} cannot be used: {reason}")]
    UnusableDeployment { deployment: String, reason: String },
    #[error("[RT0010] failed to {doing} deployment {deployment}: {reason}")]
    Network { doing: &'static str, deployment: String, reason: String },
    #[error("{} deployment {deployment} answered {status}{}", status_code(*.status), quoted(.body))]
    Status { deployment: String, status: u16, body: String, retry_after: Option<Millis> },
    #[error(
        "[RT0012] deployment {deployment} answered with content type {found:?} instead of {expected:?}"
    )]
    ContentType { deployment: String, expected: String, found: String },
}

impl Failure {
    /// Makes the event that ends the attempt.
    pub(crate) fn into_event(self) -> AttemptEventKind {
        let mut message = self.to_string();
        truncate(&mut message, MESSAGE_BYTES_MAX);
        let code = self.code();
        let mut command = CommandNamed::default();
        let mut retry_after = None;
        let (mut delay_by_function, mut reaction) = (false, Reaction::ByPolicy);
        match self {
            Self::Function(error) => {
                reaction = reaction_to(error.behavior);
                // Where nothing is tried again, there is nothing to wait for.
                retry_after = error.next_retry_delay.map(Millis);
                retry_after = retry_after.filter(|_| reaction == Reaction::ByPolicy);
                delay_by_function = retry_after.is_some();
                command = CommandNamed {
                    index: error.related_command_index,
                    name: error.related_command_name,
                    kind: error.related_command_type.and_then(|kind| u16::try_from(kind).ok()),
                };
            }
            Self::Precondition { command: at, .. } | Self::UnknownTarget { command: at, .. } => {
                command =
                    CommandNamed { index: Some(at.index), name: at.name, kind: Some(at.kind) };
            }
            Self::Status { retry_after: asked, .. } => retry_after = asked,
            Self::FutureTooDeep => reaction = Reaction::Pause,
            Self::AbortTimeout(_)
            | Self::FrameTooLarge(_)
            | Self::FutureTooLarge(_)
            | Self::JournalTooLong
            | Self::Internal(_)
            | Self::Violation(_)
            | Self::UnsupportedVersion(_)
            | Self::UnusableDeployment { .. }
            | Self::Network { .. }
            | Self::ContentType { .. } => {}
        }
        let CommandNamed { index, mut name, kind } = command;
        if let Some(name) = &mut name {
            truncate(name, COMMAND_NAME_BYTES_MAX);
        }
        let error = AttemptError {
            code,
            message,
            command_index: index,
            command_name: name,
            command_kind: kind,
            delay_by_function,
        };
        let retry_after = retry_after.map(|delay| Millis(delay.0.min(RETRY_AFTER_MAX)));
        AttemptEventKind::Failed { error, retry_after, reaction }
    }

    fn code(&self) -> u32 {
        match self {
            Self::Function(error) => error.code,
            Self::Violation(_) | Self::ContentType { .. } => PROTOCOL_VIOLATION,
            Self::UnsupportedVersion(_) | Self::UnusableDeployment { .. } => UNSUPPORTED_FEATURE,
            Self::Precondition { .. } => 400,
            Self::UnknownTarget { .. } => 404,
            Self::FrameTooLarge(_)
            | Self::JournalTooLong
            | Self::FutureTooLarge(_)
            | Self::FutureTooDeep => 413,
            Self::Internal(_) => 500,
            Self::Network { .. } => 502,
            Self::AbortTimeout(_) => 504,
            Self::Status { status, .. } => u32::from(*status),
        }
    }
}

/// The command that an error is about, as far as it is known.
#[derive(Debug, Default)]
struct CommandNamed {
    index: Option<u32>,
    name: Option<String>,
    kind: Option<u16>,
}

/// Reads what a function wants to follow its failure. What has no meaning is left to the policy.
fn reaction_to(behavior: u32) -> Reaction {
    match behavior {
        1 => Reaction::Pause,
        2 => Reaction::Fail,
        _ => Reaction::ByPolicy,
    }
}

fn function_code(code: u32) -> &'static str {
    match code {
        JOURNAL_MISMATCH => "[RT0016]",
        PROTOCOL_VIOLATION => "[RT0012]",
        _ => "[RT0007]",
    }
}

fn status_code(status: u16) -> &'static str {
    match status {
        413 => "[RT0019]",
        415 => "[RT0015]",
        429 | 503 => "[RT0023]",
        502 | 504 => "[RT0010]",
        _ => "[RT0012]",
    }
}

fn quoted(body: &str) -> String {
    if body.is_empty() { String::new() } else { format!(": {body}") }
}

/// Cuts `text` to at most `bytes_max`, between characters.
fn truncate(text: &mut String, bytes_max: usize) {
    text.truncate(text.floor_char_boundary(bytes_max));
}
