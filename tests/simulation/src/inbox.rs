//! A model of the inbox, and of the compacted topic that checkpoints go to.
//!
//! Both are kept simple, as both are simple to rely on: a message, once acknowledged, keeps its
//! offset; a checkpoint is committed whole or not at all, and only by the checkpointer that was
//! opened last.

use std::rc::Rc;

use everlog_log_schema::{Envelope, InboxOffset, LogOffset, Millis, Source};
use everlog_partition::MemoryTables;

/// What stands in the inbox.
#[derive(Debug, Clone)]
pub enum Item {
    /// A message.
    Message(Envelope),
    /// Bytes whose envelope can be read but whose message cannot.
    Garbage(Source),
}

/// One partition's inbox.
#[derive(Debug, Default)]
pub struct Inbox {
    items: Vec<(InboxOffset, Rc<Item>)>,
    start: InboxOffset,
    next: u64,
    /// It cannot be read before.
    pub away_until: Millis,
}

impl Inbox {
    /// Appends a message, which is durable from then on.
    pub fn append(&mut self, item: Rc<Item>) -> InboxOffset {
        let offset = InboxOffset(self.next);
        self.items.push((offset, item));
        self.next += 1;
        offset
    }

    /// Spends an offset on a marker.
    pub fn skip(&mut self) {
        self.next += 1;
    }

    /// Reads the first message at or above `from`; an error where that was trimmed.
    pub fn read(
        &self,
        from: InboxOffset,
    ) -> Result<Option<(InboxOffset, &Item)>, crate::log::OutOfRange> {
        if from < self.start {
            return Err(crate::log::OutOfRange);
        }
        let at = self.items.partition_point(|(offset, _)| *offset < from);
        Ok(self.items.get(at).map(|(offset, item)| (*offset, item.as_ref())))
    }

    /// One past the last message.
    pub fn end(&self) -> InboxOffset {
        self.items.last().map_or(InboxOffset(0), |(offset, _)| InboxOffset(offset.0 + 1))
    }

    /// Gives up all messages below an offset.
    pub fn trim(&mut self, below: InboxOffset) {
        self.start = self.start.max(below);
    }
}

/// The right to commit checkpoints, until a later one is given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpointer(u64);

/// A later checkpointer exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fenced;

/// One partition's checkpoints: the last committed one.
#[derive(Debug, Default)]
pub struct Checkpoints {
    last: Option<(LogOffset, Rc<MemoryTables>)>,
    opened: u64,
}

impl Checkpoints {
    /// Opens the only checkpointer: one opened before can commit nothing any more.
    pub fn open(&mut self) -> Checkpointer {
        self.opened += 1;
        Checkpointer(self.opened)
    }

    /// Commits the tables as of an offset.
    pub fn commit(
        &mut self,
        by: Checkpointer,
        offset: LogOffset,
        tables: Rc<MemoryTables>,
    ) -> Result<(), Fenced> {
        if by.0 != self.opened {
            return Err(Fenced);
        }
        self.last = Some((offset, tables));
        Ok(())
    }

    /// Reads the last checkpoint.
    pub fn last(&self) -> Option<&(LogOffset, Rc<MemoryTables>)> {
        self.last.as_ref()
    }
}
