//! Why a record could not be applied. The partition stops; skipping would lose data.

use everlog_log_schema::{Level, LogOffset};

use crate::TablesError;

/// A record that this program cannot apply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// The log went back to a record that was applied before.
    #[error("log went back to offset {got}, but all below {next} is applied")]
    Rewound {
        /// The next offset wanted.
        next: LogOffset,
        /// The offset that arrived.
        got: LogOffset,
    },
    /// The term follows rules that this program does not know.
    #[error("record at offset {offset} needs level {level}, but this program supports {supported}")]
    LevelTooHigh {
        /// Where.
        offset: LogOffset,
        /// What it needs.
        level: Level,
        /// What there is.
        supported: Level,
    },
    /// The tables could not be read.
    #[error(transparent)]
    Tables(#[from] TablesError),
}
