//! What the end-to-end tests share: functions written with the official Rust SDK that note every
//! side effect they have, and a reader of the log that Everlog left behind.

mod effects;
mod functions;
mod hostile;
mod journals;

pub use effects::{Effects, Killed};
pub use functions::{Functions, Woken, millis_now};
pub use hostile::{Behaviour, Hostile};
pub use journals::{Journals, read_journals};
