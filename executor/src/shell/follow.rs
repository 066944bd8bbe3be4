//! A partition that this executor follows without owning it: it folds the log, watches the owner,
//! and takes over when it is its turn.
//!
//! Whose turn it is depends on why nobody owns the partition. After a resignation the assignee goes
//! first, then the standbys; from an owner that does not answer the standbys take over, and the
//! assignee where they do not. An owner that answers is only ever asked to hand over.
//!
//! **Invariants:** nobody takes over who has not caught up with the log. Nothing is done here of
//! what records want done. Who was deposed deposes nobody until it is newly assigned, or the new
//! owner is silent; then it waits, longer each time.

use std::time::Duration;

use everlog_cluster::{Holding, StandingAnswer, StandingQuestion};
use everlog_log_client::{Logged, Reader, Topic};
use everlog_log_schema::{Command, Epoch, LogOffset};
use tokio::time::Instant;

use super::error::Interruption;
use super::fold::{Fold, Step};
use super::hints::Part;
use super::pings::Pings;
use super::standby::{self, Reign};
use super::{Role, Shell};
use crate::desk::Standing;
use crate::metrics;

/// How many records an executor may be behind the owner that it asks to hand over.
pub(super) const HAND_OVER_LAG_MAX: u64 = 1_000;
/// How long one that was deposed waits before it takes over from a silent owner. Doubles each time.
const DEPOSED_WAIT_MIN: Duration = Duration::from_secs(1);
/// The longest such wait.
const DEPOSED_WAIT_MAX: Duration = Duration::from_mins(5);
/// How long after it was deposed the new owner must answer for that wait to begin anew.
const CALM_AFTER: Duration = Duration::from_mins(1);

/// How following ends.
pub(super) enum Followed {
    /// The executor is neither a standby nor the assignee any more.
    Left,
    /// It reigns.
    Reigns(Reign),
}

/// Follows a partition, until it is owned or not to be followed any more.
pub(super) async fn follow(shell: &mut Shell, fold: &mut Fold) -> Result<Followed, Interruption> {
    let (reader, ready_at) = standby::open_log(shell, fold).await?;
    let pings = pings_of(shell, fold);
    metrics::PARTITIONS_FOLLOWED.inc();
    let mut follower = Follower {
        shell,
        fold,
        reader,
        pings,
        ready_at,
        owner_at: None,
        vacancy: None,
        end: None,
        _counted: Counted,
    };
    follower.tell();
    follower.run().await
}

/// Why nobody owns the partition, as far as can be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    NeverOwned,
    /// An announcement of this executor reigns that it has given up, or that came late.
    OwnTerm,
    /// The owner was an executor at this one's address, which is thus gone.
    FormerSelf,
    Resigned,
    /// The term is closed, and it was not seen how.
    Closed,
    /// The owner does not answer.
    Silent,
}

