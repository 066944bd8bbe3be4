//! What the end-to-end tests share: functions written with the official Rust SDK that note every
//! side effect they have, programs that serve the same functions in each language, and a reader of
//! the log that Everlog left behind.

mod effects;
mod functions;
mod hostile;
mod journals;
mod languages;
pub mod program;
mod world;

pub use effects::{Effects, Killed};
pub use functions::{Functions, Woken};
pub use hostile::{Behaviour, Hostile};
pub use journals::{Journals, read_journals};
pub use languages::{Language, Program, installed, node};
pub use program::{millis_now, next_hash};
pub use world::{Mode, World};
