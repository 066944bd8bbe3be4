//! A partition that this executor owns.
//!
//! One loop takes what is ready — messages, steps of attempts, due timers — and puts it before the
//! log; what the log acknowledges is applied and committed, and what follows from it is done.
//!
//! **Invariant:** a record counts once every offset from the announcement to it is applied. Where
//! offsets leave a gap, somebody else may have written: the gap is read first.

mod barrier;
mod clock_check;
mod leaving;

use std::sync::Arc;
use std::time::Duration;

use everlog_log_client::{LogError, Topic};
use everlog_log_schema::{
    Command, InboxOffset, InvocationId, LogOffset, Millis, Timer, TimerFired,
};
use everlog_partition::{Action, Ignored, reads};
use tokio::sync::watch;
use tokio::time::Instant;

use self::barrier::Barriers;
use self::clock_check::ClockCheck;
use self::leaving::Leaving;
use super::Shell;
use super::attempts::{Attempts, EVENTS_MAX, Sized};
use super::begin::Reader;
use super::checkpoint::Checkpoints;
use super::error::{Interruption, StopReason};
use super::fold::{Fold, Step};
use super::history::History;
use super::intake::Intake;
use super::outbox::{Outbox, Sender};
use super::proposals::Proposals;
use super::purges::Purges;
use super::standby::Reign;
use crate::clock::{Clock, system_now};
use crate::invoker::{AttemptEvent, EventReceiver, Notice};
use crate::metrics;
use crate::owner_api::answer_of;
use crate::store::Position;
use crate::timers::Timers;

/// How often the owner looks whether somebody else has written to its log.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// The longest time that a sleep for a timer takes: the system's clock may be set meanwhile.
const TIMER_SLEEP_MAX: Duration = Duration::from_secs(1);

/// The owner of a partition, for one term.
pub(super) struct Owner<'s> {
    shell: &'s mut Shell,
    fold: Fold,
    proposals: Proposals,
    intake: Intake,
    attempts: Attempts,
    events: EventReceiver,
    timers: Timers,
    purges: Purges,
    outbox: Outbox,
    clock: Clock,
    history: History,
    checkpoints: Checkpoints,
    wanted: watch::Receiver<Option<LogOffset>>,
    leaving: Option<Leaving>,
    barriers: Barriers,
    clock_check: ClockCheck,
    look_at: Instant,
}

impl<'s> Owner<'s> {
    /// Begins a term: with the inbox where the tables end, no attempts, and no timers in memory.
    pub(super) async fn begin(
        shell: &'s mut Shell,
        fold: Fold,
        reign: Reign,
    ) -> Result<Self, Interruption> {
        let row = fold.row();
        let ((), oldest) =
            tokio::try_join!(check_inbox(shell, row.next_inbox), oldest_in_log(shell))?;
        let intake = Intake::open(
            shell.log.clone(),
            shell.partition,
            row.next_inbox,
            shell.metadata.clone(),
        )?;
        let (attempts, events) = Attempts::new(
            reign.epoch,
            shell.invoker.clone(),
            shell.metadata.clone(),
            shell.limits.clone(),
            shell.places.clone(),
            Arc::clone(shell.desk.awaiting()),
            Reader::new(shell.store.clone(), shell.partition),
        );
        let sender = Sender { partition: shell.partition, level: row.level };
        let outbox = Outbox::open(shell.log.clone(), sender, shell.partitions, &fold.tables())?;
        let limits = &shell.limits;
        let timers_max = limits.timers_in_memory_max;
        let history_bytes = limits.history_bytes_max / u64::from(shell.partitions);
        let history = History::new(limits.history_age_max, history_bytes, row.next_log, oldest);
        let proposals = Proposals::behind_announcement(reign.appender, reign.epoch, reign.term);
        let clock = Clock::not_before(row.now);
        let checkpoints = Checkpoints::begin(
            shell.log.clone(),
            shell.store.clone(),
            shell.partition,
            limits,
            row.next_log,
        );
        let clock_check = ClockCheck::new(shell.partition, reign.clock_off);
        shell.flushed.mark_unchanged();
        let (wanted, barriers) = (shell.desk.wanted(), Barriers::new(&shell.desk));
        let owner = Self {
            shell,
            fold,
            proposals,
            intake,
            attempts,
            events,
            timers: Timers::of_calls(timers_max),
            purges: Purges::new(),
            outbox,
            clock,
            history,
            checkpoints,
            wanted,
            leaving: None,
            barriers,
            clock_check,
            look_at: Instant::now(),
        };
        owner.report();
        Ok(owner)
    }

