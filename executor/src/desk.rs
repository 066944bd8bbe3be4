//! Where callers wait for the answers of one partition.
//!
//! **Invariant:** whoever waits is woken: by the answer, or by the end of the ownership. A caller
//! subscribes before it looks at the tables, so that no answer falls between.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use everlog_cluster::{StandingAnswer, StandingQuestion};
use everlog_log_schema::owner_api::{Answer, OwnerError};
use everlog_log_schema::{Epoch, InboxOffset, InvocationId, LogOffset};
use tokio::sync::watch;

use crate::awaiting::Awaiting;
use crate::metrics;
use crate::store::Position;

/// Whether, and how far, this executor speaks for a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It owns the partition.
    Owner {
        /// All log records below are applied.
        next_log: LogOffset,
        /// All inbox messages below are taken in.
        next_inbox: InboxOffset,
    },
    /// It does not, for now.
    Standby(String),
    /// It has given the partition up until it is started anew.
    Stopped(String),
}

impl Standing {
    /// What a caller is told where the executor does not speak for the partition.
    fn refusal(&self) -> Option<OwnerError> {
        match self {
            Self::Owner { .. } => None,
            Self::Standby(why) => Some(OwnerError::Unavailable(why.clone())),
            Self::Stopped(why) => Some(OwnerError::Stopped(why.clone())),
        }
    }
}

type Waiting = HashMap<InvocationId, watch::Sender<Option<Arc<Answer>>>>;

/// The waiting callers of one partition.
#[derive(Debug)]
pub(crate) struct Desk {
    standing: watch::Sender<Standing>,
    /// What other executors are told.
    told: Mutex<StandingAnswer>,
    /// How many callers have asked for a barrier before their read, and how many of these passed.
    barriers_asked: watch::Sender<u64>,
    barriers_passed: watch::Sender<u64>,
    /// How far the last one had come that wants to own the partition.
    wanted: watch::Sender<Option<LogOffset>>,
    waiting: Mutex<Waiting>,
    awaiting: Arc<Awaiting>,
    waiting_max: usize,
}

impl Desk {
    pub(crate) fn new(waiting_max: usize) -> Self {
        let standing = watch::Sender::new(Standing::Standby("the partition is starting".into()));
        let told = Mutex::new(StandingAnswer { owner: None, next_log: LogOffset(0) });
        let (wanted, waiting) = (watch::Sender::new(None), Mutex::default());
        let (barriers_asked, barriers_passed) = (watch::Sender::new(0), watch::Sender::new(0));
        Self {
            standing,
            told,
            barriers_asked,
            barriers_passed,
            wanted,
            waiting,
            awaiting: Arc::default(),
            waiting_max,
        }
    }

    /// What the attempts of the partition wait for, as they say.
    pub(crate) fn awaiting(&self) -> &Arc<Awaiting> {
        &self.awaiting
    }

    /// Answers another executor.
    pub(crate) fn tell(&self, question: StandingQuestion) -> StandingAnswer {
        if let StandingQuestion::HandOver { caught_up } = question {
            self.wanted.send_replace(Some(caught_up));
        }
        *self.told()
    }

    /// Who wants to own the partition from now on, by how far they have come.
    pub(crate) fn wanted(&self) -> watch::Receiver<Option<LogOffset>> {
        let mut wanted = self.wanted.subscribe();
        wanted.mark_unchanged();
        wanted
    }

    /// Takes note that this executor has announced itself: whoever knows of the announcement must
    /// not think that it was in vain. Closing the desk takes it back.
    pub(crate) fn claim(&self, epoch: Epoch) {
        self.told().owner = Some(epoch);
    }

    /// Takes note of how far the tables have come.
    pub(crate) fn followed(&self, next_log: LogOffset) {
        self.told().next_log = next_log;
    }

    pub(crate) fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// Opens the desk, or tells how far the owner has come since.
    pub(crate) fn advance(&self, position: Position) {
        let Position { log, inbox } = position;
        self.followed(log);
        let before =
            self.standing.send_replace(Standing::Owner { next_log: log, next_inbox: inbox });
        if !matches!(before, Standing::Owner { .. }) {
            metrics::PARTITIONS_OWNED.inc();
        }
    }

    /// Closes the desk. Whoever waits is told. A partition that has stopped stays so.
    pub(crate) fn close(&self, standing: Standing) {
        assert!(!matches!(standing, Standing::Owner { .. }), "a closed desk has no owner");
        self.told().owner = None;
        self.standing.send_if_modified(|before| {
            let stopped = matches!(before, Standing::Stopped(_));
            if !stopped && matches!(std::mem::replace(before, standing), Standing::Owner { .. }) {
                metrics::PARTITIONS_OWNED.dec();
            }
            !stopped
        });
        self.waiting().clear();
    }

