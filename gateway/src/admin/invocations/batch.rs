//! Orders about invocations that are named one by one, many in a request.
//!
//! Its invariant: what fails for one is done for the others, and each that was named is in the answer
//! once: as one that is so now, or with the reason why not.

use std::collections::BTreeSet;

use everlog_log_schema::InvocationId;
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::one::parse_id;
use super::orders::{Meaning, Silent, Verb, kind};
use crate::admin::{Admin, AdminError, read_json};
use crate::reply::{Reply, json_reply};

/// How many invocations one request may name.
const IDS_MAX: usize = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchRequest {
    invocation_ids: Vec<String>,
}

#[derive(Default, Serialize)]
struct BatchView {
    succeeded: Vec<String>,
    failed: Vec<FailedView>,
}

#[derive(Serialize)]
struct FailedView {
    invocation_id: String,
    error: String,
}

impl BatchView {
    fn add(&mut self, id: String, outcome: Result<(), AdminError>) {
        match outcome {
            Ok(()) => self.succeeded.push(id),
            Err(error) => {
                self.failed.push(FailedView { invocation_id: id, error: error.to_string() });
            }
        }
    }
}

impl Admin {
    /// Gives an order about each invocation that a body names.
    pub(in crate::admin) async fn order_batch(
        &self,
        order: &str,
        body: &[u8],
    ) -> Result<Reply, AdminError> {
        const SHOWN_CHARS_MAX: usize = 80;
        let verb = Verb::parse(order).ok_or_else(|| {
            AdminError::UnknownOrder(order.chars().take(SHOWN_CHARS_MAX).collect())
        })?;
        let request: BatchRequest = read_json(body)?;
        let given = request.invocation_ids.len();
        if given > IDS_MAX {
            return Err(AdminError::TooMany { given, max: IDS_MAX });
        }
        let mut view = BatchView::default();
        let (mut named, mut silent) = (BTreeSet::new(), Silent::default());
        let mut wanted = Vec::with_capacity(given);
        for text in request.invocation_ids {
            let id = match parse_id(&text) {
                Ok(id) if named.insert(id) => id,
                Ok(_) => continue,
                Err(error) => {
                    view.add(text, Err(error));
                    continue;
                }
            };
            match self.applies(verb, id, &mut silent).await {
                Ok(true) => wanted.push(id),
                Ok(false) => view.add(text, Ok(())),
                Err(error) => view.add(text, Err(error)),
            }
        }
        for (id, seen) in self.carry_out(verb, wanted.into_iter()).await {
            let outcome = seen.and_then(|after| match after {
                Some(row) => verb.outcome(kind(&row)).map(drop),
                None => Ok(()),
            });
            view.add(id.to_string(), outcome);
        }
        Ok(json_reply(StatusCode::OK, &view))
    }

    /// Whether an order is to be sent about an invocation: not where what it asks for is so.
    async fn applies(
        &self,
        verb: Verb,
        id: InvocationId,
        silent: &mut Silent,
    ) -> Result<bool, AdminError> {
        let row = silent.ask(self.inbox.partition(id), self.invocation(id, None)).await?;
        let row = row.ok_or(AdminError::InvocationNotFound(id))?;
        match verb.meaning(kind(&row)) {
            Meaning::Applies => Ok(true),
            Meaning::Already(_) => Ok(false),
            Meaning::Refused(error) => Err(error),
        }
    }
}