    /// Serves until the term ends; well only where this executor has ended it itself.
    pub(super) async fn serve(&mut self) -> Result<(), Interruption> {
        loop {
            let now = self.clock.now();
            self.outbox.send(&self.fold.tables())?;
            self.tell_arrived(self.proposals.has_waiting());
            self.put_barrier();
            self.proposals.propose(now)?;
            if self.may_resign() {
                return self.resign().await;
            }
            let room = self.proposals.has_room();
            let serving = self.leaving.is_none() && !self.checkpoints.are_behind();
            let searches = room && self.attempts.searches();
            let timers_at = self.timers_at();
            let in_time = room && self.clock_check.is_right();
            let queue_may_have_room = self.proposals.queue_may_have_room();
            tokio::select! {
                steps = self.proposals.acknowledged() => self.settle(&steps?).await?,
                Some(event) = self.events.recv(), if room => self.on_events(event)?,
                taken = self.intake.next(), if room && serving => {
                    self.push(taken?);
                }
                () = sleep_until(timers_at), if in_time => self.on_timers()?,
                news = self.attempts.news() => {
                    let failed = self.attempts.on_news(&self.fold.tables(), news, now)?;
                    self.push(failed);
                }
                () = std::future::ready(()), if searches => {
                    let failed = self.attempts.search(&self.fold.tables(), now)?;
                    self.push(failed);
                }
                () = self.outbox.changed() => {}
                command = self.checkpoints.next() => self.proposals.push(command, 0),
                flushed = self.shell.flushed.changed() => {
                    flushed.map_err(|_| Interruption::Retry("the executor has stopped".into()))?;
                    self.on_flushed();
                }
                ordered = self.shell.orders.changed() => {
                    ordered.map_err(|_| Interruption::Retry("the executor has stopped".into()))?;
                    self.on_order();
                }
                Ok(()) = self.wanted.changed() => self.on_wanted(),
                Ok(()) = self.barriers.asked.changed(), if self.barriers.may_begin() => {}
                () = tokio::time::sleep_until(self.look_at) => self.look().await?,
                () = queue_may_have_room => {}
            }
        }
    }

    /// Ends all that the term had going.
    pub(super) fn end(&mut self) {
        self.attempts.abort();
    }

    /// Applies acknowledged records, in order, and does what follows from them.
    async fn settle(&mut self, steps: &[Step]) -> Result<(), Interruption> {
        let mut rest = steps;
        while let Some(first) = rest.first() {
            if first.offset > self.fold.row().next_log {
                self.read_gap(first.offset).await?;
            }
            let contiguous = rest
                .iter()
                .zip(first.offset.0..)
                .take_while(|(step, expected)| step.offset.0 == *expected)
                .count();
            let (run, behind) = rest.split_at(contiguous);
            self.settle_run(run)?;
            rest = behind;
        }
        Ok(())
    }

    fn settle_run(&mut self, steps: &[Step]) -> Result<(), Interruption> {
        let folded = self.fold.apply(steps)?;
        match folded.ignored {
            Some((_, Ignored::NotReigning)) => {
                return Err(self.shell.outreigned_by(self.fold.row().term));
            }
            Some((offset, why)) => {
                return Err(Interruption::Retry(format!("record {offset} did not count: {why:?}")));
            }
            None => {}
        }
        let tables = self.fold.tables();
        for step in steps {
            self.history.count(step.bytes);
            self.clock_check.note(step);
            for command in &step.record.commands {
                self.attempts.settle(&tables, command)?;
            }
            self.checkpoints.settle(step);
        }
        drop(tables);
        self.pass_barrier();
        self.shell.progressed = true;
        for action in folded.actions {
            self.act(action)?;
        }
        self.report();
        Ok(())
    }

