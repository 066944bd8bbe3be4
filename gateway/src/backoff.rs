//! The pauses between repeats: each twice as long as the one before, up to a limit, and with a
//! random part, so that many who wait for the same thing do not ask at once.

use std::time::Duration;

/// Counts the pauses.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(20);
    const LONGEST: Duration = Duration::from_secs(1);

    /// Starts with the shortest pause.
    pub(crate) fn new() -> Self {
        Self { next: Self::FIRST }
    }

    /// Waits.
    pub(crate) async fn pause(&mut self) {
        let share = rand::random_range(0.5..=1.0);
        tokio::time::sleep(self.next.mul_f64(share)).await;
        self.next = (self.next * 2).min(Self::LONGEST);
    }
}
