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
use super::restart::Chosen;
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
    /// The code to begin anew or to go on with, as [`Chosen`] reads it.
    deployment: Option<String>,
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

/// Reads the ids that are named, each once; what is no id goes into the answer.
fn named<T>(texts: Vec<String>, view: &mut BatchView<T>) -> Result<Vec<InvocationId>, AdminError> {
    let given = texts.len();
    if given > IDS_MAX {
        return Err(AdminError::TooMany { given, max: IDS_MAX });
    }
    let (mut seen, mut ids) = (BTreeSet::new(), Vec::with_capacity(given));
    for text in texts {
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
        let BatchRequest { invocation_ids: ids, deployment } = read_json(body)?;
        let chosen = deployment.map(Chosen::of);
        if order == "restart-as-new" {
            return self.restart_each(ids, chosen).await;
        }
        let verb = Verb::parse(order).ok_or_else(|| {
            AdminError::UnknownOrder(order.chars().take(SHOWN_CHARS_MAX).collect())
        })?;
        match chosen {
            Some(_) if verb != Verb::Resume => {
                let reason = "`deployment` is for resume and restart-as-new".to_owned();
                Err(AdminError::MalformedRequest(reason))
            }
            Some(chosen @ (Chosen::Latest | Chosen::Of(_))) => {
                self.resume_each_on(ids, &chosen).await
            }
            Some(Chosen::Kept) | None => self.order_each(verb, ids).await,
        }
    }

    async fn order_each(&self, verb: Verb, ids: Vec<String>) -> Result<Reply, AdminError> {
        let (mut view, mut silent) = (BatchView::new(), Silent::default());
        let mut wanted = Vec::new();
        for id in named(ids, &mut view)? {
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

    /// Has each go on with other code.
    async fn resume_each_on(&self, ids: Vec<String>, chosen: &Chosen) -> Result<Reply, AdminError> {
        let mut view = BatchView::new();
        let wanted = self.seen_each(ids, &mut view).await?;
        let resume = async |(id, row): (_, InvocationRow)| {
            (id, self.resume_on(id, &row, chosen).await.map(drop))
        };
        let resumed = wanted.into_iter().map(resume);
        let mut resumed = stream::iter(resumed).buffered(AT_ONCE_MAX);
        while let Some((id, outcome)) = resumed.next().await {
            view.add(id.to_string(), outcome);
        }
        Ok(json_reply(StatusCode::OK, &view))
    }

    /// Begins each anew from its input on: with the code that is chosen, or the latest.
    async fn restart_each(
        &self,
        ids: Vec<String>,
        chosen: Option<Chosen>,
    ) -> Result<Reply, AdminError> {
        // Without a choice it takes the latest when it begins.
        let chosen = chosen.filter(|chosen| *chosen != Chosen::Latest);
        let mut view = BatchView::new();
        let wanted = self.seen_each(ids, &mut view).await?;
        let restart = async |(id, row): (_, InvocationRow)| {
            (id, self.begin_anew(id, &row, 0, chosen.clone()).await)
        };
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

    /// Looks at each that is named; what cannot be seen goes into the answer.
    async fn seen_each<T>(
        &self,
        ids: Vec<String>,
        view: &mut BatchView<T>,
    ) -> Result<Vec<(InvocationId, InvocationRow)>, AdminError> {
        let (mut seen, mut silent) = (Vec::new(), Silent::default());
        for id in named(ids, view)? {
            match self.seen(id, &mut silent).await {
                Ok(row) => seen.push((id, row)),
                Err(error) => view.fail(id.to_string(), &error),
            }
        }
        Ok(seen)
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
