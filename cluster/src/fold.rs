//! Who lives, as a fold over the topic of members.
//!
//! Time is the log's: it goes on with every row that anybody writes. So a process that is cut off
//! from Kafka, or a Kafka that is away, makes nobody die. **Invariant:** whoever has written within
//! `timeout` of the newest row lives.

use std::collections::BTreeMap;
use std::time::Duration;

use everlog_log_client::kafka::MemberRow;
use everlog_log_schema::{Member, MemberId, Members, codec};

/// What is known of the processes.
#[derive(Debug)]
pub(crate) struct Fold {
    timeout_ms: u64,
    /// When the newest row was written, by the brokers' clock.
    now_ms: u64,
    known: BTreeMap<MemberId, Known>,
}

#[derive(Debug)]
struct Known {
    member: Member,
    written_at_ms: u64,
}

impl Fold {
    /// Knows nobody.
    pub(crate) fn new(timeout: Duration) -> Self {
        let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        Self { timeout_ms, now_ms: 0, known: BTreeMap::new() }
    }

    /// Takes in a row. One that cannot be read says nothing: its process is of a newer version, or
    /// is none of ours.
    pub(crate) fn take(&mut self, row: MemberRow) {
        self.now_ms = self.now_ms.max(row.appended_at_ms);
        let id = MemberId(row.id);
        match row.value.map(|value| codec::decode_member(&value)) {
            Some(Ok(member)) => {
                let known = Known { member, written_at_ms: row.appended_at_ms };
                self.known.insert(id, known);
            }
            Some(Err(error)) => {
                tracing::warn!(member = %id, %error, "cannot read what a member says of itself");
                self.known.remove(&id);
            }
            None => {
                self.known.remove(&id);
            }
        }
    }

    /// Forgets the dead, and tells who lives.
    pub(crate) fn living(&mut self) -> Members {
        let (now, timeout) = (self.now_ms, self.timeout_ms);
        self.known.retain(|_, known| now.saturating_sub(known.written_at_ms) <= timeout);
        self.known.iter().map(|(id, known)| (id.clone(), known.member.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use everlog_log_schema::{Holdings, Level, Role};

    use super::*;

    fn row(id: &str, appended_at_ms: u64) -> MemberRow {
        let member = Member {
            role: Role::Executor,
            address: id.into(),
            version: String::new(),
            level: Level(1),
            holdings: Holdings::new(),
        };
        let value = Some(codec::encode_member(&member).unwrap());
        MemberRow { id: id.into(), value, appended_at_ms }
    }

    fn living(rows: Vec<MemberRow>) -> String {
        let mut fold = Fold::new(Duration::from_secs(6));
        for row in rows {
            fold.take(row);
        }
        let ids: Vec<_> = fold.living().into_keys().map(|id| id.0).collect();
        ids.join(" ")
    }

    #[test]
    fn a_member_lives_as_long_as_it_writes() {
        assert_eq!(living(vec![row("a", 1_000), row("b", 2_000)]), "a b");
        assert_eq!(living(vec![row("a", 1_000), row("b", 7_000)]), "a b");
        assert_eq!(living(vec![row("a", 1_000), row("b", 7_001)]), "b");
        assert_eq!(living(vec![row("a", 1_000), row("b", 9_000), row("a", 9_001)]), "a b");
    }

    #[test]
    fn nobody_dies_while_nobody_writes() {
        let mut fold = Fold::new(Duration::from_secs(6));
        fold.take(row("a", 1_000));
        assert_eq!(fold.living().len(), 1);
        assert_eq!(fold.living().len(), 1);
    }

    #[test]
    fn a_member_that_leaves_is_gone_at_once() {
        let left = MemberRow { id: "a".into(), value: None, appended_at_ms: 1_001 };
        assert_eq!(living(vec![row("a", 1_000), row("b", 1_000), left]), "b");
    }

    #[test]
    fn a_row_that_cannot_be_read_is_nobodys() {
        let damaged =
            MemberRow { id: "a".into(), value: Some("nonsense".into()), appended_at_ms: 1_001 };
        assert_eq!(living(vec![row("a", 1_000), row("b", 1_000), damaged]), "b");
    }
}