    /// Reads what lies between the last record applied and `end`. It is not ours.
    async fn read_gap(&mut self, end: LogOffset) -> Result<(), Interruption> {
        let from = self.fold.row().next_log;
        let mut reader = self.shell.log.reader(self.shell.stream(Topic::Log), from.0)?;
        let mut reached = from;
        while reached < end {
            let batch = reader.next().await?;
            let foreign = batch.iter().filter(|logged| LogOffset(logged.offset) < end);
            let steps = foreign.map(Step::decode).collect::<Result<Vec<_>, _>>()?;
            self.fold.apply(&steps)?;
            // Offsets may leave gaps: the first record at `end` or above ends the search too.
            reached = batch.last().map_or(reached, |last| LogOffset(last.offset + 1));
        }
        self.check_reign()
    }

    fn check_reign(&self) -> Result<(), Interruption> {
        let row = self.fold.row();
        if !self.proposals.is_of(row.epoch, row.term) {
            return Err(self.shell.outreigned_by(row.term));
        }
        if row.closed {
            return Err(Interruption::Retry("the term was closed by a gap".into()));
        }
        Ok(())
    }

    /// Looks what others have written: to the inbox, where purges are due, and to the log, which an
    /// owner that has nothing to append would not learn otherwise.
    async fn look(&mut self) -> Result<(), Interruption> {
        self.look_at = Instant::now() + LOOK_INTERVAL;
        self.check_clock().await;
        let now = system_now();
        if self.purges.wait_for_horizon(now)
            && let Some(end) = end_of(self.shell, Topic::Invocations).await?
        {
            self.purges.set_horizon(now, InboxOffset(end));
        }
        if self.proposals.is_empty()
            && let Some(end) = end_of(self.shell, Topic::Log).await?
            && LogOffset(end) > self.fold.row().next_log
        {
            self.read_gap(LogOffset(end)).await?;
            self.report();
        }
        Ok(())
    }

    fn act(&mut self, action: Action) -> Result<(), Interruption> {
        match action {
            Action::Start(id, attempt) => {
                let now = self.clock.now();
                let failed = self.attempts.start(&self.fold.tables(), id, attempt, now)?;
                self.push(failed);
            }
            Action::Notify { invocation, attempt, index, entry } => {
                self.attempts.notify(invocation, attempt, Notice { index, entry });
            }
            Action::Stop(id) => self.attempts.stop(id),
            Action::ArmTimer(timer) => {
                self.timers.arm(timer);
                self.purges.arm(timer);
            }
            Action::Send { to, seq, row } => self.outbox.push(to, seq, row),
            Action::Answer(id) => self.answer(id),
            Action::Trim { log, inbox } => {
                let below = self.history.checkpoint(log, self.clock.now());
                self.trim(Topic::Invocations, inbox.0);
                if let Some(below) = below {
                    self.trim(Topic::Log, below.0);
                }
            }
        }
        Ok(())
    }

    fn answer(&self, id: InvocationId) {
        self.shell.desk.answer(id, || match reads::outcome_of(&self.fold.tables(), id) {
            Ok(found) => found.map(|(row, outcome)| answer_of(row, outcome)),
            Err(error) => {
                tracing::error!(invocation = ?id, %error, "failed to read an answer");
                None
            }
        });
    }

    /// Trims in the background: nothing waits for it, and the next one makes up for a failed one.
    fn trim(&self, topic: Topic, below: u64) {
        let (log, stream) = (self.shell.log.clone(), self.shell.stream(topic));
        tokio::spawn(async move {
            if let Err(error) = log.trim(stream, below).await {
                tracing::warn!(?stream, below, %error, "failed to trim");
            }
        });
    }

