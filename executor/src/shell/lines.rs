//! Where running invocations of one partition wait for a place.
//!
//! All of them are on disk, as rows that say "running". In memory is a line for each class of
//! attempts, of limited length: what is beyond it stays on the disk, and is looked for when the line
//! has become short. One class does not wait in the line of another.
//!
//! **Invariant:** whoever waits stands in the line, or the line knows where on the disk to look.
//! Those on the disk are not overtaken by newer ones for ever: each search goes on where the one
//! before ended.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use everlog_log_schema::InvocationId;
use everlog_partition::{Tables, TablesError, reads};

use super::places::{Class, ClassKey, Places};
use crate::metrics;

/// How many wait in one line.
const LINE_MAX: usize = 4_096;
/// A line that has left some on the disk takes them when it is no longer than this.
const LINE_SHORT: usize = LINE_MAX / 2;

/// The lines of one partition: one for each class that has had an attempt.
#[derive(Debug)]
pub(super) struct Lines {
    places: Arc<Places>,
    by_class: HashMap<ClassKey, Line>,
    search: Option<Search>,
}

/// Those of one class.
#[derive(Debug)]
struct Line {
    class: Arc<Class>,
    waiting: VecDeque<InvocationId>,
    /// Whether a place has been asked for.
    asked: bool,
    /// From where on some may wait on the disk alone; none where all stand in the line.
    left_out: Option<InvocationId>,
}

/// A walk over the running rows, all around from where it begins.
#[derive(Debug)]
struct Search {
    /// Whom it is for; none for all, at the begin of a term.
    class: Option<ClassKey>,
    begin: Option<InvocationId>,
    /// The last row looked at; none before the first of all.
    at: Option<InvocationId>,
    begun: bool,
    wrapped: bool,
}

impl Search {
    fn new(class: Option<ClassKey>, begin: Option<InvocationId>) -> Self {
        Self { class, begin, at: None, begun: false, wrapped: begin.is_none() }
    }

    /// The next row; none once it has been all around.
    fn next(&mut self, tables: &impl Tables) -> Result<Option<InvocationId>, TablesError> {
        if !std::mem::replace(&mut self.begun, true) && self.begin.is_some() {
            self.at = self.begin;
            return Ok(self.at);
        }
        let mut next = reads::next_running(tables, self.at)?;
        if next.is_none() && !self.wrapped {
            self.wrapped = true;
            next = reads::next_running(tables, None)?;
        }
        if self.wrapped && self.begin.is_some_and(|begin| next.is_some_and(|id| id >= begin)) {
            next = None;
        }
        self.at = next;
        Ok(next)
    }
}

impl Lines {
    /// No lines yet: all rows on the disk are to be looked at.
    pub(super) fn new(places: Arc<Places>) -> Self {
        Self { places, by_class: HashMap::new(), search: Some(Search::new(None, None)) }
    }

    /// Lets nobody wait any more.
    pub(super) fn close(&mut self) {
        metrics::INVOCATIONS_WAITING.sub(self.count());
        self.by_class.clear();
        self.search = None;
    }

    /// The class with this key.
    pub(super) fn class(&mut self, key: ClassKey) -> Arc<Class> {
        Arc::clone(&self.line(key).class)
    }

    /// Whether nobody of the class waits, in the line or on the disk.
    pub(super) fn is_empty(&self, class: &Class) -> bool {
        self.by_class
            .get(&class.key)
            .is_none_or(|of| of.waiting.is_empty() && of.left_out.is_none())
    }

    /// Puts an invocation at the end of its line. False where it is left on the disk.
    pub(super) fn join(&mut self, class: &Class, id: InvocationId) -> bool {
        let Some(line) = self.by_class.get_mut(&class.key) else { return false };
        if line.waiting.len() >= LINE_MAX {
            line.left_out.get_or_insert(id);
        }
        // Those on the disk were there before.
        if line.left_out.is_some() {
            return false;
        }
        metrics::INVOCATIONS_WAITING.inc();
        line.waiting.push_back(id);
        true
    }

    /// The first in line, who leaves it.
    pub(super) fn first(&mut self, class: &Class) -> Option<InvocationId> {
        let line = self.by_class.get_mut(&class.key)?;
        let first = line.waiting.pop_front()?;
        metrics::INVOCATIONS_WAITING.dec();
        if line.waiting.len() <= LINE_SHORT && line.left_out.is_some() && self.search.is_none() {
            self.search_for(&class.key.clone());
        }
        Some(first)
    }

    /// Puts who left the line in vain back to where it stood.
    pub(super) fn put_back(&mut self, class: &Class, id: InvocationId) {
        if let Some(line) = self.by_class.get_mut(&class.key) {
            metrics::INVOCATIONS_WAITING.inc();
            line.waiting.push_front(id);
        }
    }

    /// For whom a place must be asked for, if for anybody; then it counts as asked for.
    pub(super) fn ask(&mut self, class: &Class) -> Option<InvocationId> {
        let line = self.by_class.get_mut(&class.key).filter(|of| !of.asked)?;
        let first = *line.waiting.front()?;
        line.asked = true;
        Some(first)
    }

    /// What was asked for has come.
    pub(super) fn got(&mut self, class: &Class) {
        if let Some(line) = self.by_class.get_mut(&class.key) {
            line.asked = false;
        }
    }

    /// Whether there are rows to look at.
    pub(super) fn searches(&self) -> bool {
        self.search.is_some()
    }

