//! The list of invocations, over all partitions.
//!
//! Its invariant: each page is bounded work, whatever is filtered by. A page may hold fewer than
//! were asked for, or none, and the list go on: only a missing `next` is its end. What it leaves out
//! because a partition has stopped, it names.

use everlog_log_schema::owner_api::{InvocationPage, InvocationQuery};
use everlog_log_schema::{InvocationId, InvocationRow, PartitionId};
use http::StatusCode;
use serde::Serialize;

use super::filter::{Filter, Place};
use super::views::{self, InvocationView};
use crate::admin::{Admin, AdminError};
use crate::reply::{Reply, json_reply};

/// How often the owners are asked for one page.
const QUESTIONS_MAX: usize = 64;

/// Some invocations.
pub(super) struct Page {
    /// Those found.
    pub(super) found: Vec<(InvocationId, InvocationRow)>,
    /// Where the next page goes on; none at the end.
    pub(super) next: Option<Place>,
    /// The partitions that it leaves out.
    pub(super) unavailable: Vec<UnavailableView>,
}

/// A partition that a page leaves out.
#[derive(Debug, Serialize)]
pub(super) struct UnavailableView {
    partition: u32,
    reason: String,
}

#[derive(Serialize)]
struct PageView<'a> {
    invocations: Vec<InvocationView<'a>>,
    next: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unavailable: Vec<UnavailableView>,
}

impl Admin {
    /// Answers with a page of the list.
    pub(in crate::admin) async fn list_invocations(
        &self,
        query: Option<&str>,
    ) -> Result<Reply, AdminError> {
        let Page { found, next, unavailable } = self.page(&Filter::parse(query)?).await?;
        let invocations = found.iter();
        let invocations = invocations
            .map(|(id, row)| views::invocation(*id, row, None, self.hides(&row.target)))
            .collect();
        let next = next.map(|place| place.to_string());
        Ok(json_reply(StatusCode::OK, &PageView { invocations, next, unavailable }))
    }

    /// Reads a page of the list.
    pub(super) async fn page(&self, filter: &Filter) -> Result<Page, AdminError> {
        let range = filter.partitions(self.inbox.partitions());
        let mut place = filter.from;
        if place.partition.0 < range.start {
            place = Place { partition: PartitionId(range.start), after: None };
        }
        let (mut found, mut unavailable) = (Vec::new(), Vec::new());
        for _ in 0..QUESTIONS_MAX {
            if place.partition.0 >= range.end {
                return Ok(Page { found, next: None, unavailable });
            }
            let limit = filter.query.limit - found.len();
            if limit == 0 {
                break;
            }
            let query = InvocationQuery { after: place.after, limit, ..filter.query.clone() };
            let owner = &self.owner;
            let asked = self.ask(|| owner.invocations(place.partition, query.clone()));
            let answer = match asked.await {
                // It stays so until somebody mends it: the others are of use until then.
                Err(AdminError::PartitionStopped(reason)) => {
                    let partition = place.partition.0;
                    unavailable.push(UnavailableView { partition, reason });
                    None
                }
                answer => answer?,
            };
            let InvocationPage { found: more, next } = answer.unwrap_or_default();
            found.extend(more);
            place = match next {
                Some(after) => Place { after: Some(after), ..place },
                None => Place { partition: PartitionId(place.partition.0 + 1), after: None },
            };
        }
        let next = (place.partition.0 < range.end).then_some(place);
        Ok(Page { found, next, unavailable })
    }
}
