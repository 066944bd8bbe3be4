//! An owner of all partitions: it folds the inboxes in memory and answers by the handler's name.
//! `fail` fails, `hang` waits to be released, and all others return the body they were given. What
//! a test says of an invocation, its journal or an object's state is believed.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use everlog_log_client::{EventLog, Stream, Topic};
use everlog_log_schema::owner_api::{
    Answer, BoxFuture, InvocationPage, InvocationQuery, OwnerApi, OwnerError, Progress, RowPage,
    RowRange, StatePage, Verdict,
};
use everlog_log_schema::{
    Entry, Envelope, Failure, FutureTree, Header, InboxOffset, Incarnation, InvocationId,
    InvocationRow, Invoke, JournalRow, Message, Millis, Order, OrderAction, Outcome, PartitionId,
    RequestId, Restart, Signal, SignalId, Status, codec, partition_of,
};
use tokio::sync::watch;

use super::PARTITIONS;
use super::stored::{completed, row_of};

/// When outcomes with an idempotency key are forgotten.
pub const EXPIRES_AT: Millis = Millis(1_795_000_000_123);
/// The invocations that one question looks at.
const LOOKED_AT: usize = 3;
/// The entries of a journal, or of a state, that one question is answered with.
const ENTRIES: usize = 2;

/// What the owner knows.
#[derive(Default)]
struct State {
    /// The messages that created an invocation.
    lives: BTreeMap<InvocationId, Envelope>,
    /// All invocations, those a test made up too.
    rows: BTreeMap<InvocationId, InvocationRow>,
    journals: BTreeMap<InvocationId, Vec<JournalRow>>,
    awaiting_on: BTreeMap<InvocationId, FutureTree>,
    states: BTreeMap<(String, String), BTreeMap<Bytes, Bytes>>,
    signals: Vec<Signal>,
    orders: Vec<Order>,
    /// All messages, repeats too.
    messages: usize,
    /// The next offset of each inbox.
    next: BTreeMap<PartitionId, u64>,
    /// Whether the waiting ones may end.
    released: bool,
    /// How many questions find no owner.
    unavailable: usize,
    /// Whether all partitions have stopped.
    stopped: bool,
    /// The one that lists nothing since it has stopped, if one has.
    stopped_one: Option<PartitionId>,
    /// Whether nobody tells what became of a message.
    hidden: bool,
}

pub struct TestOwner {
    log: Arc<dyn EventLog>,
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

impl TestOwner {
    pub fn start(log: &Arc<dyn EventLog>) -> Arc<Self> {
        let owner = Arc::new(Self {
            log: Arc::clone(log),
            state: Mutex::new(State::default()),
            changed: watch::Sender::new(()),
        });
        for partition in (0..PARTITIONS).map(PartitionId) {
            let stream = Stream { topic: Topic::Invocations, partition };
            let mut reader = log.reader(stream, 0).unwrap();
            let owner = Arc::clone(&owner);
            tokio::spawn(async move {
                while let Ok(batch) = reader.next().await {
                    for logged in batch {
                        let envelope = codec::decode_message(&logged.payload).unwrap();
                        owner.change(|state| state.take_in(partition, logged.offset, envelope));
                    }
                }
            });
        }
        owner
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let outcome = change(&mut self.state.lock().unwrap());
        self.changed.send_replace(());
        outcome
    }

    /// Lets the waiting ones end.
    pub fn release(&self) {
        self.change(|state| state.released = true);
    }

    /// Has the next questions find no owner.
    pub fn go_away_for(&self, questions: usize) {
        self.change(|state| state.unavailable = questions);
    }

    /// Stops all partitions, or mends them.
    pub fn stop(&self, stopped: bool) {
        self.change(|state| state.stopped = stopped);
    }

    /// Has one partition list nothing since it has stopped.
    pub fn stop_listing(&self, partition: PartitionId) {
        self.change(|state| state.stopped_one = Some(partition));
    }

    /// Has nobody tell what became of a message.
    pub fn hide_effects(&self, hidden: bool) {
        self.change(|state| state.hidden = hidden);
    }

    /// Has an invocation be there, or be so.
    pub fn put(&self, id: InvocationId, row: InvocationRow) {
        self.change(|state| state.rows.insert(id, row));
    }

    /// Has an invocation's code say that it waits for this.
    pub fn put_awaiting_on(&self, id: InvocationId, tree: FutureTree) {
        self.change(|state| state.awaiting_on.insert(id, tree));
    }

