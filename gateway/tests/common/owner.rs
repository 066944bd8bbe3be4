//! An owner of all partitions: it folds the inboxes in memory and answers by the handler's name.
//! `fail` fails, `hang` waits to be released, and all others return the body they were given.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use everlog_log_client::{EventLog, Stream, Topic};
use everlog_log_schema::owner_api::{Answer, BoxFuture, OwnerApi, OwnerError, Progress, Verdict};
use everlog_log_schema::{
    Envelope, Failure, Header, InboxOffset, InvocationId, Invoke, Message, Outcome, PartitionId,
    RequestId, Status, codec, partition_of,
};
use tokio::sync::watch;

use super::PARTITIONS;

/// What the owner knows.
#[derive(Default)]
struct State {
    /// The messages that created an invocation.
    lives: BTreeMap<InvocationId, Envelope>,
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
}

pub struct TestOwner {
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

impl TestOwner {
    pub fn start(log: &Arc<dyn EventLog>) -> Arc<Self> {
        let owner =
            Arc::new(Self { state: Mutex::new(State::default()), changed: watch::Sender::new(()) });
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

    pub fn messages(&self) -> usize {
        self.state.lock().unwrap().messages
    }

    pub fn envelopes(&self) -> Vec<Envelope> {
        self.state.lock().unwrap().lives.values().cloned().collect()
    }

    /// The only call there was.
    pub fn only_invoke(&self) -> Invoke {
        let mut envelopes = self.envelopes();
        assert_eq!(envelopes.len(), 1);
        let Message::Invoke(invoke) = envelopes.remove(0).message;
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
}

impl State {
    fn take_in(&mut self, partition: PartitionId, offset: u64, envelope: Envelope) {
        let Message::Invoke(invoke) = &envelope.message;
        assert_eq!(partition_of(invoke.id.partition_key, PARTITIONS), partition);
        self.next.insert(partition, offset + 1);
        self.messages += 1;
        self.lives.entry(invoke.id).or_insert(envelope);
    }

    fn invoke(&self, id: InvocationId) -> Option<&Invoke> {
        let Message::Invoke(invoke) = &self.lives.get(&id)?.message;
        Some(invoke)
    }

    fn answer(&self, id: InvocationId) -> Option<Answer> {
        let invoke = self.invoke(id)?;
        let outcome = match invoke.target.handler.as_str() {
            "hang" if !self.released => return None,
            "fail" => Outcome::Failure(Failure {
                code: 418,
                message: "no coffee".into(),
                metadata: vec![Header { key: "pot".into(), value: "tea".into() }],
            }),
            _ => Outcome::Success(invoke.body.clone()),
        };
        Some(Answer { target: invoke.target.clone(), outcome })
    }

    fn taken_in(&self, id: InvocationId, after: InboxOffset) -> bool {
        let partition = partition_of(id.partition_key, PARTITIONS);
        self.next.get(&partition).is_some_and(|&next| next > after.0)
    }
}

impl OwnerApi for TestOwner {
    fn attach(
        &self,
        id: InvocationId,
        after: Option<InboxOffset>,
    ) -> BoxFuture<'_, Result<Answer, OwnerError>> {
        Box::pin(async move {
            self.unavailable()?;
            let mut changed = self.changed.subscribe();
            loop {
                {
                    let state = self.state.lock().unwrap();
                    if let Some(answer) = state.answer(id) {
                        return Ok(answer);
                    }
                    let taken_in = after.is_none_or(|after| state.taken_in(id, after));
                    if taken_in && state.invoke(id).is_none() {
                        return Err(OwnerError::NotFound);
                    }
                }
                changed.changed().await.unwrap();
            }
        })
    }

    fn output(&self, id: InvocationId) -> BoxFuture<'_, Result<Progress, OwnerError>> {
        Box::pin(async move {
            self.unavailable()?;
            let state = self.state.lock().unwrap();
            state.invoke(id).ok_or(OwnerError::NotFound)?;
            Ok(match state.answer(id) {
                Some(answer) => Progress::Completed(answer),
                None => Progress::Unfinished { status: Status::Running, last_error: None },
            })
        })
    }

    fn verdict(
        &self,
        id: InvocationId,
        request: RequestId,
        after: InboxOffset,
    ) -> BoxFuture<'_, Result<Verdict, OwnerError>> {
        Box::pin(async move {
            self.unavailable()?;
            let mut changed = self.changed.subscribe();
            loop {
                {
                    let state = self.state.lock().unwrap();
                    if state.taken_in(id, after) {
                        let invoke = state.invoke(id).ok_or(OwnerError::NotFound)?;
                        return Ok(if invoke.request_id == request {
                            Verdict::Accepted
                        } else {
                            Verdict::PreviouslyAccepted
                        });
                    }
                }
                changed.changed().await.unwrap();
            }
        })
    }
}
