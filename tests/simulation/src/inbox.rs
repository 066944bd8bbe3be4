//! A model of the inbox: a message, once acknowledged, keeps its offset.

use std::rc::Rc;

use everlog_log_schema::{Envelope, InboxOffset, Millis, Source};

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
