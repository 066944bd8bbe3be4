//! Stands for the outside world: whoever asks for a side effect is written down, once per asking.
//!
//! A durable function promises that a step's *result* is recorded once. Whether the step itself ran
//! twice can only be seen from outside, and this is the outside. Each effect gets a token that no
//! other effect gets, so that a recorded result names the one run that made it.
//! Invariant: an effect is in memory and in the file before its answer leaves.

mod effects;
mod rules;
mod server;

pub use effects::{Effect, EffectLog, EffectLogError, EffectRequest, Repeat, Summary};
pub use rules::{Rule, Verdict};
pub use server::{Asked, Counter, router};

/// Most effects that are kept, so that a forgotten loop cannot fill the memory.
pub const EFFECTS_MAX: usize = 5_000_000;
/// Longest name of an invocation, a step or a subject, in bytes.
pub const NAME_BYTES_MAX: usize = 256;
/// Most rules in force at once.
pub const RULES_MAX: usize = 1_000;
/// Longest delay that a rule may ask for, in milliseconds.
pub const DELAY_MS_MAX: u64 = 600_000;
