//! Replay equality: the rows of every replica are those of a straight replay of the log.

use everlog_partition::{Logged, MemoryTables, apply};

use super::{Judged, Violation, demand};
use crate::log::Stored;

const NAME: &str = "replay equality";

/// Compares replicas that have reached the end of a log with its replay from offset 0.
pub fn check<'a>(
    replicas: impl Iterator<Item = (usize, &'a MemoryTables)>,
    log: &[Stored],
) -> Judged {
    let mut replayed = MemoryTables::default();
    let mut actions = Vec::new();
    for stored in log {
        actions.clear();
        let (offset, hash, record) = (stored.offset, stored.hash, stored.record.as_ref());
        let applied = apply(&mut replayed, Logged { offset, hash, record }, &mut actions);
        applied.map_err(|error| Violation::new(NAME, error.to_string()))?;
    }
    for (replica, tables) in replicas {
        let differs = tables.rows().zip(replayed.rows()).find(|(live, straight)| live != straight);
        let (live, straight) = (tables.rows().count(), replayed.rows().count());
        demand!(
            NAME,
            differs.is_none() && live == straight,
            "replica {replica} holds {live} rows, a replay {straight}; they differ in {differs:?}"
        );
    }
    Ok(())
}
