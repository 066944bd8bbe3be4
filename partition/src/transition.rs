//! One record's transition: what is read, written and wanted while it is applied.

use everlog_log_schema::{
    AttemptId, Incarnation, InvocationId, InvocationRow, Millis, OutboxPlace, PartitionRow, Row,
    RowKey, Status, Timer,
};

use crate::planted::{self, Bug};
use crate::{Action, Tables, TablesError, reads};

/// The tables, the actions, and the partition row as the record's commands change it.
#[derive(Debug)]
pub(crate) struct Transition<'a, T> {
    /// What the partition remembers.
    pub tables: &'a mut T,
    /// What it wants done.
    pub actions: &'a mut Vec<Action>,
    /// Written back once all commands have run.
    pub partition: PartitionRow,
    /// How many more bytes of answers the record may send.
    pub answer_bytes_left: u64,
    /// The last message that the record sends.
    pub last_sent: Option<OutboxPlace>,
}

impl<T: Tables> Transition<'_, T> {
    /// The time at which all of the record's commands happen.
    pub(crate) fn now(&self) -> Millis {
        self.partition.now
    }

    /// Writes the partition row.
    pub(crate) fn put_partition(&mut self) {
        self.tables.put(RowKey::Partition, Row::Partition(self.partition.clone()));
    }

    /// Writes an invocation's row.
    pub(crate) fn put_invocation(&mut self, id: InvocationId, row: InvocationRow) {
        self.tables.put(RowKey::Invocation(id), Row::Invocation(Box::new(row)));
    }

    /// Gives an invocation another status.
    pub(crate) fn turn(&self, row: &mut InvocationRow, status: Status) {
        row.status = status;
        row.modified_at = self.now();
    }

    /// Sets a timer.
    pub(crate) fn arm(&mut self, timer: Timer) {
        self.tables.put(RowKey::Timer(timer), Row::Timer);
        self.actions.push(Action::ArmTimer(timer));
    }

    /// Reads an invocation in the given life of its id; none where that life is over.
    pub(crate) fn living(
        &self,
        id: InvocationId,
        incarnation: Incarnation,
    ) -> Result<Option<InvocationRow>, TablesError> {
        let row = reads::invocation(self.tables, id)?;
        Ok(row.filter(|row| row.incarnation == incarnation || planted::is(Bug::IgnoreIncarnation)))
    }

    /// Reads the invocation that `attempt` may speak for, and notes its number in the row.
    ///
    /// None where the invocation is unknown, of another life, not running, or has a later attempt:
    /// what such an attempt says has no effect. A pipelined append behind a kill is normal.
    pub(crate) fn attempted(
        &self,
        id: InvocationId,
        attempt: AttemptId,
    ) -> Result<Option<InvocationRow>, TablesError> {
        let Some(mut row) = self.living(id, attempt.incarnation)? else { return Ok(None) };
        let current = reads::current_attempt(&row, self.partition.epoch);
        let speaks = (attempt.epoch, attempt.counter) == (current.epoch, current.counter);
        if row.status != Status::Running || !(speaks || planted::is(Bug::AcceptStaleAttempt)) {
            return Ok(None);
        }
        row.attempt_epoch = attempt.epoch;
        row.attempt_counter = attempt.counter;
        Ok(Some(row))
    }
}
