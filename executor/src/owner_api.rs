//! The owner API, answered from memory and tables.
//!
//! **Invariants:** no answer is older than its question, but one that cannot change any more: an owner
//! that was deposed and has not learnt it answers nothing. "Not found" is said only where it is certain:
//! after the caller's own message was taken in, or, where it names none, after all that was in the inbox
//! and the log when it asked.
//! What one question reads is bounded, whatever the tables hold.

use std::sync::Arc;

use bytes::Bytes;
use everlog_log_client::{EventLog, Stream, Topic};
use everlog_log_schema::owner_api::{
    Answer, BoxFuture, InvocationPage, InvocationQuery, OwnerApi, OwnerError, Progress, RowPage,
    RowRange, StatePage, Verdict,
};
use everlog_log_schema::{
    FutureTree, InboxOffset, InvocationId, InvocationRow, JournalRow, LogOffset, Outcome,
    PartitionId, RequestId, partition_key_of, partition_of,
};
use everlog_partition::{TablesError, reads, retained_until};

use crate::desk::Desk;
use crate::pages;
use crate::store::Store;

/// Answers for all partitions of an executor.
pub(crate) struct Owners {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) store: Arc<Store>,
    /// By partition.
    pub(crate) desks: Vec<Arc<Desk>>,
}

impl OwnerApi for Owners {
    fn attach(
        &self,
        id: InvocationId,
        after: Option<InboxOffset>,
    ) -> BoxFuture<'_, Result<Answer, OwnerError>> {
        Box::pin(async move {
            let (partition, desk) = self.desk_of(id)?;
            self.settled(partition, desk, id, after).await?;
            let subscription = desk.subscribe(id)?;
            match self.look(partition, id, after)? {
                Found::Completed(answer) => Ok(answer),
                Found::Live(_) => subscription.answered().await,
                Found::Nothing => self.not_found(partition, desk).await,
            }
        })
    }

    fn output(&self, id: InvocationId) -> BoxFuture<'_, Result<Progress, OwnerError>> {
        Box::pin(async move {
            let (partition, desk) = self.desk_of(id)?;
            self.settled(partition, desk, id, None).await?;
            match self.look(partition, id, None)? {
                Found::Completed(answer) => Ok(Progress::Completed(answer)),
                Found::Live(row) => {
                    Ok(Progress::Unfinished { status: row.status, last_error: row.last_error })
                }
                Found::Nothing => Err(OwnerError::NotFound),
            }
        })
    }

    fn verdict(
        &self,
        id: InvocationId,
        request: RequestId,
        after: InboxOffset,
    ) -> BoxFuture<'_, Result<Verdict, OwnerError>> {
        Box::pin(async move {
            let (partition, desk) = self.desk_of(id)?;
            self.settled(partition, desk, id, Some(after)).await?;
            match self.stored(partition, id)? {
                Some(row) if is_later_life(&row, after) => Err(OwnerError::NotFound),
                Some(row) if row.request_id == request => Ok(Verdict::Accepted),
                Some(_) => Ok(Verdict::PreviouslyAccepted),
                None => self.not_found(partition, desk).await,
            }
        })
    }

    fn invocation(
        &self,
        id: InvocationId,
        after: Option<InboxOffset>,
    ) -> BoxFuture<'_, Result<InvocationRow, OwnerError>> {
        Box::pin(async move {
            let (partition, desk) = self.desk_of(id)?;
            self.settled(partition, desk, id, after).await?;
            if after.is_some() {
                self.current(partition, desk).await?;
            }
            self.row(partition, id)?.ok_or(OwnerError::NotFound)
        })
    }

    fn awaiting_on(
        &self,
        id: InvocationId,
    ) -> BoxFuture<'_, Result<Option<FutureTree>, OwnerError>> {
        // What is not current is not worth a barrier here: it is out of date when it arrives.
        Box::pin(async move { Ok(self.desk_of(id)?.1.awaiting().of(id)) })
    }

    fn invocations(
        &self,
        partition: PartitionId,
        query: InvocationQuery,
    ) -> BoxFuture<'_, Result<InvocationPage, OwnerError>> {
        Box::pin(async move {
            self.current(partition, self.desk(partition)?).await?;
            self.read(move |store| pages::invocations(&store.tables(partition), &query)).await
        })
    }

    fn journal(
        &self,
        id: InvocationId,
        from: u32,
    ) -> BoxFuture<'_, Result<Vec<JournalRow>, OwnerError>> {
        Box::pin(async move {
            let (partition, desk) = self.desk_of(id)?;
            self.settled(partition, desk, id, None).await?;
            let read = self.read(move |store| pages::journal(&store.tables(partition), id, from));
            read.await?.ok_or(OwnerError::NotFound)
        })
    }

    fn state(
        &self,
        service: String,
        key: String,
        after: Option<Bytes>,
    ) -> BoxFuture<'_, Result<StatePage, OwnerError>> {
        Box::pin(async move {
            let partition = partition_of(partition_key_of(&key), self.log.partitions());
            // What is in the inbox has not changed any state yet.
            self.current(partition, self.desk(partition)?).await?;
            let page =
                move |store: &Store| pages::state(&store.tables(partition), &service, &key, after);
            self.read(page).await
        })
    }

    fn rows(
        &self,
        partition: PartitionId,
        ranges: Vec<RowRange>,
    ) -> BoxFuture<'_, Result<RowPage, OwnerError>> {
        Box::pin(async move {
            self.current(partition, self.desk(partition)?).await?;
            self.read(move |store| pages::rows(store, partition, &ranges)).await
        })
    }
}

