//! The journal of an invocation, entry by entry, without what the entries carry.

use http::StatusCode;
use serde::Serialize;

use super::filter::Parameters;
use super::one::parse_id;
use super::views::{self, EntryView};
use crate::admin::{Admin, AdminError};
use crate::reply::{Reply, json_reply};

#[derive(Serialize)]
struct JournalView<'a> {
    entries: Vec<EntryView<'a>>,
    next: Option<u32>,
}

impl Admin {
    /// Answers with a page of the journal.
    pub(in crate::admin) async fn show_journal(
        &self,
        id: &str,
        query: Option<&str>,
    ) -> Result<Reply, AdminError> {
        let id = parse_id(id)?;
        let mut parameters = Parameters::read(query)?;
        let from: u32 = parameters.take_as("from")?.unwrap_or_default();
        parameters.end()?;
        // First how long it is: entries only ever come behind, so that what is read is part of it.
        let row = self.invocation(id, None).await?.ok_or(AdminError::InvocationNotFound(id))?;
        let rows = self.ask(|| self.owner.journal(id, from)).await?;
        let rows = rows.ok_or(AdminError::InvocationNotFound(id))?;
        let entries = rows.iter().zip(from..=u32::MAX);
        let hidden = self.hides(&row.target);
        let entries = entries.map(|(row, index)| views::entry(index, row, hidden)).collect();
        let next = u32::try_from(rows.len()).ok().and_then(|count| from.checked_add(count));
        let next = next.filter(|next| *next < row.entries && !rows.is_empty());
        Ok(json_reply(StatusCode::OK, &JournalView { entries, next }))
    }
}
