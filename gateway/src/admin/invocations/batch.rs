//! Orders about invocations that are named one by one, many in a request.
//!
//! Its invariant: what fails for one is done for the others, and each invocation that was named is in
//! the answer once: as one that is so now, or with the reason why not.

use std::collections::BTreeSet;

use everlog_log_schema::{InvocationId, InvocationRow};
use futures_util::{StreamExt as _, stream};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::one::parse_id;
use super::orders::{Meaning, Silent, Verb, kind};
use crate::admin::{Admin, AdminError, read_json};
use crate::reply::{Reply, json_reply};

/// How many invocations one request may name.
const IDS_MAX: usize = 1_000;
/// How many invocations are begun anew at once.
const AT_ONCE_MAX: usize = 32;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchRequest {
    invocation_ids: Vec<String>,
}

#[derive(Serialize)]
struct BatchView<T> {
    succeeded: Vec<T>,
    failed: Vec<FailedView>,
}

#[derive(Serialize)]
struct RestartedView {
    old_invocation_id: String,
    new_invocation_id: String,
}

#[derive(Serialize)]
struct FailedView {
    invocation_id: String,
    error: String,
}

impl<T> BatchView<T> {
    fn new() -> Self {
        Self { succeeded: Vec::new(), failed: Vec::new() }
    }

    fn fail(&mut self, invocation_id: String, error: &AdminError) {
        self.failed.push(FailedView { invocation_id, error: error.to_string() });
    }
}

impl BatchView<String> {
    fn add(&mut self, id: String, outcome: Result<(), AdminError>) {
        match outcome {
            Ok(()) => self.succeeded.push(id),
            Err(error) => self.fail(id, &error),
        }
    }
}

/// Reads the ids that a body names, each once; what is no id goes into the answer.
fn named<T>(body: &[u8], view: &mut BatchView<T>) -> Result<Vec<InvocationId>, AdminError> {
    let request: BatchRequest = read_json(body)?;
    let given = request.invocation_ids.len();
    if given > IDS_MAX {
        return Err(AdminError::TooMany { given, max: IDS_MAX });
    }
    let (mut seen, mut ids) = (BTreeSet::new(), Vec::with_capacity(given));
    for text in request.invocation_ids {
        match parse_id(&text) {
            Ok(id) if seen.insert(id) => ids.push(id),
            Ok(_) => {}
            Err(error) => view.fail(text, &error),
        }
    }
    Ok(ids)
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
        let (mut view, mut silent) = (BatchView::new(), Silent::default());
        let mut wanted = Vec::new();
        for id in named(body, &mut view)? {
            match self.applies(verb, id, &mut silent).await {
                Ok(true) => wanted.push(id),
                Ok(false) => view.add(id.to_string(), Ok(())),
                Err(error) => view.add(id.to_string(), Err(error)),
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

    /// Begins each invocation anew that a body names, from its input on.
    pub(in crate::admin) async fn restart_batch(&self, body: &[u8]) -> Result<Reply, AdminError> {
        let mut view = BatchView::new();
        let (mut wanted, mut silent) = (Vec::new(), Silent::default());
        for id in named(body, &mut view)? {
            match self.seen(id, &mut silent).await {
                Ok(row) => wanted.push((id, row)),
                Err(error) => view.fail(id.to_string(), &error),
            }
        }
        let restart =
            async |(id, row): (_, InvocationRow)| (id, self.begin_anew(id, &row, 0, None).await);
        let begun = wanted.into_iter().map(restart);
        let mut begun = stream::iter(begun).buffered(AT_ONCE_MAX);
        while let Some((old, new)) = begun.next().await {
            let old_invocation_id = old.to_string();
            match new {
                Ok(new) => view
                    .succeeded
                    .push(RestartedView { old_invocation_id, new_invocation_id: new.to_string() }),
                Err(error) => view.fail(old_invocation_id, &error),
            }
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
        match verb.meaning(kind(&self.seen(id, silent).await?)) {
            Meaning::Applies => Ok(true),
            Meaning::Already(_) => Ok(false),
            Meaning::Refused(error) => Err(error),
        }
    }

    /// Looks at an invocation, unless its partition is silent.
    async fn seen(
        &self,
        id: InvocationId,
        silent: &mut Silent,
    ) -> Result<InvocationRow, AdminError> {
        let row = silent.ask(self.inbox.partition(id), self.invocation(id, None)).await?;
        row.ok_or(AdminError::InvocationNotFound(id))
    }
}
