//! How many files the process may have open.
//!
//! Connections and the database share that number, and a database that may open no more files
//! stops. So the number is raised as far as the system allows, and connections get only a part.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What the databases, the functions' connections and the rest may need, in files.
const RESERVED: usize = 512;
/// Each of the two ports accepts at least so many connections.
const CONNECTIONS_MIN: usize = 64;

/// Raises the limit as far as the system allows, and gives the files there may be.
pub(crate) fn raise_limit() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: maximum, maximum };
    let allowed = if setrlimit(Resource::Nofile, raised).is_ok() { maximum } else { current };
    // No limit is as good as a very high one.
    allowed.and_then(|files| usize::try_from(files).ok()).unwrap_or(usize::MAX)
}

/// How many connections each port may have where there may be so many files: `wanted` at most.
pub(crate) fn connections_of(files: usize, wanted: usize) -> usize {
    (files.saturating_sub(RESERVED) / 2).clamp(CONNECTIONS_MIN, wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_the_database() {
        for (files, connections) in [(256, 64), (1_024, 256), (4_096, 1_792), (usize::MAX, 8_192)] {
            assert_eq!(connections_of(files, 8_192), connections, "{files}");
        }
    }
}
