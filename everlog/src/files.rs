//! How many files the process may have open.
//!
//! Connections and the database share that number, and a database that may open no more files
//! stops. So the number is raised as far as the system allows, and connections get only a part.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What the databases, the connections that are turned away and the rest may need, in files.
const RESERVED: usize = 640;
/// Each of the two ports accepts at least so many connections.
const CONNECTIONS_MIN: usize = 64;
/// The admin port gets at most this part of the connections.
const ADMIN_PART: usize = 8;

/// How many connections each port may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Connections {
    /// At the ingress.
    pub(crate) ingress: usize,
    /// At the admin port.
    pub(crate) admin: usize,
}

/// Raises the limit as far as the system allows, and gives the files there may be.
pub(crate) fn raise_limit() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: maximum, maximum };
    let allowed = if setrlimit(Resource::Nofile, raised).is_ok() { maximum } else { current };
    // No limit is as good as a very high one.
    allowed.and_then(|files| usize::try_from(files).ok()).unwrap_or(usize::MAX)
}

/// How many connections each port may have where there may be so many files: as many as are wanted
/// at most. Over HTTP/1.1 each of the attempts needs a connection too.
pub(crate) fn connections_of(files: usize, attempts: usize, wanted: Connections) -> Connections {
    let free = files.saturating_sub(RESERVED).saturating_sub(attempts);
    let admin = (free / ADMIN_PART).max(CONNECTIONS_MIN).min(wanted.admin);
    let ingress = free.saturating_sub(admin).max(CONNECTIONS_MIN).min(wanted.ingress);
    Connections { ingress, admin }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_the_database_and_the_attempts() {
        let wanted = Connections { ingress: 21_024, admin: 1_024 };
        for (files, ingress, admin) in [
            (256, 64, 64),
            (1_024, 64, 64),
            (4_096, 1_274, 182),
            (20_000, 16_336, 1_024),
            (24_688, 21_024, 1_024),
            (24_687, 21_023, 1_024),
            (usize::MAX, 21_024, 1_024),
        ] {
            let expected = Connections { ingress, admin };
            assert_eq!(connections_of(files, 2_000, wanted), expected, "{files}");
        }
        let few = Connections { ingress: 10, admin: 10 };
        assert_eq!(connections_of(usize::MAX, 2_000, few), few);
    }
}
