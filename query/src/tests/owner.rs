//! The owner of tables in memory, which answers in small pages, and remembers what it was asked.

use std::collections::BTreeMap;
use std::sync::Mutex;

use bytes::Bytes;
use everlog_log_schema::owner_api::{
    Answer, BoxFuture, InvocationPage, InvocationQuery, OwnerApi, OwnerError, Progress, RowPage,
    RowRange, StatePage, Verdict,
};
use everlog_log_schema::{
    FutureTree, InboxOffset, InvocationId, InvocationRow, JournalRow, LogOffset, PartitionId,
    PartitionKey, RequestId, Row, RowKey, codec, partition_key_of, partition_of,
};
use tokio::sync::watch;

/// The rows of a page.
const PAGE_ROWS: usize = 3;

type Rows = BTreeMap<Bytes, Bytes>;

pub(super) struct Tables {
    partitions: u32,
    rows: Mutex<BTreeMap<PartitionId, Rows>>,
    asked: Mutex<Vec<PartitionId>>,
    /// What some partition says instead of its rows, and how often.
    refused: Mutex<Option<(PartitionId, OwnerError, usize)>>,
    /// Whether questions wait.
    held: watch::Sender<bool>,
}

impl Tables {
    pub(super) fn new(partitions: u32) -> Self {
        let (rows, asked, refused) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { partitions, rows, asked, refused, held: watch::Sender::new(false) }
    }

    /// Stores a row where it belongs.
    #[expect(clippy::needless_pass_by_value, reason = "a row is made where it is put")]
    pub(super) fn put(&self, key: &RowKey, row: Row) {
        let partition_key = match key {
            RowKey::Invocation(id) | RowKey::Journal(id, _) | RowKey::Packed(id, _) => {
                id.partition_key
            }
            RowKey::Lock { key, .. }
            | RowKey::Queue { key, .. }
            | RowKey::Promise { key, .. }
            | RowKey::State { key, .. } => partition_key_of(key),
            _ => PartitionKey(0),
        };
        let partition = partition_of(partition_key, self.partitions);
        let value = codec::encode_row(&row, LogOffset(1)).unwrap();
        let mut rows = self.rows.lock().unwrap();
        rows.entry(partition).or_default().insert(key.to_bytes().into(), value);
    }

    /// Which partitions were asked since this was called last, in order, without repeats.
    pub(super) fn asked(&self) -> Vec<PartitionId> {
        let mut asked = self.questions();
        asked.sort_unstable();
        asked.dedup();
        asked
    }

    /// The same for each question.
    pub(super) fn questions(&self) -> Vec<PartitionId> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    /// Has a partition say this so often.
    pub(super) fn refuse(&self, partition: PartitionId, error: OwnerError, times: usize) {
        *self.refused.lock().unwrap() = Some((partition, error, times));
    }

    /// Lets questions wait, or go on.
    pub(super) fn hold(&self, held: bool) {
        self.held.send_replace(held);
    }

    /// Waits until somebody has asked, and how many wait with an answer.
    pub(super) async fn somebody_waits(&self) {
        let waited = async {
            while self.held.receiver_count() == 0 {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(super::DEADLINE, waited).await.expect("a question in time");
    }

    /// Waits until nobody waits for an answer.
    pub(super) async fn nobody_waits(&self) {
        let waited = async {
            while self.held.receiver_count() > 0 {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(super::DEADLINE, waited).await.expect("the end of all questions");
    }

    fn page(&self, partition: PartitionId, ranges: &[RowRange]) -> Result<RowPage, OwnerError> {
        self.asked.lock().unwrap().push(partition);
        if let Some((refused, error, times)) = &mut *self.refused.lock().unwrap()
            && *refused == partition
            && *times > 0
        {
            *times -= 1;
            return Err(error.clone());
        }
        assert!(ranges.is_sorted_by(|one, next| one.below <= next.from), "{ranges:?}");
        let rows = self.rows.lock().unwrap();
        let rows = rows.get(&partition).cloned().unwrap_or_default();
        let mut page = RowPage::default();
        for range in ranges.iter().filter(|range| range.from < range.below) {
            for (key, value) in rows.range(range.from.clone()..range.below.clone()) {
                if page.rows.len() == PAGE_ROWS {
                    page.next = Some(key.clone());
                    return Ok(page);
                }
                page.rows.push((key.clone(), value.clone()));
            }
        }
        Ok(page)
    }
}

fn nothing<T>() -> BoxFuture<'static, Result<T, OwnerError>> {
    Box::pin(async { Err(OwnerError::NotFound) })
}

impl OwnerApi for Tables {
    fn attach(
        &self,
        _: InvocationId,
        _: Option<InboxOffset>,
    ) -> BoxFuture<'_, Result<Answer, OwnerError>> {
        nothing()
    }

    fn output(&self, _: InvocationId) -> BoxFuture<'_, Result<Progress, OwnerError>> {
        nothing()
    }

    fn verdict(
        &self,
        _: InvocationId,
        _: RequestId,
        _: InboxOffset,
    ) -> BoxFuture<'_, Result<Verdict, OwnerError>> {
        nothing()
    }

    fn invocation(
        &self,
        _: InvocationId,
        _: Option<InboxOffset>,
    ) -> BoxFuture<'_, Result<InvocationRow, OwnerError>> {
        nothing()
    }

    fn invocations(
        &self,
        _: PartitionId,
        _: InvocationQuery,
    ) -> BoxFuture<'_, Result<InvocationPage, OwnerError>> {
        nothing()
    }

    fn journal(
        &self,
        _: InvocationId,
        _: u32,
    ) -> BoxFuture<'_, Result<Vec<JournalRow>, OwnerError>> {
        nothing()
    }

    fn state(
        &self,
        _: String,
        _: String,
        _: Option<Bytes>,
    ) -> BoxFuture<'_, Result<StatePage, OwnerError>> {
        nothing()
    }

    fn awaiting_on(
        &self,
        _: InvocationId,
    ) -> BoxFuture<'_, Result<Option<FutureTree>, OwnerError>> {
        nothing()
    }

    fn rows(
        &self,
        partition: PartitionId,
        ranges: Vec<RowRange>,
    ) -> BoxFuture<'_, Result<RowPage, OwnerError>> {
        let mut held = self.held.subscribe();
        Box::pin(async move {
            if held.wait_for(|held| !held).await.is_err() {
                return Err(OwnerError::Unavailable("the test is over".into()));
            }
            self.page(partition, &ranges)
        })
    }
}
