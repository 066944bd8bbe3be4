//! The transition function.

use everlog_log_schema::{Level, LogOffset, Record};

use crate::{Action, ApplyError, Tables};

/// The highest level that this program can apply.
pub const SUPPORTED_LEVEL: Level = Level(1);

/// A record with its place in the log.
#[derive(Debug, Clone, Copy)]
pub struct Logged<'a> {
    /// Where it stands.
    pub offset: LogOffset,
    /// XXH3-64 of its bytes.
    pub hash: u64,
    /// What it says.
    pub record: &'a Record,
}

/// Whether a record counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acceptance {
    /// It took effect.
    Accepted,
    /// It had no effect but to be passed.
    Ignored(Ignored),
}

/// Why a record had no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ignored {
    /// Its epoch or term does not reign.
    NotReigning,
    /// Its `seq` was seen before.
    Duplicate,
    /// Its `seq` leaves a gap, which closes its term.
    Gap,
    /// Its term is closed.
    Closed,
}

/// Applies one record to `tables` and pushes what must happen next onto `actions`.
pub fn apply(
    _tables: &mut impl Tables,
    _logged: Logged<'_>,
    _actions: &mut Vec<Action>,
) -> Result<Acceptance, ApplyError> {
    unreachable!("apply is being written")
}
