//! What the end-to-end tests share: functions written with the official Rust SDK that note every
//! side effect they have, programs that serve the same functions in each language, and a reader of
//! the log that Everlog left behind.

mod caller;
mod effects;
mod functions;
mod hostile;
mod journals;
mod languages;
pub mod program;
mod world;

pub use caller::call_until_answered;
pub use effects::{Effects, Killed};
pub use functions::{Deposit, Functions, Woken};
pub use hostile::{Behaviour, Hostile, RawBehaviour, RawHostile};
pub use journals::{Journals, read_journals, runs_recorded};
pub use languages::{Language, Program, installed, node};
pub use program::{millis_now, next_hash};
pub use world::{Mode, WAIT_MAX, World};
