//! Ports to listen on.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::net::TcpListener;
use std::sync::{Mutex, PoisonError};

/// Outside the range that the system gives to clients: a port must still be free when a broker that
/// was killed starts again.
const FIRST: u64 = 10_000;
const COUNT: u64 = 20_000;

/// Gives a port of the loopback address that nobody listens on now, each only once.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let random = RandomState::new().hash_one(std::process::id());
        let port = u16::try_from(FIRST + random % COUNT).expect("it is below 30,000");
        let free = TcpListener::bind(("127.0.0.1", port)).is_ok();
        if free && GIVEN.lock().unwrap_or_else(PoisonError::into_inner).insert(port) {
            return port;
        }
    }
}