    /// Takes what attempts have said, as far as there is room for it: events may be large. And no more
    /// than may wait at once, as what they ask is answered here, and they could ask again for ever.
    fn on_events(&mut self, first: AttemptEvent) -> Result<(), Interruption> {
        let now = self.clock.now();
        let (mut next, mut more) = (Some(first), EVENTS_MAX);
        while let Some(event) = next {
            let commands = self.attempts.on_event(&self.fold.tables(), event, now)?;
            self.push(commands);
            more -= 1;
            let is_room = more > 0 && self.proposals.has_room();
            next = if is_room { self.events.try_recv() } else { None };
        }
        Ok(())
    }

    /// When the next timer may fire.
    fn timers_at(&self) -> Millis {
        if self.purges.may_fire(self.fold.row().next_inbox) {
            return Millis(0);
        }
        self.timers.wake_at()
    }

    fn on_timers(&mut self) -> Result<(), Interruption> {
        let tables = self.fold.tables();
        // The system's clock, not the record's: a timer must not fire before it is due.
        let mut due: Vec<Timer> = self.timers.take_due(&tables, system_now())?;
        due.extend(self.purges.take_due(&tables, self.fold.row().next_inbox)?);
        metrics::TIMERS_FIRED.inc_by(due.len() as u64);
        for timer in due {
            self.proposals.push(Command::TimerFired(TimerFired { timer }), 0);
        }
        Ok(())
    }

    fn on_flushed(&mut self) {
        let flushed = self.shell.flushed.borrow_and_update().get(&self.shell.partition).copied();
        if let Some(command) = flushed.and_then(|at| self.checkpoints.on_flushed(at)) {
            self.proposals.push(command, 0);
        }
    }

    /// Puts before the log which messages have arrived.
    fn tell_arrived(&mut self, writes_anyway: bool) {
        for arrived in self.outbox.arrived(writes_anyway) {
            self.proposals.push(Command::OutboxDelivered(arrived), 0);
        }
    }

    fn push(&mut self, commands: impl IntoIterator<Item = Sized>) {
        for (command, bytes) in commands {
            self.proposals.push(command, bytes);
        }
    }

    /// Tells those who wait how far the tables have come.
    fn report(&self) {
        let row = self.fold.row();
        self.shell.desk.advance(Position { log: row.next_log, inbox: row.next_inbox });
    }
}

/// Where a stream ends, or nothing where the log cannot tell now: nothing is lost by looking later.
async fn end_of(shell: &Shell, topic: Topic) -> Result<Option<u64>, Interruption> {
    match shell.log.bounds(shell.stream(topic)).await {
        Ok(bounds) => Ok(Some(bounds.end)),
        Err(LogError::Unavailable(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Checks that the inbox goes on where the tables end, which hold all that the log has.
async fn check_inbox(shell: &Shell, next: InboxOffset) -> Result<(), Interruption> {
    let bounds = shell.log.bounds(shell.stream(Topic::Invocations)).await?;
    let start = InboxOffset(bounds.start);
    if start > next { Err(StopReason::InboxTrimmed { start, next }.into()) } else { Ok(()) }
}

/// When the oldest record of the log was appended. One that is being trimmed is old.
async fn oldest_in_log(shell: &Shell) -> Result<Millis, Interruption> {
    let stream = shell.stream(Topic::Log);
    let start = shell.log.bounds(stream).await?.start;
    let read = match shell.log.reader(stream, start) {
        Ok(mut reader) => reader.next().await,
        Err(error) => Err(error),
    };
    match read {
        Ok(records) => Ok(Millis(records.first().map_or(0, |oldest| oldest.appended_at_ms))),
        Err(LogError::OutOfRange { .. }) => Ok(Millis(0)),
        Err(error) => Err(error.into()),
    }
}

/// Waits until the system's clock shows `at`, or for a while: the clock may be set meanwhile.
async fn sleep_until(at: Millis) {
    let wait = Duration::from_millis(at.0.saturating_sub(system_now().0));
    tokio::time::sleep(wait.min(TIMER_SLEEP_MAX)).await;
}
