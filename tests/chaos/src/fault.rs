//! What can go wrong, and when: a schedule that follows from a seed alone.
//!
//! **Invariant:** the same seed, the same kinds and the same number give the same schedule. The timing of
//! a run is not part of it.

use std::fmt;
use std::time::Duration;

use everlog_simulation::rng::{Rng, mix};

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// An executor is killed with SIGKILL and started again.
    KillExecutor,
    /// An executor is frozen past its session timeout, so that others take over, and goes on.
    FreezeExecutor,
    /// An executor is asked to end, and comes back.
    EndExecutor,
    /// An executor is killed and comes back without its tables.
    LoseTables,
    /// An executor is killed and comes back with an older copy of its tables.
    RollTablesBack,
    /// An executor cannot reach the brokers.
    CutExecutor,
    /// A gateway is killed and started again.
    KillGateway,
    /// A broker is killed and started again.
    KillBroker,
    /// All brokers are ended and started again, one after the other.
    RollBrokers,
    /// The functions are killed and started again.
    KillFunctions,
}

impl Kind {
    /// All kinds that one process on the embedded log can meet: it is executor and gateway.
    pub const OF_DEV: [Self; 6] = [
        Self::KillExecutor,
        Self::FreezeExecutor,
        Self::EndExecutor,
        Self::LoseTables,
        Self::RollTablesBack,
        Self::KillFunctions,
    ];
    /// All kinds.
    pub const OF_CLUSTER: [Self; 10] = [
        Self::KillExecutor,
        Self::FreezeExecutor,
        Self::EndExecutor,
        Self::LoseTables,
        Self::RollTablesBack,
        Self::CutExecutor,
        Self::KillGateway,
        Self::KillBroker,
        Self::RollBrokers,
        Self::KillFunctions,
    ];

    /// How long it may last, in milliseconds, from and below. What must outlast a session lasts longest
    /// after the first round, so that a short run stays short.
    fn lasts(self, session_ms: u64, is_first: bool) -> (u64, u64) {
        match self {
            Self::KillExecutor | Self::KillGateway | Self::KillFunctions => (0, 3_000),
            Self::EndExecutor | Self::LoseTables => (0, 2_000),
            Self::RollTablesBack => (1_000, 4_000),
            Self::FreezeExecutor | Self::CutExecutor if is_first => {
                (session_ms * 4 / 3, session_ms * 2)
            }
            Self::FreezeExecutor | Self::CutExecutor => (session_ms * 4 / 3, session_ms * 5),
            Self::KillBroker => (500, 8_000),
            Self::RollBrokers => (0, 1_000),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::KillExecutor => "executor killed",
            Self::FreezeExecutor => "executor frozen",
            Self::EndExecutor => "executor ended",
            Self::LoseTables => "tables deleted",
            Self::RollTablesBack => "tables rolled back",
            Self::CutExecutor => "executor cut off",
            Self::KillGateway => "gateway killed",
            Self::KillBroker => "broker killed",
            Self::RollBrokers => "brokers rolled",
            Self::KillFunctions => "functions killed",
        })
    }
}

/// One fault to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Its number.
    pub number: usize,
    /// What it is.
    pub kind: Kind,
    /// Which of the processes of that kind, modulo their number.
    pub target: usize,
    /// How long all is well before it.
    pub after: Duration,
    /// How long it lasts.
    pub lasts: Duration,
}

/// All faults of a run, one after the other, without end.
#[derive(Debug)]
pub struct Schedule {
    rng: Rng,
    kinds: &'static [Kind],
    round: Vec<Kind>,
    session_ms: u64,
    number: usize,
}

/// The longest time of peace between two faults, in milliseconds.
const PEACE_MS_MAX: u64 = 4_000;

impl Schedule {
    /// Begins the schedule of a seed. `session` is how long a member may be silent.
    pub fn new(seed: u64, kinds: &'static [Kind], session: Duration) -> Self {
        let session_ms = u64::try_from(session.as_millis()).unwrap_or(u64::MAX);
        Self { rng: Rng::new(seed ^ mix(0xfa17)), kinds, round: Vec::new(), session_ms, number: 0 }
    }
}

impl Iterator for Schedule {
    type Item = Fault;

    /// Each round has every kind once, in a new order: so a run of as many faults as there are kinds has
    /// them all.
    fn next(&mut self) -> Option<Fault> {
        if self.round.is_empty() {
            self.round = self.kinds.to_vec();
        }
        let kind = self.round.swap_remove(self.rng.index(self.round.len()));
        let target = self.rng.index(1 << 16);
        let after = Duration::from_millis(500 + self.rng.below(PEACE_MS_MAX));
        let (from, below) = kind.lasts(self.session_ms, self.number < self.kinds.len());
        let lasts = Duration::from_millis(from + self.rng.below(below - from));
        self.number += 1;
        Some(Fault { number: self.number, kind, target, after, lasts })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn schedule(seed: u64, count: usize) -> Vec<Fault> {
        Schedule::new(seed, &Kind::OF_CLUSTER, Duration::from_secs(6)).take(count).collect()
    }

    #[test]
    fn a_seed_gives_the_same_schedule() {
        assert_eq!(schedule(7, 100), schedule(7, 100));
        assert_ne!(schedule(7, 100), schedule(8, 100));
    }

    #[test]
    fn every_round_has_every_kind() {
        let all = BTreeSet::from(Kind::OF_CLUSTER);
        for round in schedule(3, 50).chunks(all.len()) {
            assert_eq!(round.iter().map(|fault| fault.kind).collect::<BTreeSet<_>>(), all);
        }
    }

    #[test]
    fn a_frozen_executor_is_frozen_past_its_session() {
        let mut frozen = schedule(3, 500);
        frozen.retain(|fault| fault.kind == Kind::FreezeExecutor);
        assert!(frozen.iter().all(|fault| fault.lasts > Duration::from_secs(6)));
        assert!(frozen.iter().any(|fault| fault.lasts > Duration::from_secs(25)));
    }
}