impl Why {
    fn text(self) -> &'static str {
        match self {
            Self::NeverOwned => "nobody has owned the partition before",
            Self::OwnTerm => "its own last term has ended early",
            Self::FormerSelf => "its former self owned the partition",
            Self::Resigned => "the owner has resigned",
            Self::Closed => "the last term is closed",
            Self::Silent => "the owner does not answer",
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Vacancy {
    why: Why,
    since: Instant,
    /// From 1 to 2: so that executors which see the same do not act at the same time.
    jitter: f64,
}

struct Follower<'s> {
    shell: &'s mut Shell,
    fold: &'s mut Fold,
    reader: Box<dyn Reader>,
    pings: Pings,
    /// Where the log ended at the beginning: before that is reached, nothing here is news.
    ready_at: LogOffset,
    /// How far the owner had come when it last answered.
    owner_at: Option<LogOffset>,
    vacancy: Option<Vacancy>,
    /// Where the log ended after the partition became vacant.
    end: Option<LogOffset>,
    _counted: Counted,
}

impl Follower<'_> {
    async fn run(&mut self) -> Result<Followed, Interruption> {
        loop {
            self.shell.notice_assignment();
            let part = self.shell.hints.part(&self.fold.row().address);
            if !part.follows() {
                return Ok(Followed::Left);
            }
            self.shell.changes_role(Role::Follower, follows_why(&part));
            let turn = self.turn(&part);
            let waits = turn.is_some_and(|(at, _)| at > Instant::now());
            if let Some((_, why)) = turn
                && !waits
                && self.has_caught_up().await?
            {
                let Self { shell, fold, reader, .. } = self;
                if let Some(reign) = standby::announce(shell, fold, &mut **reader).await? {
                    self.shell.changes_role(Role::Owner(reign.epoch), why.text());
                    return Ok(Followed::Reigns(reign));
                }
                self.begin_anew();
                continue;
            }
            let question = self.question(&part);
            let watches = self.is_ready() && self.fold.row().epoch != Epoch(0);
            tokio::select! {
                read = self.reader.next() => self.apply(&read?)?,
                answer = self.pings.next(question), if watches => self.on_answer(answer),
                () = sleep_until(turn.map(|(at, _)| at)), if waits => {}
                () = self.shell.hints.changed() => {}
            }
        }
    }

    fn is_ready(&self) -> bool {
        self.fold.row().next_log >= self.ready_at
    }

    fn apply(&mut self, batch: &[Logged]) -> Result<(), Interruption> {
        let steps = Step::decode_all(batch)?;
        self.fold.apply(&steps)?;
        let row = self.fold.row();
        let of_reign = || steps.iter().filter(|step| step.record.term == row.term);
        if row.closed && of_reign().any(|step| step.record.commands.contains(&Command::Resign)) {
            self.shell.resigned = Some(row.term);
        }
        // For one that was deposed it counts as a sign of life: the log shows that it would do
        // more harm than good.
        if self.shell.deposed.is_some() && of_reign().next().is_some() {
            self.pings.heard_otherwise();
        }
        if row.epoch == self.pings.epoch() {
            self.tell();
        } else {
            self.begin_anew();
        }
        Ok(())
    }

    /// Begins to watch whoever owns the partition now.
    fn begin_anew(&mut self) {
        self.pings = pings_of(self.shell, self.fold);
        self.owner_at = None;
        self.vacancy = None;
        self.tell();
    }

    /// Tells callers and the cluster how this executor stands.
    fn tell(&self) {
        let Shell { desk, held, partition, .. } = &*self.shell;
        let row = self.fold.row();
        let standing = if row.epoch == Epoch(0) {
            "nobody owns the partition yet".to_owned()
        } else {
            format!("the executor at {} owns the partition", row.address)
        };
        desk.close(Standing::Standby(standing));
        desk.followed(row.next_log);
        held.set(*partition, Some(Holding::Standby { next_log: row.next_log }));
    }

    fn on_answer(&mut self, answer: Option<StandingAnswer>) {
        let Some(answer) = answer else { return };
        self.owner_at = Some(answer.next_log);
        if let Some(deposed) = &mut self.shell.deposed
            && deposed.at.elapsed() > CALM_AFTER
        {
            deposed.times = 0;
        }
    }

    /// What the owner is asked: to hand over, where this executor is to own the partition and needs
    /// little to catch up.
    fn question(&self, part: &Part) -> StandingQuestion {
        let caught_up = self.fold.row().next_log;
        let near =
            |owner_at: LogOffset| owner_at.0.saturating_sub(caught_up.0) <= HAND_OVER_LAG_MAX;
        if self.may_claim(part) && self.owner_at.is_some_and(near) {
            return StandingQuestion::HandOver { caught_up };
        }
        StandingQuestion::Ping
    }

    /// Whether it is to own the partition, whoever owns it now.
    fn may_claim(&self, part: &Part) -> bool {
        part.assigned && self.shell.deposed.is_none()
    }

