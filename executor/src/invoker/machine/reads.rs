//! What an attempt asks of its state without leaving a trace in the journal.
//!
//! **Invariant:** one question at a time is out, and the next only once the answer is on its way to
//! the function: one that asks and does not listen holds one value in memory, not all.

use std::collections::VecDeque;

use crate::invoker::StateRead;
use crate::invoker::error::Failure;

/// How many such questions of an attempt may wait for their answers.
pub(crate) const STATE_READS_MAX: usize = 1_000;

/// The questions that are not answered.
#[derive(Debug, Default)]
pub(super) struct Reads {
    waiting: VecDeque<StateRead>,
    /// Whether one of them is out.
    is_asking: bool,
}

impl Reads {
    /// Takes in a question.
    pub(super) fn push(&mut self, read: StateRead) -> Result<(), Failure> {
        if self.waiting.len() + usize::from(self.is_asking) >= STATE_READS_MAX {
            return Err(Failure::Violation(format!(
                "it asked for more than {STATE_READS_MAX} values of its state at once"
            )));
        }
        self.waiting.push_back(read);
        Ok(())
    }

    /// Takes out the question that is to be asked now.
    pub(super) fn next(&mut self) -> Option<StateRead> {
        if self.is_asking {
            return None;
        }
        let read = self.waiting.pop_front();
        self.is_asking = read.is_some();
        read
    }

    /// Notes that the answer is on its way.
    pub(super) fn answered(&mut self) {
        self.is_asking = false;
    }

    /// Whether the function waits for no answer.
    pub(super) fn is_empty(&self) -> bool {
        !self.is_asking && self.waiting.is_empty()
    }
}
