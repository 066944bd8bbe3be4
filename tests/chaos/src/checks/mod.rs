//! What must hold of a history: one property a file, each a fold over what callers, the outside world
//! and the log saw. None of them knows how the run was made.
//!
//! A time-out is *unknown*: such a call may have run or not, but not twice.

mod answers;
mod awakeables;
mod calls;
mod effects;
mod order;
mod state;
mod story;
#[cfg(test)]
mod tests;
mod timers;

use everlog_simulation::properties::Violation;

use crate::history::Line;
pub use effects::Repeats;
pub use story::Story;

/// What the checks found.
#[derive(Debug)]
pub struct Report {
    /// All that must not have happened.
    pub violations: Vec<Violation>,
    /// How often the outside world was acted on again.
    pub repeats: Repeats,
    /// What was checked, in numbers, one line each.
    pub figures: Vec<String>,
}

/// Judges a history. `partitions` is the number of partitions of the run.
pub fn check(lines: &[Line], partitions: u32) -> Report {
    let mut violations = Vec::new();
    let story = Story::tell(lines, &mut violations);
    answers::check(&story, &mut violations);
    state::check(&story, &mut violations);
    order::check(&story, &mut violations);
    calls::check(&story, &mut violations);
    timers::check(&story, &mut violations);
    awakeables::check(&story, &mut violations);
    let repeats = effects::check(&story, partitions, &mut violations);
    let figures = story.figures();
    Report { violations, repeats, figures }
}

/// Adds a violation unless a condition holds.
macro_rules! demand {
    ($found:expr, $property:expr, $condition:expr, $($text:tt)+) => {
        if !$condition {
            $found.push(everlog_simulation::properties::Violation::new($property, format!($($text)+)));
        }
    };
}
use demand;