    /// The next row to look at; none once there is none, for now.
    pub(super) fn next(
        &mut self,
        tables: &impl Tables,
    ) -> Result<Option<InvocationId>, TablesError> {
        while let Some(mut search) = self.search.take() {
            let line = search.class.as_ref().and_then(|key| self.by_class.get_mut(key));
            if let Some(line) = line
                && line.waiting.len() >= LINE_MAX
            {
                // What it has not looked at is left out: the next search goes on there.
                line.left_out = search.at.or(search.begin);
            } else if let Some(next) = search.next(tables)? {
                self.search = Some(search);
                return Ok(Some(next));
            }
            let short = |of: &&Line| of.left_out.is_some() && of.waiting.len() <= LINE_SHORT;
            let next = self.by_class.values().find(short).map(|line| line.class.key.clone());
            if let Some(key) = next {
                self.search_for(&key);
            }
        }
        Ok(None)
    }

    fn search_for(&mut self, key: &ClassKey) {
        if let Some(line) = self.by_class.get_mut(key)
            && let Some(begin) = line.left_out.take()
        {
            self.search = Some(Search::new(Some(key.clone()), Some(begin)));
        }
    }

    fn line(&mut self, key: ClassKey) -> &mut Line {
        let Self { places, by_class, .. } = self;
        by_class.entry(key.clone()).or_insert_with(|| Line {
            class: Arc::new(places.class(key)),
            waiting: VecDeque::new(),
            asked: false,
            left_out: None,
        })
    }

    fn count(&self) -> i64 {
        self.by_class
            .values()
            .map(|line| i64::try_from(line.waiting.len()).unwrap_or(i64::MAX))
            .sum()
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use everlog_log_schema::{DeploymentId, PartitionKey, Row, RowKey};
    use everlog_partition::MemoryTables;

    use super::*;
    use crate::config::ExecutorLimits;

    /// Running rows of two classes, by the last bit of their ids, as the owner sees them.
    struct Rows {
        tables: MemoryTables,
        lines: Lines,
        classes: [Arc<Class>; 2],
        in_line: BTreeSet<InvocationId>,
    }

    impl Rows {
        fn new() -> Self {
            let mut lines = Lines::new(Places::new(&ExecutorLimits::default()));
            let classes = ["even", "odd"].map(|handler| {
                let (deployment, service) = (DeploymentId("dp_1".into()), "S".into());
                lines.class(ClassKey {
                    deployment,
                    service,
                    handler: handler.into(),
                    is_large: false,
                })
            });
            Self { tables: MemoryTables::default(), lines, classes, in_line: BTreeSet::new() }
        }

        fn class_of(&self, id: InvocationId) -> Arc<Class> {
            let [even, odd] = &self.classes;
            Arc::clone(if id.uuid.is_multiple_of(2) { even } else { odd })
        }

        fn offer(&mut self, id: InvocationId) {
            if self.lines.join(&self.class_of(id), id) {
                assert!(self.in_line.insert(id), "{id} stands in line twice");
            }
        }

        fn arrive(&mut self, uuid: u128) {
            let id = InvocationId { partition_key: PartitionKey(0), uuid };
            self.tables.put(RowKey::Running(id), Row::Running);
            self.offer(id);
        }

        /// Looks at all rows that are to be looked at now.
        fn search(&mut self) {
            while let Some(id) = self.lines.next(&self.tables).unwrap() {
                if !self.in_line.contains(&id) {
                    self.offer(id);
                }
            }
            assert!(!self.lines.searches());
        }

        /// Ends the first of a class.
        fn end_first(&mut self, class: &Class) -> Option<u128> {
            let first = self.lines.first(class)?;
            assert!(self.in_line.remove(&first));
            self.tables.delete(&RowKey::Running(first));
            Some(first.uuid)
        }
    }

    #[test]
    fn all_get_their_turn_however_many_wait_and_wherever_they_stand_on_the_disk() {
        const COUNT: u128 = 30_000;
        let orders: [fn(u128) -> u128; 3] = [|n| n, |n| COUNT - 1 - n, |n| (n * 7_919) % COUNT];
        for order in orders {
            let mut rows = Rows::new();
            rows.search();
            (0..COUNT).for_each(|n| rows.arrive(order(n)));
            assert_eq!(rows.in_line.len(), 2 * LINE_MAX);
            // Those of one class alone: the line of the other stays full.
            let even = Arc::clone(&rows.classes[0]);
            let mut ended = BTreeSet::new();
            while let Some(uuid) = rows.end_first(&even) {
                assert!(ended.insert(uuid));
                rows.search();
            }
            assert!(ended.iter().copied().eq((0..COUNT).step_by(2)));
            assert_eq!(rows.in_line.len(), LINE_MAX);
            assert!(rows.lines.is_empty(&even));
        }
    }

    #[test]
    fn those_left_on_the_disk_are_not_overtaken_for_ever() {
        let mut rows = Rows::new();
        rows.search();
        let count = 3 * LINE_MAX as u128;
        (0..count).for_each(|n| rows.arrive(2 * n));
        let even = Arc::clone(&rows.classes[0]);
        // For each that ends another comes, behind which the disk is searched.
        let mut old = count;
        for newer in count..4 * count {
            let ended = rows.end_first(&even).unwrap();
            old -= u128::from(ended < 2 * count);
            rows.arrive(2 * newer);
            rows.search();
        }
        assert_eq!(old, 0);
    }

    #[test]
    fn what_a_new_owner_finds_on_the_disk_is_what_waits() {
        let mut rows = Rows::new();
        for uuid in 0..100 {
            let id = InvocationId { partition_key: PartitionKey(0), uuid };
            rows.tables.put(RowKey::Running(id), Row::Running);
        }
        rows.search();
        assert_eq!(rows.in_line.len(), 100);
        rows.search();
        assert_eq!(rows.in_line.len(), 100);
    }
}