    /// When, if at all, it is this executor's turn to take over, and why.
    fn turn(&mut self, part: &Part) -> Option<(Instant, Why)> {
        let why = self.vacant(part);
        if self.vacancy.map(|vacancy| vacancy.why) != why {
            let jitter = 1.0 + rand::random::<f64>();
            self.vacancy = why.map(|why| Vacancy { why, since: Instant::now(), jitter });
            self.end = None;
        }
        let vacancy = self.vacancy?;
        let wait = self.wait(&vacancy, part)?;
        Some((vacancy.since + wait, vacancy.why))
    }

    fn vacant(&self, part: &Part) -> Option<Why> {
        let (shell, row) = (&*self.shell, self.fold.row());
        if !self.is_ready() {
            None
        } else if row.epoch == Epoch(0) {
            Some(Why::NeverOwned)
        } else if row.closed && shell.resigned == Some(row.term) {
            Some(Why::Resigned)
        } else if shell.instance.announced(row.term) {
            Some(Why::OwnTerm)
        } else if row.address == shell.address && shell.deposed.is_none() {
            Some(Why::FormerSelf)
        } else if row.closed && self.may_claim(part) {
            Some(Why::Closed)
        } else {
            self.pings.is_silent().then_some(Why::Silent)
        }
    }

    /// How long it leaves a vacancy to others; nothing where it is never its turn.
    fn wait(&self, vacancy: &Vacancy, part: &Part) -> Option<Duration> {
        let limits = &self.shell.limits;
        let stagger = limits.ping_interval * limits.pings_missed_max;
        let by_rank = |rank: Option<u32>| stagger * rank.unwrap_or(2);
        match vacancy.why {
            Why::NeverOwned => part.assigned.then_some(Duration::ZERO),
            Why::OwnTerm | Why::FormerSelf | Why::Closed => Some(Duration::ZERO),
            Why::Resigned if self.shell.handed_over == Some(self.fold.row().term) => {
                Some(limits.standby_wait)
            }
            Why::Resigned if self.may_claim(part) => Some(Duration::ZERO),
            Why::Resigned if part.heir_follows => Some(stagger * 2 + by_rank(part.rank)),
            Why::Resigned if part.others_stand_by => {
                Some(limits.ping_interval + by_rank(part.rank))
            }
            Why::Resigned => Some(by_rank(part.rank.or(Some(0)))),
            Why::Silent => {
                let others = match part.rank {
                    Some(rank) => stagger * rank,
                    None if part.others_stand_by => limits.standby_wait,
                    None => Duration::ZERO,
                };
                Some(others + self.deposed_wait(vacancy.jitter))
            }
        }
    }

    fn deposed_wait(&self, jitter: f64) -> Duration {
        let times = self.shell.deposed.as_ref().map_or(0, |deposed| deposed.times);
        let Some(doublings) = times.checked_sub(1) else { return Duration::ZERO };
        let wait = DEPOSED_WAIT_MIN * 2_u32.saturating_pow(doublings.min(16));
        wait.min(DEPOSED_WAIT_MAX).mul_f64(jitter)
    }

    /// Whether all is applied that the log held after the partition became vacant.
    async fn has_caught_up(&mut self) -> Result<bool, Interruption> {
        let end = if let Some(end) = self.end {
            end
        } else {
            let stream = self.shell.stream(Topic::Log);
            LogOffset(self.shell.log.bounds(stream).await?.end)
        };
        self.end = Some(end);
        Ok(self.fold.row().next_log >= end)
    }
}

fn follows_why(part: &Part) -> &'static str {
    if part.assigned { "it is asked to own the partition" } else { "it is chosen to stand by" }
}

fn pings_of(shell: &Shell, fold: &Fold) -> Pings {
    let owner = (fold.row().address.clone(), fold.row().epoch);
    Pings::new(shell.hints.cluster.clone(), shell.partition, &shell.limits, owner)
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Counts a partition that is followed, however that ends.
struct Counted;

impl Drop for Counted {
    fn drop(&mut self) {
        metrics::PARTITIONS_FOLLOWED.dec();
    }
}