    /// Answers all who wait for an invocation.
    pub(crate) fn answer(&self, id: InvocationId, answer: impl FnOnce() -> Option<Answer>) {
        let mut waiting = self.waiting();
        if waiting.contains_key(&id)
            && let Some(answer) = answer()
            && let Some(callers) = waiting.remove(&id)
        {
            callers.send_replace(Some(Arc::new(answer)));
        }
    }

    /// Waits until the owner has come as far as `far_enough` wants.
    pub(crate) async fn reach(
        &self,
        far_enough: impl Fn(LogOffset, InboxOffset) -> bool,
    ) -> Result<(), OwnerError> {
        let mut standing = self.standing.subscribe();
        let reached = standing
            .wait_for(|standing| match standing {
                Standing::Owner { next_log, next_inbox } => far_enough(*next_log, *next_inbox),
                Standing::Standby(_) | Standing::Stopped(_) => true,
            })
            .await
            .map_err(|_| OwnerError::Unavailable("the executor has stopped".into()))?;
        reached.refusal().map_or(Ok(()), Err)
    }

    /// Waits until what the tables hold is current: until a record is accepted that was appended
    /// after now.
    pub(crate) async fn current(&self) -> Result<(), OwnerError> {
        let mut number = 0;
        self.barriers_asked.send_modify(|asked| {
            *asked += 1;
            number = *asked;
        });
        let (mut passed, mut standing) =
            (self.barriers_passed.subscribe(), self.standing.subscribe());
        tokio::select! {
            // A desk that was closed and opened again meanwhile passes it in the next term.
            Ok(_) = passed.wait_for(|passed| *passed >= number) => Ok(()),
            Ok(standing) = standing.wait_for(|standing| standing.refusal().is_some()) => {
                standing.refusal().map_or(Ok(()), Err)
            }
            else => Err(OwnerError::Unavailable("the executor has stopped".into())),
        }
    }

    /// How many have asked for a barrier, as more do.
    pub(crate) fn barriers_asked(&self) -> watch::Receiver<u64> {
        self.barriers_asked.subscribe()
    }

    /// How many of these have passed one.
    pub(crate) fn barriers_passed(&self) -> u64 {
        *self.barriers_passed.borrow()
    }

    /// Lets all pass who asked up to this number.
    pub(crate) fn pass_barriers(&self, number: u64) {
        self.barriers_passed.send_replace(number);
    }

    /// Begins to wait for an invocation. Look at the tables only then.
    pub(crate) fn subscribe(
        self: &Arc<Self>,
        id: InvocationId,
    ) -> Result<Subscription, OwnerError> {
        let mut waiting = self.waiting();
        // Looked at under the lock: a desk that closes from now on finds the subscription.
        if let Some(refusal) = self.standing().refusal() {
            return Err(refusal);
        }
        if !waiting.contains_key(&id) && waiting.len() >= self.waiting_max {
            let max = self.waiting_max;
            return Err(OwnerError::Unavailable(format!("{max} callers wait already")));
        }
        let answer = waiting.entry(id).or_insert_with(|| watch::Sender::new(None)).subscribe();
        metrics::CALLERS_WAITING.inc();
        Ok(Subscription { desk: Arc::clone(self), id, answer: Some(answer) })
    }