    /// Has an invocation have this journal.
    pub fn put_journal(&self, id: InvocationId, journal: Vec<JournalRow>) {
        self.change(|state| state.journals.insert(id, journal));
    }

    /// Has an object have this state.
    pub fn put_state(&self, service: &str, key: &str, entries: &[(&'static [u8], &'static [u8])]) {
        let entries = entries.iter();
        let entries = entries.map(|&(k, v)| (Bytes::from_static(k), Bytes::from_static(v)));
        let entries = entries.collect();
        self.change(|state| state.states.insert((service.into(), key.into()), entries));
    }

    pub fn row(&self, id: InvocationId) -> Option<InvocationRow> {
        self.state.lock().unwrap().row(id)
    }

    pub fn messages(&self) -> usize {
        self.state.lock().unwrap().messages
    }

    pub fn signals(&self) -> Vec<Signal> {
        self.state.lock().unwrap().signals.clone()
    }

    pub fn orders(&self) -> Vec<Order> {
        self.state.lock().unwrap().orders.clone()
    }

    pub fn envelopes(&self) -> Vec<Envelope> {
        self.state.lock().unwrap().lives.values().cloned().collect()
    }

    /// The only call there was.
    pub fn only_invoke(&self) -> Invoke {
        let mut envelopes = self.envelopes();
        assert_eq!(envelopes.len(), 1);
        let Message::Invoke(invoke) = envelopes.remove(0).message else { unreachable!() };
        *invoke
    }

    /// Waits until as many messages have come.
    pub async fn wait_for_messages(&self, count: usize) {
        let mut changed = self.changed.subscribe();
        while self.messages() < count {
            changed.changed().await.unwrap();
        }
    }

    fn unavailable(&self) -> Result<(), OwnerError> {
        let mut state = self.state.lock().unwrap();
        if state.stopped {
            return Err(OwnerError::Stopped("its log went back".into()));
        }
        if state.unavailable == 0 {
            return Ok(());
        }
        state.unavailable -= 1;
        Err(OwnerError::Unavailable("it moved".into()))
    }

    /// Answers with what is there once the message at `after` is taken in, or all that is there now.
    async fn once<T>(
        &self,
        id: InvocationId,
        after: Option<InboxOffset>,
        answer: impl Fn(&State) -> Option<T>,
    ) -> Result<T, OwnerError> {
        self.unavailable()?;
        let partition = partition_of(id.partition_key, PARTITIONS);
        let stream = Stream { topic: Topic::Invocations, partition };
        let last = self.log.bounds(stream).await.unwrap().end.checked_sub(1).map(InboxOffset);
        let mut changed = self.changed.subscribe();
        loop {
            {
                let state = self.state.lock().unwrap();
                if let Some(answer) = answer(&state) {
                    return Ok(answer);
                }
                let taken_in = after.or(last).is_none_or(|after| state.taken_in(id, after));
                if taken_in && !state.rows.contains_key(&id) {
                    return Err(OwnerError::NotFound);
                }
            }
            changed.changed().await.unwrap();
        }
    }
}

fn killed() -> Outcome {
    Outcome::Failure(Failure { code: 409, message: "killed".into(), metadata: vec![] })
}

impl State {
    fn take_in(&mut self, partition: PartitionId, offset: u64, envelope: Envelope) {
        let id = match &envelope.message {
            Message::Invoke(invoke) => invoke.id,
            Message::Signal(signal) => signal.target,
            Message::Order(order) => order.target,
            Message::Restart(restart) => restart.target,
            Message::ResumeOn(resume) => resume.target,
            other @ (Message::Attach(_) | Message::Complete(_)) => panic!("{other:?}"),
        };
        assert_eq!(partition_of(id.partition_key, PARTITIONS), partition);
        self.next.insert(partition, offset + 1);
        self.messages += 1;
        match &envelope.message {
            Message::Invoke(invoke) => {
                self.rows.entry(id).or_insert_with(|| row_of(invoke, offset));
                self.lives.entry(id).or_insert(envelope);
            }
            Message::Signal(signal) => {
                self.signals.push((**signal).clone());
                if signal.signal == SignalId::CANCEL {
                    self.cancel(id);
                }
            }
            Message::Order(order) => {
                self.orders.push(*order);
                self.obey(*order);
            }
            Message::Restart(restart) => self.restart(restart, offset),
            Message::ResumeOn(resume) => {
                if let Some(row) = self.rows.get_mut(&id)
                    && row.pin.is_some()
                    && matches!(row.status, Status::Paused | Status::Suspended(_))
                {
                    row.pin = Some(resume.pin.clone());
                    row.status = Status::Running;
                }
            }
            Message::Attach(_) | Message::Complete(_) => {}
        }
    }

