//! The state that an attempt begins with, so that the function need not ask for it.
//!
//! **Invariant:** what is read is bounded, whatever an object holds. Where it may have more than
//! was read, the function is told so.

use bytes::Bytes;
use everlog_log_schema::Target;
use everlog_log_schema::metadata::EagerState;
use everlog_partition::{Tables, TablesError, reads};

use crate::invoker::EagerStateMap;
use crate::metrics;

/// Reads as much of the target's state as `wanted` and fits into `bytes_max`; none where the target
/// has no state.
pub(super) fn read_state(
    tables: &impl Tables,
    target: &Target,
    wanted: &EagerState,
    bytes_max: u64,
) -> Result<Option<EagerStateMap>, TablesError> {
    let Some(key) = &target.key else { return Ok(None) };
    let service = &target.service;
    let mut read = Read { entries: Vec::new(), bytes: 0, bytes_max };
    let complete = match wanted {
        EagerState::All => {
            let mut last = None;
            loop {
                match reads::next_state(tables, service, key, last.as_ref())? {
                    None => break true,
                    Some((name, value)) => {
                        last = Some(name.clone());
                        if !read.take(name, value) {
                            break false;
                        }
                    }
                }
            }
        }
        EagerState::Nothing => false,
        EagerState::Only(names) => {
            for name in names {
                let name = Bytes::copy_from_slice(name.as_bytes());
                if let Some(value) = reads::state(tables, service, key, &name)?
                    && !read.take(name, value)
                {
                    break;
                }
            }
            false
        }
    };
    metrics::STATE_BYTES_READ.inc_by(read.bytes);
    Ok(Some(EagerStateMap { entries: read.entries, partial: !complete }))
}

struct Read {
    entries: Vec<(Bytes, Bytes)>,
    bytes: u64,
    bytes_max: u64,
}

impl Read {
    /// Takes one key, if there is room for it.
    fn take(&mut self, name: Bytes, value: Bytes) -> bool {
        let bytes = self.bytes + (name.len() + value.len()) as u64;
        let fits = bytes <= self.bytes_max;
        if fits {
            self.bytes = bytes;
            self.entries.push((name, value));
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use everlog_log_schema::{Row, RowKey};
    use everlog_partition::MemoryTables;

    use super::*;

    /// An object `S/k` with state of so many bytes: names have one, values the rest.
    fn object(sizes: &[(&'static str, usize)]) -> MemoryTables {
        let mut tables = MemoryTables::default();
        for key in ["k", "l"] {
            for (name, bytes) in sizes {
                let name = Bytes::from_static(name.as_bytes());
                let row = Row::State(vec![0; bytes - 1].into());
                let key = RowKey::State { service: "S".into(), key: key.into(), name };
                tables.put(key, row);
            }
        }
        tables
    }

    fn read(tables: &MemoryTables, wanted: &EagerState, bytes_max: u64) -> (Vec<String>, bool) {
        let target = Target { service: "S".into(), key: Some("k".into()), handler: "h".into() };
        let state = read_state(tables, &target, wanted, bytes_max).unwrap().unwrap();
        let name = |(name, _): &(Bytes, Bytes)| String::from_utf8(name.to_vec()).unwrap();
        (state.entries.iter().map(name).collect(), state.partial)
    }

    #[test]
    fn all_that_fits_is_read_and_the_function_told_if_that_is_not_all() {
        let tables = object(&[("a", 10), ("b", 10), ("c", 10)]);
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let all = EagerState::All;
        assert_eq!(read(&tables, &all, 30), (names(&["a", "b", "c"]), false));
        assert_eq!(read(&tables, &all, 29), (names(&["a", "b"]), true));
        assert_eq!(read(&tables, &all, 9), (names(&[]), true));
        assert_eq!(read(&MemoryTables::default(), &all, 0), (names(&[]), false));
        assert_eq!(read(&tables, &EagerState::Nothing, 30), (names(&[]), true));
        let only = EagerState::Only(names(&["c", "missing", "a"]));
        assert_eq!(read(&tables, &only, 30), (names(&["c", "a"]), true));
        assert_eq!(read(&tables, &only, 19), (names(&["c"]), true));
    }

    #[test]
    fn a_function_without_object_key_has_no_state() {
        let target = Target { service: "S".into(), key: None, handler: "h".into() };
        let tables = MemoryTables::default();
        assert_eq!(read_state(&tables, &target, &EagerState::All, 9).unwrap(), None);
    }
}