    fn told(&self) -> MutexGuard<'_, StandingAnswer> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One caller that waits for an invocation. May be dropped at any time.
#[derive(Debug)]
pub(crate) struct Subscription {
    desk: Arc<Desk>,
    id: InvocationId,
    /// Present until the subscription is dropped.
    answer: Option<watch::Receiver<Option<Arc<Answer>>>>,
}

impl Subscription {
    /// Waits for the answer.
    pub(crate) async fn answered(mut self) -> Result<Answer, OwnerError> {
        let receiver = self.answer.as_mut().expect("present until drop");
        match receiver.wait_for(Option::is_some).await {
            Ok(answer) => {
                let answer = answer.as_ref().expect("waited for");
                Ok(Answer::clone(answer))
            }
            Err(_) => Err(self.desk.standing().refusal().unwrap_or_else(|| {
                OwnerError::Unavailable("the partition changes its owner".into())
            })),
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        metrics::CALLERS_WAITING.dec();
        let mut waiting = self.desk.waiting();
        self.answer = None;
        if waiting.get(&self.id).is_some_and(watch::Sender::is_closed) {
            waiting.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use everlog_log_schema::{Outcome, PartitionKey, Target};

    use super::*;

    const ID: InvocationId = InvocationId { partition_key: PartitionKey(1), uuid: 1 };
    const OTHER: InvocationId = InvocationId { partition_key: PartitionKey(1), uuid: 2 };

    fn open(waiting_max: usize) -> Arc<Desk> {
        let desk = Desk::new(waiting_max);
        desk.advance(Position::default());
        Arc::new(desk)
    }

    fn answer() -> Answer {
        let target = Target { service: "S".into(), key: None, handler: "h".into() };
        Answer { target, outcome: Outcome::Success("x".into()), expires_at: None }
    }

    #[tokio::test]
    async fn all_who_wait_get_the_answer() {
        let desk = open(10);
        let (first, second) = (desk.subscribe(ID).unwrap(), desk.subscribe(ID).unwrap());
        desk.answer(ID, || Some(answer()));
        assert_eq!(first.answered().await, Ok(answer()));
        assert_eq!(second.answered().await, Ok(answer()));
        assert!(desk.waiting().is_empty());
    }

    #[tokio::test]
    async fn a_closing_desk_wakes_all() {
        let desk = open(10);
        let waiting = desk.subscribe(ID).unwrap();
        desk.close(Standing::Standby("gone".into()));
        assert!(matches!(waiting.answered().await, Err(OwnerError::Unavailable(_))));
        let reached = desk.reach(|_, _| false).await;
        assert_eq!(reached, Err(OwnerError::Unavailable("gone".into())));
        assert!(matches!(desk.subscribe(ID), Err(OwnerError::Unavailable(_))));
    }

    #[tokio::test]
    async fn callers_of_a_stopped_partition_are_told_that_it_stays_so() {
        let desk = open(10);
        let waiting = desk.subscribe(ID).unwrap();
        desk.close(Standing::Stopped("broken".into()));
        desk.close(Standing::Standby("the executor has stopped".into()));
        let stopped = Err(OwnerError::Stopped("broken".into()));
        assert_eq!(waiting.answered().await, stopped);
        assert_eq!(desk.reach(|_, _| true).await.map(|()| answer()), stopped);
        assert_eq!(desk.subscribe(ID).map(|_| answer()), stopped);
    }

    #[test]
    fn a_caller_that_leaves_leaves_nothing_behind() {
        let desk = open(10);
        let (first, second) = (desk.subscribe(ID).unwrap(), desk.subscribe(ID).unwrap());
        drop(first);
        assert_eq!(desk.waiting().len(), 1);
        drop(second);
        assert!(desk.waiting().is_empty());
    }

    #[test]
    fn the_invocations_waited_for_are_limited() {
        let desk = open(1);
        let _first = desk.subscribe(ID).unwrap();
        let _same = desk.subscribe(ID).unwrap();
        assert!(matches!(desk.subscribe(OTHER), Err(OwnerError::Unavailable(_))));
    }

    #[test]
    fn other_executors_are_told_of_an_announcement_until_the_desk_closes() {
        let desk = Desk::new(1);
        let told = |owner, next_log| StandingAnswer { owner, next_log: LogOffset(next_log) };
        assert_eq!(desk.tell(StandingQuestion::Ping), told(None, 0));
        desk.followed(LogOffset(7));
        desk.claim(Epoch(2));
        assert_eq!(desk.tell(StandingQuestion::Ping), told(Some(Epoch(2)), 7));
        let wanted = desk.wanted();
        let question = StandingQuestion::HandOver { caught_up: LogOffset(6) };
        assert_eq!(desk.tell(question), told(Some(Epoch(2)), 7));
        assert!(wanted.has_changed().unwrap());
        assert_eq!(*wanted.borrow(), Some(LogOffset(6)));
        // Who begins a term owes nothing to who asked in the last one.
        assert!(!desk.wanted().has_changed().unwrap());
        desk.close(Standing::Standby("gone".into()));
        assert_eq!(desk.tell(StandingQuestion::Ping), told(None, 7));
    }

    #[tokio::test]
    async fn a_current_read_waits_for_its_barrier_or_the_end_of_the_ownership() {
        let desk = open(1);
        let mut asked = desk.barriers_asked();
        let read = |desk: &Arc<Desk>| {
            let desk = Arc::clone(desk);
            tokio::spawn(async move { desk.current().await })
        };
        let (first, second) = (read(&desk), read(&desk));
        asked.wait_for(|asked| *asked == 2).await.unwrap();
        desk.pass_barriers(1);
        let (passed, waits) = match futures_util::future::select(first, second).await {
            futures_util::future::Either::Left((passed, other))
            | futures_util::future::Either::Right((passed, other)) => (passed, other),
        };
        assert_eq!(passed.unwrap(), Ok(()));
        assert!(!waits.is_finished());
        desk.close(Standing::Standby("gone".into()));
        assert_eq!(waits.await.unwrap(), Err(OwnerError::Unavailable("gone".into())));
        assert_eq!(desk.current().await, Err(OwnerError::Unavailable("gone".into())));
    }
}