enum Found {
    Completed(Answer),
    Live(Box<InvocationRow>),
    Nothing,
}

impl Owners {
    fn desk_of(&self, id: InvocationId) -> Result<(PartitionId, &Arc<Desk>), OwnerError> {
        let partition = partition_of(id.partition_key, self.log.partitions());
        Ok((partition, self.desk(partition)?))
    }

    fn desk(&self, partition: PartitionId) -> Result<&Arc<Desk>, OwnerError> {
        let desk = usize::try_from(partition.0).ok().and_then(|index| self.desks.get(index));
        desk.ok_or_else(|| OwnerError::Unavailable("no such partition".into()))
    }

    /// Waits until the tables answer for all that the caller may know of `id`: for the whole inbox
    /// only where nothing is known of it, since a message that waits there for metadata concerns
    /// no invocation that is here already.
    async fn settled(
        &self,
        partition: PartitionId,
        desk: &Desk,
        id: InvocationId,
        after: Option<InboxOffset>,
    ) -> Result<(), OwnerError> {
        if let Some(after) = after {
            return desk.reach(|_, next_inbox| next_inbox > after).await;
        }
        self.current(partition, desk).await?;
        if self.row(partition, id)?.is_some() {
            return Ok(());
        }
        let inbox = self.end(Topic::Invocations, partition).await?;
        desk.reach(|_, next_inbox| next_inbox >= InboxOffset(inbox)).await
    }

    /// Waits until the tables hold all that had taken effect when asked, whoever owned the partition
    /// then.
    async fn current(&self, partition: PartitionId, desk: &Desk) -> Result<(), OwnerError> {
        if self.log.bounds_are_current() {
            let log = self.end(Topic::Log, partition).await?;
            return desk.reach(|next_log, _| next_log >= LogOffset(log)).await;
        }
        desk.current().await
    }

    /// Says that there is nothing, once that is certain.
    async fn not_found<T>(&self, partition: PartitionId, desk: &Desk) -> Result<T, OwnerError> {
        self.current(partition, desk).await?;
        Err(OwnerError::NotFound)
    }

    /// The offset that the next message or record of a topic will have.
    async fn end(&self, topic: Topic, partition: PartitionId) -> Result<u64, OwnerError> {
        let bounds = self.log.bounds(Stream { topic, partition }).await;
        bounds.map(|bounds| bounds.end).map_err(|error| OwnerError::Unavailable(error.to_string()))
    }

    /// Reads what takes long enough to hold others up.
    async fn read<T: Send + 'static>(
        &self,
        page: impl FnOnce(&Store) -> Result<T, TablesError> + Send + 'static,
    ) -> Result<T, OwnerError> {
        match self.store.spawn(page).await {
            Ok(read) => read.value.map_err(|error| unavailable(&error)),
            // The runtime shuts down, or the page panicked, which is told where it happened.
            Err(error) => Err(OwnerError::Unavailable(error.to_string())),
        }
    }

    /// Looks for the life that the message at `after` belongs to; a later life of the same id is
    /// another call's. One that has expired answers its own callers alone.
    fn look(
        &self,
        partition: PartitionId,
        id: InvocationId,
        after: Option<InboxOffset>,
    ) -> Result<Found, OwnerError> {
        let row =
            if after.is_some() { self.stored(partition, id)? } else { self.row(partition, id)? };
        let Some(row) = row else { return Ok(Found::Nothing) };
        if after.is_some_and(|after| is_later_life(&row, after)) {
            return Ok(Found::Nothing);
        }
        let outcome = reads::outcome(&self.store.tables(partition), id, &row);
        Ok(match outcome.map_err(|error| unavailable(&error))? {
            Some(outcome) => Found::Completed(answer_of(row, outcome)),
            None => Found::Live(Box::new(row)),
        })
    }

    /// An invocation that has not expired.
    fn row(
        &self,
        partition: PartitionId,
        id: InvocationId,
    ) -> Result<Option<InvocationRow>, OwnerError> {
        Ok(self.stored(partition, id)?.filter(|row| !row.has_expired()))
    }

    fn stored(
        &self,
        partition: PartitionId,
        id: InvocationId,
    ) -> Result<Option<InvocationRow>, OwnerError> {
        reads::invocation(&self.store.tables(partition), id).map_err(|error| unavailable(&error))
    }
}

/// What the callers of a completed invocation are told.
pub(crate) fn answer_of(row: InvocationRow, outcome: Outcome) -> Answer {
    let keyed = row.idempotency_key.is_some();
    let expires_at = if keyed { retained_until(&row) } else { None };
    Answer { target: row.target, outcome, expires_at }
}

/// Whether the life began behind the message at `after`, and is thus another call's.
fn is_later_life(row: &InvocationRow, after: InboxOffset) -> bool {
    row.incarnation.0 > after.0
}

fn unavailable(error: &TablesError) -> OwnerError {
    OwnerError::Unavailable(error.to_string())
}