    /// Creates what begins like a completed invocation, whose journal is believed to be as needed.
    fn restart(&mut self, restart: &Restart, offset: u64) {
        let Some(old) = self.row(restart.target) else { return };
        if matches!(old.status, Status::Completed { .. }) {
            let row = InvocationRow {
                incarnation: Incarnation(offset),
                request_id: restart.request_id,
                restarted_from: Some(restart.target),
                status: Status::Running,
                pin: restart.pin.clone(),
                ..old
            };
            self.rows.entry(restart.id).or_insert(row);
        }
    }

    fn cancel(&mut self, id: InvocationId) {
        if let Some(row) = self.rows.get_mut(&id)
            && matches!(row.status, Status::Scheduled { .. } | Status::Pending { .. })
        {
            row.status = completed();
        }
    }

    fn obey(&mut self, order: Order) {
        let id = order.target;
        let Some(status) = self.row(id).map(|row| row.status) else { return };
        let next = match (order.action, &status) {
            (OrderAction::Kill, _) => completed(),
            (OrderAction::Pause, Status::Running | Status::Suspended(_)) => Status::Paused,
            (OrderAction::Resume, Status::Paused | Status::Suspended(_)) => Status::Running,
            (OrderAction::PurgeJournal, Status::Completed { .. }) => {
                if let Some(row) = self.rows.get_mut(&id) {
                    (row.entries, row.commands) = (1, 1);
                }
                return;
            }
            (OrderAction::Purge, Status::Completed { .. }) => {
                self.rows.remove(&id);
                self.lives.remove(&id);
                return;
            }
            _ => return,
        };
        if let Some(row) = self.rows.get_mut(&id) {
            row.status = next;
        }
    }

    fn row(&self, id: InvocationId) -> Option<InvocationRow> {
        let mut row = self.rows.get(&id)?.clone();
        if row.status == Status::Running && self.answer(id).is_some() {
            row.status = completed();
        }
        Some(row)
    }

    fn invoke(&self, id: InvocationId) -> Option<&Invoke> {
        let message = &self.lives.get(&id)?.message;
        if let Message::Invoke(invoke) = message { Some(invoke) } else { None }
    }

    fn answer(&self, id: InvocationId) -> Option<Answer> {
        let row = self.rows.get(&id)?;
        let target = row.target.clone();
        let expires_at = row.idempotency_key.as_ref().map(|_| EXPIRES_AT);
        let ended = matches!(row.status, Status::Completed { .. });
        let outcome = match (self.journals.get(&id).and_then(|journal| journal.last()), ended) {
            (Some(JournalRow { entry: Entry::Output { outcome, .. }, .. }), true) => {
                outcome.clone()
            }
            (_, true) => killed(),
            (_, false) => self.outcome(self.invoke(id)?)?,
        };
        Some(Answer { target, outcome, expires_at })
    }

    fn outcome(&self, invoke: &Invoke) -> Option<Outcome> {
        match invoke.target.handler.as_str() {
            "hang" if !self.released => None,
            "fail" => Some(Outcome::Failure(Failure {
                code: 418,
                message: "no coffee".into(),
                metadata: vec![Header { key: "pot".into(), value: "tea".into() }],
            })),
            _ => Some(Outcome::Success(invoke.body.clone())),
        }
    }

    fn taken_in(&self, id: InvocationId, after: InboxOffset) -> bool {
        let partition = partition_of(id.partition_key, PARTITIONS);
        self.next.get(&partition).is_some_and(|&next| next > after.0)
    }

    fn page(&self, partition: PartitionId, query: &InvocationQuery) -> InvocationPage {
        let from = query.after.map_or(Bound::Unbounded, Bound::Excluded);
        let of_partition =
            |id: &InvocationId| partition_of(id.partition_key, PARTITIONS) == partition;
        let mut page = InvocationPage::default();
        let ids = self.rows.range((from, Bound::Unbounded)).map(|(id, _)| *id);
        for (looked_at, id) in ids.filter(of_partition).enumerate() {
            if looked_at == LOOKED_AT || page.found.len() == query.limit {
                return page;
            }
            page.next = Some(id);
            page.found.extend(self.row(id).filter(|row| query.matches(row)).map(|row| (id, row)));
        }
        page.next = None;
        page
    }
}

impl OwnerApi for TestOwner {
    fn attach(
        &self,
        id: InvocationId,
        after: Option<InboxOffset>,
    ) -> BoxFuture<'_, Result<Answer, OwnerError>> {
        Box::pin(self.once(id, after, move |state| state.answer(id)))
    }

    fn output(&self, id: InvocationId) -> BoxFuture<'_, Result<Progress, OwnerError>> {
        Box::pin(async move {
            self.unavailable()?;
            let state = self.state.lock().unwrap();
            let row = state.row(id).ok_or(OwnerError::NotFound)?;
            Ok(match state.answer(id) {
                Some(answer) => Progress::Completed(answer),
                None => Progress::Unfinished { status: row.status, last_error: row.last_error },
            })
        })
    }

    fn verdict(
        &self,
        id: InvocationId,
        request: RequestId,
        after: InboxOffset,
    ) -> BoxFuture<'_, Result<Verdict, OwnerError>> {
        Box::pin(self.once(id, Some(after), move |state| {
            let row = state.taken_in(id, after).then(|| state.row(id)).flatten()?;
            Some(if row.request_id == request {
                Verdict::Accepted
            } else {
                Verdict::PreviouslyAccepted
            })
        }))
    }

    fn invocation(
        &self,
        id: InvocationId,
        after: Option<InboxOffset>,
    ) -> BoxFuture<'_, Result<InvocationRow, OwnerError>> {
        if after.is_some() && self.state.lock().unwrap().hidden {
            return Box::pin(async { Err(OwnerError::Unavailable("it moved".into())) });
        }
        Box::pin(self.once(id, after, move |state| {
            let taken_in = after.is_none_or(|after| state.taken_in(id, after));
            taken_in.then(|| state.row(id)).flatten()
        }))
    }

    fn awaiting_on(
        &self,
        id: InvocationId,
    ) -> BoxFuture<'_, Result<Option<FutureTree>, OwnerError>> {
        let tree = self.state.lock().unwrap().awaiting_on.get(&id).cloned();
        Box::pin(async { Ok(tree) })
    }

    fn invocations(
        &self,
        partition: PartitionId,
        query: InvocationQuery,
    ) -> BoxFuture<'_, Result<InvocationPage, OwnerError>> {
        Box::pin(async move {
            self.unavailable()?;
            let state = self.state.lock().unwrap();
            if state.stopped_one == Some(partition) {
                return Err(OwnerError::Stopped("its log went back".into()));
            }
            Ok(state.page(partition, &query))
        })
    }

    fn journal(
        &self,
        id: InvocationId,
        from: u32,
    ) -> BoxFuture<'_, Result<Vec<JournalRow>, OwnerError>> {
        Box::pin(async move {
            self.unavailable()?;
            let state = self.state.lock().unwrap();
            let journal = state.journals.get(&id).ok_or(OwnerError::NotFound)?;
            Ok(journal.iter().skip(from as usize).take(ENTRIES).cloned().collect())
        })
    }

    fn state(
        &self,
        service: String,
        key: String,
        after: Option<Bytes>,
    ) -> BoxFuture<'_, Result<StatePage, OwnerError>> {
        Box::pin(async move {
            self.unavailable()?;
            let state = self.state.lock().unwrap();
            let entries = state.states.get(&(service, key)).cloned().unwrap_or_default();
            let from = after.map_or(Bound::Unbounded, Bound::Excluded);
            let mut rest = entries.range((from, Bound::Unbounded));
            let page: Vec<_> =
                rest.by_ref().take(ENTRIES).map(|(k, v)| (k.clone(), v.clone())).collect();
            let next = rest.next().and(page.last()).map(|(key, _)| key.clone());
            Ok(StatePage { entries: page, next })
        })
    }

    fn rows(&self, _: PartitionId, _: Vec<RowRange>) -> BoxFuture<'_, Result<RowPage, OwnerError>> {
        // The gateway itself never asks for rows.
        Box::pin(async { Err(OwnerError::Unavailable("there are no tables here".into())) })
    }
}
